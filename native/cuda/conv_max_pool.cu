// conv2dMaxPool (lib/ops/conv_max_pool.ts), a convolution of few channels whose maps are pooled: a thread to each (n,
// p, q, k), which computes the window's numbers one after the other and keeps the largest and its tap r*S + s; the
// first of equals wins, a NaN wins over everything.
#include "kernel.cuh"
#include "launch.cuh"

namespace forja::cuda {
namespace {

// What conv2dMaxPool reads and writes.
struct ConvMaxPool {
  const float *x, *w;  // (N,H,W,C), (R,S,C,K)
  const float* bias;   // (K), or null
  float* y;            // (N,PH,PW,K)
  uint8_t* index;      // likewise, or null
  bool relu;
};

// A number of the maps; `image`: (H,W,C), w at filter k.
__device__ __forceinline__ float map_value(const ConvGeometry& g, const float* image, const float* w, int64_t p,
                                           int64_t q) {
  const int64_t top = p * g.stride_h - g.pad_top, left = q * g.stride_w - g.pad_left;
  float sum = 0;
  for (int64_t r = 0; r < g.r; r++) {
    if (top + r < 0 || top + r >= g.h) continue;
    for (int64_t s = 0; s < g.s; s++) {
      if (left + s < 0 || left + s >= g.w) continue;
      const float* pixel = image + ((top + r) * g.w + left + s) * g.c;
      const float* tap = w + (r * g.s + s) * g.c * g.k;
      for (int64_t c = 0; c < g.c; c++) sum = fmaf(pixel[c], tap[c * g.k], sum);
    }
  }
  return sum;
}

__global__ void conv2d_max_pool_kernel(const __grid_constant__ PooledConvGeometry g,
                                       const __grid_constant__ ConvMaxPool a, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const ConvGeometry& v = g.conv;
  const int64_t k = at % v.k, q = at / v.k % g.columns.out, p = at / (v.k * g.columns.out) % g.rows.out;
  const float* image = a.x + at / (v.k * g.columns.out * g.rows.out) * v.h * v.w * v.c;
  const PoolWindow rows = window_at(g.rows, p), columns = window_at(g.columns, q);
  const float bias = a.bias == nullptr ? 0.0f : a.bias[k];
  float best = 0;
  int64_t chosen = -1;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) {
      float value = map_value(v, image, a.w + k, i, j) + bias;
      if (a.relu && value < 0) value = 0;
      if (chosen >= 0 && !(value > best) && value == value) continue;
      best = value;
      chosen = (i - rows.origin) * g.columns.kernel + j - columns.origin;
    }
  }
  a.y[at] = best;
  if (a.index != nullptr) a.index[at] = static_cast<uint8_t>(chosen);
}

void run(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_conv2d_max_pool_attrs>();
  const PooledConvGeometry g = pooled_conv_geometry(call.in[0], call.in[1], call.out[0], attrs);
  const int64_t count = element_count(*call.out[0].value);
  if (count == 0) return;
  const ConvMaxPool operands{call.in[0].as<const float>(),
                             call.in[1].as<const float>(),
                             call.n_in == 3 ? call.in[2].as<const float>() : nullptr,
                             call.out[0].as<float>(),
                             call.n_out == 2 ? call.out[1].as<uint8_t>() : nullptr,
                             attrs.activation == FJ_ACTIVATION_RELU};
  launch(to, conv2d_max_pool_kernel, blocks_for(count), kThreads, g, operands, count);
}

}  // namespace

void register_conv_max_pool(KernelTable& table) {
  table.add({FJ_OP_CONV2D_MAX_POOL, 0, "conv2dMaxPool", run, nullptr, nullptr, false});
}

}  // namespace forja::cuda
