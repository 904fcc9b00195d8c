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

constexpr int64_t kGroup = 128;  // input channels, of all phases
// V and Z of a block: 1.6 MB, or a third of S where that is more; with stride 2, whose S is larger, 4.8 MB.
template <class S>
constexpr int64_t kBlockFloats = (S::kStride == 1 ? 400 : 1200) * 1024;
constexpr int64_t kFewestTiles = 32;
// Tiles summed before they are added to S: bounds the error, which is less with stride 2.
template <class S>
constexpr int64_t kRun = S::kStride == 1 ? 64 : 128;
constexpr int64_t kOneBlockFloats = 7 * 1024 * 1024;  // the most V and Z of all tiles may take: 28 MB

struct Plan {
  TileGrid grid;
  int64_t blocks, block;  // runs of tiles, the most tiles of one
  int64_t channels;       // input channels in whole lines
  int64_t panels;
  int64_t v_plane, z_plane, z_panel;  // floats of a plane of V, a point of Z, a panel of Z
  int64_t s_plane, s_panel;           // floats of a plane and of a panel of S
  float *v, *z, *s, *zeros;
  size_t bytes;
};

template <class S>
Plan plan_winograd(const ConvGeometry& g, int threads, uint8_t* scratch) {
  constexpr int64_t kPlanes = S::planes(S::kStride), kPoints = S::planes(1);
  Plan plan{};
  plan.grid = tile_grid(g.n, g.oh, g.ow, S::kTile, S::kStride);
  plan.channels = whole_lines(g.c);
  plan.panels = ceil_div(g.k, kTileCols);
  const int64_t tile_floats = kPlanes * plan.channels + kPoints * plan.panels * kTileCols;
  const int64_t s_floats = kPlanes * plan.channels * plan.panels * kTileCols;
  plan.blocks = 1;
  if (plan.grid.count * tile_floats > smaller(s_floats, kOneBlockFloats)) {
    const int64_t most = larger(kBlockFloats<S>, s_floats / 3) / tile_floats;
    plan.blocks = ceil_div(plan.grid.count, larger(kFewestTiles, most));
  }
  plan.block = grid_share(plan.grid, 0, static_cast<int>(plan.blocks)).count;
  plan.v_plane = plane_floats(plan.channels * plan.block);
  plan.z_plane = plane_floats(kTileCols * plan.block);
  plan.z_panel = kPoints * plan.z_plane;
  plan.s_plane =
      plane_floats(kTileCols * (plan.blocks > 1 ? plan.channels : smaller(kGroup / S::kStride, plan.channels)));
  plan.s_panel = kPlanes * plan.s_plane;
  ScratchCursor cursor(scratch);
  plan.v = cursor.take(kPlanes * plan.v_plane);
  plan.z = cursor.take(plan.panels * plan.z_panel);
  plan.s = cursor.take((plan.blocks > 1 ? plan.panels : threads) * plan.s_panel);
  plan.zeros = cursor.take(larger(plan.channels, plan.panels * kTileCols) * threads);
  plan.bytes = cursor.used();
  return plan;
}

int panel_vectors(const ConvGeometry& g, int64_t panel) {
  return static_cast<int>(smaller(kTileVectors, ceil_div(g.k - panel * kTileCols, kWidth)));
}

// S of one plane of the point (i, j), one panel and the channels given: (channels, kTileCols), over the tiles of a
// block that have the point. V of the plane, Z of the point and the panel.
template <class S>
void multiply(const Plan& plan, const TileGrid& grid, int i, int j, const float* v, const float* z, int nv,
              Range channels, bool accumulate, float* s) {
  const Range tiles = point_tiles<S>(grid, i, j);
  const int64_t height = even_part(kLineFloats, kTileRows), run = even_part(tiles.end - tiles.begin, kRun<S>);
  const BSource source = nv == kTileVectors ? BSource::kPacked : BSource::kInPlace;
  if (tiles.begin >= tiles.end && !accumulate)
    memset(s, 0, (channels.end - channels.begin) * kTileCols * sizeof(float));
  TileArgs t{};
  t.lda = kLineFloats;
  t.ldb = t.ldc = kTileCols;
  t.tail = kWidth;
  for (int64_t tile = tiles.begin; tile < tiles.end; tile += run) {
    t.b = z + tile * kTileCols;
    t.kc = smaller(run, tiles.end - tile);
    t.accumulate = accumulate || tile > tiles.begin;
    for (int64_t line = channels.begin; line < channels.end; line += kLineFloats) {
      for (int64_t row = 0; row < kLineFloats; row += height) {
        t.a = v + line * plan.block + tile * kLineFloats + row;
        t.c = s + (line - channels.begin + row) * kTileCols;
        tile_kernel(ASource::kColumns, source, static_cast<int>(smaller(height, kLineFloats - row)), nv)(t);
      }
    }
  }
}

// The same for all planes of number units.begin .. units.end - 1; S of one plane and panel lies at place(plane).
template <class S, class Place>
void multiply_planes(const Plan& plan, const TileGrid& grid, Range planes, int64_t panel, int nv, Range channels,
                     bool accumulate, const Place& place) {
  int64_t plane = 0;
  for (int i = 0; i < S::kPoints; i++) {
    for (int j = 0; j < S::kPoints; j++) {
      const float* z = plan.z + panel * plan.z_panel + (i * S::kPoints + j) * plan.z_plane;
      for (int phase = 0; phase < S::phases_at(i) * S::phases_at(j); phase++, plane++) {
        if (plane < planes.begin || plane >= planes.end) continue;
        multiply<S>(plan, grid, i, j, plan.v + plane * plan.v_plane, z, nv, channels, accumulate, place(plane));
      }
    }
  }
}

// dw of `channels` channels from c on and one panel; s: S of channel c.
template <class S>
__attribute__((noinline)) void write_filters(const Plan& plan, const ConvGeometry& g, const float* s, int64_t panel,
                                             int64_t c, int64_t channels, float* dw) {
  for (int64_t j = 0; j < kTileCols; j += kWidth) {
    const int64_t k = panel * kTileCols + j;
    if (k >= g.k) break;
    const Mask lanes = tail_mask(g.k - k);
    const float* from = s + j;
    float* to = dw + c * g.k + k;
    for (int64_t i = 0; i < channels; i++, from += kTileCols, to += g.k) {
      for_phases<S::kStride>([&](auto phase_i, auto phase_j) FJ_LAMBDA {
        constexpr int kTapRows = S::taps(phase_i), kTapColumns = S::taps(phase_j);
        constexpr int kRows = S::kTile + kTapRows - 1, kColumns = S::kTile + kTapColumns - 1;
        transform_2d<kRows, kColumns, kTapRows, kTapColumns>(
            [&](auto y, auto x) FJ_LAMBDA {
              const int point = S::plane(S::kStride, y, x, phase_i, phase_j);
              return load(from + point * plan.s_plane);
            },
            [](const Vec(&column)[kRows], Vec(&o)[kTapRows])
                FJ_LAMBDA { Winograd<S::kTile, kTapRows>::filter_grad(column, o); },
            [](const Vec(&row)[kColumns], Vec(&o)[kTapColumns])
                FJ_LAMBDA { Winograd<S::kTile, kTapColumns>::filter_grad(row, o); },
            [&](auto r, auto q, Vec v) FJ_LAMBDA {
              const int64_t tap = (S::kStride * r + phase_i) * 3 + S::kStride * q + phase_j;
              store_masked(to + tap * g.c * g.k, lanes, v);
            });
      });
    }
  }
}

template <class S>
void run_winograd(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw, uint8_t* scratch) {
  constexpr int kPlanes = S::planes(S::kStride);
  const Plan plan = plan_winograd<S>(g, team.count, scratch);
  const int64_t zero_floats = larger(plan.channels, plan.panels * kTileCols);
  float* zeros = plan.zeros + team.id * zero_floats;
  memset(zeros, 0, zero_floats * sizeof(float));
  const TiledMaps image{x, g.n, g.h, g.w, g.c, g.pad_top, g.pad_left, zeros};
  const TiledMaps maps{dy, g.n, g.oh, g.ow, g.k, 0, 0, zeros};
  const TileSink to_v{plan.v, plan.v_plane, kLineFloats, plan.block * kLineFloats, kLineFloats, plan.channels};
  const TileSink to_z{plan.z, plan.z_plane, kTileCols, plan.z_panel, kTileCols, ceil_div(g.k, kWidth) * kWidth};

  const Range units = split(kPlanes * plan.panels, team);
  for (int64_t block = 0; block < plan.blocks; block++) {
    const TileGrid grid = grid_share(plan.grid, static_cast<int>(block), static_cast<int>(plan.blocks));
    const Range mine = split(grid.count, team);
    if (block > 0) team.barrier();  // the last block's tiles have been read
    transform_tiles<S, TileKind::kPhases>(image, grid, mine, to_v);
    transform_tiles<S, TileKind::kGrad>(maps, grid, mine, to_z);
    team.barrier();
    if (plan.blocks == 1) break;
    for (int64_t panel = units.begin / kPlanes; panel * kPlanes < units.end; panel++) {
      const Range planes{units.begin - panel * kPlanes, units.end - panel * kPlanes};
      multiply_planes<S>(plan, grid, planes, panel, panel_vectors(g, panel), {0, plan.channels}, block > 0,
                         [&](int64_t plane) { return plan.s + panel * plan.s_panel + plane * plan.s_plane; });
    }
  }
  if (plan.blocks > 1) {
    team.barrier();
    const Range rows = split(plan.panels * g.c, team);
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t panel = row / g.c, c = row % g.c, count = smaller(g.c - c, rows.end - row);
      write_filters<S>(plan, g, plan.s + panel * plan.s_panel + c * kTileCols, panel, c, count, dw);
      row += count;
    }
    return;
  }
  const int64_t group = even_part(plan.channels / kLineFloats, kGroup / S::kStride / kLineFloats) * kLineFloats;
  const int64_t groups = ceil_div(plan.channels, group);
  float* s = plan.s + team.id * plan.s_panel;
  const Range pieces = split(groups * plan.panels, team);
  for (int64_t piece = pieces.begin; piece < pieces.end; piece++) {
    const int64_t c = piece / plan.panels * group, panel = piece % plan.panels;
    const Range channels{c, smaller(plan.channels, c + group)};
    multiply_planes<S>(plan, plan.grid, {0, kPlanes}, panel, panel_vectors(g, panel), channels, false,
                       [&](int64_t plane) { return s + plane * plan.s_plane; });
    write_filters<S>(plan, g, s, panel, c, smaller(g.c - c, group), dw);
  }
}

}  // namespace

template <int M>
size_t conv_grad_weight_winograd_scratch(const ConvGeometry& g, int threads) {
  if constexpr (M == 4) {
    if (g.stride_h == 2) return plan_winograd<Scheme<4, 2>>(g, threads, nullptr).bytes;
  }
  return plan_winograd<Scheme<M, 1>>(g, threads, nullptr).bytes;
}

template <int M>
void conv_grad_weight_winograd(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                               uint8_t* scratch) {
  if constexpr (M == 4) {
    if (g.stride_h == 2) return run_winograd<Scheme<4, 2>>(team, g, x, dy, dw, scratch);
  }
  run_winograd<Scheme<M, 1>>(team, g, x, dy, dw, scratch);
}

template size_t conv_grad_weight_winograd_scratch<2>(const ConvGeometry&, int);
template size_t conv_grad_weight_winograd_scratch<4>(const ConvGeometry&, int);
template void conv_grad_weight_winograd<2>(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);
template void conv_grad_weight_winograd<4>(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);

}  // namespace forja::FJ_ISA
