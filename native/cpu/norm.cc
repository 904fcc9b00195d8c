// Batch normalisation of float32 maps (M, C), channels last; M: all axes but the last.
//
//   mean = sum x / M    variance = sum (x - mean)^2 / M    s = 1 / sqrt(variance + eps)
//   y    = (x - mean) * s * gamma + beta, then plus a residual where there is one, then ReLU if asked for
//   dbeta = sum dy    dgamma = sum dy * (x - mean) * s    dx = gamma*s * (dy - dbeta/M - (x - mean)*s * dgamma/M)
//
// Sums: M is cut into chunks of rows that stay in cache. Each chunk is summed in float32, its squares about its own
// mean in a second look at it, and the chunks are put together in float64 in their order. So memory is read once per
// pass, a large M or mean costs no digits, and the result does not depend on the number of threads.
//
// Few channels: `group` rows are treated as one of group * C columns, so that vectors are full (C = 6 and 16 lanes: 8
// rows of 6 are 3 vectors). Vectors of numbers per channel are repeated to that width.
#include <cmath>
#include <type_traits>

#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kChunkFloats = 8192;  // 32 KB
constexpr int64_t kChunkRows = 64;      // at least: a chunk's own sums must be few beside it
constexpr int kStrip = 4;               // vectors of columns summed at a time

struct Layout {
  int64_t m, c;
  int64_t group, width;  // rows treated as one, and its columns
  int64_t rows, chunks;  // rows of a chunk (a multiple of group), number of chunks

  FJ_INLINE_MEMBER Range chunk(int64_t i) const { return {i * rows, smaller(m, (i + 1) * rows)}; }
};

Layout layout_of(const fj_value& x) {
  Layout l{};
  l.c = x.dims[x.rank - 1];
  l.m = 1;
  for (int axis = 0; axis + 1 < x.rank; axis++) l.m *= x.dims[axis];
  l.group = 1;
  if (l.c < 4 * kWidth) {
    while (l.group * l.c % kWidth != 0) l.group++;
  }
  l.width = l.group * l.c;
  l.rows = ceil_div(larger(kChunkRows, kChunkFloats / l.c), l.group) * l.group;
  l.chunks = ceil_div(l.m, l.rows);
  return l;
}

// Pieces of the team's scratch; the sizes add up to scratch_floats().
struct Scratch {
  float *first, *second;     // (chunks, C): the sums of each chunk
  float *shift, *p, *q, *r;  // (width): per channel, repeated
  float *mine, *sums;        // this thread's (width) and (2, width)
};

int64_t scratch_floats(const Layout& l, int threads) { return 2 * l.chunks * l.c + (4 + 3 * threads) * l.width; }

Scratch scratch_of(const Layout& l, const Call& call, const Team& team) {
  float* at = reinterpret_cast<float*>(call.scratch);
  Scratch s{};
  s.first = at;
  s.second = at += l.chunks * l.c;
  s.shift = at += l.chunks * l.c;
  s.p = at += l.width;
  s.q = at += l.width;
  s.r = at += l.width;
  s.mine = at + l.width * (1 + 3 * team.id);
  s.sums = s.mine + l.width;
  return s;
}

size_t forward_scratch(const Call& call, int threads) {
  return scratch_floats(layout_of(*call.in[0].value), threads) * sizeof(float);
}
size_t backward_scratch(const Call& call, int threads) {
  return scratch_floats(layout_of(*call.in[1].value), threads) * sizeof(float);
}

// Adds term(offset, column, mask) into two accumulators over rows [begin, end) of `width` columns, and writes them to
// sums[column] and sums[width + column]. `floats` of them exist: the last row may be cut off. A term's lanes outside
// the mask must be 0.
template <int NV, class Term>
FJ_INLINE void sum_strip(int64_t column, int64_t width, int64_t floats, float* sums, const Term& term) {
  Vec a[NV], b[NV];
  unroll<NV>([&](auto v) FJ_LAMBDA { a[v] = b[v] = zero(); });
  int64_t row = 0;
  const bool whole = column + NV * kWidth <= width;
  for (; whole && row + width <= floats; row += width) {
    unroll<NV>([&](auto v) FJ_LAMBDA { term.whole(row + column + v * kWidth, column + v * kWidth, a[v], b[v]); });
  }
  for (; row < floats; row += width) {
    const int64_t left = smaller(width, floats - row) - column;
    unroll<NV>([&](auto v) FJ_LAMBDA {
      const Mask mask = tail_mask(left - v * kWidth);
      if (any(mask)) term.masked(row + column + v * kWidth, column + v * kWidth, mask, a[v], b[v]);
    });
  }
  unroll<NV>([&](auto v) FJ_LAMBDA {
    const Mask mask = tail_mask(width - column - v * kWidth);
    store_masked(sums + column + v * kWidth, mask, a[v]);
    store_masked(sums + width + column + v * kWidth, mask, b[v]);
  });
}

template <class Term>
FJ_INLINE void sum_columns(int64_t width, int64_t floats, float* sums, const Term& term) {
  int64_t column = 0;
  for (; column + kStrip * kWidth <= width; column += kStrip * kWidth) {
    sum_strip<kStrip>(column, width, floats, sums, term);
  }
  for (; column < width; column += kWidth) sum_strip<1>(column, width, floats, sums, term);
}

// The sum over the rows of a group, of channel c.
FJ_INLINE float fold(const float* sums, const Layout& l, int64_t c) {
  float total = 0;
  for (int64_t at = c; at < l.width; at += l.c) total += sums[at];
  return total;
}

FJ_INLINE void repeat(float* to, const Layout& l, int64_t c, float value) {
  for (int64_t at = c; at < l.width; at += l.c) to[at] = value;
}

struct SumTerm {
  const float* x;
  FJ_INLINE_MEMBER void whole(int64_t at, int64_t, Vec& a, Vec&) const { a = a + load(x + at); }
  FJ_INLINE_MEMBER void masked(int64_t at, int64_t, Mask m, Vec& a, Vec&) const { a = a + load_masked(m, x + at); }
};

// a: x - shift, b: its square.
struct SquareTerm {
  const float *x, *shift;
  FJ_INLINE_MEMBER void add(Vec d, Vec& a, Vec& b) const {
    a = a + d;
    b = fma(d, d, b);
  }
  FJ_INLINE_MEMBER void whole(int64_t at, int64_t column, Vec& a, Vec& b) const {
    add(load(x + at) - load(shift + column), a, b);
  }
  FJ_INLINE_MEMBER void masked(int64_t at, int64_t column, Mask m, Vec& a, Vec& b) const {
    add(load_masked(m, x + at) - load_masked(m, shift + column), a, b);
  }
};

// a: dy, b: dy * (x - mean); y: dy counts where y > 0, null: everywhere.
struct GradTerm {
  const float *dy, *x, *y, *mean;
  FJ_INLINE_MEMBER void add(Vec g, Vec d, Vec& a, Vec& b) const {
    a = a + g;
    b = fma(g, d, b);
  }
  FJ_INLINE_MEMBER void whole(int64_t at, int64_t column, Vec& a, Vec& b) const {
    Vec g = load(dy + at);
    if (y) g = select(load(y + at) > zero(), g, zero());
    add(g, load(x + at) - load(mean + column), a, b);
  }
  FJ_INLINE_MEMBER void masked(int64_t at, int64_t column, Mask m, Vec& a, Vec& b) const {
    Vec g = load_masked(m, dy + at);
    if (y) g = select(load_masked(m, y + at) > zero(), g, zero());
    add(g, load_masked(m, x + at) - load_masked(m, mean + column), a, b);
  }
};

// Calls f(offset, column, lanes or mask) over `floats` elements that begin at column 0.
template <class F>
FJ_INLINE void over_elements(int64_t width, int64_t floats, const F& f) {
  for (int64_t row = 0; row < floats; row += width) {
    const int64_t length = smaller(width, floats - row);
    int64_t column = 0;
    for (; column + kWidth <= length; column += kWidth) f(row + column, column, tail_mask(kWidth), true);
    if (column < length) f(row + column, column, tail_mask(length - column), false);
  }
}

void run_forward(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_batch_norm_attrs>();
  const Layout l = layout_of(*call.in[0].value);
  const Scratch s = scratch_of(l, call, team);
  const float* x = call.in[0].as<const float>();  // (M, C)
  const float *gamma = call.in[1].as<const float>(), *beta = call.in[2].as<const float>();
  const float* residual = call.n_in > 3 ? call.in[3].as<const float>() : nullptr;  // (M, C); y may lie over it, or x
  float* y = call.out[0].as<float>();
  float *mean = call.out[1].as<float>(), *variance = call.out[2].as<float>();
  const Range chunks = split(l.chunks, team);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    const Range rows = l.chunk(chunk);
    const int64_t floats = (rows.end - rows.begin) * l.c;
    const float count = static_cast<float>(rows.end - rows.begin), *from = x + rows.begin * l.c;
    sum_columns(l.width, floats, s.sums, SumTerm{from});
    for (int64_t c = 0; c < l.c; c++) repeat(s.mine, l, c, fold(s.sums, l, c) / count);
    sum_columns(l.width, floats, s.sums, SquareTerm{from, s.mine});
    for (int64_t c = 0; c < l.c; c++) {
      // What rounding left between the first mean and the true one.
      const float rest = fold(s.sums, l, c) / count;
      s.first[chunk * l.c + c] = s.mine[c] + rest;
      s.second[chunk * l.c + c] = fold(s.sums + l.width, l, c) - rest * rest * count;
    }
  }
  team.barrier();
  const Range channels = split(l.c, team, kWidth);
  for (int64_t c = channels.begin; c < channels.end; c++) {
    double total = 0, squares = 0;
    for (int64_t k = 0; k < l.chunks; k++) {
      const Range rows = l.chunk(k);
      total += static_cast<double>(s.first[k * l.c + c]) * static_cast<double>(rows.end - rows.begin);
    }
    const double average = total / static_cast<double>(l.m);
    for (int64_t k = 0; k < l.chunks; k++) {
      const Range rows = l.chunk(k);
      const double d = s.first[k * l.c + c] - average;
      squares += s.second[k * l.c + c] + d * d * static_cast<double>(rows.end - rows.begin);
    }
    const double spread = squares / static_cast<double>(l.m);
    mean[c] = static_cast<float>(average);
    variance[c] = static_cast<float>(spread);
    repeat(s.shift, l, c, mean[c]);
    repeat(s.p, l, c, static_cast<float>(gamma[c] / std::sqrt(spread + attrs.eps)));
    repeat(s.q, l, c, beta[c]);
  }
  team.barrier();
  const bool relu = attrs.activation == FJ_ACTIVATION_RELU;
  const bool streams = l.width % kLineFloats == 0 && outgrows_caches(call, 0);
  const auto apply = [&](auto adds) FJ_LAMBDA {
    for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
      const Range rows = l.chunk(chunk);
      const int64_t begin = rows.begin * l.c;
      over_elements(l.width, (rows.end - rows.begin) * l.c,
                    [&](int64_t at, int64_t column, Mask m, bool whole) FJ_LAMBDA {
                      const Vec d = load_lanes(x + begin + at, m, whole) - load_lanes(s.shift + column, m, whole);
                      Vec v = fma(d, load_lanes(s.p + column, m, whole), load_lanes(s.q + column, m, whole));
                      if constexpr (decltype(adds)::value) v = v + load_lanes(residual + begin + at, m, whole);
                      put_lanes(y + begin + at, m, whole, streams, relu ? max(zero(), v) : v);
                    });
    }
  };
  residual ? apply(std::true_type()) : apply(std::false_type());
  if (streams) stream_fence();
}

void run_backward(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_batch_norm_grad_attrs>();
  const Layout l = layout_of(*call.in[1].value);
  const Scratch s = scratch_of(l, call, team);
  const float *dy = call.in[0].as<const float>(), *x = call.in[1].as<const float>();  // (M, C)
  const float *gamma = call.in[2].as<const float>(), *mean = call.in[3].as<const float>();
  const float* variance = call.in[4].as<const float>();
  const float* y = call.n_in > 5 ? call.in[5].as<const float>() : nullptr;
  float *dx = call.out[0].as<float>(), *dgamma = call.out[1].as<float>(), *dbeta = call.out[2].as<float>();
  const Range chunks = split(l.chunks, team);
  for (int64_t c = 0; c < l.c; c++) repeat(s.mine, l, c, mean[c]);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    const Range rows = l.chunk(chunk);
    const int64_t begin = rows.begin * l.c, floats = (rows.end - rows.begin) * l.c;
    sum_columns(l.width, floats, s.sums, GradTerm{dy + begin, x + begin, y ? y + begin : nullptr, s.mine});
    for (int64_t c = 0; c < l.c; c++) {
      s.first[chunk * l.c + c] = fold(s.sums, l, c);
      s.second[chunk * l.c + c] = fold(s.sums + l.width, l, c);
    }
  }
  team.barrier();
  const Range channels = split(l.c, team, kWidth);
  for (int64_t c = channels.begin; c < channels.end; c++) {
    double sum = 0, product = 0;  // of dy, of dy * (x - mean)
    for (int64_t k = 0; k < l.chunks; k++) {
      sum += s.first[k * l.c + c];
      product += s.second[k * l.c + c];
    }
    const double inverse = 1 / std::sqrt(static_cast<double>(variance[c]) + attrs.eps), scale = gamma[c] * inverse;
    const double m = static_cast<double>(l.m);
    dbeta[c] = static_cast<float>(sum);
    dgamma[c] = static_cast<float>(product * inverse);
    // dx = p * dy + q * (x - mean) + r
    repeat(s.shift, l, c, mean[c]);
    repeat(s.p, l, c, static_cast<float>(scale));
    repeat(s.q, l, c, static_cast<float>(-scale * inverse * inverse * product / m));
    repeat(s.r, l, c, static_cast<float>(-scale * sum / m));
  }
  team.barrier();
  const bool streams = l.width % kLineFloats == 0 && outgrows_caches(call, 0);
  // Last chunks first: they are the ones that caches still hold.
  for (int64_t chunk = chunks.end; chunk-- > chunks.begin;) {
    const Range rows = l.chunk(chunk);
    const int64_t begin = rows.begin * l.c;
    over_elements(l.width, (rows.end - rows.begin) * l.c,
                  [&](int64_t at, int64_t column, Mask m, bool whole) FJ_LAMBDA {
                    Vec g = load_lanes(dy + begin + at, m, whole);
                    if (y) g = select(load_lanes(y + begin + at, m, whole) > zero(), g, zero());
                    const Vec d = load_lanes(x + begin + at, m, whole) - load_lanes(s.shift + column, m, whole);
                    const Vec v = fma(d, load_lanes(s.q + column, m, whole), load_lanes(s.r + column, m, whole));
                    put_lanes(dx + begin + at, m, whole, streams, fma(g, load_lanes(s.p + column, m, whole), v));
                  });
  }
  if (streams) stream_fence();
}

}  // namespace

void register_norm(KernelTable& table) {
  table.add({FJ_OP_BATCH_NORM, 0, "batchNorm", run_forward, forward_scratch, nullptr});
  table.add({FJ_OP_BATCH_NORM_GRAD, 0, "batchNormGrad", run_backward, backward_scratch, nullptr});
}

}  // namespace forja::FJ_ISA
