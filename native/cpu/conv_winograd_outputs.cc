// Step 4 of conv_winograd.h: products of tiles to pixels.
#include "conv_winograd.h"

namespace forja::FJ_ISA {
namespace {

// One vector of output channels of a tile; y: where its first pixel would be.
struct TileOutput {
  float* y;
  int64_t row, pixel;
  Range rows, columns;  // pixels of the tile that there are
  Mask lanes;
  Vec bias, least;
};

template <class S, int PHASES, int ROWS, int COLUMNS, bool kWhole>
__attribute__((noinline)) void write_tile(const float* m, int64_t plane, const TileOutput& out) {
  for_phases<PHASES>([&](auto phase_i, auto phase_j) FJ_LAMBDA {
    constexpr int kTapRows = S::taps(phase_i), kTapColumns = S::taps(phase_j);
    constexpr int kPointRows = ROWS + kTapRows - 1, kPointColumns = COLUMNS + kTapColumns - 1;
    transform_2d<kPointRows, kPointColumns, ROWS, COLUMNS>(
        [&](auto i, auto j) FJ_LAMBDA {
          const int point = S::plane(PHASES, S::point(ROWS, i), S::point(COLUMNS, j), phase_i, phase_j);
          return load(m + point * plane);
        },
        [](const Vec(&column)[kPointRows], Vec(&o)[ROWS]) FJ_LAMBDA { Winograd<ROWS, kTapRows>::output(column, o); },
        [](const Vec(&row)[kPointColumns], Vec(&o)[COLUMNS])
            FJ_LAMBDA { Winograd<COLUMNS, kTapColumns>::output(row, o); },
        [&](auto i, auto j, Vec v) FJ_LAMBDA {
          const int row = PHASES * i + PHASES - 1 - phase_i, column = PHASES * j + PHASES - 1 - phase_j;
          const Vec result = max(out.least, v + out.bias);
          if constexpr (kWhole) {
            store(out.y + row * out.row + column * out.pixel, result);
          } else if (row >= out.rows.begin && row < out.rows.end && column >= out.columns.begin &&
                     column < out.columns.end) {
            store_masked(out.y + row * out.row + column * out.pixel, out.lanes, result);
          }
        });
  });
}

}  // namespace

template <class S, int PHASES>
void write_panel(const OutputMaps& maps, const TileGrid& grid, int64_t panel, const float* m, int64_t plane) {
  TileOutput out{};
  out.row = maps.w * maps.k;
  out.pixel = maps.k;
  out.least = maps.relu ? zero() : broadcast(-__builtin_inff());
  for (int64_t j = 0; j < kTileCols; j += kWidth) {
    const int64_t channel = panel * kTileCols + j, left = maps.k - channel;
    if (left <= 0) break;
    out.lanes = tail_mask(left);
    out.bias = maps.bias ? load_masked(out.lanes, maps.bias + channel) : zero();
    for_regions<S>(grid, {0, grid.count}, [&](int region, Range tiles, auto rows, auto columns) FJ_LAMBDA {
      constexpr int kRows = PHASES * rows, kColumns = PHASES * columns;
      for (int64_t t = tiles.begin; t < tiles.end; t++) {
        const TilePlace place = tile_place(grid, region, t);
        const int64_t row = PHASES * place.row - maps.top, column = PHASES * place.column - maps.left;
        out.rows = {row < 0 ? -row : 0, smaller(kRows, maps.h - row)};
        out.columns = {column < 0 ? -column : 0, smaller(kColumns, maps.w - column)};
        out.y = maps.data + ((place.image * maps.h + row) * maps.w + column) * maps.k + channel;
        const bool whole = out.rows.end - out.rows.begin == kRows && out.columns.end - out.columns.begin == kColumns;
        const auto write = whole && left >= kWidth ? write_tile<S, PHASES, rows, columns, true>
                                                   : write_tile<S, PHASES, rows, columns, false>;
        write(m + t * kTileCols + j, plane, out);
      }
    });
  }
}

template void write_panel<Scheme<2, 1>, 1>(const OutputMaps&, const TileGrid&, int64_t, const float*, int64_t);
template void write_panel<Scheme<4, 1>, 1>(const OutputMaps&, const TileGrid&, int64_t, const float*, int64_t);
template void write_panel<Scheme<4, 2>, 1>(const OutputMaps&, const TileGrid&, int64_t, const float*, int64_t);
template void write_panel<Scheme<4, 2>, 2>(const OutputMaps&, const TileGrid&, int64_t, const float*, int64_t);

}  // namespace forja::FJ_ISA
