// Batch normalisation of maps (M, C), channels last; M: all axes but the last. Maps are float32 or bfloat16, the
// vectors of channels float32.
//
//   mean = sum x / M    variance = sum (x - mean)^2 / M    s = 1 / sqrt(variance + eps)
//   y    = (x - mean) * s * gamma + beta, then plus a residual where there is one, then ReLU if asked for
//   dbeta = sum dy    dgamma = sum dy * (x - mean) * s    dx = gamma*s * (dy - dbeta/M - (x - mean)*s * dgamma/M)
//
// All three kernels of a direction are bound by memory. A thread holds V neighbouring channels, 128 bits of a row where
// C allows, and walks down the rows of its block's chunk, several loads under way at a time. Sums: float32 over kRun
// rows of differences from the chunk's first row (a pivot), float64 from there; over a block as a tree, over chunks by
// a warp to each channel, which leaves what the last kernel needs to write its elements. No atomics. The last kernel
// takes chunks and their rows from the last to the first: what the sums have read last is still in the second-level
// cache, of maps that it holds all of it.
#include "device/block.cuh"
#include "device/element.cuh"
#include "kernel.cuh"

namespace forja::cuda {
namespace {

// Rows whose loads are under way together. Kernels are held to registers for two or three blocks of a multiprocessor,
// which so have 48 KB of bfloat16 or float32 under way, or more.
constexpr int kRun = 4;
constexpr int64_t kMostBlocks = 1024;  // more than fill a device
constexpr int64_t kLeastRuns = 4;      // of a thread, before there is another chunk

// How blocks of kThreads lie over (M, C): `lanes` threads across, each on `width` channels, `down` threads down.
struct Layout {
  int64_t m, c;
  int width, lanes, down;
  int64_t chunks, rows;  // rows of a chunk

  Layout(const fj_value& x, int pack) : m(element_count(x, 0, x.rank - 1)), c(x.dims[x.rank - 1]) {
    width = c % pack == 0 ? pack : 1;
    lanes = 1;
    while (lanes < kWarp && lanes * width < c) lanes *= 2;
    down = kThreads / lanes;
    chunks = ceil_div(m, down * kRun * kLeastRuns);
    const int64_t most = larger(1, kMostBlocks / across());
    if (chunks > most) chunks = most;
    rows = ceil_div(m, chunks);
    chunks = ceil_div(m, rows);
  }
  int64_t across() const { return ceil_div(c, lanes * width); }
  dim3 grid() const { return dim3(static_cast<unsigned>(across()), static_cast<unsigned>(chunks)); }
  dim3 block() const { return dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(down)); }
};

// This thread's channels and rows: channels [channel, channel + V), rows begin + threadIdx.y, + down, .. below end.
struct Place {
  int64_t channel, begin, end;
  bool inside;

  // The row as far from the end as this one is from the beginning.
  __device__ __forceinline__ int64_t mirrored(int64_t row) const { return end - 1 - (row - begin); }
};

template <int V>
__device__ __forceinline__ Place place_of(const Layout& l, int64_t chunk) {
  const int64_t channel = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V;
  const int64_t begin = chunk * l.rows;
  return {channel, begin, smaller(begin + l.rows, l.m), channel < l.c};
}

// Pieces of scratch: two numbers for each channel and chunk, then four for each channel.
struct Scratch {
  double *first, *second;    // (C, chunks)
  float *shift, *p, *q, *r;  // (C)
};

size_t scratch_bytes(const Layout& l) {
  return static_cast<size_t>(l.c) * (2 * static_cast<size_t>(l.chunks) * sizeof(double) + 4 * sizeof(float));
}

Scratch scratch_of(const Layout& l, const Call& call) {
  Scratch s{};
  s.first = reinterpret_cast<double*>(call.scratch);
  s.second = s.first + l.chunks * l.c;
  s.shift = reinterpret_cast<float*>(s.second + l.chunks * l.c);
  s.p = s.shift + l.c;
  s.q = s.p + l.c;
  s.r = s.q + l.c;
  return s;
}

// Sum over the threads of a column of the block; all get it. `sums`: kThreads of them.
__device__ __forceinline__ double2 add_down(double2 own, double2* sums) {
  const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();  // the last use of `sums` is over
  sums[at] = own;
  __syncthreads();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) {
      sums[at].x += sums[at + half * blockDim.x].x;
      sums[at].y += sums[at + half * blockDim.x].y;
    }
    __syncthreads();
  }
  return sums[threadIdx.x];
}

// first = mean, second = sum of (x - mean)^2 of each chunk.
template <class E, int V>
__global__ void __launch_bounds__(kThreads, 3)
    batch_norm_moments_kernel(const E* x, double* first, double* second, const __grid_constant__ Layout l) {
  __shared__ double2 shared[kThreads];
  const Place at = place_of<V>(l, blockIdx.y);
  Raw<V, E> first_row;
  float pivot[V] = {};
  double2 sums[V] = {};
  if (at.inside) {
    first_row.read(x + at.begin * l.c + at.channel);
#pragma unroll
    for (int j = 0; j < V; j++) pivot[j] = first_row[j];
    for (int64_t row = at.begin + threadIdx.y; row < at.end; row += kRun * l.down) {
      Raw<V, E> v[kRun];
#pragma unroll
      for (int i = 0; i < kRun; i++) {
        const int64_t from = row + i * l.down;
        v[i] = first_row;
        if (from < at.end) v[i].read(x + from * l.c + at.channel);
      }
#pragma unroll
      for (int j = 0; j < V; j++) {
        float sum = 0, squares = 0;
#pragma unroll
        for (int i = 0; i < kRun; i++) {
          const float d = v[i][j] - pivot[j];
          sum += d;
          squares += d * d;
        }
        sums[j].x += static_cast<double>(sum);
        sums[j].y += static_cast<double>(squares);
      }
    }
  }
  const auto rows = static_cast<double>(at.end - at.begin);
#pragma unroll
  for (int j = 0; j < V; j++) {
    const double2 total = add_down(sums[j], shared);
    if (threadIdx.y != 0 || !at.inside) continue;
    const double mean = total.x / rows;
    first[(at.channel + j) * l.chunks + blockIdx.y] = static_cast<double>(pivot[j]) + mean;
    second[(at.channel + j) * l.chunks + blockIdx.y] = total.y - mean * total.x;
  }
}

__device__ __forceinline__ double rows_of(const Layout& l, int64_t chunk) {
  return static_cast<double>(smaller(l.rows, l.m - chunk * l.rows));
}

// A warp to each channel.
constexpr int kChannelsOfBlock = kThreads / kWarp;

__device__ __forceinline__ int64_t channel_of_warp() {
  return static_cast<int64_t>(blockIdx.x) * kChannelsOfBlock + threadIdx.x / kWarp;
}

__global__ void batch_norm_statistics_kernel(const __grid_constant__ Scratch s, const float* gamma, const float* beta,
                                             float* mean, float* variance, const __grid_constant__ Layout l,
                                             float eps) {
  const int64_t c = channel_of_warp();
  if (c >= l.c) return;
  const int64_t lane = threadIdx.x % kWarp;
  const double *means = s.first + c * l.chunks, *squares = s.second + c * l.chunks;
  double total = 0, spread = 0;
  for (int64_t k = lane; k < l.chunks; k += kWarp) total += means[k] * rows_of(l, k);
  const double average = join_warp(total, Add()) / static_cast<double>(l.m);
  for (int64_t k = lane; k < l.chunks; k += kWarp) {
    const double d = means[k] - average;
    spread += squares[k] + d * d * rows_of(l, k);
  }
  spread = join_warp(spread, Add()) / static_cast<double>(l.m);
  if (lane != 0) return;
  mean[c] = static_cast<float>(average);
  variance[c] = static_cast<float>(spread);
  s.shift[c] = static_cast<float>(average);
  s.p[c] = static_cast<float>(static_cast<double>(gamma[c]) / sqrt(spread + static_cast<double>(eps)));
  s.q[c] = beta[c];
}

// y = (x - shift) * p + q, with kAdds plus the residual.
template <class E, int V, bool kAdds>
__global__ void __launch_bounds__(kThreads, 3)
    batch_norm_apply_kernel(const E* x, const E* residual, E* y, const __grid_constant__ Scratch s, bool relu,
                            const __grid_constant__ Layout l) {
  const Place at = place_of<V>(l, gridDim.y - 1 - blockIdx.y);
  if (!at.inside) return;
  float shift[V], p[V], q[V];
  read_floats<V>(s.shift + at.channel, shift);
  read_floats<V>(s.p + at.channel, p);
  read_floats<V>(s.q + at.channel, q);
  constexpr int kRows = kAdds ? kRun / 2 : kRun;  // two maps are under way, or one
  for (int64_t row = at.begin + threadIdx.y; row < at.end; row += kRows * l.down) {
    Raw<V, E> v[kRows], r[kRows];  // y may be x's memory, or the residual's: all is read before anything is written
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      const int64_t from = row + i * l.down;
      if (from >= at.end) continue;
      v[i].read(x + at.mirrored(from) * l.c + at.channel);
      if constexpr (kAdds) r[i].read(residual + at.mirrored(from) * l.c + at.channel);
    }
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      const int64_t to = row + i * l.down;
      if (to >= at.end) break;
      float z[V];
#pragma unroll
      for (int j = 0; j < V; j++) {
        z[j] = (v[i][j] - shift[j]) * p[j] + q[j];
        if constexpr (kAdds) z[j] += r[i][j];
        z[j] = relu && z[j] < 0 ? 0.0f : z[j];
      }
      write_floats<V>(y + at.mirrored(to) * l.c + at.channel, z);
    }
  }
}

// f(E{}, V) for the dtype of the maps and the width of the layout.
template <class F>
void with_maps(const fj_value& x, const F& f) {
  with_element(x, [&](auto element) {
    using E = decltype(element);
    const Layout l(x, kPack<E>);
    if (l.width == 1) return f(element, std::integral_constant<int, 1>(), l);
    f(element, std::integral_constant<int, kPack<E>>(), l);
  });
}

size_t scratch_of_maps(const fj_value& x) {
  size_t bytes = 0;
  with_maps(x, [&](auto, auto, const Layout& l) { bytes = scratch_bytes(l); });
  return bytes;
}

size_t forward_scratch(const Call& call) { return scratch_of_maps(*call.in[0].value); }
size_t backward_scratch(const Call& call) { return scratch_of_maps(*call.in[1].value); }

void run_forward(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_batch_norm_attrs>();
  with_maps(*call.in[0].value, [&](auto element, auto width, const Layout& l) {
    using E = decltype(element);
    constexpr int V = decltype(width)::value;
    const Scratch s = scratch_of(l, call);
    const E* x = call.in[0].as<const E>();                                   // (M, C)
    const E* residual = call.n_in > 3 ? call.in[3].as<const E>() : nullptr;  // (M, C)
    launch(to, batch_norm_moments_kernel<E, V>, l.grid(), l.block(), x, s.first, s.second, l);
    launch(to, batch_norm_statistics_kernel, ceil_div(l.c, kChannelsOfBlock), kThreads, s, call.in[1].as<const float>(),
           call.in[2].as<const float>(), call.out[1].as<float>(), call.out[2].as<float>(), l, attrs.eps);
    const auto apply = residual ? batch_norm_apply_kernel<E, V, true> : batch_norm_apply_kernel<E, V, false>;
    launch(to, apply, l.grid(), l.block(), x, residual, call.out[0].as<E>(), s, attrs.activation == FJ_ACTIVATION_RELU,
           l);
  });
}

template <class E>
struct Gradient {
  const E *dy, *x, *y;  // (M, C); y: dy counts where y > 0, null: everywhere

  // A row's V channels.
  template <int V>
  struct Row {
    Raw<V, E> dy, x, y;
  };
  template <int V>
  __device__ __forceinline__ void read(int64_t at, Row<V>& row) const {
    row.dy.read(dy + at);
    row.x.read(x + at);
    if (y != nullptr) row.y.read(y + at);
  }
  // dy of channel j, where it counts.
  template <int V>
  __device__ __forceinline__ float dy_of(const Row<V>& row, int j) const {
    const bool counts = (y == nullptr) | (row.y[j] > 0);
    return counts ? row.dy[j] : 0.0f;
  }
};

// first = sum dy, second = sum dy * (x - mean) of each chunk.
template <class E, int V>
__global__ void __launch_bounds__(kThreads, 2)
    batch_norm_grad_sums_kernel(const __grid_constant__ Gradient<E> g, const float* mean, double* first, double* second,
                                const __grid_constant__ Layout l) {
  __shared__ double2 shared[kThreads];
  const Place at = place_of<V>(l, blockIdx.y);
  double2 sums[V] = {};
  if (at.inside) {
    float shift[V];
    read_floats<V>(mean + at.channel, shift);
    for (int64_t row = at.begin + threadIdx.y; row < at.end; row += kRun * l.down) {
      typename Gradient<E>::template Row<V> v[kRun] = {};
#pragma unroll
      for (int i = 0; i < kRun; i++) {
        const int64_t from = row + i * l.down;
        if (from < at.end) g.read(from * l.c + at.channel, v[i]);
      }
#pragma unroll
      for (int j = 0; j < V; j++) {
        float sum = 0, product = 0;
#pragma unroll
        for (int i = 0; i < kRun; i++) {
          const float d = g.dy_of(v[i], j);
          sum += d;
          product += d * (v[i].x[j] - shift[j]);
        }
        sums[j].x += static_cast<double>(sum);
        sums[j].y += static_cast<double>(product);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < V; j++) {
    const double2 total = add_down(sums[j], shared);
    if (threadIdx.y != 0 || !at.inside) continue;
    first[(at.channel + j) * l.chunks + blockIdx.y] = total.x;
    second[(at.channel + j) * l.chunks + blockIdx.y] = total.y;
  }
}

__global__ void batch_norm_grad_vectors_kernel(const __grid_constant__ Scratch s, const float* gamma, const float* mean,
                                               const float* variance, float* dgamma, float* dbeta,
                                               const __grid_constant__ Layout l, float eps) {
  const int64_t c = channel_of_warp();
  if (c >= l.c) return;
  const int64_t lane = threadIdx.x % kWarp;
  double sum = 0, product = 0;  // of dy, of dy * (x - mean)
  for (int64_t k = lane; k < l.chunks; k += kWarp) {
    sum += s.first[c * l.chunks + k];
    product += s.second[c * l.chunks + k];
  }
  sum = join_warp(sum, Add());
  product = join_warp(product, Add());
  if (lane != 0) return;
  const double inverse = 1 / sqrt(static_cast<double>(variance[c]) + static_cast<double>(eps));
  const double scale = static_cast<double>(gamma[c]) * inverse, m = static_cast<double>(l.m);
  dbeta[c] = static_cast<float>(sum);
  dgamma[c] = static_cast<float>(product * inverse);
  // dx = p * dy + q * (x - mean) + r
  s.shift[c] = mean[c];
  s.p[c] = static_cast<float>(scale);
  s.q[c] = static_cast<float>(-scale * inverse * inverse * product / m);
  s.r[c] = static_cast<float>(-scale * sum / m);
}

template <class E, int V>
__global__ void __launch_bounds__(kThreads, 3)
    batch_norm_grad_apply_kernel(const __grid_constant__ Gradient<E> g, E* dx, const __grid_constant__ Scratch s,
                                 const __grid_constant__ Layout l) {
  const Place at = place_of<V>(l, gridDim.y - 1 - blockIdx.y);
  if (!at.inside) return;
  float shift[V], p[V], q[V], r[V];
  read_floats<V>(s.shift + at.channel, shift);
  read_floats<V>(s.p + at.channel, p);
  read_floats<V>(s.q + at.channel, q);
  read_floats<V>(s.r + at.channel, r);
  constexpr int kRows = kRun / 2;  // two maps or three are under way
  for (int64_t row = at.begin + threadIdx.y; row < at.end; row += kRows * l.down) {
    // dx may be dy's memory: all is read before anything is written.
    typename Gradient<E>::template Row<V> v[kRows] = {};
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      const int64_t from = row + i * l.down;
      if (from < at.end) g.read(at.mirrored(from) * l.c + at.channel, v[i]);
    }
#pragma unroll
    for (int i = 0; i < kRows; i++) {
      const int64_t into = row + i * l.down;
      if (into >= at.end) break;
      float d[V];
#pragma unroll
      for (int j = 0; j < V; j++) {
        d[j] = g.dy_of(v[i], j) * p[j] + ((v[i].x[j] - shift[j]) * q[j] + r[j]);
      }
      write_floats<V>(dx + at.mirrored(into) * l.c + at.channel, d);
    }
  }
}

void run_backward(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_batch_norm_grad_attrs>();
  with_maps(*call.in[1].value, [&](auto element, auto width, const Layout& l) {
    using E = decltype(element);
    constexpr int V = decltype(width)::value;
    const Scratch s = scratch_of(l, call);
    const Gradient<E> g{call.in[0].as<const E>(), call.in[1].as<const E>(),
                        call.n_in > 5 ? call.in[5].as<const E>() : nullptr};
    const float *gamma = call.in[2].as<const float>(), *mean = call.in[3].as<const float>();
    launch(to, batch_norm_grad_sums_kernel<E, V>, l.grid(), l.block(), g, mean, s.first, s.second, l);
    launch(to, batch_norm_grad_vectors_kernel, ceil_div(l.c, kChannelsOfBlock), kThreads, s, gamma, mean,
           call.in[4].as<const float>(), call.out[1].as<float>(), call.out[2].as<float>(), l, attrs.eps);
    launch(to, batch_norm_grad_apply_kernel<E, V>, l.grid(), l.block(), g, call.out[0].as<E>(), s, l);
  });
}

}  // namespace

void register_norm(KernelTable& table) {
  table.add({FJ_OP_BATCH_NORM, 0, "batchNorm", run_forward, forward_scratch, nullptr, false});
  table.add({FJ_OP_BATCH_NORM_GRAD, 0, "batchNormGrad", run_backward, backward_scratch, nullptr, false});
}

}  // namespace forja::cuda
