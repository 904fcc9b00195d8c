// conv2dPooledGradWeight (lib/ops/conv_pooled.ts), the gradient of a convolution's filters from that of its pooled
// maps: where an image and its windows fit a block's memory, a block takes some images and all of the filters, and the
// blocks' sums are added up; elsewhere as sums over pooled pixels (filter_sums.cuh). Taps are data: one outside its
// window, or outside the maps, counts nothing.
#include "conv_tile.cuh"
#include "device/block.cuh"
#include "device/divide.cuh"
#include "filter_sums.cuh"
#include "launch.cuh"
#include "reduce.cuh"

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

// --- by images

// How a block shares out its sums: a thread takes `own` taps (r, s, c) of a filter, `groups` threads all of them;
// `slices` times as many share out the pooled pixels. x's image, then of each of the (PH, PW, K) windows the gradient
// and where its pixel begins to see the image, or -1.
struct ImageShare {
  static constexpr int kMostThreads = 512;
  static constexpr int64_t kMostBlocks = 240;  // whose sums one kernel adds up
  int own, groups, slices, threads;
  int64_t windows;
  ConvTile tile;

  explicit ImageShare(const PooledConvGeometry& g) : tile(g.conv, g.conv.oh) {
    const ConvGeometry& v = g.conv;
    const int64_t taps = v.r * v.s * v.c;
    own = 4;
    while (own < 16 && v.k * ceil_div(taps, own) > kThreads) own *= 2;
    groups = static_cast<int>(ceil_div(taps, own));
    const int64_t together = v.k * groups, pixels = g.rows.out * g.columns.out;
    slices = together > 0 && together < kThreads ? static_cast<int>(kThreads / together) : 1;
    if (slices > pixels) slices = pixels > 0 ? static_cast<int>(pixels) : 1;
    threads = static_cast<int>(ceil_div(slices * together, kWarp) * kWarp);
    windows = pixels * v.k;
  }
  size_t sum_bytes(const ConvGeometry& v) const {
    return static_cast<size_t>(slices * v.r * v.s * v.c * v.k) * sizeof(float);
  }
  size_t bytes(const ConvGeometry& v) const {
    const size_t held = tile.bytes() + static_cast<size_t>(windows) * (sizeof(float) + sizeof(int));
    return held > sum_bytes(v) ? held : sum_bytes(v);
  }
  static int64_t blocks(const PooledConvGeometry& g) { return g.conv.n < kMostBlocks ? g.conv.n : kMostBlocks; }
};

// parts: (blocks, R, S, C, K).
template <int kOwn>
__global__ void __launch_bounds__(ImageShare::kMostThreads)
    conv2d_pooled_grad_weight_images_kernel(const __grid_constant__ PooledConvGeometry g,
                                            const __grid_constant__ ImageShare b, const float* x, const float* dp,
                                            const uint8_t* index, float* parts) {
  const ConvGeometry& v = g.conv;
  auto* const image = static_cast<float*>(ptx::dynamic_shared());
  float* const gradients = image + b.tile.rows * b.tile.line;
  const int windows = static_cast<int>(b.windows);
  int* const places = reinterpret_cast<int*>(gradients + windows);
  const int filters = static_cast<int>(v.k), run = static_cast<int>(v.s * v.c), taps = static_cast<int>(v.r) * run;
  const int thread = static_cast<int>(threadIdx.x);
  const int k = thread % filters, group = thread / filters % b.groups, slice = thread / filters / b.groups;
  int at[kOwn];
  float sums[kOwn] = {};
#pragma unroll
  for (int i = 0; i < kOwn; i++) {  // behind the last that one again
    const int tap = group + i * b.groups < taps ? group + i * b.groups : taps - 1;
    at[i] = tap / run * b.tile.line + tap % run;
  }
  for (int64_t n = blockIdx.x; n < v.n; n += gridDim.x) {
    __syncthreads();  // the last image has been used
    b.tile.load(v, x + n * v.h * v.w * v.c, 0, image);
    for (int i = thread; i < windows; i += static_cast<int>(blockDim.x)) {
      const ChosenPixel chosen(g, i / filters, index[n * windows + i]);
      places[i] = chosen.inside ? b.tile.place(v, chosen.row, chosen.column) : -1;
      gradients[i] = dp[n * windows + i];
    }
    __syncthreads();
    if (slice >= b.slices) continue;
#pragma unroll 4
    for (int i = slice * filters + k; i < windows; i += b.slices * filters) {
      const int place = places[i];
      if (place < 0) continue;
      const float gradient = gradients[i];
#pragma unroll
      for (int own = 0; own < kOwn; own++) sums[own] = fmaf(gradient, image[place + at[own]], sums[own]);
    }
  }
  __syncthreads();
  const int count = taps * filters;
  if (slice < b.slices) {
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const int tap = group + i * b.groups;
      if (tap < taps) image[slice * count + tap * filters + k] = sums[i];
    }
  }
  __syncthreads();
  for (int i = thread; i < count; i += static_cast<int>(blockDim.x)) {
    float sum = image[i];
    for (int s = 1; s < b.slices; s++) sum += image[s * count + i];
    parts[static_cast<int64_t>(blockIdx.x) * count + i] = sum;
  }
}

// --- host

PooledConvGeometry weight_geometry(const Call& call) {
  return pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
}

bool fits_block(const Call& call) {
  const PooledConvGeometry g = weight_geometry(call);
  if (!ConvTile::is_small(g.conv) || element_count(*call.out[0].value) == 0) return false;
  const ImageShare b(g);
  return b.threads <= ImageShare::kMostThreads && b.bytes(g.conv) <= kPlainShared;
}

// The blocks' sums, then what adding them up needs.
size_t parts_bytes(const Call& call) {
  return align_up(static_cast<size_t>(ImageShare::blocks(weight_geometry(call)) * element_count(*call.out[0].value)) *
                  sizeof(float));
}

size_t images_scratch(const Call& call) {
  return parts_bytes(call) + sum_rows_scratch(element_count(*call.out[0].value));
}

void run_grad_weight_images(const Call& call, Launcher& to) {
  const PooledConvGeometry g = weight_geometry(call);
  const ImageShare b(g);
  auto* parts = reinterpret_cast<float*>(call.scratch);
  const int64_t most = 2 * to.multiprocessors, blocks = ImageShare::blocks(g) < most ? ImageShare::blocks(g) : most;
  const auto with = [&](auto own) {
    launch(to, conv2d_pooled_grad_weight_images_kernel<own()>, blocks, {b.threads, b.bytes(g.conv)}, g, b,
           call.in[0].as<const float>(), call.in[1].as<const float>(), call.in[2].as<const uint8_t>(), parts);
  };
  if (b.own == 4) {
    with(std::integral_constant<int, 4>());
  } else if (b.own == 8) {
    with(std::integral_constant<int, 8>());
  } else {
    with(std::integral_constant<int, 16>());
  }
  sum_rows(to, parts, blocks, element_count(*call.out[0].value), call.out[0].as<float>(),
           call.scratch + parts_bytes(call));
}

// Whether all places in images, maps and windows stay below 2^31.
bool is_short(const PooledConvGeometry& g) {
  const ConvGeometry& v = g.conv;
  const auto reach = [](const PoolAxis& a) { return a.out * a.stride + a.before + a.kernel; };
  return v.oh * v.stride_h + v.pad_top + v.h + v.r < INT32_MAX &&
         v.ow * v.stride_w + v.pad_left + v.w + v.s < INT32_MAX && reach(g.rows) < INT32_MAX &&
         reach(g.columns) < INT32_MAX;
}

FilterSums grad_weight_sums(const PooledConvGeometry& g) {
  return {g.conv.r * g.conv.s * g.conv.c, g.conv.k, g.conv.n * g.rows.out * g.columns.out};
}

size_t grad_weight_scratch(const Call& call) { return grad_weight_sums(weight_geometry(call)).scratch(); }

void run_grad_weight(const Call& call, Launcher& to) {
  const PooledConvGeometry g = weight_geometry(call);
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
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight images", run_grad_weight_images,
             images_scratch, fits_block, false});
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run_grad_weight, grad_weight_scratch,
             nullptr, false});
}

}  // namespace forja::cuda
