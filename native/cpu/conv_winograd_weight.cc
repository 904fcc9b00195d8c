// Weight gradient by Winograd: conv_winograd.h.
//
//   S[point][c][k] = sum over tiles of V[point][c][tile] * Z[point][k][tile]      V = B^T d B of x, Z = A dy A^T
//   dw[.][.][c][k] = G^T S G
//
// Tiles are taken in blocks: all threads transform a part of the block's tiles, then each adds the products of its
// own (point, panel of kTileCols output channels) to S. Where one block holds all tiles, S need not be kept: a thread
// takes a panel and kGroup input channels, all points of them, and turns S into dw while it is near the core.
#include <cstring>

#include "conv_winograd.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kGroup = 128;               // input channels
constexpr int64_t kBlockFloats = 400 * 1024;  // V and Z of a block: 1.6 MB, or a third of S where that is more
constexpr int64_t kFewestTiles = 32;
constexpr int64_t kRun = 64;                          // tiles summed before they are added to S: bounds the error
constexpr int64_t kOneBlockFloats = 7 * 1024 * 1024;  // the most V and Z of all tiles may take: 28 MB

template <int M>
struct Plan {
  static constexpr int kPoints = (M + 2) * (M + 2);
  TileGrid grid;
  int64_t block, blocks;
  int64_t channels;  // input channels in whole lines
  int64_t panels;
  int64_t v_plane, z_plane, z_panel;  // floats of a point of V, a point of Z, a panel of Z
  int64_t s_plane, s_panel;           // floats of a point and of a panel of S
  float *v, *z, *s, *zeros;
  size_t bytes;
};

template <int M>
Plan<M> plan_winograd(const ConvGeometry& g, int threads, uint8_t* scratch) {
  constexpr int64_t kPoints = Plan<M>::kPoints;
  Plan<M> plan{};
  plan.grid = tile_grid(g.n, g.oh, g.ow, M);
  plan.channels = whole_lines(g.c);
  plan.panels = ceil_div(g.k, kTileCols);
  const int64_t tile_floats = kPoints * (plan.channels + plan.panels * kTileCols);
  const int64_t s_floats = kPoints * plan.channels * plan.panels * kTileCols;
  plan.block = plan.grid.count;
  if (plan.block * tile_floats > smaller(s_floats, kOneBlockFloats)) {
    const int64_t most = larger(kBlockFloats, s_floats / 3) / tile_floats;
    plan.block = even_part(plan.grid.count, larger(kFewestTiles, most));
  }
  plan.blocks = ceil_div(plan.grid.count, plan.block);
  plan.v_plane = plane_floats(plan.channels * plan.block);
  plan.z_plane = plane_floats(kTileCols * plan.block);
  plan.z_panel = kPoints * plan.z_plane;
  plan.s_plane = plane_floats(kTileCols * (plan.blocks > 1 ? plan.channels : smaller(kGroup, plan.channels)));
  plan.s_panel = kPoints * plan.s_plane;
  ScratchCursor cursor(scratch);
  plan.v = cursor.take(kPoints * plan.v_plane);
  plan.z = cursor.take(plan.panels * plan.z_panel);
  plan.s = cursor.take((plan.blocks > 1 ? plan.panels : threads) * plan.s_panel);
  plan.zeros = cursor.take(larger(plan.channels, plan.panels * kTileCols) * threads);
  plan.bytes = cursor.used();
  return plan;
}

int panel_vectors(const ConvGeometry& g, int64_t panel) {
  return static_cast<int>(smaller(kTileVectors, ceil_div(g.k - panel * kTileCols, kWidth)));
}

// S of one point and panel and the channels given: (channels, kTileCols), over the tiles of a block.
template <int M>
void multiply(const Plan<M>& plan, int64_t point, int64_t panel, int nv, Range channels, int64_t tiles, bool accumulate,
              float* s) {
  const int64_t height = even_part(kLineFloats, kTileRows), run = even_part(tiles, kRun);
  const BSource source = nv == kTileVectors ? BSource::kPacked : BSource::kInPlace;
  const float* v = plan.v + point * plan.v_plane;
  const float* z = plan.z + panel * plan.z_panel + point * plan.z_plane;
  TileArgs t{};
  t.lda = kLineFloats;
  t.ldb = t.ldc = kTileCols;
  t.tail = kWidth;
  for (int64_t tile = 0; tile < tiles; tile += run) {
    t.b = z + tile * kTileCols;
    t.kc = smaller(run, tiles - tile);
    t.accumulate = accumulate || tile > 0;
    for (int64_t line = channels.begin; line < channels.end; line += kLineFloats) {
      for (int64_t row = 0; row < kLineFloats; row += height) {
        t.a = v + line * plan.block + tile * kLineFloats + row;
        t.c = s + (line - channels.begin + row) * kTileCols;
        tile_kernel(ASource::kColumns, source, static_cast<int>(smaller(height, kLineFloats - row)), nv)(t);
      }
    }
  }
}

// dw of `channels` channels from c on and one panel; s: S of channel c.
template <int M>
__attribute__((noinline)) void write_filters(const Plan<M>& plan, const ConvGeometry& g, const float* s, int64_t panel,
                                             int64_t c, int64_t channels, float* dw) {
  constexpr int kPoints = M + 2;
  for (int64_t j = 0; j < kTileCols; j += kWidth) {
    const int64_t k = panel * kTileCols + j;
    if (k >= g.k) break;
    const Mask lanes = tail_mask(g.k - k);
    const float* from = s + j;
    float* to = dw + c * g.k + k;
    for (int64_t i = 0; i < channels; i++, from += kTileCols, to += g.k) {
      transform_2d<kPoints, 3>(
          [&](auto y, auto x) FJ_LAMBDA { return load(from + (y * kPoints + x) * plan.s_plane); },
          [](const Vec(&column)[kPoints], Vec(&o)[3]) FJ_LAMBDA { Winograd<M>::filter_grad(column, o); },
          [&](auto r, auto q, Vec v) FJ_LAMBDA { store_masked(to + (r * 3 + q) * g.c * g.k, lanes, v); });
    }
  }
}

}  // namespace

template <int M>
size_t conv_grad_weight_winograd_scratch(const ConvGeometry& g, int threads) {
  return plan_winograd<M>(g, threads, nullptr).bytes;
}

template <int M>
void conv_grad_weight_winograd(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                               uint8_t* scratch) {
  constexpr int kPoints = Plan<M>::kPoints;
  const Plan<M> plan = plan_winograd<M>(g, team.count, scratch);
  const int64_t zero_floats = larger(plan.channels, plan.panels * kTileCols);
  float* zeros = plan.zeros + team.id * zero_floats;
  memset(zeros, 0, zero_floats * sizeof(float));
  const TiledMaps image{x, g.n, g.h, g.w, g.c, g.pad_top, g.pad_left, zeros};
  const TiledMaps maps{dy, g.n, g.oh, g.ow, g.k, 0, 0, zeros};
  const TileSink to_v{plan.v, plan.v_plane, kLineFloats, plan.block * kLineFloats, kLineFloats, plan.channels};
  const TileSink to_z{plan.z, plan.z_plane, kTileCols, plan.z_panel, kTileCols, ceil_div(g.k, kWidth) * kWidth};

  const Range units = split(kPoints * plan.panels, team);
  for (int64_t begin = 0; begin < plan.grid.count; begin += plan.block) {
    const int64_t tiles = smaller(plan.block, plan.grid.count - begin);
    const Range mine = split(tiles, team);
    const Range absolute{begin + mine.begin, begin + mine.end};
    if (begin > 0) team.barrier();  // the last block's tiles have been read
    transform_tiles<M, false>(image, plan.grid, absolute, mine.begin, to_v);
    transform_tiles<M, true>(maps, plan.grid, absolute, mine.begin, to_z);
    team.barrier();
    if (plan.blocks == 1) break;
    for (int64_t unit = units.begin; unit < units.end; unit++) {
      const int64_t point = unit / plan.panels, panel = unit % plan.panels;
      multiply<M>(plan, point, panel, panel_vectors(g, panel), {0, plan.channels}, tiles, begin > 0,
                  plan.s + panel * plan.s_panel + point * plan.s_plane);
    }
  }
  if (plan.blocks > 1) {
    team.barrier();
    const Range rows = split(plan.panels * g.c, team);
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t panel = row / g.c, c = row % g.c, count = smaller(g.c - c, rows.end - row);
      write_filters<M>(plan, g, plan.s + panel * plan.s_panel + c * kTileCols, panel, c, count, dw);
      row += count;
    }
    return;
  }
  const int64_t group = even_part(plan.channels / kLineFloats, kGroup / kLineFloats) * kLineFloats;
  const int64_t groups = ceil_div(plan.channels, group);
  float* s = plan.s + team.id * plan.s_panel;
  const Range pieces = split(groups * plan.panels, team);
  for (int64_t piece = pieces.begin; piece < pieces.end; piece++) {
    const int64_t panel = piece / groups, c = piece % groups * group;
    const Range channels{c, smaller(plan.channels, c + group)};
    for (int point = 0; point < kPoints; point++) {
      multiply<M>(plan, point, panel, panel_vectors(g, panel), channels, plan.grid.count, false,
                  s + point * plan.s_plane);
    }
    write_filters<M>(plan, g, s, panel, c, smaller(g.c - c, group), dw);
  }
}

template size_t conv_grad_weight_winograd_scratch<2>(const ConvGeometry&, int);
template size_t conv_grad_weight_winograd_scratch<4>(const ConvGeometry&, int);
template void conv_grad_weight_winograd<2>(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);
template void conv_grad_weight_winograd<4>(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);

}  // namespace forja::FJ_ISA
