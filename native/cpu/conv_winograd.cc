// Winograd convolution, forward and input gradient: conv_winograd.h.
//
// A block of tiles is transformed, then for one panel of kTileCols output channels after the other and kChunk input
// channels at a time the products of all points are added to M. U, M and the part of V in use then stay near the
// core, and sums of few products bound the rounding error whatever the number of channels.
//
// Threads form `parts` groups of `sharers`. Each group has its own run of tiles. Within a group, threads share V and
// split the panels: this is for few tiles, where reading all filters in every thread would cost more than the products.
// Where one group takes all tiles in one block, every part of U is used once, by one thread, and never leaves its
// cache; else U is made for all at first.
#include "conv_winograd.h"

#include <cstring>

namespace forja::FJ_ISA {
namespace {

// Tiles of a block: V, M and U of 64 channels should stay in L2, but U is read again for every block.
constexpr int64_t kBlockTiles = 2 * 14, kLargeBlockTiles = 5 * 14;
constexpr int64_t kFewFilterFloats = 1024 * 1024;  // U of all filters up to here is near in any case: small blocks
constexpr int64_t kSharedTiles = 128;              // below this many tiles a thread, threads share V

constexpr int64_t kNearFloats = 256 * 1024;  // 1 MB: L2

struct WinogradConv {
  TiledMaps x;
  WinogradFilters w;
  int64_t rows, columns;  // of the outputs that tiles are cut from
  OutputMaps y;
};

WinogradConv forward_winograd(const ConvGeometry& g, const float* x, const float* w, const float* bias, bool relu,
                              float* y) {
  return {{x, g.n, g.h, g.w, g.c, g.pad_top, g.pad_left, nullptr},
          {w, 3 * g.c * g.k, g.c * g.k, g.k, 1, g.c, g.k},
          g.oh,
          g.ow,
          {y, g.oh, g.ow, g.k, 0, 0, bias, relu}};
}

// dx is the convolution of dy with the filters turned by half a turn. Stride 1: dy is padded so that dx has the image's
// size. Stride 2, in padded coordinates: dx[2m - p] = sum over the taps t = p, p+2 of dy[m - 1 + t/2] * turned w[t],
// from the first m on that makes a pixel of the image.
WinogradConv grad_input_winograd(const ConvGeometry& g, const float* dy, const float* w, float* dx) {
  const int64_t tap = g.c * g.k, row = 3 * tap;
  WinogradConv conv{{dy, g.n, g.oh, g.ow, g.k, 2 - g.pad_top, 2 - g.pad_left, nullptr},
                    {w ? w + 2 * row + 2 * tap : nullptr, -row, -tap, 1, g.k, g.k, g.c},
                    g.h,
                    g.w,
                    {dx, g.h, g.w, g.c, 0, 0, nullptr, false}};
  if (g.stride_h == 2) {
    const auto place = [](int64_t padding, int64_t pixels, int64_t& dy_top, int64_t& count, int64_t& dx_top) {
      const int64_t first = (padding + 1) / 2;
      dy_top = 1 - first;
      count = (padding + pixels) / 2 - first + 1;
      dx_top = 1 + padding - 2 * first;
    };
    place(g.pad_top, g.h, conv.x.top, conv.rows, conv.y.top);
    place(g.pad_left, g.w, conv.x.left, conv.columns, conv.y.left);
  }
  return conv;
}

// S: Scheme. kTransposed: phases are of outputs, not of inputs (the input gradient of stride 2).
template <class S, bool kTransposed>
struct Plan {
  static constexpr int kInPhases = kTransposed ? 1 : S::kStride, kOutPhases = kTransposed ? S::kStride : 1;
  static constexpr int kPlanes = S::planes(S::kStride);
  // Input channels summed before they are added to M: with stride 2, whose transforms round less, 128 products, those
  // of all phases together.
  static constexpr int64_t kChunk = S::kStride == 1 ? 64 : kTransposed ? 128 : 32;
  TileGrid grid;  // of all tiles
  int parts, sharers;
  int64_t blocks, block;   // a group's runs of tiles that are transformed at a time, the most tiles of one
  int64_t panels, chunks;  // of output and input channels
  int64_t v_plane, m_plane, u_plane;
  bool filters_once;                     // every part of U is used once: made where it is used
  float *v, *m, *u, *zeros;              // zeros: of each thread
  int64_t v_floats, m_floats, u_floats;  // of one group, one thread, one (panel, chunk)
  size_t bytes;
};

template <class P, class S>
P plan_winograd(const WinogradConv& conv, int threads, uint8_t* scratch) {
  P plan{};
  const int64_t channels = whole_lines(conv.x.channels);
  plan.grid = tile_grid(conv.x.n, conv.rows, conv.columns, S::kTile, S::kStride);
  plan.panels = ceil_div(conv.y.k, kTileCols);
  plan.chunks = ceil_div(channels, P::kChunk);
  plan.sharers = 1;
  for (int d = 2; d <= threads && d <= plan.panels && plan.grid.count * plan.sharers < kSharedTiles * threads; d++) {
    if (threads % d == 0) plan.sharers = d;
  }
  plan.parts = threads / plan.sharers;
  const int64_t most = grid_share(plan.grid, 0, plan.parts).count;
  const bool few = P::kPlanes * channels * conv.y.k <= kFewFilterFloats;
  const bool one = plan.sharers > 1 || (plan.parts == 1 && !few && most <= kSharedTiles);
  plan.blocks = one ? 1 : ceil_div(most, few ? kBlockTiles : kLargeBlockTiles);
  plan.block = grid_share(plan.grid, 0, static_cast<int>(plan.parts * plan.blocks)).count;
  plan.filters_once = plan.parts == 1 && plan.blocks == 1;

  plan.v_plane = plane_floats(channels * plan.block);
  plan.m_plane = plane_floats(kTileCols * plan.block);
  plan.u_plane = plane_floats(kTileCols * smaller(channels, P::kChunk));
  plan.v_floats = S::planes(P::kInPhases) * plan.v_plane;
  plan.m_floats = S::planes(P::kOutPhases) * plan.m_plane;
  plan.u_floats = P::kPlanes * plan.u_plane;
  ScratchCursor cursor(scratch);
  plan.v = cursor.take(plan.v_floats * plan.parts);
  plan.m = cursor.take(plan.m_floats * threads);
  plan.u = cursor.take(plan.u_floats * (plan.filters_once ? threads : plan.panels * plan.chunks));
  plan.zeros = cursor.take(channels * threads);
  plan.bytes = cursor.used();
  return plan;
}

// Memory that is fetched into the cache while tiles are multiplied, a line at each step: what the next block reads, in
// the time of a block's last panel. Waiting for it took a sixth of the time of 64 channels (Zen 4).
struct Fetching {
  const float *next, *end;
};

// M += V * U for all planes, one panel of `nv` vectors and one chunk; `grid`: of the block.
template <class S, bool kTransposed>
void multiply(const Plan<S, kTransposed>& plan, const WinogradConv& conv, const TileGrid& grid, int64_t chunk, int nv,
              const float* v, const float* u, float* m, Fetching& soon) {
  const int64_t c0 = chunk * plan.kChunk, count = smaller(plan.kChunk, whole_lines(conv.x.channels) - c0);
  const BSource source = nv == kTileVectors ? BSource::kPacked : BSource::kInPlace;
  TileArgs t{};
  t.lda = kLineFloats;
  t.kc = kLineFloats;
  t.segments = count / kLineFloats;
  t.a_segment = plan.block * kLineFloats;
  t.a_image = plan.v_plane;
  t.b_image = plan.u_plane - count * kTileCols;
  t.ldb = t.ldc = kTileCols;
  t.tail = kWidth;
  t.accumulate = chunk > 0;
  v += c0 * plan.block;
  // The next point's part of V, where V is too large to be found in L2 again: a fifth of the time at 512 channels.
  const int64_t fetched = plan.v_floats > kNearFloats ? t.segments : 0;
  for (int i = 0; i < S::kPoints; i++) {
    for (int j = 0; j < S::kPoints; j++) {
      const int phases = S::phases_at(i) * S::phases_at(j);
      const int inputs = kTransposed ? 1 : phases, outputs = kTransposed ? phases : 1;
      const Range tiles = point_tiles<S>(grid, i, j);
      const int64_t height = even_part(tiles.end - tiles.begin, kTileRows);
      t.images = inputs;
      for (int64_t tile = tiles.begin; tile < tiles.end; tile += height) {
        const int64_t rows = smaller(height, tiles.end - tile);
        t.a = v + tile * kLineFloats;
        for (int64_t line = 0; line < inputs * fetched; line++) {
          const float* next = t.a + (inputs + line / fetched) * plan.v_plane + line % fetched * t.a_segment;
          for (int64_t row = 0; row < rows; row++) __builtin_prefetch(next + row * kLineFloats, 0, 2);
        }
        for (int64_t output = 0; output < outputs; output++) {
          t.b = u + output * plan.u_plane;
          t.c = m + output * plan.m_plane + tile * kTileCols;
          t.soon = soon.next;
          t.soon_step = soon.next < soon.end ? kLineFloats : 0;
          soon.next += t.soon_step * count * inputs;
          tile_kernel(ASource::kRows, source, static_cast<int>(rows), nv)(t);
        }
      }
      v += inputs * plan.v_plane;
      u += phases * plan.u_plane;
      m += outputs * plan.m_plane;
    }
  }
}

template <class S, bool kTransposed = false>
void run_winograd(Team& team, WinogradConv conv, uint8_t* scratch) {
  using P = Plan<S, kTransposed>;
  constexpr TileKind kKind = kTransposed ? TileKind::kPlain : TileKind::kPhases;
  const P plan = plan_winograd<P, S>(conv, team.count, scratch);
  const int part = team.id / plan.sharers, member = team.id % plan.sharers;
  const Range panels = split(plan.panels, member, plan.sharers);
  const int64_t channels = whole_lines(conv.x.channels);
  float* zeros = plan.zeros + team.id * channels;
  memset(zeros, 0, channels * sizeof(float));
  conv.x.zeros = zeros;
  float* v = plan.v + part * plan.v_floats;
  float* m = plan.m + team.id * plan.m_floats;
  const TileSink sink{v, plan.v_plane, kLineFloats, plan.block * kLineFloats, kLineFloats, channels};

  const auto filter = [&](int64_t panel, int64_t chunk, float* u) {
    const int64_t c0 = chunk * plan.kChunk;
    make_filters<S>(conv.w, panel, {c0, smaller(channels, c0 + plan.kChunk)}, u, plan.u_plane);
  };
  if (!plan.filters_once) {
    const Range units = split(plan.panels * plan.chunks, team);
    for (int64_t unit = units.begin; unit < units.end; unit++) {
      filter(unit / plan.chunks, unit % plan.chunks, plan.u + unit * plan.u_floats);
    }
  }
  const auto block_of = [&](int64_t block) {
    return grid_share(plan.grid, static_cast<int>(part * plan.blocks + block),
                      static_cast<int>(plan.parts * plan.blocks));
  };
  TileGrid grid = block_of(0);
  if (plan.sharers > 1) transform_tiles<S, kKind>(conv.x, grid, split(grid.count, member, plan.sharers), sink);
  if (plan.sharers > 1 || !plan.filters_once) team.barrier();

  for (int64_t block = 0; block < plan.blocks; block++) {
    if (plan.sharers == 1) transform_tiles<S, kKind>(conv.x, grid, {0, grid.count}, sink);
    const TileGrid next = block_of(block + 1 < plan.blocks ? block + 1 : block);
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
      const int nv = static_cast<int>(smaller(kTileVectors, ceil_div(conv.y.k - panel * kTileCols, kWidth)));
      Fetching soon{};
      if (panel + 1 == panels.end && block + 1 < plan.blocks) {
        const Range pixels = rows_read<S, kKind>(conv.x, next);
        soon = {conv.x.data + pixels.begin, conv.x.data + pixels.end};
      }
      for (int64_t chunk = 0; chunk < plan.chunks; chunk++) {
        float* u = plan.u + (plan.filters_once ? team.id : panel * plan.chunks + chunk) * plan.u_floats;
        if (plan.filters_once) filter(panel, chunk, u);
        multiply(plan, conv, grid, chunk, nv, v, u, m, soon);
      }
      write_panel<S, P::kOutPhases>(conv.y, grid, panel, m, plan.m_plane);
    }
    grid = next;
  }
}

template <class S, bool kTransposed = false>
size_t winograd_scratch(const WinogradConv& conv, int threads) {
  return plan_winograd<Plan<S, kTransposed>, S>(conv, threads, nullptr).bytes;
}

}  // namespace

template <int M>
bool winograd_supports(const ConvGeometry& g) {
  const bool strides = g.stride_h == g.stride_w && (g.stride_h == 1 || (g.stride_h == 2 && M == 4));
  return g.r == 3 && g.s == 3 && strides && g.dilation_h == 1 && g.dilation_w == 1 && g.groups == 1 &&
         g.n * g.oh * g.ow <= INT32_MAX && g.n * g.h * g.w <= INT32_MAX;
}

template <int M>
size_t conv_forward_winograd_scratch(const ConvGeometry& g, int threads) {
  const WinogradConv conv = forward_winograd(g, nullptr, nullptr, nullptr, false, nullptr);
  if constexpr (M == 4) {
    if (g.stride_h == 2) return winograd_scratch<Scheme<4, 2>>(conv, threads);
  }
  return winograd_scratch<Scheme<M, 1>>(conv, threads);
}

template <int M>
void conv_forward_winograd(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                           bool relu, float* y, uint8_t* scratch) {
  const WinogradConv conv = forward_winograd(g, x, w, bias, relu, y);
  if constexpr (M == 4) {
    if (g.stride_h == 2) return run_winograd<Scheme<4, 2>>(team, conv, scratch);
  }
  run_winograd<Scheme<M, 1>>(team, conv, scratch);
}

template <int M>
size_t conv_grad_input_winograd_scratch(const ConvGeometry& g, int threads) {
  const WinogradConv conv = grad_input_winograd(g, nullptr, nullptr, nullptr);
  if constexpr (M == 4) {
    if (g.stride_h == 2) return winograd_scratch<Scheme<4, 2>, true>(conv, threads);
  }
  return winograd_scratch<Scheme<M, 1>>(conv, threads);
}

template <int M>
void conv_grad_input_winograd(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                              uint8_t* scratch) {
  const WinogradConv conv = grad_input_winograd(g, dy, w, dx);
  if constexpr (M == 4) {
    if (g.stride_h == 2) return run_winograd<Scheme<4, 2>, true>(team, conv, scratch);
  }
  run_winograd<Scheme<M, 1>>(team, conv, scratch);
}

template bool winograd_supports<2>(const ConvGeometry&);
template bool winograd_supports<4>(const ConvGeometry&);
template size_t conv_forward_winograd_scratch<2>(const ConvGeometry&, int);
template size_t conv_forward_winograd_scratch<4>(const ConvGeometry&, int);
template void conv_forward_winograd<2>(Team&, const ConvGeometry&, const float*, const float*, const float*, bool,
                                       float*, uint8_t*);
template void conv_forward_winograd<4>(Team&, const ConvGeometry&, const float*, const float*, const float*, bool,
                                       float*, uint8_t*);
template size_t conv_grad_input_winograd_scratch<2>(const ConvGeometry&, int);
template size_t conv_grad_input_winograd_scratch<4>(const ConvGeometry&, int);
template void conv_grad_input_winograd<2>(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);
template void conv_grad_input_winograd<4>(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);

}  // namespace forja::FJ_ISA
