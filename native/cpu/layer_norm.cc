// Layer normalisation of float32 rows (R, C), and its gradient; R: all axes but the last.
//
//   mean = sum x / C    variance = sum (x - mean)^2 / C    s = 1 / sqrt(variance + eps)    h = (x - mean) * s
//   y = h * gamma + beta
//   g = dy * gamma      dx = s * (g - sum g / C - h * sum g*h / C)
//   dgamma = sum dy * h    dbeta = sum dy    over all rows
//
// Sums: a row is cut into chunks that stay in cache. Each is summed in float32, then its squares, g and g * x about its
// own mean in a second look at it; chunks are put together in float64 in their order. The float32 nearest to the mean
// is subtracted first and what it misses by after that, so a large mean costs no digits.
//
// A row of one chunk is read from memory, and what it gives written while the cache holds it; threads take rows. Longer
// rows are taken a few at a time, first their chunks, then, behind a barrier, their columns, of which each thread has
// its own in both. dgamma and dbeta are summed in float32 over parts of the rows, in float64 over parts. The cuts
// depend on shapes alone, so results do not depend on the number of threads.
#include <cmath>

#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kChunk = 8192;        // floats: 32 KB
constexpr int64_t kTogether = 1 << 17;  // floats of the long rows between two barriers, at least one row
constexpr int64_t kMostOfPart = 128;    // rows whose dgamma and dbeta are summed in float32
constexpr int64_t kLeastOfPart = 4;
constexpr int64_t kFewParts = 64;  // enough for the threads of a team
constexpr int kUnroll = 4;         // vectors summed side by side

struct Layout {
  int64_t rows, columns;
  int64_t chunks;       // of a row
  int64_t batch;        // long rows between two barriers
  int64_t part, parts;  // rows of a part, number of parts

  explicit Layout(const fj_value& x) : rows(1), columns(x.dims[x.rank - 1]) {
    for (int axis = 0; axis + 1 < x.rank; axis++) rows *= x.dims[axis];
    chunks = ceil_div(columns, kChunk);
    batch = larger(1, kTogether / larger(columns, 1));
    part = is_long() ? kMostOfPart : smaller(kMostOfPart, larger(kLeastOfPart, rows / kFewParts));
    parts = ceil_div(rows, part);
  }
  FJ_INLINE_MEMBER bool is_long() const { return chunks > 1; }
  FJ_INLINE_MEMBER int64_t width(int64_t chunk) const { return smaller(kChunk, columns - chunk * kChunk); }
};

// Of a chunk or a row; squares and gx about its own mean.
struct Moments {
  double mean, squares;  // sum (x - mean)^2
  double g, gx;          // sum g, sum g * (x - mean)
};

// Scratch: moments of two batches of long rows, since threads may be one batch apart; then (parts, 2, C) sums.
size_t moments_bytes(const Layout& l) {
  return l.is_long() ? static_cast<size_t>(2 * l.batch * l.chunks) * sizeof(Moments) : 0;
}

FJ_INLINE const float* at_column(const float* vector, int64_t column) { return vector ? vector + column : nullptr; }

// f(accumulator, i, lanes, whether they are all) over vectors of n elements.
template <class F>
FJ_INLINE void over_vectors(int64_t n, const F& f) {
  const Mask all = tail_mask(kWidth);
  int64_t i = 0;
  for (; i + kUnroll * kWidth <= n; i += kUnroll * kWidth) {
    unroll<kUnroll>([&](auto v) FJ_LAMBDA { f(v, i + v * kWidth, all, true); });
  }
  for (; i + kWidth <= n; i += kWidth) f(Index<0>{}, i, all, true);
  if (i < n) f(Index<0>{}, i, tail_mask(n - i), false);
}

struct Sum {
  Vec lanes[kUnroll];
  FJ_INLINE_MEMBER Sum() {
    unroll<kUnroll>([&](auto v) FJ_LAMBDA { lanes[v] = zero(); });
  }
  FJ_INLINE_MEMBER float total() const { return reduce_add((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])); }
};

// h = (x - mean) * scale + offset.
struct Normal {
  float mean, scale, offset;
  FJ_INLINE_MEMBER Normal(const Moments& m, const Layout& l, double eps) {
    const double inverse = 1 / std::sqrt(m.squares / static_cast<double>(l.columns) + eps);
    mean = static_cast<float>(m.mean);
    scale = static_cast<float>(inverse);
    offset = static_cast<float>((static_cast<double>(mean) - m.mean) * inverse);
  }
};

// Moments of n columns of a row; with dy those of g too. gamma: (n) or null.
template <bool kGrad>
FJ_INLINE Moments moments_of(const float* x, const float* dy, const float* gamma, int64_t n) {
  Sum sum;
  over_vectors(n, [&](auto v, int64_t i, Mask m, bool whole)
                      FJ_LAMBDA { sum.lanes[v] = sum.lanes[v] + load_lanes(x + i, m, whole); });
  const float mean = sum.total() / static_cast<float>(n);
  const Vec shift = broadcast(mean);
  Sum rest, squares, g, gx;
  over_vectors(n, [&](auto v, int64_t i, Mask m, bool whole) FJ_LAMBDA {
    Vec d = load_lanes(x + i, m, whole) - shift;
    if (!whole) d = select(m, d, zero());
    rest.lanes[v] = rest.lanes[v] + d;
    squares.lanes[v] = fma(d, d, squares.lanes[v]);
    if constexpr (kGrad) {
      Vec own = load_lanes(dy + i, m, whole);
      if (gamma) own = own * load_lanes(gamma + i, m, whole);
      g.lanes[v] = g.lanes[v] + own;
      gx.lanes[v] = fma(own, d, gx.lanes[v]);
    }
  });
  const double missed = static_cast<double>(rest.total()), shifted = missed / static_cast<double>(n);
  Moments result{mean + shifted, static_cast<double>(squares.total()) - missed * shifted, 0, 0};
  if constexpr (kGrad) {
    result.g = static_cast<double>(g.total());
    result.gx = static_cast<double>(gx.total()) - result.g * shifted;
  }
  return result;
}

// Of a row, from those of its chunks.
Moments joined(const Moments* chunks, const Layout& l) {
  Moments row{0, 0, 0, 0};
  for (int64_t i = 0; i < l.chunks; i++) row.mean += chunks[i].mean * static_cast<double>(l.width(i));
  row.mean /= static_cast<double>(l.columns);
  for (int64_t i = 0; i < l.chunks; i++) {
    const Moments& chunk = chunks[i];
    const double d = chunk.mean - row.mean;
    row.squares += chunk.squares + d * d * static_cast<double>(l.width(i));
    row.g += chunk.g;
    row.gx += chunk.gx + chunk.g * d;
  }
  return row;
}

struct Forward {
  const float *x, *gamma, *beta;  // (R, C), (C) or null
  float* y;                       // (R, C)
  double eps;
  bool streams;

  FJ_INLINE_MEMBER Moments moments(int64_t at, int64_t, int64_t n) const {
    return moments_of<false>(x + at, nullptr, nullptr, n);
  }
  // Columns [column, column + n) of the row whose first is element `at` of x; no sums.
  FJ_INLINE_MEMBER void write(const Moments& row, const Layout& l, int64_t at, int64_t column, int64_t n,
                              float*) const {
    const Normal normal(row, l, eps);
    const Vec mean = broadcast(normal.mean), scale = broadcast(normal.scale), offset = broadcast(normal.offset);
    const float *from = x + at + column, *weight = at_column(gamma, column), *bias = at_column(beta, column);
    float* to = y + at + column;
    over_vectors(n, [&](auto, int64_t i, Mask m, bool whole) FJ_LAMBDA {
      Vec h = fma(load_lanes(from + i, m, whole) - mean, scale, offset);
      if (beta) {
        h = fma(h, load_lanes(weight + i, m, whole), load_lanes(bias + i, m, whole));
      } else if (gamma) {
        h = h * load_lanes(weight + i, m, whole);
      }
      put_lanes(to + i, m, whole, streams, h);
    });
  }
};

struct Backward {
  const float *dy, *x, *gamma;  // (R, C), (C) or null
  float* dx;                    // (R, C)
  double eps;
  bool streams;

  FJ_INLINE_MEMBER Moments moments(int64_t at, int64_t column, int64_t n) const {
    return moments_of<true>(x + at, dy + at, at_column(gamma, column), n);
  }
  // As Forward's; sums (2, C), to which dy * h and dy are added, or null.
  FJ_INLINE_MEMBER void write(const Moments& row, const Layout& l, int64_t at, int64_t column, int64_t n,
                              float* sums) const {
    const Normal normal(row, l, eps);
    const double inverse = static_cast<double>(normal.scale), count = static_cast<double>(l.columns);
    const Vec mean = broadcast(normal.mean), scale = broadcast(normal.scale), offset = broadcast(normal.offset);
    // dx = s * g + p * h + q
    const Vec p = broadcast(static_cast<float>(-inverse * inverse * row.gx / count));
    const Vec q = broadcast(static_cast<float>(-inverse * row.g / count));
    const float *d = dy + at + column, *from = x + at + column, *weight = at_column(gamma, column);
    float *to = dx + at + column, *dgamma = sums ? sums + column : nullptr,
          *dbeta = sums ? dgamma + l.columns : nullptr;
    over_vectors(n, [&](auto, int64_t i, Mask m, bool whole) FJ_LAMBDA {
      const Vec own = load_lanes(d + i, m, whole);
      const Vec h = fma(load_lanes(from + i, m, whole) - mean, scale, offset);
      const Vec g = gamma ? own * load_lanes(weight + i, m, whole) : own;
      if (sums) {
        store_lanes(dgamma + i, m, whole, fma(own, h, load_lanes(dgamma + i, m, whole)));
        store_lanes(dbeta + i, m, whole, own + load_lanes(dbeta + i, m, whole));
      }
      put_lanes(to + i, m, whole, streams, fma(g, scale, fma(h, p, q)));
    });
  }
};

FJ_INLINE void clear(float* sums, const Layout& l, Range columns) {
  for (int64_t c = columns.begin; c < columns.end; c++) sums[c] = sums[l.columns + c] = 0;
}

// Rows of one chunk: threads take rows, or where there are sums (parts, 2, C) to make, parts of them.
template <class Rule>
FJ_INLINE void short_rows(const Rule& rule, const Layout& l, Team& team, float* sums) {
  const Range mine = split(sums ? l.parts : l.rows, team);
  const int64_t begin = sums ? mine.begin * l.part : mine.begin;
  const int64_t end = sums ? smaller(l.rows, mine.end * l.part) : mine.end;
  for (int64_t row = begin; row < end; row++) {
    float* of_part = sums ? sums + row / l.part * 2 * l.columns : nullptr;
    if (sums && row % l.part == 0) clear(of_part, l, {0, l.columns});
    const int64_t at = row * l.columns;
    rule.write(rule.moments(at, 0, l.columns), l, at, 0, l.columns, of_part);
  }
}

template <class Rule>
FJ_INLINE void long_rows(const Rule& rule, const Layout& l, Team& team, float* sums, Moments* moments) {
  const Range columns = split(l.columns, team, kLineFloats);
  for (int64_t first = 0; first < l.rows; first += l.batch) {
    Moments* const of_batch = moments + first / l.batch % 2 * l.batch * l.chunks;  // (rows, chunks)
    const int64_t rows = smaller(l.batch, l.rows - first);
    const Range pieces = split(l.chunks * rows, team);
    for (int64_t piece = pieces.begin; piece < pieces.end; piece++) {
      const int64_t chunk = piece / rows, row = piece % rows, column = chunk * kChunk;
      of_batch[row * l.chunks + chunk] = rule.moments((first + row) * l.columns + column, column, l.width(chunk));
    }
    team.barrier();
    for (int64_t row = first; row < first + rows; row++) {
      float* of_part = sums ? sums + row / l.part * 2 * l.columns : nullptr;
      if (sums && row % l.part == 0) clear(of_part, l, columns);
      const Moments of_row = joined(of_batch + (row - first) * l.chunks, l);
      rule.write(of_row, l, row * l.columns, columns.begin, columns.end - columns.begin, of_part);
    }
  }
}

template <class Rule>
void over_rows(const Rule& rule, const Layout& l, const Call& call, Team& team, float* sums) {
  if (l.is_long()) {
    long_rows(rule, l, team, sums, reinterpret_cast<Moments*>(call.scratch));
  } else if (l.columns > 0) {
    short_rows(rule, l, team, sums);
  }
  if (rule.streams) stream_fence();
}

bool wants_streams(const Layout& l, const Call& call) {
  return l.columns % kLineFloats == 0 && outgrows_caches(call, 0);
}

void run_forward(const Call& call, Team& team) {
  const Layout l(*call.in[0].value);
  const Forward rule{call.in[0].as<const float>(),
                     call.n_in > 1 ? call.in[1].as<const float>() : nullptr,
                     call.n_in > 2 ? call.in[2].as<const float>() : nullptr,
                     call.out[0].as<float>(),
                     static_cast<double>(call.attrs<fj_layer_norm_attrs>().eps),
                     wants_streams(l, call)};
  over_rows(rule, l, call, team, nullptr);
}

void run_backward(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_layer_norm_grad_attrs>();
  const Layout l(*call.in[1].value);
  const Backward rule{call.in[0].as<const float>(),
                      call.in[1].as<const float>(),
                      call.n_in > 2 ? call.in[2].as<const float>() : nullptr,
                      call.out[0].as<float>(),
                      static_cast<double>(attrs.eps),
                      wants_streams(l, call)};
  if (attrs.vectors == 0) return over_rows(rule, l, call, team, nullptr);
  auto* sums = reinterpret_cast<float*>(call.scratch + moments_bytes(l));
  over_rows(rule, l, call, team, sums);
  team.barrier();
  float *dgamma = call.out[1].as<float>(), *dbeta = call.out[2].as<float>();
  const Range columns = split(l.columns, team, kLineFloats);
  for (int64_t c = columns.begin; c < columns.end; c += kLineFloats) {
    const int64_t n = smaller(kLineFloats, columns.end - c);
    double weight[kLineFloats] = {}, bias[kLineFloats] = {};
    for (int64_t part = 0; part < l.parts; part++) {
      const float* from = sums + part * 2 * l.columns + c;
      for (int64_t i = 0; i < n; i++) {
        weight[i] += from[i];
        bias[i] += from[l.columns + i];
      }
    }
    for (int64_t i = 0; i < n; i++) {
      dgamma[c + i] = static_cast<float>(weight[i]);
      dbeta[c + i] = static_cast<float>(bias[i]);
    }
  }
}

size_t forward_scratch(const Call& call, int) { return moments_bytes(Layout(*call.in[0].value)); }

size_t backward_scratch(const Call& call, int) {
  const Layout l(*call.in[1].value);
  const size_t sums = static_cast<size_t>(l.parts * 2 * l.columns) * sizeof(float);
  return moments_bytes(l) + (call.attrs<fj_layer_norm_grad_attrs>().vectors == 0 ? 0 : sums);
}

}  // namespace

void register_layer_norm(KernelTable& table) {
  table.add({FJ_OP_LAYER_NORM, 0, "layerNorm", run_forward, forward_scratch, nullptr});
  table.add({FJ_OP_LAYER_NORM_GRAD, 0, "layerNormGrad", run_backward, backward_scratch, nullptr});
}

}  // namespace forja::FJ_ISA
