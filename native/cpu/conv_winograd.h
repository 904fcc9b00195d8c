// Winograd convolution of 3 x 3 filters with stride 1, dilation 1 and one group (simd/winograd.h): F(4x4,3x3), whose
// rounding error is about four times that of the direct sum, and F(2x2,3x3), whose error is about the same.
//
//   1. tiles     V[point][channel][tile] = B^T d B                     pixels outside the image are zeros
//   2. filters   U[point][channel][k]    = G w G^T
//   3. products  M[point][tile][k]       = sum over channels of V * U  one matrix product a point (microkernel.h)
//   4. outputs   y = activation(A^T M A + bias)
//
// Tiles are numbered through all images. Here is what forward, input gradient (a forward convolution of dy with the
// filters turned round) and weight gradient share. Channels of V lie in lines of kLineFloats, zeros after the last.
#pragma once

#include "conv.h"
#include "simd/microkernel.h"
#include "simd/winograd.h"

namespace forja::FJ_ISA {

// Maps (N, H, W, channels) read in tiles whose top left pixel is (stride*row - top, stride*column - left).
struct TiledMaps {
  const float* data;
  int64_t n, h, w, channels;
  int64_t top, left;
  const float* zeros;  // kWidth-rounded channels of them: what a pixel outside the image holds
};

struct TileGrid {
  int64_t rows, columns, count;  // tiles of one image, of all
};

FJ_INLINE TileGrid tile_grid(int64_t n, int64_t oh, int64_t ow, int64_t m) {
  const int64_t rows = ceil_div(oh, m), columns = ceil_div(ow, m);
  return {rows, columns, n * rows * columns};
}

// Planes an odd number of cache lines apart: equal places in the planes of all points then share no set of the cache.
FJ_INLINE int64_t plane_floats(int64_t floats) { return (ceil_div(floats, kLineFloats) | 1) * kLineFloats; }

FJ_INLINE int64_t whole_lines(int64_t channels) { return ceil_div(channels, kLineFloats) * kLineFloats; }

// Where a transformed tile goes: vector v of channels of tile t to `out` + place(v) + t * tile, one plane a point.
struct TileSink {
  float* out;
  int64_t plane, tile;
  int64_t group, group_channels;  // floats from one group of channels to the next, channels in a group
  int64_t channels;               // written; those the maps do not have are zeros
};

// Transforms `tiles` of the maps; the tile at tiles.begin is number `first` of the sink. kGrad: M x M pixels by A
// instead of (M+2) x (M+2) by B^T.
template <int M, bool kGrad>
void transform_tiles(const TiledMaps& maps, const TileGrid& grid, Range tiles, int64_t first, const TileSink& sink);

}  // namespace forja::FJ_ISA
