// conv2dPooledGradWeight (lib/ops/conv_pooled.ts), the weight gradient of a first layer: a block to each (r, s, c, k),
// whose threads share out the pooled pixels. Taps are data: one outside its window, or outside the maps, counts
// nothing.
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

void run(const Call& call, Launcher& to) {
  const PooledConvGeometry g =
      pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
  launch(to, conv2d_pooled_grad_weight_kernel, element_count(*call.out[0].value), kThreads, g,
         call.in[0].as<const float>(), call.in[1].as<const float>(), call.in[2].as<const uint8_t>(),
         call.out[0].as<float>());
}

}  // namespace

void register_conv_pooled(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run, nullptr, nullptr, false});
}

}  // namespace forja::cuda
