// Batch normalisation of float32 maps (M, C), channels last; M: all axes but the last.
//
//   mean = sum x / M    variance = sum (x - mean)^2 / M    s = 1 / sqrt(variance + eps)
//   y    = (x - mean) * s * gamma + beta, then ReLU if asked for
//   dbeta = sum dy    dgamma = sum dy * (x - mean) * s    dx = gamma*s * (dy - dbeta/M - (x - mean)*s * dgamma/M)
//
// Sums: M is cut into chunks of rows. A block takes a chunk of 32 neighbouring channels: 8 threads to a channel walk
// its rows with running means (Welford), whose results are merged in order; a second kernel merges the chunks in
// float64 and leaves, for each channel, what the third needs to write its elements. No atomics.
#include "device/block.cuh"
#include "kernel.cuh"

namespace forja::cuda {
namespace {

constexpr int kDown = kThreads / kWarp;  // threads to a channel
constexpr int64_t kMaxChunks = 256;
constexpr int64_t kChunkRows = 64;  // at least

struct Layout {
  int64_t m, c, chunks, rows;  // rows of a chunk

  explicit Layout(const fj_value& x) : m(count_of(x, 0, x.rank - 1)), c(x.dims[x.rank - 1]) {
    chunks = ceil_div(m, kChunkRows);
    if (chunks > kMaxChunks) chunks = kMaxChunks;
    rows = ceil_div(m, chunks);
    chunks = ceil_div(m, rows);
  }
  dim3 grid() const { return dim3(static_cast<unsigned>(ceil_div(c, kWarp)), static_cast<unsigned>(chunks)); }
};

// Pieces of scratch: two numbers for each chunk and channel, then four for each channel.
struct Scratch {
  double *first, *second;    // (chunks, C)
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

size_t forward_scratch(const Call& call) { return scratch_bytes(Layout(*call.in[0].value)); }
size_t backward_scratch(const Call& call) { return scratch_bytes(Layout(*call.in[1].value)); }

// The two sums of a channel over the block's threads, in thread row 0.
__device__ __forceinline__ double2 add_down(double2 own) {
  __shared__ double2 sums[kDown][kWarp];
  sums[threadIdx.y][threadIdx.x] = own;
  __syncthreads();
  for (int i = 1; i < kDown && threadIdx.y == 0; i++) {
    own.x += sums[i][threadIdx.x].x;
    own.y += sums[i][threadIdx.x].y;
  }
  return own;
}

// Block (32, 8), grid (channels / 32, chunks): first = mean, second = sum of (x - mean)^2 of each chunk.
__global__ void __launch_bounds__(kThreads)
    batch_norm_moments_kernel(const float* x, double* first, double* second, const __grid_constant__ Layout l) {
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  const int64_t begin = blockIdx.y * l.rows, end = begin + l.rows < l.m ? begin + l.rows : l.m;
  const float pivot = channel < l.c ? x[begin * l.c + channel] : 0.0f;
  double2 sums = make_double2(0, 0);
  if (channel < l.c) {
    for (int64_t row = begin + threadIdx.y; row < end; row += kDown) {
      const double d = static_cast<double>(x[row * l.c + channel]) - static_cast<double>(pivot);
      sums.x += d;
      sums.y += d * d;
    }
  }
  sums = add_down(sums);
  if (threadIdx.y != 0 || channel >= l.c) return;
  const double mean = sums.x / static_cast<double>(end - begin);
  first[blockIdx.y * l.c + channel] = static_cast<double>(pivot) + mean;
  second[blockIdx.y * l.c + channel] = sums.y - mean * sums.x;
}

__device__ __forceinline__ double rows_of(const Layout& l, int64_t chunk) {
  const int64_t left = l.m - chunk * l.rows;
  return static_cast<double>(left < l.rows ? left : l.rows);
}

// A thread to each channel.
__global__ void batch_norm_statistics_kernel(const __grid_constant__ Scratch s, const float* gamma, const float* beta,
                                             float* mean, float* variance, const __grid_constant__ Layout l,
                                             float eps) {
  const int64_t c = thread_index();
  if (c >= l.c) return;
  double total = 0, squares = 0;
  for (int64_t k = 0; k < l.chunks; k++) total += s.first[k * l.c + c] * rows_of(l, k);
  const double average = total / static_cast<double>(l.m);
  for (int64_t k = 0; k < l.chunks; k++) {
    const double d = s.first[k * l.c + c] - average;
    squares += s.second[k * l.c + c] + d * d * rows_of(l, k);
  }
  const double spread = squares / static_cast<double>(l.m);
  mean[c] = static_cast<float>(average);
  variance[c] = static_cast<float>(spread);
  s.shift[c] = static_cast<float>(average);
  s.p[c] = static_cast<float>(static_cast<double>(gamma[c]) / sqrt(spread + static_cast<double>(eps)));
  s.q[c] = beta[c];
}

// y = (x - shift) * p + q.
__global__ void batch_norm_apply_kernel(const float* x, float* y, const __grid_constant__ Scratch s, int64_t c,
                                        bool relu, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t channel = at % c;
  const float v = (x[at] - s.shift[channel]) * s.p[channel] + s.q[channel];
  y[at] = relu && v < 0 ? 0.0f : v;
}

void run_forward(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_batch_norm_attrs>();
  const Layout l(*call.in[0].value);
  const Scratch s = scratch_of(l, call);
  const float* x = call.in[0].as<const float>();  // (M, C)
  launch(to, batch_norm_moments_kernel, l.grid(), dim3(kWarp, kDown), x, s.first, s.second, l);
  launch(to, batch_norm_statistics_kernel, blocks_for(l.c), kThreads, s, call.in[1].as<const float>(),
         call.in[2].as<const float>(), call.out[1].as<float>(), call.out[2].as<float>(), l, attrs.eps);
  launch(to, batch_norm_apply_kernel, blocks_for(l.m * l.c), kThreads, x, call.out[0].as<float>(), s, l.c,
         attrs.activation == FJ_ACTIVATION_RELU, l.m * l.c);
}

struct Gradient {
  const float *dy, *x, *y;  // (M, C); y: dy counts where y > 0, null: everywhere
  __device__ __forceinline__ float dy_at(int64_t at) const { return y == nullptr || y[at] > 0 ? dy[at] : 0.0f; }
};

// Block (32, 8): first = sum dy, second = sum dy * (x - mean) of each chunk.
__global__ void __launch_bounds__(kThreads)
    batch_norm_grad_sums_kernel(const __grid_constant__ Gradient g, const float* mean, double* first, double* second,
                                const __grid_constant__ Layout l) {
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  const int64_t begin = blockIdx.y * l.rows, end = begin + l.rows < l.m ? begin + l.rows : l.m;
  double2 sums = make_double2(0, 0);
  if (channel < l.c) {
    const float shift = mean[channel];
    for (int64_t row = begin + threadIdx.y; row < end; row += kDown) {
      const float d = g.dy_at(row * l.c + channel);
      sums.x += static_cast<double>(d);
      sums.y += static_cast<double>(d * (g.x[row * l.c + channel] - shift));
    }
  }
  sums = add_down(sums);
  if (threadIdx.y != 0 || channel >= l.c) return;
  first[blockIdx.y * l.c + channel] = sums.x;
  second[blockIdx.y * l.c + channel] = sums.y;
}

__global__ void batch_norm_grad_vectors_kernel(const __grid_constant__ Scratch s, const float* gamma, const float* mean,
                                               const float* variance, float* dgamma, float* dbeta,
                                               const __grid_constant__ Layout l, float eps) {
  const int64_t c = thread_index();
  if (c >= l.c) return;
  double sum = 0, product = 0;  // of dy, of dy * (x - mean)
  for (int64_t k = 0; k < l.chunks; k++) {
    sum += s.first[k * l.c + c];
    product += s.second[k * l.c + c];
  }
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

__global__ void batch_norm_grad_apply_kernel(const __grid_constant__ Gradient g, float* dx,
                                             const __grid_constant__ Scratch s, int64_t c, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t channel = at % c;
  dx[at] = g.dy_at(at) * s.p[channel] + ((g.x[at] - s.shift[channel]) * s.q[channel] + s.r[channel]);
}

void run_backward(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_batch_norm_grad_attrs>();
  const Layout l(*call.in[1].value);
  const Scratch s = scratch_of(l, call);
  const Gradient g{call.in[0].as<const float>(), call.in[1].as<const float>(),
                   call.n_in > 5 ? call.in[5].as<const float>() : nullptr};
  const float *gamma = call.in[2].as<const float>(), *mean = call.in[3].as<const float>();
  launch(to, batch_norm_grad_sums_kernel, l.grid(), dim3(kWarp, kDown), g, mean, s.first, s.second, l);
  launch(to, batch_norm_grad_vectors_kernel, blocks_for(l.c), kThreads, s, gamma, mean, call.in[4].as<const float>(),
         call.out[1].as<float>(), call.out[2].as<float>(), l, attrs.eps);
  launch(to, batch_norm_grad_apply_kernel, blocks_for(l.m * l.c), kThreads, g, call.out[0].as<float>(), s, l.c,
         l.m * l.c);
}

}  // namespace

void register_norm(KernelTable& table) {
  table.add({FJ_OP_BATCH_NORM, 0, "batchNorm", run_forward, forward_scratch, nullptr, false});
  table.add({FJ_OP_BATCH_NORM_GRAD, 0, "batchNormGrad", run_backward, backward_scratch, nullptr, false});
}

}  // namespace forja::cuda
