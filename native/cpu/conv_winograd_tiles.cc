// Step 1 of conv_winograd.h: pixels of NHWC maps to transformed tiles.
#include "conv_winograd.h"

namespace forja::FJ_ISA {
namespace {

// Of the pixels a tile reads, along one axis: how many for `tile` outputs, and how far apart those of neighbouring
// outputs lie.
template <class S, TileKind kKind>
struct Reading {
  static constexpr int kStep = kKind == TileKind::kPhases ? S::kStride : 1;
  static constexpr int kPhases = kStep;
  static constexpr int pixels(int tile) {
    if (kKind == TileKind::kGrad) return tile;
    return kKind == TileKind::kPhases ? kStep * (tile - 1) + 3 : tile + S::taps(0) - 1;
  }
};

template <TileKind kKind, int TILE, int T>
struct ToPoints {
  static constexpr int kIn = kKind == TileKind::kGrad ? TILE : TILE + T - 1, kOut = TILE + T - 1;
  FJ_INLINE_MEMBER void operator()(const Vec (&pixels)[kIn], Vec (&o)[kOut]) const {
    if constexpr (kKind == TileKind::kGrad) {
      Winograd<TILE, T>::output_grad(pixels, o);
    } else {
      Winograd<TILE, T>::input(pixels, o);
    }
  }
};

// One phase of one vector of channels; at(i, j): a pixel of the tile.
template <class S, TileKind kKind, int ROWS, int COLUMNS, int PHASE_I, int PHASE_J, class At>
FJ_INLINE void transform_phase(const At& at, float* out, int64_t plane) {
  using Read = Reading<S, kKind>;
  using Down = ToPoints<kKind, ROWS, S::taps(PHASE_I)>;
  using Across = ToPoints<kKind, COLUMNS, S::taps(PHASE_J)>;
  transform_2d<Down::kIn, Across::kIn, Down::kOut, Across::kOut>(
      [&](auto i, auto j) FJ_LAMBDA { return at(Read::kStep * i + PHASE_I, Read::kStep * j + PHASE_J); }, Down{},
      Across{},
      [&](auto i, auto j, Vec v) FJ_LAMBDA {
        const int point = S::plane(Read::kPhases, S::point(ROWS, i), S::point(COLUMNS, j), PHASE_I, PHASE_J);
        store(out + point * plane, v);
      });
}

// Where vector after vector of channels goes.
struct SinkCursor {
  float* out;
  int64_t next_group, in_group = 0;

  FJ_INLINE_MEMBER void advance(const TileSink& sink) {
    in_group += kWidth;
    out += kWidth;
    if (in_group < sink.group_channels) return;
    in_group = 0;
    out += next_group;
  }
};

// All whole vectors of channels of a tile inside the image; x: its first pixel.
template <class S, TileKind kKind, int ROWS, int COLUMNS>
__attribute__((noinline)) void inside_tile(const TiledMaps& maps, const float* x, const TileSink& sink,
                                           const SinkCursor first) {
  const int64_t pixel = maps.channels, row = maps.w * pixel;
  for_phases<Reading<S, kKind>::kPhases>([&](auto phase_i, auto phase_j) FJ_LAMBDA {
    SinkCursor cursor = first;
    for (int64_t c = 0; c + kWidth <= maps.channels; c += kWidth) {
      transform_phase<S, kKind, ROWS, COLUMNS, phase_i, phase_j>(
          [&](auto i, auto j) FJ_LAMBDA { return load(x + c + i * row + j * pixel); }, cursor.out, sink.plane);
      cursor.advance(sink);
    }
  });
}

template <int ROWS, int COLUMNS>
struct TilePixels {
  const float* at[ROWS][COLUMNS];
};

// The same for any tile; the last vectors may be partly or wholly beyond the channels.
template <class S, TileKind kKind, int ROWS, int COLUMNS, class Pixels>
__attribute__((noinline)) void any_tile(const TiledMaps& maps, const Pixels& pixels, const TileSink& sink,
                                        const SinkCursor first) {
  for_phases<Reading<S, kKind>::kPhases>([&](auto phase_i, auto phase_j) FJ_LAMBDA {
    SinkCursor cursor = first;
    const auto transform = [&](const auto& at) FJ_LAMBDA {
      transform_phase<S, kKind, ROWS, COLUMNS, phase_i, phase_j>(at, cursor.out, sink.plane);
      cursor.advance(sink);
    };
    int64_t c = 0;
    for (; c + kWidth <= maps.channels; c += kWidth) {
      transform([&](auto i, auto j) FJ_LAMBDA { return load(pixels.at[i][j] + c); });
    }
    for (; c < sink.channels; c += kWidth) {
      const Mask lanes = tail_mask(maps.channels - c);
      transform([&](auto i, auto j) FJ_LAMBDA { return load_masked(lanes, pixels.at[i][j] + c); });
    }
  });
}

template <int ROWS, int COLUMNS>
TilePixels<ROWS, COLUMNS> tile_pixels(const TiledMaps& maps, int64_t image, int64_t row, int64_t column) {
  TilePixels<ROWS, COLUMNS> pixels;
  for (int i = 0; i < ROWS; i++) {
    for (int j = 0; j < COLUMNS; j++) {
      const int64_t y = row + i, x = column + j;
      const bool inside = y >= 0 && y < maps.h && x >= 0 && x < maps.w;
      pixels.at[i][j] = inside ? maps.data + ((image * maps.h + y) * maps.w + x) * maps.channels : maps.zeros;
    }
  }
  return pixels;
}

template <class S, TileKind kKind, int ROWS, int COLUMNS>
void transform_region(const TiledMaps& maps, const TileGrid& grid, int region, Range tiles, const TileSink& sink) {
  using Read = Reading<S, kKind>;
  constexpr int kRows = Read::pixels(ROWS), kColumns = Read::pixels(COLUMNS);
  const int64_t whole = maps.channels / kWidth * kWidth;
  for (int64_t t = tiles.begin; t < tiles.end; t++) {
    const TilePlace place = tile_place(grid, region, t);
    const int64_t row = place.row * Read::kStep - maps.top, column = place.column * Read::kStep - maps.left;
    SinkCursor cursor{sink.out + t * sink.tile, sink.group - sink.group_channels};
    const bool inside = row >= 0 && row + kRows <= maps.h && column >= 0 && column + kColumns <= maps.w;
    if (inside && whole == sink.channels) {
      const float* x = maps.data + ((place.image * maps.h + row) * maps.w + column) * maps.channels;
      inside_tile<S, kKind, ROWS, COLUMNS>(maps, x, sink, cursor);
    } else {
      any_tile<S, kKind, ROWS, COLUMNS>(maps, tile_pixels<kRows, kColumns>(maps, place.image, row, column), sink,
                                        cursor);
    }
  }
}

}  // namespace

template <class S, TileKind kKind>
void transform_tiles(const TiledMaps& maps, const TileGrid& grid, Range tiles, const TileSink& sink) {
  for_regions<S>(grid, tiles, [&](int region, Range part, auto rows, auto columns) FJ_LAMBDA {
    transform_region<S, kKind, rows, columns>(maps, grid, region, part, sink);
  });
}

template <class S, TileKind kKind>
Range rows_read(const TiledMaps& maps, const TileGrid& grid) {
  using Read = Reading<S, kKind>;
  Range all{grid.n * maps.h, 0};
  for_regions<S>(grid, {0, grid.count}, [&](int region, Range part, auto rows, auto) FJ_LAMBDA {
    if (part.begin >= part.end) return;
    const TilePlace first = tile_place(grid, region, part.begin), last = tile_place(grid, region, part.end - 1);
    const int64_t top = first.row * Read::kStep - maps.top, bottom = last.row * Read::kStep - maps.top;
    const int64_t begin = first.image * maps.h + larger(0, top);
    const int64_t end = last.image * maps.h + smaller(maps.h, bottom + Read::pixels(rows));
    all = {smaller(all.begin, begin), larger(all.end, end)};
  });
  const int64_t row = maps.w * maps.channels;
  return {all.begin * row, larger(all.begin, all.end) * row};
}

template void transform_tiles<Scheme<2, 1>, TileKind::kPhases>(const TiledMaps&, const TileGrid&, Range,
                                                               const TileSink&);
template void transform_tiles<Scheme<2, 1>, TileKind::kGrad>(const TiledMaps&, const TileGrid&, Range, const TileSink&);
template void transform_tiles<Scheme<4, 1>, TileKind::kPhases>(const TiledMaps&, const TileGrid&, Range,
                                                               const TileSink&);
template void transform_tiles<Scheme<4, 1>, TileKind::kGrad>(const TiledMaps&, const TileGrid&, Range, const TileSink&);
template void transform_tiles<Scheme<4, 2>, TileKind::kPhases>(const TiledMaps&, const TileGrid&, Range,
                                                               const TileSink&);
template void transform_tiles<Scheme<4, 2>, TileKind::kPlain>(const TiledMaps&, const TileGrid&, Range,
                                                              const TileSink&);
template void transform_tiles<Scheme<4, 2>, TileKind::kGrad>(const TiledMaps&, const TileGrid&, Range, const TileSink&);

template Range rows_read<Scheme<2, 1>, TileKind::kPhases>(const TiledMaps&, const TileGrid&);
template Range rows_read<Scheme<4, 1>, TileKind::kPhases>(const TiledMaps&, const TileGrid&);
template Range rows_read<Scheme<4, 2>, TileKind::kPhases>(const TiledMaps&, const TileGrid&);
template Range rows_read<Scheme<4, 2>, TileKind::kPlain>(const TiledMaps&, const TileGrid&);

}  // namespace forja::FJ_ISA
