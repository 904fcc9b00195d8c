// Step 1 of conv_winograd.h: pixels of NHWC maps to transformed tiles.
#include "conv_winograd.h"

namespace forja::FJ_ISA {
namespace {

template <int M, bool kGrad>
constexpr int kTilePixels = kGrad ? M : M + 2;  // along one axis

template <int M, bool kGrad, class At>
FJ_INLINE void transform_tile(const At& at, float* out, int64_t plane) {
  constexpr int kPoints = M + 2;
  transform_2d<kTilePixels<M, kGrad>, kPoints>(
      at,
      [](const auto& pixels, Vec(&o)[kPoints]) FJ_LAMBDA {
        if constexpr (kGrad) {
          Winograd<M>::output_grad(pixels, o);
        } else {
          Winograd<M>::input(pixels, o);
        }
      },
      [&](auto i, auto j, Vec v) FJ_LAMBDA { store(out + (i * kPoints + j) * plane, v); });
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
template <int M, bool kGrad>
__attribute__((noinline)) void inside_tile(const TiledMaps& maps, const float* x, const TileSink& sink,
                                           SinkCursor cursor) {
  const int64_t pixel = maps.channels, row = maps.w * pixel;
  for (int64_t c = 0; c + kWidth <= maps.channels; c += kWidth, x += kWidth) {
    transform_tile<M, kGrad>([&](auto i, auto j) FJ_LAMBDA { return load(x + i * row + j * pixel); }, cursor.out,
                             sink.plane);
    cursor.advance(sink);
  }
}

template <int N>
struct TilePixels {
  const float* at[N][N];
};

// The same from channel c on for any tile; the last vectors may be partly or wholly beyond the channels.
template <int M, bool kGrad>
__attribute__((noinline)) void any_tile(const TiledMaps& maps, const TilePixels<kTilePixels<M, kGrad>>& pixels,
                                        int64_t c, const TileSink& sink, SinkCursor cursor) {
  for (; c + kWidth <= maps.channels; c += kWidth) {
    transform_tile<M, kGrad>([&](auto i, auto j) FJ_LAMBDA { return load(pixels.at[i][j] + c); }, cursor.out,
                             sink.plane);
    cursor.advance(sink);
  }
  for (; c < sink.channels; c += kWidth) {
    const Mask lanes = tail_mask(maps.channels - c);
    transform_tile<M, kGrad>([&](auto i, auto j) FJ_LAMBDA { return load_masked(lanes, pixels.at[i][j] + c); },
                             cursor.out, sink.plane);
    cursor.advance(sink);
  }
}

template <int N>
TilePixels<N> tile_pixels(const TiledMaps& maps, int64_t image, int64_t row, int64_t column) {
  TilePixels<N> pixels;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      const int64_t y = row + i, x = column + j;
      const bool inside = y >= 0 && y < maps.h && x >= 0 && x < maps.w;
      pixels.at[i][j] = inside ? maps.data + ((image * maps.h + y) * maps.w + x) * maps.channels : maps.zeros;
    }
  }
  return pixels;
}

}  // namespace

template <int M, bool kGrad>
void transform_tiles(const TiledMaps& maps, const TileGrid& grid, Range tiles, int64_t first, const TileSink& sink) {
  constexpr int kPixels = kTilePixels<M, kGrad>;
  const int64_t per_image = grid.rows * grid.columns, whole = maps.channels / kWidth * kWidth;
  for (int64_t t = tiles.begin; t < tiles.end; t++, first++) {
    const int64_t image = t / per_image, row = t % per_image / grid.columns * M - maps.top;
    const int64_t column = t % grid.columns * M - maps.left;
    SinkCursor cursor{sink.out + first * sink.tile, sink.group - sink.group_channels};
    const bool inside = row >= 0 && row + kPixels <= maps.h && column >= 0 && column + kPixels <= maps.w;
    if (inside && whole == sink.channels) {
      const float* x = maps.data + ((image * maps.h + row) * maps.w + column) * maps.channels;
      inside_tile<M, kGrad>(maps, x, sink, cursor);
    } else {
      any_tile<M, kGrad>(maps, tile_pixels<kPixels>(maps, image, row, column), 0, sink, cursor);
    }
  }
}

template void transform_tiles<2, false>(const TiledMaps&, const TileGrid&, Range, int64_t, const TileSink&);
template void transform_tiles<2, true>(const TiledMaps&, const TileGrid&, Range, int64_t, const TileSink&);
template void transform_tiles<4, false>(const TiledMaps&, const TileGrid&, Range, int64_t, const TileSink&);
template void transform_tiles<4, true>(const TiledMaps&, const TileGrid&, Range, int64_t, const TileSink&);

}  // namespace forja::FJ_ISA
