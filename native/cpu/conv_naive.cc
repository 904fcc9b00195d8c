// The convolution loops as the formulas in conv.h state them: one output element at a time, every tap
// tested against the border. Slow on purpose; the other variants are compared with it.
#include "conv.h"

namespace forja::FJ_ISA {

void conv_forward_naive(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias, bool relu,
                        float* y, uint8_t* scratch) {
  const int64_t cg = g.c / g.groups, kg = g.k / g.groups;
  const Range rows = split(g.n * g.oh, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t n = row / g.oh, p = row % g.oh;
    for (int64_t q = 0; q < g.ow; q++) {
      for (int64_t k = 0; k < g.k; k++) {
        float sum = bias ? bias[k] : 0.0f;
        for (int64_t r = 0; r < g.r; r++) {
          for (int64_t s = 0; s < g.s; s++) {
            const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h;
            const int64_t j = q * g.stride_w - g.pad_left + s * g.dilation_w;
            if (i < 0 || i >= g.h || j < 0 || j >= g.w) continue;
            for (int64_t c = 0; c < cg; c++) {
              sum += x[((n * g.h + i) * g.w + j) * g.c + k / kg * cg + c] * w[((r * g.s + s) * cg + c) * g.k + k];
            }
          }
        }
        y[(row * g.ow + q) * g.k + k] = relu && sum < 0.0f ? 0.0f : sum;
      }
    }
  }
}

void conv_grad_input_naive(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                           uint8_t* scratch) {
  const int64_t cg = g.c / g.groups, kg = g.k / g.groups;
  const Range rows = split(g.n * g.h, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t n = row / g.h, i = row % g.h;
    for (int64_t j = 0; j < g.w; j++) {
      for (int64_t c = 0; c < g.c; c++) {
        float sum = 0.0f;
        for (int64_t r = 0; r < g.r; r++) {
          for (int64_t s = 0; s < g.s; s++) {
            const int64_t pi = i + g.pad_top - r * g.dilation_h, qj = j + g.pad_left - s * g.dilation_w;
            if (pi < 0 || qj < 0 || pi % g.stride_h != 0 || qj % g.stride_w != 0) continue;
            const int64_t p = pi / g.stride_h, q = qj / g.stride_w;
            if (p >= g.oh || q >= g.ow) continue;
            const int64_t k0 = c / cg * kg;
            for (int64_t k = k0; k < k0 + kg; k++) {
              sum += dy[((n * g.oh + p) * g.ow + q) * g.k + k] * w[((r * g.s + s) * cg + c % cg) * g.k + k];
            }
          }
        }
        dx[(row * g.w + j) * g.c + c] = sum;
      }
    }
  }
}

void conv_grad_weight_naive(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                            uint8_t* scratch) {
  const int64_t cg = g.c / g.groups, kg = g.k / g.groups;
  const Range taps = split(g.r * g.s * cg, team);
  for (int64_t tap = taps.begin; tap < taps.end; tap++) {
    const int64_t r = tap / (g.s * cg), s = tap / cg % g.s, c = tap % cg;
    for (int64_t k = 0; k < g.k; k++) {
      float sum = 0.0f;
      for (int64_t n = 0; n < g.n; n++) {
        for (int64_t p = 0; p < g.oh; p++) {
          for (int64_t q = 0; q < g.ow; q++) {
            const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h;
            const int64_t j = q * g.stride_w - g.pad_left + s * g.dilation_w;
            if (i < 0 || i >= g.h || j < 0 || j >= g.w) continue;
            sum += x[((n * g.h + i) * g.w + j) * g.c + k / kg * cg + c] * dy[((n * g.oh + p) * g.ow + q) * g.k + k];
          }
        }
      }
      dw[tap * g.k + k] = sum;
    }
  }
}

}  // namespace forja::FJ_ISA
