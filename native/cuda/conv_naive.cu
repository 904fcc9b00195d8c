// The convolution loops as the formulas in native/cpu/conv.h state them: a thread to each result, every tap tested
// against the border, neighbouring threads on neighbouring channels. Also the default where a product of matrices would
// have hardly any columns (depthwise convolutions), but for the gradient of the filters, which are few: there their
// pixels are shared out (filter_sums.cuh).
#include "conv.cuh"
#include "filter_sums.cuh"

namespace forja::cuda {
namespace {

__global__ void conv2d_forward_naive_kernel(const __grid_constant__ ConvGeometry g,
                                            const __grid_constant__ ConvForward a, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t k = at % g.k, pixel = at / g.k, q = pixel % g.ow, p = pixel / g.ow % g.oh, n = pixel / (g.ow * g.oh);
  const int64_t cg = g.cg(), c0 = k / g.kg() * cg;
  float sum = a.bias != nullptr ? a.bias[k] : 0.0f;
  for (int64_t r = 0; r < g.r; r++) {
    const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h;
    if (i < 0 || i >= g.h) continue;
    for (int64_t s = 0; s < g.s; s++) {
      const int64_t j = q * g.stride_w - g.pad_left + s * g.dilation_w;
      if (j < 0 || j >= g.w) continue;
      const float* x = a.x + ((n * g.h + i) * g.w + j) * g.c + c0;
      const float* w = a.w + (r * g.s + s) * cg * g.k + k;
      for (int64_t c = 0; c < cg; c++) sum += x[c] * w[c * g.k];
    }
  }
  a.y[at] = a.relu && sum < 0 ? 0.0f : sum;
}

__global__ void conv2d_grad_input_naive_kernel(const __grid_constant__ ConvGeometry g,
                                               const __grid_constant__ ConvGradInput a, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t c = at % g.c, pixel = at / g.c, j = pixel % g.w, i = pixel / g.w % g.h, n = pixel / (g.w * g.h);
  const int64_t cg = g.cg(), kg = g.kg(), k0 = c / cg * kg;
  float sum = 0;
  for (int64_t r = 0; r < g.r; r++) {
    const int64_t pi = i + g.pad_top - r * g.dilation_h;
    if (pi < 0 || pi % g.stride_h != 0 || pi / g.stride_h >= g.oh) continue;
    for (int64_t s = 0; s < g.s; s++) {
      const int64_t qj = j + g.pad_left - s * g.dilation_w;
      if (qj < 0 || qj % g.stride_w != 0 || qj / g.stride_w >= g.ow) continue;
      const float* dy = a.dy + ((n * g.oh + pi / g.stride_h) * g.ow + qj / g.stride_w) * g.k + k0;
      const float* w = a.w + ((r * g.s + s) * cg + c % cg) * g.k + k0;
      for (int64_t k = 0; k < kg; k++) sum += dy[k] * w[k];
    }
  }
  a.dx[at] = sum;
}

__global__ void conv2d_grad_weight_naive_kernel(const __grid_constant__ ConvGeometry g,
                                                const __grid_constant__ ConvGradWeight a, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t cg = g.cg(), k = at % g.k, tap = at / g.k, c = tap % cg, s = tap / cg % g.s, r = tap / (cg * g.s);
  float sum = 0;
  for (int64_t n = 0; n < g.n; n++) {
    for (int64_t p = 0; p < g.oh; p++) {
      const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h;
      if (i < 0 || i >= g.h) continue;
      for (int64_t q = 0; q < g.ow; q++) {
        const int64_t j = q * g.stride_w - g.pad_left + s * g.dilation_w;
        if (j < 0 || j >= g.w) continue;
        sum += a.x[((n * g.h + i) * g.w + j) * g.c + k / g.kg() * cg + c] * a.dy[((n * g.oh + p) * g.ow + q) * g.k + k];
      }
    }
  }
  a.dw[at] = sum;
}

__global__ void __launch_bounds__(kThreads)
    conv2d_grad_weight_direct_kernel(const __grid_constant__ FilterSums sums, float* dw,
                                     const __grid_constant__ ConvGeometry g, Divisor by_columns, Divisor by_rows,
                                     const float* x, const float* dy) {
  sums.sum<int64_t>(dw, [&](int64_t place, int64_t k, int64_t first, int64_t end, int64_t step) {
    const int64_t cg = g.cg(), c = place % cg, s = place / cg % g.s, r = place / (cg * g.s);
    x += k / g.kg() * cg + c;
    constexpr int kRun = FilterSums::kRun;
    float sum = 0;
    for (; first < end; first += kRun * step) {
      float seen[kRun], given[kRun];
#pragma unroll
      for (int run = 0; run < kRun; run++) {
        seen[run] = 0, given[run] = 0;
        const int64_t pixel = first + run * step;
        if (pixel >= end) continue;
        int n = static_cast<int>(pixel);
        const int q = by_columns.split(n), p = by_rows.split(n);
        const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h;
        const int64_t j = q * g.stride_w - g.pad_left + s * g.dilation_w;
        if (i < 0 || i >= g.h || j < 0 || j >= g.w) continue;
        seen[run] = x[((n * g.h + i) * g.w + j) * g.c];
        given[run] = dy[pixel * g.k + k];
      }
#pragma unroll
      for (int run = 0; run < kRun; run++) sum += seen[run] * given[run];
    }
    return sum;
  });
}

FilterSums filter_sums(const ConvGeometry& g) { return {g.r * g.s * g.cg(), g.k, g.n * g.oh * g.ow}; }

}  // namespace

size_t conv_direct_scratch(const ConvGeometry& g) { return filter_sums(g).scratch(); }

void conv_direct(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch) {
  filter_sums(g).run(to, a.dw, reinterpret_cast<uint8_t*>(scratch), conv2d_grad_weight_direct_kernel, g, Divisor(g.ow),
                     Divisor(g.oh), a.x, a.dy);
}

void conv_naive(Launcher& to, const ConvGeometry& g, const ConvForward& a, float*) {
  const int64_t count = g.n * g.oh * g.ow * g.k;
  launch(to, conv2d_forward_naive_kernel, blocks_for(count), kThreads, g, a, count);
}

void conv_naive(Launcher& to, const ConvGeometry& g, const ConvGradInput& a, float*) {
  const int64_t count = g.n * g.h * g.w * g.c;
  launch(to, conv2d_grad_input_naive_kernel, blocks_for(count), kThreads, g, a, count);
}

void conv_naive(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float*) {
  const int64_t count = g.r * g.s * g.cg() * g.k;
  launch(to, conv2d_grad_weight_naive_kernel, blocks_for(count), kThreads, g, a, count);
}

}  // namespace forja::cuda
