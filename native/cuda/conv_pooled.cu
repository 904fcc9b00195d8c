// The gradients of a convolution from those of its pooled maps (lib/ops/conv_pooled.ts). conv2dPooledGradWeight: sums
// over pooled pixels (filter_sums.cuh). conv2dPooledGradInput: a thread to each (n, i, j, c), which asks all windows
// over the pixels that saw it. Taps are data: one outside its window, or outside the maps, counts nothing.
#include "device/divide.cuh"
#include "filter_sums.cuh"
#include "launch.cuh"

namespace forja::cuda {
namespace {

// What a block of the weight's gradient divides pixels and taps by. I: int where x and dp have less than 2^31 elements.
template <class I>
struct PixelDivisors {
  Divide<I> by_columns, by_rows, by_taps;
  explicit PixelDivisors(const PooledConvGeometry& g)
      : by_columns(g.columns.out), by_rows(g.rows.out), by_taps(g.columns.kernel) {}
};

template <class I>
__global__ void __launch_bounds__(kThreads)
    conv2d_pooled_grad_weight_kernel(const __grid_constant__ FilterSums sums, float* dw,
                                     const __grid_constant__ PooledConvGeometry g,
                                     const __grid_constant__ PixelDivisors<I> by, const float* x, const float* dp,
                                     const uint8_t* index) {
  const ConvGeometry& v = g.conv;
  const I filters = static_cast<I>(v.k), out_rows = static_cast<I>(g.rows.out);
  const I out_columns = static_cast<I>(g.columns.out);
  const I taps = static_cast<I>(g.columns.kernel), window_rows = static_cast<I>(g.rows.kernel);
  const I row_stride = static_cast<I>(g.rows.stride), column_stride = static_cast<I>(g.columns.stride);
  const I oh = static_cast<I>(v.oh), ow = static_cast<I>(v.ow), h = static_cast<I>(v.h), w = static_cast<I>(v.w);
  const I stride_h = static_cast<I>(v.stride_h), stride_w = static_cast<I>(v.stride_w);
  const I first_row = static_cast<I>(g.rows.before), first_column = static_cast<I>(g.columns.before);
  sums.sum<I>(dw, [&](int64_t place, int64_t k, I first, I end, I step) {
    const int64_t c = place % v.c, s = place / v.c % v.s, r = place / (v.c * v.s);
    const I top = static_cast<I>(r - v.pad_top), left = static_cast<I>(s - v.pad_left);
    constexpr int kRun = FilterSums::kRun;
    float sum = 0;
    for (; first < end; first += kRun * step) {
      I tap[kRun];
      float given[kRun], seen[kRun];
#pragma unroll
      for (int run = 0; run < kRun; run++) {
        tap[run] = 0, given[run] = 0, seen[run] = 0;
        const I pixel = first + run * step;
        if (pixel >= end) continue;
        tap[run] = index[static_cast<int64_t>(pixel) * filters + k];
        given[run] = dp[static_cast<int64_t>(pixel) * filters + k];
      }
#pragma unroll
      for (int run = 0; run < kRun; run++) {
        const I pixel = first + run * step, line = by.by_columns(pixel), n = by.by_rows(line);
        const I q = pixel - line * out_columns, p = line - n * out_rows, under = by.by_taps(tap[run]);
        const I row = p * row_stride - first_row + under;
        const I column = q * column_stride - first_column + tap[run] - under * taps;
        const I i = row * stride_h + top, j = column * stride_w + left;
        const bool chosen = under < window_rows && row >= 0 && row < oh && column >= 0 && column < ow;
        if (pixel < end && chosen && i >= 0 && i < h && j >= 0 && j < w) {
          seen[run] = x[(static_cast<int64_t>(n * h + i) * w + j) * v.c + c];
        } else {
          given[run] = 0;
        }
      }
#pragma unroll
      for (int run = 0; run < kRun; run++) sum += given[run] * seen[run];
    }
    return sum;
  });
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

// Whether all places in images, maps and windows stay below 2^31.
bool is_short(const PooledConvGeometry& g) {
  const ConvGeometry& v = g.conv;
  const auto reach = [](const PoolAxis& a) { return a.out * a.stride + a.before + a.kernel; };
  return v.oh * v.stride_h + v.pad_top + v.h + v.r < INT32_MAX &&
         v.ow * v.stride_w + v.pad_left + v.w + v.s < INT32_MAX && reach(g.rows) < INT32_MAX &&
         reach(g.columns) < INT32_MAX;
}

PooledConvGeometry grad_weight_geometry(const Call& call) {
  return pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
}

FilterSums grad_weight_sums(const PooledConvGeometry& g) {
  return {g.conv.r * g.conv.s * g.conv.c, g.conv.k, g.conv.n * g.rows.out * g.columns.out};
}

size_t grad_weight_scratch(const Call& call) { return grad_weight_sums(grad_weight_geometry(call)).scratch(); }

void run_grad_weight(const Call& call, Launcher& to) {
  const PooledConvGeometry g = grad_weight_geometry(call);
  const auto with = [&](auto number) {
    using I = decltype(number);
    grad_weight_sums(g).run(to, call.out[0].as<float>(), call.scratch, conv2d_pooled_grad_weight_kernel<I>, g,
                            PixelDivisors<I>(g), call.in[0].as<const float>(), call.in[1].as<const float>(),
                            call.in[2].as<const uint8_t>());
  };
  if (is_short(g) && element_count(*call.in[0].value) < INT32_MAX &&
      element_count(*call.in[1].value) < INT32_MAX - kThreads * 2 * FilterSums::kRun) {
    return with(int{});
  }
  with(int64_t{});
}

}  // namespace

void register_conv_pooled(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run_grad_weight, grad_weight_scratch,
             nullptr, false});
  table.add({FJ_OP_CONV2D_POOLED_GRAD_INPUT, 0, "conv2dPooledGradInput", run_grad_input, nullptr, nullptr, false});
}

}  // namespace forja::cuda
