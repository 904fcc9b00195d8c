// Pooling of images (N, H, W, C), forward and backward, of float32 or bfloat16; windows as in core/geometry.h.
//
//   max      y = largest pixel, index = its tap r*S + s; the first wins, a NaN wins over everything
//   avg      y = sum of the pixels / their number (with padding if count_padding)
//   gradient dx = what each window hands to the pixel: dy where its tap was chosen, or dy / number; each pixel gathers
//            from the windows that see it, in order, so no atomics are needed
//
// Bound by memory: a thread makes V neighbouring channels of a result, 128 bits of maps where C allows, and what it
// computes to find its window is divided among them, with numbers of 32 bits and divisions by multiplication where the
// sizes are no larger. Of a window kRun taps are under way together. Where averages of large windows are too few to
// keep a device busy, as those of whole images are, a block shares out the taps of each.
#include "device/block.cuh"
#include "device/divide.cuh"
#include "device/element.cuh"
#include "kernel.cuh"

namespace forja::cuda {
namespace {

constexpr int kRun = 4;   // taps whose loads are under way together
constexpr int kPair = 2;  // pixels of a row that a thread makes of a gradient

// A result of (N, rows, columns, C) and the images around it; a thread takes V channels. Of an image, which is a result
// of gradients, kPair columns count as one.
template <class I>
struct Plan {
  PoolAxisOf<I> rows, columns;
  I c, packs;  // channels, packs of V of a pixel
  I result_rows, result_columns;
  I count;  // packs of all results
  Divide<I> by_packs, by_columns, by_rows, by_row_stride, by_column_stride;

  Plan(const PoolGeometry& g, int width, bool of_image)
      : rows(narrow(g.rows)),
        columns(narrow(g.columns)),
        c(static_cast<I>(g.c)),
        packs(static_cast<I>(g.c / width)),
        result_rows(static_cast<I>(of_image ? g.rows.size : g.rows.out)),
        result_columns(static_cast<I>(of_image ? ceil_div(g.columns.size, kPair) : g.columns.out)),
        count(static_cast<I>(g.n * g.c / width * result_rows * result_columns)),
        by_packs(packs),
        by_columns(result_columns),
        by_rows(result_rows),
        by_row_stride(g.rows.stride),
        by_column_stride(g.columns.stride) {}

  static PoolAxisOf<I> narrow(const PoolAxis& a) {
    return {static_cast<I>(a.size),
            static_cast<I>(a.out),
            static_cast<I>(a.kernel),
            static_cast<I>(a.stride),
            static_cast<I>(a.before),
            static_cast<I>(a.after),
            a.adaptive};
  }
};

// Where a thread's result stands.
template <class I>
struct Place {
  I n, row, column, channel;
};

template <int V, class I>
__device__ __forceinline__ Place<I> place_of(const Plan<I>& g, I at) {
  const I pixel = g.by_packs(at), line = g.by_columns(pixel), n = g.by_rows(line);
  return {n, line - n * g.result_rows, pixel - line * g.result_columns, (at - pixel * g.packs) * V};
}

// The first of pixel (0, 0)'s channels that belong to a result, in an array of `rows` x `columns` pixels an image.
template <class E, class I>
__device__ __forceinline__ E* image_of(E* data, const Plan<I>& g, const Place<I>& p, I rows, I columns) {
  return data + static_cast<int64_t>(p.n) * rows * columns * g.c + p.channel;
}

// f(v, tap) for the pixels of a window, row by row: V channels of each, and its tap r*S + s.
template <int V, class E, class I, class F>
__device__ __forceinline__ void each_tap(const E* image, const Plan<I>& g, const PoolWindowOf<I>& rows,
                                         const PoolWindowOf<I>& columns, const F& f) {
  const I taps = (rows.end - rows.begin) * (columns.end - columns.begin);
  I i = rows.begin, j = columns.begin;
  for (I done = 0; done < taps; done += kRun) {
    Raw<V, E> v[kRun];
    I tap[kRun];
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      tap[k] = (i - rows.origin) * g.columns.kernel + j - columns.origin;
      if (done + k < taps) v[k].read(image + static_cast<int64_t>(i * g.columns.size + j) * g.c);
      if (++j == columns.end) j = columns.begin, i++;
    }
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      if (done + k >= taps) break;
      float pixel[V];
#pragma unroll
      for (int c = 0; c < V; c++) pixel[c] = v[k][c];
      f(pixel, tap[k]);
    }
  }
}

template <class E, class Tap, int V, class I>
__global__ void __launch_bounds__(kThreads)
    max_pool2d_kernel(const E* x, E* y, Tap* index, const __grid_constant__ Plan<I> g) {
  const auto at = static_cast<I>(thread_index());
  if (at >= g.count) return;
  const Place<I> p = place_of<V>(g, at);
  const auto rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  const I first = (rows.begin - rows.origin) * g.columns.kernel + columns.begin - columns.origin;
  float best[V];
  Tap chosen[V];
#pragma unroll
  for (int k = 0; k < V; k++) best[k] = -INFINITY, chosen[k] = static_cast<Tap>(first);
  each_tap<V>(image_of(x, g, p, g.rows.size, g.columns.size), g, rows, columns, [&](const float* v, I tap) {
#pragma unroll
    for (int k = 0; k < V; k++) {
      if (v[k] > best[k] || v[k] != v[k]) best[k] = v[k], chosen[k] = static_cast<Tap>(tap);
    }
  });
  write_floats<V>(y + static_cast<int64_t>(at) * V, best);
  write_pack<V>(index + static_cast<int64_t>(at) * V, chosen);
}

template <class I>
__device__ __forceinline__ float share_of(const PoolWindowOf<I>& rows, const PoolWindowOf<I>& columns,
                                          bool count_padding) {
  return 1.0f / static_cast<float>(count_padding ? rows.padded * columns.padded
                                                 : (rows.end - rows.begin) * (columns.end - columns.begin));
}

template <class E, int V, class I>
__global__ void __launch_bounds__(kThreads)
    avg_pool2d_kernel(const E* x, E* y, const __grid_constant__ Plan<I> g, bool count_padding) {
  const auto at = static_cast<I>(thread_index());
  if (at >= g.count) return;
  const Place<I> p = place_of<V>(g, at);
  const auto rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  float total[V] = {};
  each_tap<V>(image_of(x, g, p, g.rows.size, g.columns.size), g, rows, columns, [&](const float* v, I) {
#pragma unroll
    for (int k = 0; k < V; k++) total[k] += v[k];
  });
  const float share = share_of(rows, columns, count_padding);
#pragma unroll
  for (int k = 0; k < V; k++) total[k] *= share;
  write_floats<V>(y + static_cast<int64_t>(at) * V, total);
}

// As avg_pool2d_kernel. Grid: (pixels of the result, groups of packs); a block's columns of threads have a pack each
// and take its window's taps in turns, whose sums are joined as a tree.
template <class E, int V, class I>
__global__ void __launch_bounds__(kThreads)
    avg_pool2d_shared_kernel(const E* x, E* y, const __grid_constant__ Plan<I> g, bool count_padding) {
  __shared__ float sums[kThreads];
  const I pack = static_cast<I>(blockIdx.y * blockDim.x + threadIdx.x);
  const bool inside = pack < g.packs;
  const auto at = static_cast<I>(blockIdx.x) * g.packs + (inside ? pack : 0);
  const Place<I> p = place_of<V>(g, at);
  const auto rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  const E* image = image_of(x, g, p, g.rows.size, g.columns.size);
  const I width = columns.end - columns.begin, taps = inside ? (rows.end - rows.begin) * width : 0;
  const I step = static_cast<I>(blockDim.y);
  float total[V] = {};
  for (I tap = static_cast<I>(threadIdx.y); tap < taps; tap += kRun * step) {
    Raw<V, E> v[kRun];
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      const I own = tap + k * step, i = own / width;
      const I pixel = (rows.begin + i) * g.columns.size + columns.begin + own - i * width;
      if (own < taps) v[k].read(image + static_cast<int64_t>(pixel) * g.c);
    }
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      if (tap + k * step >= taps) break;
#pragma unroll
      for (int c = 0; c < V; c++) total[c] += v[k][c];
    }
  }
  const float share = share_of(rows, columns, count_padding);
  const unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int c = 0; c < V; c++) {
    __syncthreads();  // the last use of `sums` is over
    sums[own] = total[c];
    __syncthreads();
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
      if (threadIdx.y < half) sums[own] += sums[own + half * blockDim.x];
      __syncthreads();
    }
    total[c] = sums[threadIdx.x] * share;
  }
  if (inside && threadIdx.y == 0) write_floats<V>(y + static_cast<int64_t>(at) * V, total);
}

// What a window hands to kPair neighbours of a row that stand at `tap`, tap + 1 and so on, where it sees them, added to
// `total`. Chosen: dy where index says so.
template <class E, class Tap>
struct Chosen {
  const E* dy;
  const Tap* index;
  template <int V, class I>
  __device__ __forceinline__ void hand(int64_t at, I tap, const bool* sees, const PoolWindowOf<I>&,
                                       const PoolWindowOf<I>&, float (*total)[V]) const {
    float v[V];
    Tap taps[V];
    read_floats<V>(dy + at, v);
    read_pack<V>(index + at, taps);
#pragma unroll
    for (int pixel = 0; pixel < kPair; pixel++) {
#pragma unroll
      for (int k = 0; k < V; k++) {
        total[pixel][k] += sees[pixel] && static_cast<I>(taps[k]) == tap + pixel ? v[k] : 0.0f;
      }
    }
  }
};

// Shared: every pixel gets the same part of dy.
template <class E>
struct Shared {
  const E* dy;
  bool count_padding;
  template <int V, class I>
  __device__ __forceinline__ void hand(int64_t at, I, const bool* sees, const PoolWindowOf<I>& rows,
                                       const PoolWindowOf<I>& columns, float (*total)[V]) const {
    float v[V];
    read_floats<V>(dy + at, v);
    const float share = share_of(rows, columns, count_padding);
#pragma unroll
    for (int pixel = 0; pixel < kPair; pixel++) {
#pragma unroll
      for (int k = 0; k < V; k++) total[pixel][k] += sees[pixel] ? v[k] * share : 0.0f;
    }
  }
};

// A thread makes kPair neighbours of a row, which mostly lie in the same windows.
template <class E, class Rule, int V, class I>
__global__ void __launch_bounds__(kThreads)
    pool2d_grad_kernel(E* dx, const __grid_constant__ Rule rule, const __grid_constant__ Plan<I> g) {
  const auto at = static_cast<I>(thread_index());
  if (at >= g.count) return;
  const Place<I> x = place_of<V>(g, at);
  const I column = x.column * kPair;
  const auto over_rows = windows_over(g.rows, x.row, g.by_row_stride);
  PoolWindows<I> over[kPair];
  I end = 0;
#pragma unroll
  for (int pixel = 0; pixel < kPair; pixel++) {
    over[pixel] = {0, 0};
    if (column + pixel < g.columns.size) over[pixel] = windows_over(g.columns, column + pixel, g.by_column_stride);
    end = over[pixel].end > end ? over[pixel].end : end;
  }
  const int64_t image = static_cast<int64_t>(x.n) * g.rows.out * g.columns.out * g.c + x.channel;
  float total[kPair][V] = {};
  for (I p = over_rows.begin; p < over_rows.end; p++) {
    const auto rows = window_at(g.rows, p);
    for (I q = over[0].begin; q < end; q++) {
      const auto columns = window_at(g.columns, q);
      const I tap = (x.row - rows.origin) * g.columns.kernel + column - columns.origin;
      bool sees[kPair];
#pragma unroll
      for (int pixel = 0; pixel < kPair; pixel++) sees[pixel] = q >= over[pixel].begin && q < over[pixel].end;
      rule.template hand<V>(image + static_cast<int64_t>(p * g.columns.out + q) * g.c, tap, sees, rows, columns, total);
    }
  }
  E* row = image_of(dx, g, x, g.rows.size, g.columns.size) + static_cast<int64_t>(x.row) * g.columns.size * g.c;
#pragma unroll
  for (int pixel = 0; pixel < kPair; pixel++) {
    if (column + pixel < g.columns.size)
      write_floats<V>(row + static_cast<int64_t>(column + pixel) * g.c, total[pixel]);
  }
}

// The chosen pixels: y = x at the tap that index names. Taps are compared, never used as an address.
template <class E, class Tap, int V, class I>
__global__ void __launch_bounds__(kThreads)
    max_pool2d_gather_kernel(const E* x, const Tap* index, E* y, const __grid_constant__ Plan<I> g) {
  const auto at = static_cast<I>(thread_index());
  if (at >= g.count) return;
  const Place<I> p = place_of<V>(g, at);
  const auto rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  Tap taps[V];
  read_pack<V>(index + static_cast<int64_t>(at) * V, taps);
  float value[V] = {};
  each_tap<V>(image_of(x, g, p, g.rows.size, g.columns.size), g, rows, columns, [&](const float* v, I tap) {
#pragma unroll
    for (int k = 0; k < V; k++) {
      if (static_cast<I>(taps[k]) == tap) value[k] = v[k];
    }
  });
  write_floats<V>(y + static_cast<int64_t>(at) * V, value);
}

// Counting in steps goes past the end by no more than this.
constexpr int64_t kMostPixels = INT32_MAX - kThreads * 2 * kRun;

// Whether products of an axis' numbers stay below 2^31.
bool is_short(const PoolAxis& a) { return (a.size + 1) * (a.out + 1) + a.before + a.after + a.kernel < INT32_MAX; }

// f(E{}, V, plan) for a result of this dtype that has elements; packs of one where C is no multiple of a pack.
template <class F>
void with_plan(const Operand& maps, const PoolGeometry& g, bool of_image, const F& f) {
  if (element_count(*maps.value) == 0) return;
  const bool is_small = is_short(g.rows) && is_short(g.columns) && g.rows.size * g.columns.size < kMostPixels &&
                        g.rows.out * g.columns.out < kMostPixels && element_count(*maps.value) < INT32_MAX;
  with_element(*maps.value, [&](auto element) {
    constexpr int kWide = kPack<decltype(element)>;
    using One = std::integral_constant<int, 1>;
    using Wide = std::integral_constant<int, kWide>;
    if (!is_small) return f(element, One(), Plan<int64_t>(g, 1, of_image));
    if (g.c % kWide != 0) return f(element, One(), Plan<int>(g, 1, of_image));
    f(element, Wide(), Plan<int>(g, kWide, of_image));
  });
}

// f(Tap{}) with the dtype of a value of taps.
template <class F>
void with_tap(const Operand& index, const F& f) {
  if (index.value->dtype == FJ_UINT8) return f(uint8_t{});
  f(int32_t{});
}

void run_max(const Call& call, Launcher& to) {
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], call.attrs<fj_max_pool2d_attrs>());
  with_plan(call.out[0], g, false, [&](auto element, auto width, const auto& plan) {
    using E = decltype(element);
    with_tap(call.out[1], [&](auto tap) {
      using Tap = decltype(tap);
      launch(to, max_pool2d_kernel<E, Tap, decltype(width)::value, decltype(plan.count)>, blocks_for(plan.count),
             kThreads, call.in[0].as<const E>(), call.out[0].as<E>(), call.out[1].as<Tap>(), plan);
    });
  });
}

void run_max_grad(const Call& call, Launcher& to) {
  const PoolGeometry g = pool_geometry(call.out[0], call.in[0], call.attrs<fj_max_pool2d_grad_attrs>());
  with_plan(call.out[0], g, true, [&](auto element, auto width, const auto& plan) {
    using E = decltype(element);
    with_tap(call.in[1], [&](auto tap) {
      using Rule = Chosen<E, decltype(tap)>;
      const Rule rule{call.in[0].as<const E>(), call.in[1].as<const decltype(tap)>()};
      launch(to, pool2d_grad_kernel<E, Rule, decltype(width)::value, decltype(plan.count)>, blocks_for(plan.count),
             kThreads, call.out[0].as<E>(), rule, plan);
    });
  });
}

void run_max_gather(const Call& call, Launcher& to) {
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], call.attrs<fj_max_pool2d_gather_attrs>());
  with_plan(call.out[0], g, false, [&](auto element, auto width, const auto& plan) {
    using E = decltype(element);
    with_tap(call.in[1], [&](auto tap) {
      using Tap = decltype(tap);
      launch(to, max_pool2d_gather_kernel<E, Tap, decltype(width)::value, decltype(plan.count)>, blocks_for(plan.count),
             kThreads, call.in[0].as<const E>(), call.in[1].as<const Tap>(), call.out[0].as<E>(), plan);
    });
  });
}

// Taps of an axis' largest window.
int64_t most_taps(const PoolAxis& a) { return a.adaptive ? a.size / a.out + 2 : a.kernel; }

void run_avg(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_avg_pool2d_attrs>();
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], attrs);
  with_plan(call.out[0], g, false, [&](auto element, auto width, const auto& plan) {
    using E = decltype(element);
    using I = decltype(plan.count);
    constexpr int V = decltype(width)::value, kThreadsOfProcessor = 1024;
    const bool few = plan.count < int64_t{to.multiprocessors} * kThreadsOfProcessor;
    const auto* x = call.in[0].as<const E>();
    auto* y = call.out[0].as<E>();
    const bool padded = attrs.count_padding != 0;
    if (!few || most_taps(g.rows) * most_taps(g.columns) < 4 * kRun) {
      launch(to, avg_pool2d_kernel<E, V, I>, blocks_for(plan.count), kThreads, x, y, plan, padded);
      return;
    }
    I across = 1;
    while (across < kWarp && across < plan.packs) across *= 2;
    const dim3 grid(static_cast<unsigned>(plan.count / plan.packs),
                    static_cast<unsigned>(ceil_div(plan.packs, across)));
    const dim3 block(static_cast<unsigned>(across), static_cast<unsigned>(kThreads / across));
    launch(to, avg_pool2d_shared_kernel<E, V, I>, grid, block, x, y, plan, padded);
  });
}

void run_avg_grad(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_avg_pool2d_grad_attrs>();
  const PoolGeometry g = pool_geometry(call.out[0], call.in[0], attrs);
  with_plan(call.out[0], g, true, [&](auto element, auto width, const auto& plan) {
    using E = decltype(element);
    const Shared<E> rule{call.in[0].as<const E>(), attrs.count_padding != 0};
    launch(to, pool2d_grad_kernel<E, Shared<E>, decltype(width)::value, decltype(plan.count)>, blocks_for(plan.count),
           kThreads, call.out[0].as<E>(), rule, plan);
  });
}

}  // namespace

void register_pool(KernelTable& table) {
  table.add({FJ_OP_MAX_POOL2D, 0, "maxPool2d", run_max, nullptr, nullptr, false});
  table.add({FJ_OP_MAX_POOL2D_GRAD, 0, "maxPool2dGrad", run_max_grad, nullptr, nullptr, false});
  table.add({FJ_OP_MAX_POOL2D_GATHER, 0, "maxPool2dGather", run_max_gather, nullptr, nullptr, false});
  table.add({FJ_OP_AVG_POOL2D, 0, "avgPool2d", run_avg, nullptr, nullptr, false});
  table.add({FJ_OP_AVG_POOL2D_GRAD, 0, "avgPool2dGrad", run_avg_grad, nullptr, nullptr, false});
}

}  // namespace forja::cuda
