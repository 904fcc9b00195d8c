// Pooling of float32 images (N, H, W, C), forward and backward. Position p of an axis looks at the pixels
// [p*stride - pad, p*stride - pad + kernel) cut to the image; adaptive, at [p*size/out, ceil((p+1)*size/out)).
//
//   max      y = largest pixel, index = its tap r*S + s; the first wins, a NaN wins over everything
//   avg      y = sum of the pixels / their number (with padding if count_padding)
//   gradient dx = what each window hands to the pixel: dy where its tap was chosen, or dy / number. Where windows
//            do not overlap, each writes its pixels; else each pixel gathers from the windows that see it, in order.
//
// Vectors run over C, the last one masked. A thread owns whole rows, so results do not depend on their number.
#include "pool.h"

#include <cstring>
#include <type_traits>

#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

FJ_INLINE float pixels_of(const PoolWindow& rows, const PoolWindow& columns, bool with_padding) {
  const int64_t inside = (rows.end - rows.begin) * (columns.end - columns.begin);
  return static_cast<float>(with_padding ? rows.padded * columns.padded : inside);
}

// --- forward -----------------------------------------------------------------------------------------

constexpr int64_t kFarFloats = 256 * 1024;  // more than an L2 cache has room for

// How maps are walked that are larger than caches. What the next row of windows sees first is asked for a row before:
// few rows make a run that the hardware notices. It goes to the L2 cache, which waits for more lines at a time than L1.
// What no cache keeps until it is read is written past them.
struct Walk {
  bool fetches, streams;
  int64_t rows, first, floats;  // asked for: rows, from the one so far below the window's first, so much of each
};

Walk walk_of(const PoolGeometry& g, const Call& call) {
  Walk walk{};
  walk.fetches = g.c >= kWidth && g.n * g.rows.size * g.columns.size * g.c >= kFarFloats;
  walk.streams = g.c % kLineFloats == 0 && outgrows_caches(call, 0);
  walk.rows = smaller(g.rows.stride, g.rows.kernel);
  walk.first = g.rows.stride + g.rows.kernel - walk.rows;
  walk.floats = smaller(g.columns.stride, g.columns.kernel) * g.c;
  return walk;
}

// A window: the first of its pixels, floats from one row of x to the next, channels, taps of a row, and the place of
// its numbers in the maps.
struct Window {
  PoolWindow rows, columns;
  const float* x;
  int64_t row, c, taps, at;

  template <class Lanes>
  FJ_INLINE_MEMBER Vec get(const Lanes& lanes, int64_t i, int64_t j, int64_t channel) const {
    return lanes.get(x + (i - rows.begin) * row + (j - columns.begin) * c + channel);
  }
};

template <class Lanes>
FJ_INLINE void put(const Lanes& lanes, const Walk& walk, float* p, Vec v) {
  if (walk.streams) {
    stream(p, v);
  } else {
    lanes.put(p, v);
  }
}

// Tap: void where `index` is not wanted.
template <class Tap>
struct Largests {
  float* y;
  Tap* index;
  template <int R, int S>
  FJ_INLINE_MEMBER void window(const Window& w, const Walk& walk) const {
    over_channels(w.c, [&](int64_t channel, auto lanes) FJ_LAMBDA {
      const Largest found = largest_of<R, S>(
          w.rows, w.columns, w.taps, [&](int64_t i, int64_t j) FJ_LAMBDA { return w.get(lanes, i, j, channel); });
      put(lanes, walk, y + w.at + channel, found.best);
      if constexpr (!std::is_void_v<Tap>) lanes.put(index + w.at + channel, found.tap);
    });
  }
};

struct Means {
  float* y;
  bool count_padding;
  template <int R, int S>
  FJ_INLINE_MEMBER void window(const Window& w, const Walk& walk) const {
    const Vec share = broadcast(1.0f / pixels_of(w.rows, w.columns, count_padding));
    // Of large windows, whole cache lines in a row and sums that do not wait for each other; small ones run faster
    // through all their rows at once.
    constexpr int kBlock = 4;
    int64_t done = 0;
    for (; R == 0 && done + kBlock * kWidth <= w.c; done += kBlock * kWidth) {
      Vec total[kBlock];
      for (Vec& t : total) t = zero();
      over_taps<R, S>(w.rows, w.columns, 0, [&](int64_t i, int64_t j, int64_t) FJ_LAMBDA {
        unroll<kBlock>([&](auto b) FJ_LAMBDA { total[b] = total[b] + w.get(Whole{}, i, j, done + b * kWidth); });
      });
      unroll<kBlock>([&](auto b) FJ_LAMBDA { put(Whole{}, walk, y + w.at + done + b * kWidth, total[b] * share); });
    }
    over_channels(
        w.c,
        [&](int64_t channel, auto lanes) FJ_LAMBDA {
          Vec total = zero();
          over_taps<R, S>(w.rows, w.columns, 0, [&](int64_t i, int64_t j, int64_t) FJ_LAMBDA {
            total = total + w.get(lanes, i, j, channel);
          });
          put(lanes, walk, y + w.at + channel, total * share);
        },
        done);
  }
};

// `count` windows side by side, `step` floats of x apart; those of R x S pixels are whole.
template <int R, int S, class Rule>
void over_windows(Window w, int64_t count, int64_t step, const Walk& walk, const Rule& rule) {
  if (R > 0) w.rows = {0, R, 0, R}, w.columns = {0, S, 0, S}, w.taps = S;
  for (int64_t q = 0; q < count; q++, w.x += step, w.at += w.c) {
    for (int64_t i = walk.first; R > 0 && walk.fetches && i < walk.first + walk.rows; i++) {
      for (int64_t e = 0; e < walk.floats; e += kLineFloats) __builtin_prefetch(w.x + i * w.row + e, 0, 2);
    }
    rule.template window<R, S>(w, walk);
  }
}

// The windows of an axis that lie inside of the image, and so are all alike.
Range alike(const PoolAxis& a) {
  if (a.adaptive) return {0, a.size == a.out * a.kernel ? a.out : 0};
  const int64_t begin = smaller(a.out, ceil_div(a.before, a.stride)), room = a.size + a.before - a.kernel;
  return {begin, larger(begin, room < 0 ? 0 : smaller(a.out, room / a.stride + 1))};
}

// Some of the rows of windows of all maps.
template <class Rule>
void forward(const PoolGeometry& g, Range range, const float* x, const Walk& walk, const Rule& rule) {
  const PoolAxis &rows = g.rows, &columns = g.columns;
  const Range whole = alike(columns);
  const int64_t step = (columns.adaptive ? columns.kernel : columns.stride) * g.c;
  for (int64_t row = range.begin; row < range.end; row++) {
    const PoolWindow seen = window_at(rows, row % rows.out);
    const auto window = [&](int64_t q) {
      const PoolWindow beside = window_at(columns, q);
      const int64_t pixel = (row / rows.out * rows.size + seen.begin) * columns.size + beside.begin;
      return Window{
          seen, beside, x + pixel * g.c, columns.size * g.c, g.c, columns.kernel, (row * columns.out + q) * g.c};
    };
    const int64_t size = seen.end - seen.begin == rows.kernel && rows.kernel == columns.kernel ? rows.kernel : 0;
    const Range done = size == 2 || size == 3 ? whole : Range{0, 0};
    for (int64_t q = 0; q < columns.out; q++) {
      if (q < done.begin || q >= done.end) over_windows<0, 0>(window(q), 1, step, walk, rule);
    }
    if (size == 2) over_windows<2, 2>(window(done.begin), done.end - done.begin, step, walk, rule);
    if (size == 3) over_windows<3, 3>(window(done.begin), done.end - done.begin, step, walk, rule);
  }
  if (walk.streams) stream_fence();
}

// --- backward ----------------------------------------------------------------------------------------

// What window (p, q) hands to the pixel at `tap`. Chosen: dy where index says so.
template <class Tap>
struct Chosen {
  const float* dy;
  const Tap* index;
  struct Loaded {
    Vec dy;
    VecI index;
  };
  template <class Lanes>
  FJ_INLINE_MEMBER Loaded get(const Lanes& lanes, int64_t at, Vec) const {
    return {lanes.get(dy + at), lanes.get(index + at)};
  }
  FJ_INLINE_MEMBER Vec hand(const Loaded& from, int64_t tap) const {
    return select(from.index == broadcast_int(static_cast<int32_t>(tap)), from.dy, zero());
  }
  FJ_INLINE_MEMBER Vec share(const PoolWindow&, const PoolWindow&) const { return zero(); }
};

// Shared: every pixel gets the same part of dy.
struct Shared {
  const float* dy;
  bool count_padding;
  template <class Lanes>
  FJ_INLINE_MEMBER Vec get(const Lanes& lanes, int64_t at, Vec share) const {
    return lanes.get(dy + at) * share;
  }
  FJ_INLINE_MEMBER Vec hand(Vec from, int64_t) const { return from; }
  FJ_INLINE_MEMBER Vec share(const PoolWindow& rows, const PoolWindow& columns) const {
    return broadcast(1.0f / pixels_of(rows, columns, count_padding));
  }
};

// Windows that do not overlap: output row p owns the image rows from its own window to the next one's.
template <class Rule>
void scatter(const PoolGeometry& g, Team& team, const Rule& rule, float* dx) {
  const int64_t w = g.columns.size, c = g.c, taps = g.columns.kernel;
  const bool gaps = g.columns.stride != taps || g.columns.before > 0 || g.columns.out * taps < w;
  const Range range = split(g.n * g.rows.out, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const int64_t p = row % g.rows.out;
    const PoolWindow rows = window_at(g.rows, p);
    float* image = dx + row / g.rows.out * g.rows.size * w * c;
    const int64_t first = p == 0 ? 0 : rows.begin;
    const int64_t last = p == g.rows.out - 1 ? g.rows.size : window_at(g.rows, p + 1).begin;
    for (int64_t i = first; i < last; i++) {
      if (gaps || i < rows.begin || i >= rows.end) memset(image + i * w * c, 0, w * c * sizeof(float));
    }
    for (int64_t q = 0; q < g.columns.out; q++) {
      const PoolWindow columns = window_at(g.columns, q);
      const Vec share = rule.share(rows, columns);
      with_window(g, rows, columns, [&](auto r, auto s) FJ_LAMBDA {
        over_channels(c, [&](int64_t channel, auto lanes) FJ_LAMBDA {
          const auto from = rule.get(lanes, (row * g.columns.out + q) * c + channel, share);
          over_taps<r, s>(rows, columns, taps, [&](int64_t i, int64_t j, int64_t tap) FJ_LAMBDA {
            lanes.put(image + (i * w + j) * c + channel, rule.hand(from, tap));
          });
        });
      });
    }
  }
}

// Overlapping windows: each pixel sums over the windows that see it.
template <class Rule>
void gather(const PoolGeometry& g, Team& team, const Rule& rule, float* dx) {
  const int64_t w = g.columns.size, c = g.c;
  const Range range = split(g.n * g.rows.size, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const int64_t i = row % g.rows.size, maps = row / g.rows.size * g.rows.out;
    const auto over_rows = windows_over(g.rows, i);
    for (int64_t j = 0; j < w; j++) {
      const auto over_columns = windows_over(g.columns, j);
      over_channels(c, [&](int64_t channel, auto lanes) FJ_LAMBDA {
        Vec total = zero();
        for (int64_t p = over_rows.begin; p < over_rows.end; p++) {
          const PoolWindow rows = window_at(g.rows, p);
          for (int64_t q = over_columns.begin; q < over_columns.end; q++) {
            const PoolWindow columns = window_at(g.columns, q);
            const auto from =
                rule.get(lanes, ((maps + p) * g.columns.out + q) * c + channel, rule.share(rows, columns));
            total = total + rule.hand(from, (i - rows.origin) * g.columns.kernel + j - columns.origin);
          }
        }
        lanes.put(dx + (row * w + j) * c + channel, total);
      });
    }
  }
}

template <class Rule>
void backward(const PoolGeometry& g, Team& team, const Rule& rule, float* dx) {
  const bool disjoint = g.rows.stride >= g.rows.kernel && g.columns.stride >= g.columns.kernel;
  if (disjoint && !g.rows.adaptive) {
    scatter(g, team, rule, dx);
  } else {
    gather(g, team, rule, dx);
  }
}

// The chosen pixels: y = x at the tap that index names. Taps are compared, never used as an address.
template <class Tap>
void pick(const PoolGeometry& g, Team& team, const float* x, const Tap* index, float* y) {
  const int64_t w = g.columns.size, c = g.c, taps = g.columns.kernel;
  const Range range = split(g.n * g.rows.out, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const PoolWindow rows = window_at(g.rows, row % g.rows.out);
    const float* image = x + row / g.rows.out * g.rows.size * w * c;
    for (int64_t q = 0; q < g.columns.out; q++) {
      const PoolWindow columns = window_at(g.columns, q);
      over_channels(c, [&](int64_t channel, auto lanes) FJ_LAMBDA {
        const int64_t at = (row * g.columns.out + q) * c + channel;
        const VecI chosen = lanes.get(index + at);
        Vec value = zero();
        over_taps<0, 0>(rows, columns, taps, [&](int64_t i, int64_t j, int64_t tap) FJ_LAMBDA {
          const Vec v = lanes.get(image + (i * w + j) * c + channel);
          value = select(chosen == broadcast_int(static_cast<int32_t>(tap)), v, value);
        });
        lanes.put(y + at, value);
      });
    }
  }
}

void run_max(const Call& call, Team& team) {
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], call.attrs<fj_max_pool2d_attrs>());
  const float* x = call.in[0].as<const float>();
  float* y = call.out[0].as<float>();
  const Walk walk = walk_of(g, call);
  const Range rows = split(g.n * g.rows.out, team);
  if (call.out[1].value->dtype == FJ_UINT8) {
    forward(g, rows, x, walk, Largests<uint8_t>{y, call.out[1].as<uint8_t>()});
  } else {
    forward(g, rows, x, walk, Largests<int32_t>{y, call.out[1].as<int32_t>()});
  }
}

void run_max_grad(const Call& call, Team& team) {
  const PoolGeometry g = pool_geometry(call.out[0], call.in[0], call.attrs<fj_max_pool2d_grad_attrs>());
  const float* dy = call.in[0].as<const float>();
  float* dx = call.out[0].as<float>();
  if (call.in[1].value->dtype == FJ_UINT8) {
    backward(g, team, Chosen<uint8_t>{dy, call.in[1].as<const uint8_t>()}, dx);
  } else {
    backward(g, team, Chosen<int32_t>{dy, call.in[1].as<const int32_t>()}, dx);
  }
}

void run_max_gather(const Call& call, Team& team) {
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], call.attrs<fj_max_pool2d_gather_attrs>());
  const float* x = call.in[0].as<const float>();
  float* y = call.out[0].as<float>();
  if (call.in[1].value->dtype == FJ_UINT8) {
    pick(g, team, x, call.in[1].as<const uint8_t>(), y);
  } else {
    pick(g, team, x, call.in[1].as<const int32_t>(), y);
  }
}

void run_avg(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_avg_pool2d_attrs>();
  const PoolGeometry g = pool_geometry(call.in[0], call.out[0], attrs);
  const Means means{call.out[0].as<float>(), attrs.count_padding != 0};
  forward(g, split(g.n * g.rows.out, team), call.in[0].as<const float>(), walk_of(g, call), means);
}

void run_avg_grad(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_avg_pool2d_grad_attrs>();
  const PoolGeometry g = pool_geometry(call.out[0], call.in[0], attrs);
  backward(g, team, Shared{call.in[0].as<const float>(), attrs.count_padding != 0}, call.out[0].as<float>());
}

}  // namespace

void max_pool_rows(const PoolGeometry& g, Range rows, const float* x, float* y, uint8_t* index) {
  if (index != nullptr) return forward(g, rows, x, Walk{}, Largests<uint8_t>{y, index});
  forward(g, rows, x, Walk{}, Largests<void>{y, nullptr});
}

void register_pool(KernelTable& table) {
  table.add({FJ_OP_MAX_POOL2D, 0, "maxPool2d", run_max, nullptr, nullptr});
  table.add({FJ_OP_MAX_POOL2D_GRAD, 0, "maxPool2dGrad", run_max_grad, nullptr, nullptr});
  table.add({FJ_OP_MAX_POOL2D_GATHER, 0, "maxPool2dGather", run_max_gather, nullptr, nullptr});
  table.add({FJ_OP_AVG_POOL2D, 0, "avgPool2d", run_avg, nullptr, nullptr});
  table.add({FJ_OP_AVG_POOL2D_GRAD, 0, "avgPool2dGrad", run_avg_grad, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
