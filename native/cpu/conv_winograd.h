// Winograd convolution of 3 x 3 filters with stride 1 or 2, dilation 1 and one group (simd/winograd.h): F(4x4,3x3),
// whose rounding error is about four times that of the direct sum, and F(2x2,3x3), whose error is about the same.
//
//   1. tiles     V[plane][channel][tile] = B^T d B                     pixels outside the image are zeros
//   2. filters   U[plane][channel][k]    = G w G^T
//   3. products  M[plane][tile][k]       = sum over channels of V * U  one matrix product a plane (microkernel.h)
//   4. outputs   y = activation(A^T M A + bias)
//
// With stride 1 a plane is a point, a pair of values along the two axes. With stride 2 the filter has four phases, its
// taps of even and odd number along each axis. Their products at one point have one output or one input in common:
//
//   forward          M[point]        = sum over phases of V[point, phase] * U[point, phase]
//   input gradient   M[point, phase] = V[point] * U[point, phase]
//   weight gradient  S[point, phase] = V[point, phase] * Z[point]
//
// That is 81 products for 4x4 pixels of y in place of 144.
//
// Tiles are numbered through all images. Here is what forward, input gradient (a forward convolution of dy with the
// filters turned round) and weight gradient share. Channels of V lie in lines of kLineFloats, zeros after the last.
#pragma once

#include "conv.h"
#include "simd/microkernel.h"
#include "simd/winograd.h"

namespace forja::FJ_ISA {

// How 3 taps with stride S become products along each axis: phase p has the taps p, p + S, .. The phases with fewer
// taps lack the last point, infinity.
template <int TILE, int S>
struct Scheme {
  static constexpr int kTile = TILE, kStride = S;
  static constexpr int taps(int phase) { return (3 - phase + S - 1) / S; }
  static constexpr int kPoints = TILE + taps(0) - 1;                          // along one axis
  static constexpr int kAxisPlanes = S == 1 ? kPoints : 2 * TILE + 1;         // (point, phase) along one axis
  static constexpr int phases_at(int point) { return point < TILE ? S : 1; }  // stride 1 has one at all points

  // Planes where `phases` of them (1 or S) are told apart, point by point.
  static constexpr int planes(int phases) { return phases == 1 ? kPoints * kPoints : kAxisPlanes * kAxisPlanes; }
  static constexpr int plane(int phases, int i, int j, int phase_i, int phase_j) {
    if (phases == 1) return i * kPoints + j;
    return S * i * kAxisPlanes + phases_at(i) * S * j + phase_i * phases_at(j) + phase_j;
  }
  // The point that is number i of a tile of `tile` pixels: the smaller tiles of stride 2 lack the last but one.
  static constexpr int point(int tile, int i) { return i < tile || tile == TILE ? i : i + 1; }
};

// Maps (N, H, W, channels) read in tiles whose top left pixel is (step*row - top, step*column - left) for the output
// pixel (row, column) where the tile begins.
struct TiledMaps {
  const float* data;
  int64_t n, h, w, channels;
  int64_t top, left;
  const float* zeros;  // kWidth-rounded channels of them: what a pixel outside the image holds
};

// Tiles of an image. With stride 2 some rows and columns of tiles, the last ones, are one pixel smaller, such that few
// pixels hang over: 14 = 4 + 4 + 3 + 3. Tiles of one size are numbered one after the other: regions tall and narrow,
// tall and wide, low and wide, low and narrow; those of every point then have consecutive numbers.
constexpr int kRegions = 4;

struct TileGrid {
  int64_t tile, n;
  int64_t rows[2], columns[2];  // of whole tiles, of smaller ones
  // Of each region, a share: its tiles from `first` on, which have the numbers begin[region] .. begin[region + 1] - 1.
  int64_t first[kRegions], begin[kRegions + 1];
  int64_t count;
};

FJ_INLINE int64_t region_tiles(const TileGrid& grid, int region) {
  return grid.n * grid.rows[region >= 2] * grid.columns[region == 0 || region == 3];
}

// One of `parts` nearly equal shares of all tiles, the same part of each region: its tiles are near to each other.
FJ_INLINE TileGrid grid_share(TileGrid grid, int part, int parts) {
  grid.count = 0;
  for (int region = 0; region < kRegions; region++) {
    const Range share = split(region_tiles(grid, region), part, parts);
    grid.first[region] = share.begin;
    grid.begin[region] = grid.count;
    grid.count += share.end - share.begin;
  }
  grid.begin[kRegions] = grid.count;
  return grid;
}

FJ_INLINE TileGrid tile_grid(int64_t n, int64_t oh, int64_t ow, int64_t tile, int64_t stride) {
  TileGrid grid{};
  grid.tile = tile;
  grid.n = n;
  const auto cut = [&](int64_t pixels, int64_t(&tiles)[2]) FJ_LAMBDA {
    const int64_t count = ceil_div(pixels, tile);
    tiles[1] = stride == 1 ? 0 : smaller(count, count * tile - pixels);
    tiles[0] = count - tiles[1];
  };
  cut(oh, grid.rows);
  cut(ow, grid.columns);
  return grid_share(grid, 0, 1);
}

// Numbers of the tiles that have the point (i, j).
template <class S>
FJ_INLINE Range point_tiles(const TileGrid& grid, int i, int j) {
  const bool tall = S::kStride > 1 && i == S::kTile - 1, wide = S::kStride > 1 && j == S::kTile - 1;
  return {grid.begin[wide ? 1 : 0], grid.begin[tall ? 2 : wide ? 3 : kRegions]};
}

struct TilePlace {
  int64_t image, row, column;  // of the first output pixel
};

FJ_INLINE TilePlace tile_place(const TileGrid& grid, int region, int64_t number) {
  const bool low = region >= 2, narrow = region == 0 || region == 3;
  const int64_t rows = grid.rows[low], columns = grid.columns[narrow];
  const int64_t t = grid.first[region] + number - grid.begin[region];
  const int64_t row = t / columns % rows, column = t % columns;
  return {t / (rows * columns), low ? grid.rows[0] * grid.tile + row * (grid.tile - 1) : row * grid.tile,
          narrow ? grid.columns[0] * grid.tile + column * (grid.tile - 1) : column * grid.tile};
}

// visit(region, those of `tiles` in it, rows, columns of a tile) for all regions, sizes known to the compiler.
template <class S, class Visit>
FJ_INLINE void for_regions(const TileGrid& grid, Range tiles, const Visit& visit) {
  constexpr int kWhole = S::kTile, kSmall = S::kStride > 1 ? kWhole - 1 : kWhole;
  const auto part = [&](int region) FJ_LAMBDA {
    return Range{larger(tiles.begin, grid.begin[region]), smaller(tiles.end, grid.begin[region + 1])};
  };
  if constexpr (S::kStride > 1) visit(0, part(0), Index<kWhole>{}, Index<kSmall>{});
  visit(1, part(1), Index<kWhole>{}, Index<kWhole>{});
  if constexpr (S::kStride > 1) {
    visit(2, part(2), Index<kSmall>{}, Index<kWhole>{});
    visit(3, part(3), Index<kSmall>{}, Index<kSmall>{});
  }
}

// visit(i, j) for the phases along both axes, known to the compiler.
template <int PHASES, class Visit>
FJ_INLINE void for_phases(const Visit& visit) {
  unroll_constants<PHASES>([&](auto i) FJ_LAMBDA { unroll_constants<PHASES>([&](auto j) FJ_LAMBDA { visit(i, j); }); });
}

// Planes an odd number of cache lines apart: equal places in the planes of all points then share no set of the cache.
FJ_INLINE int64_t plane_floats(int64_t floats) { return (ceil_div(floats, kLineFloats) | 1) * kLineFloats; }

FJ_INLINE int64_t whole_lines(int64_t channels) { return ceil_div(channels, kLineFloats) * kLineFloats; }

// Where a transformed tile goes: vector v of channels of tile number t to `out` + place(v) + t * tile, one plane a
// point.
struct TileSink {
  float* out;
  int64_t plane, tile;
  int64_t group, group_channels;  // floats from one group of channels to the next, channels in a group
  int64_t channels;               // written; those the maps do not have are zeros
};

// What tiles are read for: kPhases are the pixels of all phases, kStride apart, kPlain those of phase 0, which lie side
// by side (dy, of which each phase of a filter makes other outputs). Both by B^T; kGrad: pixels of the outputs by A.
enum class TileKind { kPhases, kPlain, kGrad };

template <class S, TileKind kKind>
void transform_tiles(const TiledMaps& maps, const TileGrid& grid, Range tiles, const TileSink& sink);

// Of maps.data, the floats from the first to the last row that all tiles of the grid read.
template <class S, TileKind kKind>
Range rows_read(const TiledMaps& maps, const TileGrid& grid);

// The filter of tap (r, s), input channel c, output channel k: first + r*f_r + s*f_s + c*f_c + k*f_k.
struct WinogradFilters {
  const float* first;
  int64_t f_r, f_s, f_c, f_k;
  int64_t channels, k;
};

// U of one panel of kTileCols output channels and some lines of input channels: (planes, channels, kTileCols).
template <class S>
void make_filters(const WinogradFilters& w, int64_t panel, Range lines, float* u, int64_t plane);

// Where outputs (row, column) go: phase p of row i to row PHASES*i + PHASES-1-p - top of the maps, likewise for
// columns.
struct OutputMaps {
  float* data;  // (n, h, w, k)
  int64_t h, w, k;
  int64_t top, left;
  const float* bias;  // (k) or null
  bool relu;
};

// The pixels of one panel of output channels, from M, (planes, tiles, kTileCols).
template <class S, int PHASES>
void write_panel(const OutputMaps& maps, const TileGrid& grid, int64_t panel, const float* m, int64_t plane);

}  // namespace forja::FJ_ISA
