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
#include "reduce.cuh"
#include "rows.cuh"

namespace forja::cuda {
namespace {

constexpr int kHeld = 16;             // elements of a row
constexpr int kLongest = 512;         // threads of rows of any length
constexpr int64_t kMostBlocks = 512;  // with sums over rows: more than fill a device

struct NormRows : Rows {
  double part;  // 1 / columns
  explicit NormRows(const fj_value& x) : Rows(x), part(1.0 / static_cast<double>(columns)) {}
};

// Sums of a stride: of x and x^2, for the gradient also of g and g * x. float64 has digits enough where the squares of
// a large mean cancel.
template <class L, int N>
__device__ __forceinline__ void add_sums(const Row<L>& row, int64_t first, const float* x, const float* g,
                                         double (&sums)[N]) {
  float sum = 0, count = 0;
  row.each(first, [&](int64_t, int k) { sum += x[k], count += 1; });
  if (count == 0) return;
  const float mean = sum / count;
  float rest = 0, squares = 0, of_g = 0, product = 0;
  row.each(first, [&](int64_t, int k) {
    const float d = x[k] - mean;
    rest += d;
    squares += d * d;
    if constexpr (N == 4) {
      of_g += g[k];
      product += g[k] * d;
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

  __device__ __forceinline__ Normal(const double* sums, const NormRows& rows, float eps) {
    average = sums[0] * rows.part;
    const double variance = sums[1] * rows.part - average * average;
    mean = static_cast<float>(average);
    scale = 1.0f / sqrtf(static_cast<float>((variance > 0 ? variance : variance * 0) + static_cast<double>(eps)));
    offset = static_cast<float>(static_cast<double>(mean) - average) * scale;
  }
  __device__ __forceinline__ float operator()(float x) const { return (x - mean) * scale + offset; }
};

// V elements from `at` of a vector, or as many times `otherwise` where there is none.
template <int V>
__device__ __forceinline__ void read_vector(const float* vector, int64_t at, float otherwise, float* to) {
#pragma unroll
  for (int j = 0; j < V; j++) to[j] = otherwise;
  if (vector != nullptr) read_floats<V>(vector + at, to);
}

template <class E, class L>
__global__ void __launch_bounds__(L::kBlock) layer_norm_kernel(const E* x, const float* gamma, const float* beta, E* y,
                                                               const __grid_constant__ NormRows rows, float eps) {
  const Row<L> row(rows.count, rows.columns);
  float v[L::kPer];
  const auto load = [&](int64_t first) { row.load(x, first, v); };
  double sums[2] = {};
  row.walk(false, load, [&](int64_t first) { add_sums(row, first, v, nullptr, sums); });
  row.sum_of(sums);
  const Normal normal(sums, rows, eps);
  row.walk(true, load, [&](int64_t first) {
    row.packs(first, [&](int64_t i, int k) {
      float weight[L::V], bias[L::V];
      read_vector<L::V>(gamma, i, 1, weight);
      read_vector<L::V>(beta, i, 0, bias);
#pragma unroll
      for (int j = 0; j < L::V; j++) v[k + j] = normal(v[k + j]) * weight[j] + bias[j];
    });
    row.store(y, first, v);
  });
}

// A thread's columns of dgamma and dbeta.
struct Vectors {
  float weight[kHeld], bias[kHeld];
};

// Those of rows that fit, added up over the groups of the block; partial: (2, blocks, C), dgamma's and dbeta's.
template <class L>
__device__ __forceinline__ void write_vectors(const Vectors& own, float* partial, int64_t columns) {
  __shared__ __align__(32) float shared[L::kRows > 1 ? L::kRows * L::kStride : 1];
  // Every group has columns of its own here, with or without a row.
  const Row<L> group(0, L::kRows, columns);
#pragma unroll
  for (int vector = 0; vector < 2; vector++) {
    const float* sums = vector == 0 ? own.weight : own.bias;
    float* to = partial + (static_cast<int64_t>(vector) * gridDim.x + blockIdx.x) * columns;
    if constexpr (L::kRows == 1) {
      group.packs(0, [&](int64_t column, int k) { write_floats<L::V>(to + column, sums + k); });
    } else {
      float* mine = shared + group.row * L::kStride;
      group.packs(0, [&](int64_t column, int k) { write_floats<L::V>(mine + column, sums + k); });
      __syncthreads();
      for (int64_t column = threadIdx.x; column < columns; column += L::kBlock) {
        float total = shared[column];
        for (int i = 1; i < L::kRows; i++) total += shared[i * L::kStride + column];
        to[column] = total;
      }
      __syncthreads();
    }
  }
}

// kVectors: dgamma and dbeta are asked for. Rows that fit are added up in registers; of others the block's sums lie in
// memory, where each number is one thread's.
template <class E, class L, bool kVectors>
__global__ void __launch_bounds__(L::kBlock, L::V == 1 ? 1 : kLongest / L::kBlock)
    layer_norm_grad_kernel(const E* dy, const E* x, const float* gamma, E* dx, float* partial,
                           const __grid_constant__ NormRows rows, float eps) {
  constexpr bool kInRegisters = kVectors && L::kGroup < kLongest;
  Vectors vectors = {};
  float v[L::kPer], d[L::kPer];
  // All threads of a block walk together: some may be past the last row.
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * L::kRows; base < rows.count;
       base += static_cast<int64_t>(gridDim.x) * L::kRows) {
    const Row<L> row(base, rows.count, rows.columns);
    const auto load = [&](int64_t first) { row.load(x, dy, first, v, d); };
    // V elements of dy times gamma.
    const auto weigh = [&](int64_t i, int k, float* g) {
      read_vector<L::V>(gamma, i, 1, g);
#pragma unroll
      for (int j = 0; j < L::V; j++) g[j] *= d[k + j];
    };
    double sums[4] = {};
    row.walk(false, load, [&](int64_t first) {
      float g[L::kPer];
      row.packs(first, [&](int64_t i, int k) { weigh(i, k, g + k); });
      add_sums(row, first, v, g, sums);
    });
    row.sum_of(sums);
    const Normal normal(sums, rows, eps);
    // dx = s * g + p * h + q
    const float part = static_cast<float>(rows.part), s = normal.scale;
    const float p = -s * s * part * static_cast<float>(sums[3] - normal.average * sums[2]);
    const float q = -s * part * static_cast<float>(sums[2]);
    row.walk(true, load, [&](int64_t first) {
      row.packs(first, [&](int64_t i, int k) {
        float h[L::V], g[L::V];
        weigh(i, k, g);
#pragma unroll
        for (int j = 0; j < L::V; j++) {
          h[j] = normal(v[k + j]);
          g[j] = g[j] * s + (h[j] * p + q);
        }
        write_floats<L::V>(dx + row.row * row.n + i, g);
        if constexpr (kInRegisters) {
#pragma unroll
          for (int j = 0; j < L::V; j++) {
            vectors.weight[k + j] += d[k + j] * h[j];
            vectors.bias[k + j] += d[k + j];
          }
        } else if constexpr (kVectors) {
          float* to = partial + blockIdx.x * row.n + i;
          float weight[L::V] = {}, bias[L::V] = {};
          if (base != blockIdx.x) {  // not the block's first row
            read_floats<L::V>(to, weight);
            read_floats<L::V>(to + gridDim.x * row.n, bias);
          }
#pragma unroll
          for (int j = 0; j < L::V; j++) {
            weight[j] += d[k + j] * h[j];
            bias[j] += d[k + j];
          }
          write_floats<L::V>(to, weight);
          write_floats<L::V>(to + gridDim.x * row.n, bias);
        }
      });
    });
  }
  if constexpr (kInRegisters) write_vectors<L>(vectors, partial, rows.columns);
}

// f(E{}, Lie, blocks, rows) for the dtype and length of the rows.
template <class F>
void with_norm_rows(const fj_value& x, const F& f) {
  const NormRows rows(x);
  if (rows.columns == 0) return;
  with_element(x, [&](auto element) {
    with_rows<decltype(element), kHeld, kHeld, kLongest>(
        rows, [&](auto lie, int64_t blocks) { f(element, lie, blocks, rows); });
  });
}

void run_forward(const Call& call, Launcher& to) {
  const float eps = call.attrs<fj_layer_norm_attrs>().eps;
  with_norm_rows(*call.in[0].value, [&](auto element, auto lie, int64_t blocks, const NormRows& rows) {
    using E = decltype(element);
    using L = decltype(lie);
    launch(to, layer_norm_kernel<E, L>, blocks, L::kBlock, call.in[0].as<const E>(),
           call.n_in > 1 ? call.in[1].as<const float>() : nullptr,
           call.n_in > 2 ? call.in[2].as<const float>() : nullptr, call.out[0].as<E>(), rows, eps);
  });
}

void run_backward(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_layer_norm_grad_attrs>();
  with_norm_rows(*call.in[1].value, [&](auto element, auto lie, int64_t all, const NormRows& rows) {
    using E = decltype(element);
    using L = decltype(lie);
    const E *dy = call.in[0].as<const E>(), *x = call.in[1].as<const E>();
    const float* gamma = call.n_in > 2 ? call.in[2].as<const float>() : nullptr;
    if (attrs.vectors == 0) {
      launch(to, layer_norm_grad_kernel<E, L, false>, all, L::kBlock, dy, x, gamma, call.out[0].as<E>(), nullptr, rows,
             attrs.eps);
      return;
    }
    const int64_t blocks = smaller(all, kMostBlocks);
    auto* partial = reinterpret_cast<float*>(call.scratch + align_up(sum_rows_scratch(rows.columns)));
    launch(to, layer_norm_grad_kernel<E, L, true>, blocks, L::kBlock, dy, x, gamma, call.out[0].as<E>(), partial, rows,
           attrs.eps);
    sum_rows(to, partial, blocks, rows.columns, call.out[1].as<float>(), call.scratch);
    sum_rows(to, partial + blocks * rows.columns, blocks, rows.columns, call.out[2].as<float>(), call.scratch);
  });
}

size_t backward_scratch(const Call& call) {
  if (call.attrs<fj_layer_norm_grad_attrs>().vectors == 0) return 0;
  const NormRows rows(*call.in[1].value);
  const auto partial = static_cast<size_t>(smaller(rows.count, kMostBlocks) * 2 * rows.columns) * sizeof(float);
  return align_up(sum_rows_scratch(rows.columns)) + partial;
}

}  // namespace

void register_layer_norm(KernelTable& table) {
  table.add({FJ_OP_LAYER_NORM, 0, "layerNorm", run_forward, nullptr, nullptr, false});
  table.add({FJ_OP_LAYER_NORM_GRAD, 0, "layerNormGrad", run_backward, backward_scratch, nullptr, false});
}

}  // namespace forja::cuda
