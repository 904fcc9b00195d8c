// What some rows of a convolution's maps see of an image, in a block's memory with its padding: (rows, columns, C), so
// that no tap has to be asked whether it is inside.
#pragma once

#include "device/block.cuh"
#include "device/ptx.cuh"
#include "kernel.cuh"

namespace forja::cuda {

struct ConvTile {
  int rows;  // of the image
  int line;  // numbers of a row

  // What `map_rows` rows of the maps see. One group, no dilation.
  ConvTile(const ConvGeometry& g, int64_t map_rows)
      : rows(static_cast<int>((map_rows - 1) * g.stride_h + g.r)),
        line(static_cast<int>(((g.ow - 1) * g.stride_w + g.s) * g.c)) {}

  size_t bytes() const { return static_cast<size_t>(rows) * static_cast<size_t>(line) * sizeof(float); }
  // Whether rows, columns and filters are so few that what is made of them can be counted in 32 bits.
  static bool is_small(const ConvGeometry& g) {
    constexpr int64_t kMost = 1 << 14;
    for (const int64_t size : {g.h, g.w, g.c, g.k, g.r, g.s, (g.oh - 1) * g.stride_h, (g.ow - 1) * g.stride_w}) {
      if (size >= kMost) return false;
    }
    return g.r * g.s * g.c < kMost;
  }

  // Where the pixel in row i from the tile's first, column j of the maps begins to see it.
  __device__ __forceinline__ int place(const ConvGeometry& g, int i, int j) const {
    return i * static_cast<int>(g.stride_h) * line + j * static_cast<int>(g.stride_w) * static_cast<int>(g.c);
  }

  // Of `image` (H, W, C), what is seen from row `top` of the maps on; by all threads, a warp to a row. It is there
  // behind the next barrier.
  __device__ __forceinline__ void load(const ConvGeometry& g, const float* image, int64_t top, float* tile) const {
    const int first = static_cast<int>(top * g.stride_h - g.pad_top), left = static_cast<int>(g.pad_left * g.c);
    const int height = static_cast<int>(g.h), width = static_cast<int>(g.w * g.c);
    const int warps = static_cast<int>(blockDim.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int row = static_cast<int>(threadIdx.x) / kWarp; row < rows; row += warps) {
      const int i = first + row;
      const bool inside = i >= 0 && i < height;
      const float* from = image + static_cast<int64_t>(i) * width - left;
      for (int at = lane; at < line; at += kWarp) {
        tile[row * line + at] = inside && at >= left && at - left < width ? from[at] : 0.0f;
      }
    }
  }
};

// The pixel of the maps that window number `window` of a channel chose; a tap outside its window, or outside the maps,
// chose none.
struct ChosenPixel {
  int row, column;
  bool inside;

  __device__ __forceinline__ ChosenPixel(const PooledConvGeometry& g, int window, int tap) {
    const int columns = static_cast<int>(g.columns.out), taps = static_cast<int>(g.columns.kernel);
    const int p = window / columns, q = window - p * columns, down = tap / taps;
    row = p * static_cast<int>(g.rows.stride) - static_cast<int>(g.rows.before) + down;
    column = q * static_cast<int>(g.columns.stride) - static_cast<int>(g.columns.before) + tap - down * taps;
    inside = down < g.rows.kernel && row >= 0 && row < g.conv.oh && column >= 0 && column < g.conv.ow;
  }
};

}  // namespace forja::cuda
