// conv2dMaxPool (lib/ops/conv_max_pool.ts), a convolution of few channels whose maps are pooled; of a window the
// largest number and its tap r*S + s are kept, the first of equals, a NaN before everything. Where all filters and what
// a row of windows sees of an image fit a block's memory, a block takes some rows of windows, a thread four filters of
// a window, four of whose pixels are computed together; elsewhere a thread takes one filter of a window, pixel after
// pixel.
#include "conv_tile.cuh"
#include "device/block.cuh"
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

// --- by rows of windows

constexpr int kRowThreads = 128;
constexpr int kTogether = 4;  // pixels of a window, and filters: numbers of a filter are read once for as many

// What a block holds: filters (R, S, C, quads of K), then its part of the image.
struct WindowRows {
  int rows;   // of windows
  int count;  // blocks of an image
  int quads;  // of filters
  ConvTile tile;

  size_t filter_bytes(const ConvGeometry& g) const {
    return static_cast<size_t>(g.r * g.s * g.c * quads) * kTogether * sizeof(float);
  }
  size_t bytes(const ConvGeometry& g) const { return filter_bytes(g) + tile.bytes(); }
};

WindowRows window_rows(const PooledConvGeometry& g, int64_t rows) {
  const int64_t pixels = (rows - 1) * g.rows.stride + g.rows.kernel;
  return {static_cast<int>(rows), static_cast<int>(ceil_div(g.rows.out, rows)),
          static_cast<int>(ceil_div(g.conv.k, kTogether)), ConvTile(g.conv, pixels)};
}

// Two blocks to a multiprocessor, if that leaves work for each thread and fits.
WindowRows window_rows(const PooledConvGeometry& g, const Launcher& to) {
  const int64_t items = g.rows.out * g.columns.out * ceil_div(g.conv.k, kTogether);
  const int64_t wanted = ceil_div(2 * to.multiprocessors, g.conv.n), most = ceil_div(items, kRowThreads);
  const int64_t blocks = wanted < most ? wanted : most;
  int64_t rows = ceil_div(g.rows.out, blocks);
  while (rows > 1 && window_rows(g, rows).bytes(g.conv) > kPlainShared) rows = ceil_div(rows, 2);
  return window_rows(g, rows);
}

__global__ void __launch_bounds__(kRowThreads)
    conv2d_max_pool_rows_kernel(const __grid_constant__ PooledConvGeometry g, const __grid_constant__ WindowRows b,
                                const __grid_constant__ ConvMaxPool a) {
  const ConvGeometry& v = g.conv;
  auto* const filters = static_cast<float4*>(ptx::dynamic_shared());
  const int filters_k = static_cast<int>(v.k), columns = static_cast<int>(g.columns.out);
  const int run = static_cast<int>(v.s * v.c), taps = static_cast<int>(v.r) * run;  // numbers of a row, of a filter
  auto* const image = reinterpret_cast<float*>(filters + taps * b.quads);
  const int64_t n = blockIdx.x / b.count;
  const int first = static_cast<int>(blockIdx.x % b.count) * b.rows, end = first + b.rows;
  const int rows = (end < g.rows.out ? end : static_cast<int>(g.rows.out)) - first;
  const int64_t top = first * g.rows.stride - g.rows.before;  // of the maps
  for (int i = static_cast<int>(threadIdx.x); i < taps * b.quads; i += kRowThreads) {
    if (filters_k == b.quads * kTogether) {
      filters[i] = reinterpret_cast<const float4*>(a.w)[i];
    } else {
      const int tap = i / b.quads, k = (i - tap * b.quads) * kTogether;
      const float* w = a.w + tap * filters_k + k;
      const auto at = [&](int e) { return k + e < filters_k ? w[e] : 0.0f; };
      filters[i] = make_float4(at(0), at(1), at(2), at(3));
    }
  }
  b.tile.load(v, a.x + n * v.h * v.w * v.c, top, image);
  __syncthreads();

  for (int item = static_cast<int>(threadIdx.x); item < rows * columns * b.quads; item += kRowThreads) {
    const int quad = item % b.quads, q = item / b.quads % columns, p = first + item / b.quads / columns;
    const PoolWindow down = window_at<int64_t>(g.rows, p), across = window_at<int64_t>(g.columns, q);
    const int width = static_cast<int>(across.end - across.begin);
    const int pixels = static_cast<int>(down.end - down.begin) * width;
    const int from_top = static_cast<int>(down.begin - top), from_left = static_cast<int>(across.begin);
    const int first_tap =
        static_cast<int>((down.begin - down.origin) * g.columns.kernel + across.begin - across.origin);
    float best[kTogether] = {}, bias[kTogether] = {};
    int chosen[kTogether] = {-1, -1, -1, -1};
#pragma unroll
    for (int e = 0; e < kTogether; e++) {
      if (a.bias != nullptr && quad * kTogether + e < filters_k) bias[e] = a.bias[quad * kTogether + e];
    }
    for (int pixel = 0; pixel < pixels; pixel += kTogether) {
      const float* at[kTogether];
      int tap[kTogether];
      float sums[kTogether][kTogether] = {};
#pragma unroll
      for (int m = 0; m < kTogether; m++) {  // behind the last that one again
        const int own = pixel + m < pixels ? pixel + m : pixels - 1;
        const int i = own / width, j = own - i * width;
        at[m] = image + b.tile.place(v, from_top + i, from_left + j);
        tap[m] = first_tap + i * static_cast<int>(g.columns.kernel) + j;
      }
      const float4* filter = filters + quad;
      for (int r = 0; r < taps; r += run) {
#pragma unroll 4
        for (int t = 0; t < run; t++, filter += b.quads) {
          const float4 w = *filter;
#pragma unroll
          for (int m = 0; m < kTogether; m++) {
            const float x = at[m][t];
            sums[m][0] = fmaf(x, w.x, sums[m][0]), sums[m][1] = fmaf(x, w.y, sums[m][1]);
            sums[m][2] = fmaf(x, w.z, sums[m][2]), sums[m][3] = fmaf(x, w.w, sums[m][3]);
          }
        }
#pragma unroll
        for (int m = 0; m < kTogether; m++) at[m] += b.tile.line;
      }
#pragma unroll
      for (int m = 0; m < kTogether; m++) {
#pragma unroll
        for (int e = 0; e < kTogether; e++) {
          float value = sums[m][e] + bias[e];
          if (a.relu && value < 0) value = 0;
          const bool is_first = pixel + m == 0;
          if (!is_first && !(value > best[e]) && value == value) continue;
          best[e] = value, chosen[e] = tap[m];
        }
      }
    }
    const int64_t place = ((n * g.rows.out + p) * columns + q) * filters_k + quad * kTogether;
#pragma unroll
    for (int e = 0; e < kTogether; e++) {
      if (quad * kTogether + e >= filters_k) continue;
      a.y[place + e] = best[e];
      if (a.index != nullptr) a.index[place + e] = static_cast<uint8_t>(chosen[e]);
    }
  }
}

// --- host

PooledConvGeometry geometry(const Call& call) {
  return pooled_conv_geometry(call.in[0], call.in[1], call.out[0], call.attrs<fj_conv2d_max_pool_attrs>());
}

bool fits_block(const Call& call) {
  const PooledConvGeometry g = geometry(call);
  return g.rows.out > 0 && ConvTile::is_small(g.conv) && window_rows(g, 1).bytes(g.conv) <= kPlainShared;
}

ConvMaxPool operands(const Call& call) {
  return {call.in[0].as<const float>(),
          call.in[1].as<const float>(),
          call.n_in == 3 ? call.in[2].as<const float>() : nullptr,
          call.out[0].as<float>(),
          call.n_out == 2 ? call.out[1].as<uint8_t>() : nullptr,
          call.attrs<fj_conv2d_max_pool_attrs>().activation == FJ_ACTIVATION_RELU};
}

void run_rows(const Call& call, Launcher& to) {
  const PooledConvGeometry g = geometry(call);
  if (element_count(*call.out[0].value) == 0) return;
  const WindowRows b = window_rows(g, to);
  launch(to, conv2d_max_pool_rows_kernel, g.conv.n * b.count, {kRowThreads, b.bytes(g.conv)}, g, b, operands(call));
}

void run(const Call& call, Launcher& to) {
  const int64_t count = element_count(*call.out[0].value);
  if (count == 0) return;
  launch(to, conv2d_max_pool_kernel, blocks_for(count), kThreads, geometry(call), operands(call), count);
}

}  // namespace

void register_conv_max_pool(KernelTable& table) {
  table.add({FJ_OP_CONV2D_MAX_POOL, 0, "conv2dMaxPool rows", run_rows, nullptr, fits_block, false});
  table.add({FJ_OP_CONV2D_MAX_POOL, 0, "conv2dMaxPool", run, nullptr, nullptr, false});
}

}  // namespace forja::cuda
