// Pooling of float32 images (N, H, W, C), forward and backward. Position p of an axis looks at the pixels
// [p*stride - pad, p*stride - pad + kernel) cut to the image; adaptive, at [p*size/out, ceil((p+1)*size/out)).
//
//   max      y = largest pixel, index = its tap r*S + s; the first wins, a NaN wins over everything
//   avg      y = sum of the pixels / their number (with padding if count_padding)
//   gradient dx = what each window hands to the pixel: dy where its tap was chosen, or dy / number; each pixel gathers
//            from the windows that see it, in order, so no atomics are needed
//
// A thread to each element, neighbours along C.
#include "kernel.cuh"

namespace forja::cuda {
namespace {

// Where element `at` of (N, rows, columns, C) stands.
struct Place {
  int64_t n, row, column, channel;
};

__device__ __forceinline__ Place place_of(int64_t at, int64_t rows, int64_t columns, int64_t c) {
  const int64_t pixel = at / c, line = pixel / columns;
  return {line / rows, line % rows, pixel - line * columns, at - pixel * c};
}

template <class Tap>
__global__ void max_pool2d_kernel(const float* x, float* y, Tap* index, const __grid_constant__ PoolGeometry g,
                                  int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const Place p = place_of(at, g.rows.out, g.columns.out, g.c);
  const PoolWindow rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  const float* image = x + p.n * g.rows.size * g.columns.size * g.c + p.channel;
  float best = image[(rows.begin * g.columns.size + columns.begin) * g.c];
  int64_t chosen = (rows.begin - rows.origin) * g.columns.kernel + columns.begin - columns.origin;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) {
      const float v = image[(i * g.columns.size + j) * g.c];
      if (v > best || v != v) best = v, chosen = (i - rows.origin) * g.columns.kernel + j - columns.origin;
    }
  }
  y[at] = best;
  index[at] = static_cast<Tap>(chosen);
}

__device__ __forceinline__ float share_of(const PoolWindow& rows, const PoolWindow& columns, bool count_padding) {
  return 1.0f / static_cast<float>(count_padding ? rows.padded * columns.padded
                                                 : (rows.end - rows.begin) * (columns.end - columns.begin));
}

__global__ void avg_pool2d_kernel(const float* x, float* y, const __grid_constant__ PoolGeometry g, bool count_padding,
                                  int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const Place p = place_of(at, g.rows.out, g.columns.out, g.c);
  const PoolWindow rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  const float* image = x + p.n * g.rows.size * g.columns.size * g.c + p.channel;
  float total = 0;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) total += image[(i * g.columns.size + j) * g.c];
  }
  y[at] = total * share_of(rows, columns, count_padding);
}

// What a window hands to the pixel at `tap`. Chosen: dy where index says so.
template <class Tap>
struct Chosen {
  const float* dy;
  const Tap* index;
  __device__ __forceinline__ float hand(int64_t at, int64_t tap, const PoolWindow&, const PoolWindow&) const {
    return index[at] == tap ? dy[at] : 0.0f;
  }
};

// Shared: every pixel gets the same part of dy.
struct Shared {
  const float* dy;
  bool count_padding;
  __device__ __forceinline__ float hand(int64_t at, int64_t, const PoolWindow& rows, const PoolWindow& columns) const {
    return dy[at] * share_of(rows, columns, count_padding);
  }
};

template <class Rule>
__global__ void pool2d_grad_kernel(float* dx, const __grid_constant__ Rule rule, const __grid_constant__ PoolGeometry g,
                                   int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const Place x = place_of(at, g.rows.size, g.columns.size, g.c);
  const Range over_rows = windows_over(g.rows, x.row), over_columns = windows_over(g.columns, x.column);
  float total = 0;
  for (int64_t p = over_rows.begin; p < over_rows.end; p++) {
    const PoolWindow rows = window_at(g.rows, p);
    for (int64_t q = over_columns.begin; q < over_columns.end; q++) {
      const PoolWindow columns = window_at(g.columns, q);
      const int64_t map = ((x.n * g.rows.out + p) * g.columns.out + q) * g.c + x.channel;
      total += rule.hand(map, (x.row - rows.origin) * g.columns.kernel + x.column - columns.origin, rows, columns);
    }
  }
  dx[at] = total;
}

// The chosen pixels: y = x at the tap that index names. Taps are compared, never used as an address.
template <class Tap>
__global__ void max_pool2d_gather_kernel(const float* x, const Tap* index, float* y,
                                         const __grid_constant__ PoolGeometry g, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const Place p = place_of(at, g.rows.out, g.columns.out, g.c);
  const PoolWindow rows = window_at(g.rows, p.row), columns = window_at(g.columns, p.column);
  const float* image = x + p.n * g.rows.size * g.columns.size * g.c + p.channel;
  float value = 0;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) {
      const int64_t tap = (i - rows.origin) * g.columns.kernel + j - columns.origin;
      if (index[at] == tap) value = image[(i * g.columns.size + j) * g.c];
    }
  }
  y[at] = value;
}

// f(Tap{}) with the dtype of a value of taps.
template <class F>
void with_tap(const Operand& index, const F& f) {
  if (index.value->dtype == FJ_UINT8) return f(uint8_t{});
  f(int32_t{});
}

void run_max(const Call& call, Launcher& to) {
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], call.attrs<fj_max_pool2d_attrs>());
  const int64_t count = count_of(*call.out[0].value);
  with_tap(call.out[1], [&](auto tap) {
    using Tap = decltype(tap);
    launch(to, max_pool2d_kernel<Tap>, blocks_for(count), kThreads, call.in[0].as<const float>(),
           call.out[0].as<float>(), call.out[1].as<Tap>(), g, count);
  });
}

void run_max_grad(const Call& call, Launcher& to) {
  const PoolGeometry g = pool_geometry(call.out[0], call.in[0], call.attrs<fj_max_pool2d_grad_attrs>());
  const int64_t count = count_of(*call.out[0].value);
  with_tap(call.in[1], [&](auto tap) {
    using Tap = decltype(tap);
    const Chosen<Tap> rule{call.in[0].as<const float>(), call.in[1].as<const Tap>()};
    launch(to, pool2d_grad_kernel<Chosen<Tap>>, blocks_for(count), kThreads, call.out[0].as<float>(), rule, g, count);
  });
}

void run_max_gather(const Call& call, Launcher& to) {
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], call.attrs<fj_max_pool2d_gather_attrs>());
  const int64_t count = count_of(*call.out[0].value);
  with_tap(call.in[1], [&](auto tap) {
    using Tap = decltype(tap);
    launch(to, max_pool2d_gather_kernel<Tap>, blocks_for(count), kThreads, call.in[0].as<const float>(),
           call.in[1].as<const Tap>(), call.out[0].as<float>(), g, count);
  });
}

void run_avg(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_avg_pool2d_attrs>();
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], attrs);
  const int64_t count = count_of(*call.out[0].value);
  launch(to, avg_pool2d_kernel, blocks_for(count), kThreads, call.in[0].as<const float>(), call.out[0].as<float>(), g,
         attrs.count_padding != 0, count);
}

void run_avg_grad(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_avg_pool2d_grad_attrs>();
  const PoolGeometry g = pool_geometry(call.out[0], call.in[0], attrs);
  const int64_t count = count_of(*call.out[0].value);
  const Shared rule{call.in[0].as<const float>(), attrs.count_padding != 0};
  launch(to, pool2d_grad_kernel<Shared>, blocks_for(count), kThreads, call.out[0].as<float>(), rule, g, count);
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
