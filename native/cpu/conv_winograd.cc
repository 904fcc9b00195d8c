// Winograd convolution, forward and input gradient: conv_winograd.h.
//
// A block of tiles is transformed, then for one panel of kTileCols output channels after the other and kChunk input
// channels at a time the products of all points are added to M. U, M and the part of V in use then stay near the
// core, and sums of at most kChunk products bound the rounding error whatever the number of channels.
//
// Threads form `parts` groups of `sharers`. Each group has its own run of tiles. Within a group, threads share V and
// split the panels: this is for few tiles, where reading all filters in every thread would cost more than the products.
// Where one group takes all tiles in one block, every part of U is used once, by one thread, and never leaves its
// cache; else U is made for all at first.
#include "conv_winograd.h"

#include <cstring>

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kChunk = 64;  // input channels summed before they are added to M
// Tiles of a block: V, M and U of 64 channels should stay in L2, but U is read again for every block.
constexpr int64_t kBlockTiles = 2 * 14, kLargeBlockTiles = 5 * 14;
constexpr int64_t kFewFilterFloats = 1024 * 1024;  // U of all filters up to here is near in any case: small blocks
constexpr int64_t kSharedTiles = 128;              // below this many tiles a thread, threads share V

constexpr int64_t kNearFloats = 256 * 1024;  // 1 MB: L2

struct WinogradConv {
  TiledMaps x;
  float* y;
  int64_t oh, ow, k;
  // The filter of tap (r, s), input channel c, output channel k: filter + r*f_r + s*f_s + c*f_c + k*f_k.
  const float* filter;
  int64_t f_r, f_s, f_c, f_k;
  const float* bias;  // (k) or null
  bool relu;
};

WinogradConv forward_winograd(const ConvGeometry& g, const float* x, const float* w, const float* bias, bool relu,
                              float* y) {
  return {{x, g.n, g.h, g.w, g.c, g.pad_top, g.pad_left, nullptr},
          y,
          g.oh,
          g.ow,
          g.k,
          w,
          3 * g.c * g.k,
          g.c * g.k,
          g.k,
          1,
          bias,
          relu};
}

// dx is the convolution of dy, padded so that dx has the image's size, with the filters turned by half a turn.
WinogradConv grad_input_winograd(const ConvGeometry& g, const float* dy, const float* w, float* dx) {
  const int64_t f_s = g.c * g.k, f_r = 3 * f_s;
  return {{dy, g.n, g.oh, g.ow, g.k, 2 - g.pad_top, 2 - g.pad_left, nullptr},
          dx,
          g.h,
          g.w,
          g.c,
          w ? w + 2 * f_r + 2 * f_s : nullptr,
          -f_r,
          -f_s,
          1,
          g.k,
          nullptr,
          false};
}

template <int M>
struct Plan {
  static constexpr int kPoints = (M + 2) * (M + 2);
  TileGrid grid;
  int parts, sharers;
  int64_t block;           // tiles transformed at a time
  int64_t panels, chunks;  // of output and input channels
  int64_t v_plane, m_plane, u_plane;
  bool filters_once;                     // every part of U is used once: made where it is used
  float *v, *m, *u, *zeros;              // zeros: of each thread
  int64_t v_floats, m_floats, u_floats;  // of one group, one thread, one (panel, chunk)
  size_t bytes;
};

template <int M>
Plan<M> plan_winograd(const WinogradConv& conv, int threads, uint8_t* scratch) {
  Plan<M> plan{};
  constexpr int64_t kPoints = Plan<M>::kPoints;
  const int64_t channels = whole_lines(conv.x.channels);
  plan.grid = tile_grid(conv.x.n, conv.oh, conv.ow, M);
  plan.panels = ceil_div(conv.k, kTileCols);
  plan.chunks = ceil_div(channels, kChunk);
  plan.sharers = 1;
  for (int d = 2; d <= threads && d <= plan.panels && plan.grid.count * plan.sharers < kSharedTiles * threads; d++) {
    if (threads % d == 0) plan.sharers = d;
  }
  plan.parts = threads / plan.sharers;
  const int64_t most = ceil_div(plan.grid.count, plan.parts);
  const bool few = kPoints * channels * conv.k <= kFewFilterFloats;
  plan.block = even_part(most, few ? kBlockTiles : kLargeBlockTiles);
  if (plan.sharers > 1 || (plan.parts == 1 && !few && most <= kSharedTiles)) plan.block = most;
  plan.filters_once = plan.parts == 1 && plan.block == plan.grid.count;

  plan.v_plane = plane_floats(channels * plan.block);
  plan.m_plane = plane_floats(kTileCols * plan.block);
  plan.u_plane = plane_floats(kTileCols * smaller(channels, kChunk));
  plan.v_floats = kPoints * plan.v_plane;
  plan.m_floats = kPoints * plan.m_plane;
  plan.u_floats = kPoints * plan.u_plane;
  ScratchCursor cursor(scratch);
  plan.v = cursor.take(plan.v_floats * plan.parts);
  plan.m = cursor.take(plan.m_floats * threads);
  plan.u = cursor.take(plan.u_floats * (plan.filters_once ? threads : plan.panels * plan.chunks));
  plan.zeros = cursor.take(channels * threads);
  plan.bytes = cursor.used();
  return plan;
}

// The nine taps of kWidth output channels, one input channel after the other.
struct FilterTaps {
  const float* first;
  int64_t r, s, c;  // floats from one tap row, tap column, channel to the next
};

// U of `count` input channels (a multiple of a line; zeros beyond the filter's) for one vector of output channels.
template <int M>
__attribute__((noinline)) void transform_filters(const FilterTaps& taps, int64_t channels, int64_t count, Mask lanes,
                                                 float* u, int64_t plane) {
  constexpr int kPoints = M + 2;
  for (int64_t c = 0; c < count; c++, u += kTileCols) {
    const float* w = taps.first + c * taps.c;
    const Mask mask = c < channels ? lanes : tail_mask(0);
    transform_2d<3, kPoints>([&](auto i, auto j) FJ_LAMBDA { return load_masked(mask, w + i * taps.r + j * taps.s); },
                             [](const Vec(&column)[3], Vec(&o)[kPoints]) FJ_LAMBDA { Winograd<M>::filter(column, o); },
                             [&](auto i, auto j, Vec v) FJ_LAMBDA { store(u + (i * kPoints + j) * plane, v); });
  }
}

// U of one panel and one chunk of input channels: (points, channels, kTileCols).
template <int M>
void make_filters(const Plan<M>& plan, const WinogradConv& conv, int64_t panel, int64_t chunk, float* u) {
  const int64_t c0 = chunk * kChunk, count = smaller(kChunk, whole_lines(conv.x.channels) - c0);
  const int64_t channels = smaller(count, conv.x.channels - c0);
  for (int64_t j = 0; j < kTileCols; j += kWidth) {
    const int64_t column = panel * kTileCols + j;
    if (column >= conv.k) break;
    const Mask lanes = tail_mask(conv.k - column);
    const float* w = conv.filter + c0 * conv.f_c + column * conv.f_k;
    if (conv.f_k == 1) {
      transform_filters<M>({w, conv.f_r, conv.f_s, conv.f_c}, channels, count, lanes, u + j, plan.u_plane);
      continue;
    }
    // Output channels are far apart: nine blocks of them are transposed at a time.
    constexpr int64_t kBlock = kWidth * kWidth;
    float block[9 * kBlock];
    const int64_t rows = smaller(kWidth, conv.k - column);
    for (int64_t c = 0; c < count; c += kWidth) {
      const int64_t columns = smaller(kWidth, channels - c);
      for (int tap = 0; columns > 0 && tap < 9; tap++) {
        const float* from = w + tap / 3 * conv.f_r + tap % 3 * conv.f_s + c;
        pack_transposed(rows, columns, from, conv.f_k, block + tap * kBlock, kWidth);
      }
      transform_filters<M>({block, 3 * kBlock, kBlock, kWidth}, columns, kWidth, lanes, u + c * kTileCols + j,
                           plan.u_plane);
    }
  }
}

// M += V * U for all points, `tiles` tiles, one panel of `nv` vectors and one chunk.
template <int M>
void multiply(const Plan<M>& plan, const WinogradConv& conv, int64_t tiles, int64_t chunk, int nv, const float* v,
              const float* u, float* m) {
  const int64_t c0 = chunk * kChunk, count = smaller(kChunk, whole_lines(conv.x.channels) - c0);
  const int64_t height = even_part(tiles, kTileRows);
  TileArgs t{};
  t.lda = kLineFloats;
  t.kc = kLineFloats;
  t.segments = count / kLineFloats;
  t.a_segment = plan.block * kLineFloats;
  t.ldb = t.ldc = kTileCols;
  t.tail = kWidth;
  t.accumulate = chunk > 0;
  v += c0 * plan.block;
  const BSource source = nv == kTileVectors ? BSource::kPacked : BSource::kInPlace;
  // The next point's part of V, where V is too large to be found in L2 again: a fifth of the time at 512 channels.
  const int64_t fetched = plan.v_floats > kNearFloats ? t.segments : 0;
  for (int point = 0; point < Plan<M>::kPoints; point++, v += plan.v_plane, u += plan.u_plane, m += plan.m_plane) {
    t.b = u;
    for (int64_t tile = 0; tile < tiles; tile += height) {
      const int64_t rows = smaller(height, tiles - tile);
      t.a = v + tile * kLineFloats;
      t.c = m + tile * kTileCols;
      for (int64_t line = 0; line < fetched; line++) {
        const float* next = t.a + plan.v_plane + line * t.a_segment;
        for (int64_t i = 0; i < rows; i++) __builtin_prefetch(next + i * kLineFloats, 0, 2);
      }
      tile_kernel(ASource::kRows, source, static_cast<int>(rows), nv)(t);
    }
  }
}

// One vector of output channels of one tile, rows x columns pixels of it.
template <int M, bool kWhole>
__attribute__((noinline)) void write_tile(const float* m, int64_t plane, float* y, int64_t row, int64_t pixel,
                                          int64_t rows, int64_t columns, Mask lanes, Vec bias, Vec least) {
  constexpr int kPoints = M + 2;
  transform_2d<kPoints, M>([&](auto i, auto j) FJ_LAMBDA { return load(m + (i * kPoints + j) * plane); },
                           [](const Vec(&column)[kPoints], Vec(&o)[M]) FJ_LAMBDA { Winograd<M>::output(column, o); },
                           [&](auto i, auto j, Vec v) FJ_LAMBDA {
                             const Vec result = max(least, v + bias);
                             if constexpr (kWhole) {
                               store(y + i * row + j * pixel, result);
                             } else if (i < rows && j < columns) {
                               store_masked(y + i * row + j * pixel, lanes, result);
                             }
                           });
}

template <int M>
void write_panel(const Plan<M>& plan, const WinogradConv& conv, Range tiles, int64_t panel, const float* m) {
  const int64_t row_floats = conv.ow * conv.k;
  const Vec least = conv.relu ? zero() : broadcast(-__builtin_inff());
  for (int64_t j = 0; j < kTileCols; j += kWidth) {
    const int64_t channel = panel * kTileCols + j, left = conv.k - channel;
    if (left <= 0) break;
    const Mask lanes = tail_mask(left);
    const Vec bias = conv.bias ? load_masked(lanes, conv.bias + channel) : zero();
    for (int64_t t = tiles.begin; t < tiles.end; t++) {
      const int64_t p = t / plan.grid.columns % plan.grid.rows * M, q = t % plan.grid.columns * M;
      const int64_t image = t / (plan.grid.rows * plan.grid.columns);
      const int64_t rows = smaller(M, conv.oh - p), columns = smaller(M, conv.ow - q);
      float* y = conv.y + ((image * conv.oh + p) * conv.ow + q) * conv.k + channel;
      const auto write = rows == M && columns == M && left >= kWidth ? write_tile<M, true> : write_tile<M, false>;
      write(m + (t - tiles.begin) * kTileCols + j, plan.m_plane, y, row_floats, conv.k, rows, columns, lanes, bias,
            least);
    }
  }
}

template <int M>
void run_winograd(Team& team, WinogradConv conv, uint8_t* scratch) {
  const Plan<M> plan = plan_winograd<M>(conv, team.count, scratch);
  const int part = team.id / plan.sharers, member = team.id % plan.sharers;
  const Range tiles = split(plan.grid.count, part, plan.parts);
  const Range panels = split(plan.panels, member, plan.sharers);
  const int64_t channels = whole_lines(conv.x.channels);
  float* zeros = plan.zeros + team.id * channels;
  memset(zeros, 0, channels * sizeof(float));
  conv.x.zeros = zeros;
  float* v = plan.v + part * plan.v_floats;
  float* m = plan.m + team.id * plan.m_floats;
  const TileSink sink{v, plan.v_plane, kLineFloats, plan.block * kLineFloats, kLineFloats, channels};

  if (!plan.filters_once) {
    const Range units = split(plan.panels * plan.chunks, team);
    for (int64_t unit = units.begin; unit < units.end; unit++) {
      make_filters<M>(plan, conv, unit / plan.chunks, unit % plan.chunks, plan.u + unit * plan.u_floats);
    }
  }
  if (plan.sharers > 1) {
    const Range mine = split(tiles.end - tiles.begin, member, plan.sharers);
    transform_tiles<M, false>(conv.x, plan.grid, {tiles.begin + mine.begin, tiles.begin + mine.end}, mine.begin, sink);
  }
  if (plan.sharers > 1 || !plan.filters_once) team.barrier();

  for (int64_t begin = tiles.begin; begin < tiles.end; begin += plan.block) {
    const Range block{begin, smaller(tiles.end, begin + plan.block)};
    if (plan.sharers == 1) transform_tiles<M, false>(conv.x, plan.grid, block, 0, sink);
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
      const int nv = static_cast<int>(smaller(kTileVectors, ceil_div(conv.k - panel * kTileCols, kWidth)));
      for (int64_t chunk = 0; chunk < plan.chunks; chunk++) {
        float* u = plan.u + (plan.filters_once ? team.id : panel * plan.chunks + chunk) * plan.u_floats;
        if (plan.filters_once) make_filters<M>(plan, conv, panel, chunk, u);
        multiply<M>(plan, conv, block.end - block.begin, chunk, nv, v, u, m);
      }
      write_panel<M>(plan, conv, block, panel, m);
    }
  }
}

}  // namespace

bool winograd_supports(const ConvGeometry& g) {
  return g.r == 3 && g.s == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 && g.dilation_w == 1 &&
         g.groups == 1 && g.n * g.oh * g.ow <= INT32_MAX && g.n * g.h * g.w <= INT32_MAX;
}

template <int M>
size_t conv_forward_winograd_scratch(const ConvGeometry& g, int threads) {
  return plan_winograd<M>(forward_winograd(g, nullptr, nullptr, nullptr, false, nullptr), threads, nullptr).bytes;
}

template <int M>
void conv_forward_winograd(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                           bool relu, float* y, uint8_t* scratch) {
  run_winograd<M>(team, forward_winograd(g, x, w, bias, relu, y), scratch);
}

template <int M>
size_t conv_grad_input_winograd_scratch(const ConvGeometry& g, int threads) {
  return plan_winograd<M>(grad_input_winograd(g, nullptr, nullptr, nullptr), threads, nullptr).bytes;
}

template <int M>
void conv_grad_input_winograd(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                              uint8_t* scratch) {
  run_winograd<M>(team, grad_input_winograd(g, dy, w, dx), scratch);
}

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
