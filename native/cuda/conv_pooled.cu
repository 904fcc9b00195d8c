// The gradients of a convolution from those of its pooled maps (lib/ops/conv_pooled.ts). conv2dPooledGradWeight: a
// block to each (r, s, c, k), whose threads share out the pooled pixels. conv2dPooledGradInput: a thread to each (n, i,
// j, c), which asks all windows over the pixels that saw it. Taps are data: one outside its window, or outside the
// maps, counts nothing.
#include "device/block.cuh"
#include "kernel.cuh"
#include "launch.cuh"

namespace forja::cuda {
namespace {

__global__ void conv2d_pooled_grad_weight_kernel(const __grid_constant__ PooledConvGeometry g, const float* x,
                                                 const float* dp, const uint8_t* index, float* dw) {
  __shared__ float shared[kThreads / kWarp];
  const ConvGeometry& v = g.conv;
  int64_t at = blockIdx.x;
  const int64_t k = at % v.k, c = at / v.k % v.c, s = at / (v.k * v.c) % v.s, r = at / (v.k * v.c * v.s);
  const int64_t pixels = v.n * g.rows.out * g.columns.out;
  float sum = 0;
  for (int64_t pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
    const int64_t q = pixel % g.columns.out, p = pixel / g.columns.out % g.rows.out;
    const int64_t n = pixel / (g.columns.out * g.rows.out);
    const int64_t tap = index[pixel * v.k + k], down = tap / g.columns.kernel;
    const int64_t row = p * g.rows.stride - g.rows.before + down;
    const int64_t column = q * g.columns.stride - g.columns.before + tap % g.columns.kernel;
    if (down >= g.rows.kernel || row < 0 || row >= v.oh || column < 0 || column >= v.ow) continue;
    const int64_t i = row * v.stride_h - v.pad_top + r, j = column * v.stride_w - v.pad_left + s;
    if (i < 0 || i >= v.h || j < 0 || j >= v.w) continue;
    sum += dp[pixel * v.k + k] * x[((n * v.h + i) * v.w + j) * v.c + c];
  }
  sum = join_group<kThreads>(sum, Add(), shared);
  if (threadIdx.x == 0) dw[at] = sum;
}

// The sum over k of dp * w where a window over pixel (p, q) of the maps of image n chose that pixel; w: (K).
__device__ float chosen_sum(const PooledConvGeometry& g, const float* dp, const uint8_t* index, const float* w,
                            int64_t n, int64_t p, int64_t q) {
  const auto over = [](const PoolAxis& axis, int64_t i) {
    return windows_over(axis, i, [&](int64_t at) { return at / axis.stride; });
  };
  const auto rows = over(g.rows, p), columns = over(g.columns, q);
  float sum = 0;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) {
      const int64_t down = p - (i * g.rows.stride - g.rows.before);
      const int64_t tap = down * g.columns.kernel + q - (j * g.columns.stride - g.columns.before);
      const int64_t at = ((n * g.rows.out + i) * g.columns.out + j) * g.conv.k;
      for (int64_t k = 0; k < g.conv.k; k++) {
        if (index[at + k] == tap) sum = fmaf(dp[at + k], w[k], sum);
      }
    }
  }
  return sum;
}

__global__ void conv2d_pooled_grad_input_kernel(const __grid_constant__ PooledConvGeometry g, const float* dp,
                                                const float* w, const uint8_t* index, float* dx, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const ConvGeometry& v = g.conv;
  const int64_t c = at % v.c, j = at / v.c % v.w, i = at / (v.c * v.w) % v.h, n = at / (v.c * v.w * v.h);
  float sum = 0;
  for (int64_t r = 0; r < v.r; r++) {
    const int64_t row = i + v.pad_top - r, p = row / v.stride_h;
    if (row < 0 || row % v.stride_h != 0 || p >= v.oh) continue;
    for (int64_t s = 0; s < v.s; s++) {
      const int64_t column = j + v.pad_left - s, q = column / v.stride_w;
      if (column < 0 || column % v.stride_w != 0 || q >= v.ow) continue;
      sum += chosen_sum(g, dp, index, w + ((r * v.s + s) * v.c + c) * v.k, n, p, q);
    }
  }
  dx[at] = sum;
}

void run_grad_input(const Call& call, Launcher& to) {
  const PooledConvGeometry g =
      pooled_conv_geometry(call.out[0], call.in[1], call.in[0], call.attrs<fj_conv2d_pooled_grad_input_attrs>());
  const int64_t count = element_count(*call.out[0].value);
  if (count == 0) return;
  launch(to, conv2d_pooled_grad_input_kernel, blocks_for(count), kThreads, g, call.in[0].as<const float>(),
         call.in[1].as<const float>(), call.in[2].as<const uint8_t>(), call.out[0].as<float>(), count);
}

void run_grad_weight(const Call& call, Launcher& to) {
  const PooledConvGeometry g =
      pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
  launch(to, conv2d_pooled_grad_weight_kernel, element_count(*call.out[0].value), kThreads, g,
         call.in[0].as<const float>(), call.in[1].as<const float>(), call.in[2].as<const uint8_t>(),
         call.out[0].as<float>());
}

}  // namespace

void register_conv_pooled(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run_grad_weight, nullptr, nullptr, false});
  table.add({FJ_OP_CONV2D_POOLED_GRAD_INPUT, 0, "conv2dPooledGradInput", run_grad_input, nullptr, nullptr, false});
}

}  // namespace forja::cuda
