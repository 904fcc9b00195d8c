// conv2dPooledGradInput (lib/ops/conv_pooled.ts), the gradient of a convolution's image from that of its pooled maps:
// where that fits and windows lie apart, a block writes the maps that saw some rows into its memory, most of them
// zeros, and multiplies all; elsewhere a thread takes an (n, i, j, c) and asks all windows over the pixels that saw it.
// Taps are data: one outside its window, or outside the maps, counts nothing. Where x is what a ReLU gave, y, only what
// it let through gets a gradient.
#include "conv_tile.cuh"
#include "device/block.cuh"
#include "kernel.cuh"
#include "launch.cuh"

namespace forja::cuda {
namespace {

// `sum`, but 0 where y, if there is one, is not positive.
__device__ __forceinline__ float relu_grad(float sum, const float* y, int64_t at) {
  return y != nullptr && y[at] <= 0 ? 0.0f : sum;
}

// --- by rows

constexpr int kRowThreads = 128;
constexpr int kTogether = 4;  // pixels, and channels of x, of a thread

// What a block holds for some rows of an image: filters (R, S, K, quads of C), then the maps that saw these rows,
// (rows, columns, K) with a margin of what a filter reaches beyond them. Pixels are an odd number of quads apart, so
// that neighbours lie in different banks.
struct ImageRows {
  int rows;   // of an image
  int count;  // blocks of an image
  int quads;  // of channels of x
  int apart, line, map_rows;

  ImageRows(const ConvGeometry& g, int64_t rows_of_block)
      : rows(static_cast<int>(rows_of_block)),
        count(static_cast<int>(ceil_div(g.h, rows_of_block))),
        quads(static_cast<int>(ceil_div(g.c, kTogether))),
        apart(static_cast<int>(ceil_div(g.k, 4) | 1) * 4),
        line(static_cast<int>(g.w + g.s - 1) * apart),
        map_rows(static_cast<int>(rows_of_block + g.r - 1)) {}
  size_t filter_bytes(const ConvGeometry& g) const {
    return static_cast<size_t>(g.r * g.s * g.k * quads) * sizeof(float4);
  }
  size_t bytes(const ConvGeometry& g) const {
    return filter_bytes(g) + static_cast<size_t>(map_rows) * static_cast<size_t>(line) * sizeof(float);
  }
};

// Two blocks to a multiprocessor, if that leaves work for each thread and fits.
ImageRows image_rows(const ConvGeometry& g, const Launcher& to) {
  const int64_t items = ceil_div(g.h * g.w, kTogether) * ceil_div(g.c, kTogether);
  const int64_t wanted = ceil_div(2 * to.multiprocessors, g.n), most = ceil_div(items, kRowThreads / 2);
  int64_t rows = ceil_div(g.h, wanted < most ? wanted : most);
  while (rows > 1 && ImageRows(g, rows).bytes(g) > kPlainShared) rows = ceil_div(rows, 2);
  return ImageRows(g, rows);
}

// kSteps: filters at a time, 4 where K is a multiple of that.
template <int kSteps>
__global__ void __launch_bounds__(kRowThreads)
    conv2d_pooled_grad_input_rows_kernel(const __grid_constant__ PooledConvGeometry g,
                                         const __grid_constant__ ImageRows b, const float* dp, const float* w,
                                         const uint8_t* index, const float* y, float* dx) {
  const ConvGeometry& v = g.conv;
  auto* const filters = static_cast<float4*>(ptx::dynamic_shared());
  const int k_count = static_cast<int>(v.k), channels = static_cast<int>(v.c), width = static_cast<int>(v.w);
  const int taps_r = static_cast<int>(v.r), taps_s = static_cast<int>(v.s), thread = static_cast<int>(threadIdx.x);
  auto* const maps = reinterpret_cast<float*>(filters + taps_r * taps_s * k_count * b.quads);
  const int64_t n = blockIdx.x / b.count;
  const int first = static_cast<int>(blockIdx.x % b.count) * b.rows, end = first + b.rows;
  const int rows = (end < v.h ? end : static_cast<int>(v.h)) - first;
  for (int i = thread; i < taps_r * taps_s * k_count * b.quads; i += kRowThreads) {
    const int quad = i % b.quads, k = i / b.quads % k_count, tap = i / b.quads / k_count;
    const auto at = [&](int e) {
      const int c = quad * kTogether + e;
      return c < channels ? w[(tap * channels + c) * k_count + k] : 0.0f;
    };
    filters[i] = make_float4(at(0), at(1), at(2), at(3));
  }
  for (int i = thread; i < b.map_rows * b.line; i += kRowThreads) maps[i] = 0;
  __syncthreads();
  // Row 0 of `maps` is the first that saw row `first`.
  const int top = first + static_cast<int>(v.pad_top) - (taps_r - 1),
            left = static_cast<int>(v.pad_left) - (taps_s - 1);
  const int windows = static_cast<int>(g.rows.out * g.columns.out) * k_count;
  for (int i = thread; i < windows; i += kRowThreads) {
    const int pixel = i / k_count;
    const ChosenPixel chosen(g, pixel, index[n * windows + i]);
    if (!chosen.inside) continue;
    const int at_row = chosen.row - top, at_column = chosen.column - left;
    if (at_row < 0 || at_row >= b.map_rows || at_column < 0 || at_column >= width + taps_s - 1) continue;
    maps[at_row * b.line + at_column * b.apart + i - pixel * k_count] = dp[n * windows + i];
  }
  __syncthreads();

  const int pixels = rows * width, groups = (pixels + kTogether - 1) / kTogether;
  for (int item = thread; item < groups * b.quads; item += kRowThreads) {
    const int quad = item % b.quads, group = item / b.quads;
    const float* at[kTogether];
    float sums[kTogether][kTogether] = {};
#pragma unroll
    for (int m = 0; m < kTogether; m++) {  // behind the last that one again
      const int pixel = group + m * groups < pixels ? group + m * groups : pixels - 1, i = pixel / width;
      at[m] = maps + (i + taps_r - 1) * b.line + (pixel - i * width + taps_s - 1) * b.apart;
    }
    const float4* filter = filters + quad;
    for (int r = 0; r < taps_r; r++) {
      for (int s = 0; s < taps_s; s++) {
        const int back = r * b.line + s * b.apart;
        for (int k = 0; k < k_count; k += kSteps) {
          float x[kTogether][kSteps];
#pragma unroll
          for (int m = 0; m < kTogether; m++) read_pack<kSteps>(at[m] - back + k, x[m]);
#pragma unroll
          for (int step = 0; step < kSteps; step++, filter += b.quads) {
            const float4 f = *filter;
#pragma unroll
            for (int m = 0; m < kTogether; m++) {
              sums[m][0] = fmaf(x[m][step], f.x, sums[m][0]), sums[m][1] = fmaf(x[m][step], f.y, sums[m][1]);
              sums[m][2] = fmaf(x[m][step], f.z, sums[m][2]), sums[m][3] = fmaf(x[m][step], f.w, sums[m][3]);
            }
          }
        }
      }
    }
#pragma unroll
    for (int m = 0; m < kTogether; m++) {
      const int pixel = group + m * groups;
      if (pixel >= pixels) continue;
      const int64_t to = ((n * v.h + first) * width + pixel) * channels + quad * kTogether;
#pragma unroll
      for (int e = 0; e < kTogether; e++) {
        if (quad * kTogether + e < channels) dx[to + e] = relu_grad(sums[m][e], y, to + e);
      }
    }
  }
}

// --- by pixels

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
                                                const float* w, const uint8_t* index, const float* y, float* dx,
                                                int64_t count) {
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
  dx[at] = relu_grad(sum, y, at);
}

// --- host

PooledConvGeometry geometry(const Call& call) {
  return pooled_conv_geometry(call.out[0], call.in[1], call.in[0], call.attrs<fj_conv2d_pooled_grad_input_attrs>());
}

const float* relu_of(const Call& call) { return call.n_in == 4 ? call.in[3].as<const float>() : nullptr; }

bool fits_block(const Call& call) {
  const PooledConvGeometry g = geometry(call);
  if (!ConvTile::is_small(g.conv)) return false;
  const bool apart = g.rows.stride >= g.rows.kernel && g.columns.stride >= g.columns.kernel;
  if (g.rows.out * g.columns.out * g.conv.k > INT32_MAX) return false;
  return apart && g.conv.stride_h == 1 && g.conv.stride_w == 1 && ImageRows(g.conv, 1).bytes(g.conv) <= kPlainShared;
}

void run_rows(const Call& call, Launcher& to) {
  const PooledConvGeometry g = geometry(call);
  if (element_count(*call.out[0].value) == 0) return;
  const ImageRows b = image_rows(g.conv, to);
  const auto with = [&](auto steps) {
    launch(to, conv2d_pooled_grad_input_rows_kernel<steps()>, g.conv.n * b.count, {kRowThreads, b.bytes(g.conv)}, g, b,
           call.in[0].as<const float>(), call.in[1].as<const float>(), call.in[2].as<const uint8_t>(), relu_of(call),
           call.out[0].as<float>());
  };
  if (g.conv.k % 4 == 0) return with(std::integral_constant<int, 4>());
  with(std::integral_constant<int, 1>());
}

void run(const Call& call, Launcher& to) {
  const PooledConvGeometry g = geometry(call);
  const int64_t count = element_count(*call.out[0].value);
  if (count == 0) return;
  launch(to, conv2d_pooled_grad_input_kernel, blocks_for(count), kThreads, g, call.in[0].as<const float>(),
         call.in[1].as<const float>(), call.in[2].as<const uint8_t>(), relu_of(call), call.out[0].as<float>(), count);
}

}  // namespace

void register_conv_pooled_grad_input(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_INPUT, 0, "conv2dPooledGradInput rows", run_rows, nullptr, fits_block, false});
  table.add({FJ_OP_CONV2D_POOLED_GRAD_INPUT, 0, "conv2dPooledGradInput", run, nullptr, nullptr, false});
}

}  // namespace forja::cuda
