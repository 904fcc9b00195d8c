// Layer normalisation of rows (R, C), and its gradient; R: all axes but the last. Rows are float32 or bfloat16, gamma
// and beta (C) float32.
//
//   mean = sum x / C    variance = sum (x - mean)^2 / C    s = 1 / sqrt(variance + eps)    h = (x - mean) * s
//   y = h * gamma + beta
//   g = dy * gamma      dx = s * (g - sum g / C - h * sum g*h / C)
//   dgamma = sum dy * h    dbeta = sum dy    over all rows
//
// Bound by memory: a row belongs to a group of threads, each of which holds kHeld of its elements in registers from the
// sums to the result, in packs of 128 bits where C allows. Rows that a group cannot hold are read again, from the L2
// cache. Sums: a thread's own in float32, the squares about its own mean; float64 from there. dgamma and dbeta: a
// thread adds up its columns over the rows of its group, shared memory the groups of a block, sum_rows the blocks. No
// atomics.
#include "device/block.cuh"
#include "device/element.cuh"
#include "kernel.cuh"
#include "reduce.cuh"

namespace forja::cuda {
namespace {

constexpr int kHeld = 16;             // elements of a row
constexpr int kLongGroup = 512;       // the group of rows of any length
constexpr int64_t kMostBlocks = 512;  // with sums over rows: more than fill a device

struct Rows {
  int64_t count, columns;
  double part;  // 1 / columns
  explicit Rows(const fj_value& x)
      : count(element_count(x, 0, x.rank - 1)), columns(x.dims[x.rank - 1]), part(1.0 / static_cast<double>(columns)) {}
};

template <int kGroup>
constexpr int kBlock = kGroup > kThreads ? kGroup : kThreads;
template <int kGroup>
constexpr int kRowsOfBlock = kBlock<kGroup> / kGroup;
template <int kGroup>
constexpr int64_t kSpan = int64_t{kGroup} * kHeld;  // columns that a group holds

// f(first column) for each span of a row.
template <int kGroup, class F>
__device__ __forceinline__ void over_spans(int64_t columns, const F& f) {
  if constexpr (kGroup == kLongGroup) {
    for (int64_t begin = 0; begin < columns; begin += kSpan<kGroup>) f(begin);
  } else {
    f(int64_t{0});
  }
}

// f(first of V elements held, their column) for each of this thread's packs of a span.
template <int V, int kGroup, class F>
__device__ __forceinline__ void over_packs(int64_t begin, int64_t columns, const F& f) {
  const int64_t first = begin + threadIdx.x % kGroup * V;
#pragma unroll
  for (int i = 0; i < kHeld / V; i++) {
    const int64_t column = first + i * kGroup * V;
    if (column < columns) f(i * V, column);
  }
}

template <int V, int kGroup, class E>
__device__ __forceinline__ void read_span(const E* row, int64_t begin, int64_t columns, float* v) {
  over_packs<V, kGroup>(begin, columns, [=](int at, int64_t column) { read_floats<V>(row + column, v + at); });
}

// Sums of a row: of x and x^2, for the gradient also of g and g * x. float64 has digits
// enough where the squares of a large mean cancel.
template <int V, int kGroup, int N>
__device__ __forceinline__ void add_sums(int64_t begin, int64_t columns, const float* x, const float* g,
                                         double (&sums)[N]) {
  float sum = 0, count = 0;
  over_packs<V, kGroup>(begin, columns, [&](int at, int64_t) {
    count += V;
#pragma unroll
    for (int j = 0; j < V; j++) sum += x[at + j];
  });
  if (count == 0) return;
  const float mean = sum / count;
  float rest = 0, squares = 0, of_g = 0, product = 0;
  over_packs<V, kGroup>(begin, columns, [&](int at, int64_t) {
#pragma unroll
    for (int j = 0; j < V; j++) {
      const float d = x[at + j] - mean;
      rest += d;
      squares += d * d;
      if constexpr (N == 4) {
        of_g += g[at + j];
        product += g[at + j] * d;
      }
    }
  });
  const float missed = rest / count;
  const double exact = static_cast<double>(mean) + static_cast<double>(missed);
  const double total = static_cast<double>(count) * exact;
  sums[0] += total;
  sums[1] += total * exact + static_cast<double>(squares - rest * missed);
  if constexpr (N == 4) {
    sums[2] += static_cast<double>(of_g);
    sums[3] += static_cast<double>(product) + static_cast<double>(mean) * static_cast<double>(of_g);
  }
}

// h = (x - mean) * scale + offset: what float32 misses of the mean is in the offset.
struct Normal {
  double average;
  float mean, scale, offset;

  __device__ __forceinline__ Normal(const double* sums, const Rows& rows, float eps) {
    average = sums[0] * rows.part;
    const double variance = sums[1] * rows.part - average * average;
    mean = static_cast<float>(average);
    scale = 1.0f / sqrtf(static_cast<float>((variance > 0 ? variance : variance * 0) + static_cast<double>(eps)));
    offset = static_cast<float>(static_cast<double>(mean) - average) * scale;
  }
  __device__ __forceinline__ float operator()(float x) const { return (x - mean) * scale + offset; }
};

template <class E, int V, int kGroup>
__global__ void __launch_bounds__(kBlock<kGroup>)
    layer_norm_kernel(const E* x, const float* gamma, const float* beta, E* y, const __grid_constant__ Rows rows,
                      float eps) {
  __shared__ double shared[2 * kBlock<kGroup> / kWarp];
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock<kGroup> + threadIdx.x / kGroup;
  const int64_t columns = row < rows.count ? rows.columns : 0;
  const E* from = x + row * columns;
  E* to = y + row * columns;
  float v[kHeld];
  double sums[2] = {};
  over_spans<kGroup>(columns, [&](int64_t begin) {
    read_span<V, kGroup>(from, begin, columns, v);
    add_sums<V, kGroup>(begin, columns, v, nullptr, sums);
  });
  join_group<kGroup>(sums, Add(), shared);
  const Normal normal(sums, rows, eps);
  over_spans<kGroup>(columns, [&](int64_t begin) {
    if (kGroup == kLongGroup && columns > kSpan<kGroup>) read_span<V, kGroup>(from, begin, columns, v);
    over_packs<V, kGroup>(begin, columns, [&](int at, int64_t column) {
      float weight[V], bias[V], out[V];
      if (gamma) read_floats<V>(gamma + column, weight);
      if (beta) read_floats<V>(beta + column, bias);
#pragma unroll
      for (int j = 0; j < V; j++) {
        const float h = normal(v[at + j]);
        out[j] = beta ? h * weight[j] + bias[j] : gamma ? h * weight[j] : h;
      }
      write_floats<V>(to + column, out);
    });
  });
}

// A thread's columns of dgamma and dbeta, added to what a block has of them. Rows that fit are added up in registers;
// of others the block's sums lie in memory, where each number is one thread's.
struct Vectors {
  float weight[kHeld], bias[kHeld];
};

// partial: (2, blocks, C), dgamma's and dbeta's.
template <int V, int kGroup>
__device__ __forceinline__ void write_vectors(const Vectors& own, float* partial, int64_t columns) {
  constexpr int kRows = kRowsOfBlock<kGroup>;
  __shared__ __align__(32) float shared[kRows > 1 ? kRows * kSpan<kGroup> : 1];
#pragma unroll
  for (int vector = 0; vector < 2; vector++) {
    const float* sums = vector == 0 ? own.weight : own.bias;
    float* to = partial + (static_cast<int64_t>(vector) * gridDim.x + blockIdx.x) * columns;
    if constexpr (kRows == 1) {
      over_packs<V, kGroup>(0, columns, [&](int at, int64_t column) { write_floats<V>(to + column, sums + at); });
    } else {
      float* mine = shared + threadIdx.x / kGroup * kSpan<kGroup>;
      over_packs<V, kGroup>(0, columns, [&](int at, int64_t column) { write_floats<V>(mine + column, sums + at); });
      __syncthreads();
      for (int64_t column = threadIdx.x; column < columns; column += kBlock<kGroup>) {
        float total = shared[column];
        for (int i = 1; i < kRows; i++) total += shared[i * kSpan<kGroup> + column];
        to[column] = total;
      }
      __syncthreads();
    }
  }
}

template <class E, int V, int kGroup, bool kVectors>
__global__ void __launch_bounds__(kBlock<kGroup>)
    layer_norm_grad_kernel(const E* dy, const E* x, const float* gamma, E* dx, float* partial,
                           const __grid_constant__ Rows rows, float eps) {
  __shared__ double shared[4 * kBlock<kGroup> / kWarp];
  constexpr int kRows = kRowsOfBlock<kGroup>;
  constexpr bool kInRegisters = kVectors && kGroup < kLongGroup;
  Vectors vectors = {};
  float v[kHeld], d[kHeld];
  // All threads of a block walk together: some may be past the last row.
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * kRows; base < rows.count;
       base += static_cast<int64_t>(gridDim.x) * kRows) {
    const int64_t row = base + threadIdx.x / kGroup;
    const int64_t columns = row < rows.count ? rows.columns : 0, first = row * columns;
    const auto read = [&](int64_t begin) {
      read_span<V, kGroup>(x + first, begin, columns, v);
      read_span<V, kGroup>(dy + first, begin, columns, d);
    };
    // V elements of dy times gamma.
    const auto weigh = [&](int at, int64_t column, float* g) {
      float weight[V];
      if (gamma) read_floats<V>(gamma + column, weight);
#pragma unroll
      for (int j = 0; j < V; j++) g[j] = gamma ? d[at + j] * weight[j] : d[at + j];
    };
    double sums[4] = {};
    over_spans<kGroup>(columns, [&](int64_t begin) {
      float g[kHeld];
      read(begin);
      over_packs<V, kGroup>(begin, columns, [&](int at, int64_t column) { weigh(at, column, g + at); });
      add_sums<V, kGroup>(begin, columns, v, g, sums);
    });
    join_group<kGroup>(sums, Add(), shared);
    const Normal normal(sums, rows, eps);
    // dx = s * g + p * h + q
    const float part = static_cast<float>(rows.part), s = normal.scale;
    const float p = -s * s * part * static_cast<float>(sums[3] - normal.average * sums[2]);
    const float q = -s * part * static_cast<float>(sums[2]);
    over_spans<kGroup>(columns, [&](int64_t begin) {
      if (kGroup == kLongGroup && columns > kSpan<kGroup>) read(begin);
      over_packs<V, kGroup>(begin, columns, [&](int at, int64_t column) {
        float h[V], g[V];
        weigh(at, column, g);
#pragma unroll
        for (int j = 0; j < V; j++) {
          h[j] = normal(v[at + j]);
          g[j] = g[j] * s + (h[j] * p + q);
        }
        write_floats<V>(dx + first + column, g);
        if constexpr (kInRegisters) {
#pragma unroll
          for (int j = 0; j < V; j++) {
            vectors.weight[at + j] += d[at + j] * h[j];
            vectors.bias[at + j] += d[at + j];
          }
        } else if constexpr (kVectors) {
          float* to = partial + blockIdx.x * columns + column;
          float weight[V] = {}, bias[V] = {};
          if (base != blockIdx.x) {  // not the block's first row
            read_floats<V>(to, weight);
            read_floats<V>(to + gridDim.x * columns, bias);
          }
#pragma unroll
          for (int j = 0; j < V; j++) {
            weight[j] += d[at + j] * h[j];
            bias[j] += d[at + j];
          }
          write_floats<V>(to, weight);
          write_floats<V>(to + gridDim.x * columns, bias);
        }
      });
    });
  }
  if constexpr (kInRegisters) write_vectors<V, kGroup>(vectors, partial, rows.columns);
}

// f(group) for the smallest of these groups that holds a row; else the last.
template <int kGroup, int... kLarger, class F>
void with_group(const Rows& rows, const F& f) {
  if constexpr (sizeof...(kLarger) > 0) {
    if (rows.columns > kSpan<kGroup>) return with_group<kLarger...>(rows, f);
  }
  f(std::integral_constant<int, kGroup>());
}

// f(E{}, V, group, rows) for the dtype and length of the rows.
template <class F>
void with_rows(const fj_value& x, const F& f) {
  const Rows rows(x);
  const auto of_element = [&](auto element) {
    constexpr std::integral_constant<int, kPack<decltype(element)>> wide{};
    if (rows.columns % wide == 0) {
      with_group<8, kWarp, 64, 128, kThreads, kLongGroup>(rows, [&](auto group) { f(element, wide, group, rows); });
    } else {
      with_group<kWarp, 128, kLongGroup>(
          rows, [&](auto group) { f(element, std::integral_constant<int, 1>(), group, rows); });
    }
  };
  if (rows.columns == 0) return;
  if (x.dtype == FJ_BFLOAT16) return of_element(BFloat16{});
  of_element(float{});
}

void run_forward(const Call& call, Launcher& to) {
  const float eps = call.attrs<fj_layer_norm_attrs>().eps;
  with_rows(*call.in[0].value, [&](auto element, auto width, auto group, const Rows& rows) {
    using E = decltype(element);
    launch(to, layer_norm_kernel<E, width, group>, ceil_div(rows.count, kRowsOfBlock<group>), kBlock<group>,
           call.in[0].as<const E>(), call.n_in > 1 ? call.in[1].as<const float>() : nullptr,
           call.n_in > 2 ? call.in[2].as<const float>() : nullptr, call.out[0].as<E>(), rows, eps);
  });
}

void run_backward(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_layer_norm_grad_attrs>();
  with_rows(*call.in[1].value, [&](auto element, auto width, auto group, const Rows& rows) {
    using E = decltype(element);
    const E *dy = call.in[0].as<const E>(), *x = call.in[1].as<const E>();
    const float* gamma = call.n_in > 2 ? call.in[2].as<const float>() : nullptr;
    const int64_t all = ceil_div(rows.count, kRowsOfBlock<group>);
    if (attrs.vectors == 0) {
      launch(to, layer_norm_grad_kernel<E, width, group, false>, all, kBlock<group>, dy, x, gamma, call.out[0].as<E>(),
             nullptr, rows, attrs.eps);
      return;
    }
    const int64_t blocks = smaller(all, kMostBlocks);
    auto* partial = reinterpret_cast<float*>(call.scratch + align_up(sum_rows_scratch(rows.columns)));
    launch(to, layer_norm_grad_kernel<E, width, group, true>, blocks, kBlock<group>, dy, x, gamma, call.out[0].as<E>(),
           partial, rows, attrs.eps);
    sum_rows(to, partial, blocks, rows.columns, call.out[1].as<float>(), call.scratch);
    sum_rows(to, partial + blocks * rows.columns, blocks, rows.columns, call.out[2].as<float>(), call.scratch);
  });
}

size_t backward_scratch(const Call& call) {
  if (call.attrs<fj_layer_norm_grad_attrs>().vectors == 0) return 0;
  const Rows rows(*call.in[1].value);
  const auto partial = static_cast<size_t>(smaller(rows.count, kMostBlocks) * 2 * rows.columns) * sizeof(float);
  return align_up(sum_rows_scratch(rows.columns)) + partial;
}

}  // namespace

void register_layer_norm(KernelTable& table) {
  table.add({FJ_OP_LAYER_NORM, 0, "layerNorm", run_forward, nullptr, nullptr, false});
  table.add({FJ_OP_LAYER_NORM_GRAD, 0, "layerNormGrad", run_backward, backward_scratch, nullptr, false});
}

}  // namespace forja::cuda
