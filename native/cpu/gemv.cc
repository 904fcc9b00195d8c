// Products with one row or one column:  y (n) = epilogue([y +] x (k) * B (k, n)).
//
// Every number of B is used once, so its memory must be read in the order it lies: rows of B scaled and added
// to a strip of y that stays in the L1 cache, or, where B is transposed, a dot product per row of B. A
// product with one column is the same thing with A^T in the place of B.
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kRowsAtOnce = 4;            // rows of B per pass over y, or dot products at once
constexpr int64_t kStrip = 1024;          // floats of y: 4 KB
constexpr int64_t kThreadWork = 1 << 14;  // numbers of B that make another thread worth waking

struct Gemv {
  int64_t n, k;
  const float* x;  // (k), x_step apart
  int64_t x_step;
  const float* b;  // (k, ldb), or (n, ldb) if transposed
  int64_t ldb;
  bool transposed;
};

// sums (columns) = x * B[:, j0...]
void add_scaled_rows(const Gemv& g, int64_t j0, int64_t columns, float* sums) {
  for (int64_t j = 0; j < columns; j++) sums[j] = 0;
  const int64_t whole = columns / kWidth * kWidth;
  const Mask rest = tail_mask(columns - whole);
  for (int64_t k = 0; k < g.k; k += kRowsAtOnce) {
    const float* rows[kRowsAtOnce];
    Vec scale[kRowsAtOnce];
    unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA {
      const bool inside = k + r < g.k;
      rows[r] = g.b + (inside ? k + r : k) * g.ldb + j0;
      scale[r] = inside ? broadcast(g.x[(k + r) * g.x_step]) : zero();
    });
    const bool all_rows = k + kRowsAtOnce <= g.k;
    for (int64_t j = 0; j < whole; j += kWidth) {
      Vec sum = load(sums + j);
      unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA {
        if (r == 0 || all_rows || k + r < g.k) sum = fma(scale[r], load(rows[r] + j), sum);
      });
      store(sums + j, sum);
    }
    if (whole < columns) {
      Vec sum = load_masked(rest, sums + whole);
      unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA {
        if (r == 0 || all_rows || k + r < g.k) sum = fma(scale[r], load_masked(rest, rows[r] + whole), sum);
      });
      store_masked(sums + whole, rest, sum);
    }
  }
}

// sums (columns) = x * B^T[:, j0...]; x is contiguous
void dot_rows(const Gemv& g, int64_t j0, int64_t columns, float* sums) {
  const int64_t whole = g.k / kWidth * kWidth;
  const Mask rest = tail_mask(g.k - whole);
  for (int64_t j = 0; j < columns; j += kRowsAtOnce) {
    const float* rows[kRowsAtOnce];
    Vec sum[kRowsAtOnce];
    unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA {
      rows[r] = g.b + (j0 + smaller(j + r, columns - 1)) * g.ldb;
      sum[r] = zero();
    });
    for (int64_t k = 0; k < whole; k += kWidth) {
      const Vec x = load(g.x + k);
      unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA { sum[r] = fma(x, load(rows[r] + k), sum[r]); });
    }
    if (whole < g.k) {
      const Vec x = load_masked(rest, g.x + whole);
      unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA { sum[r] = fma(x, load_masked(rest, rows[r] + whole), sum[r]); });
    }
    unroll<kRowsAtOnce>([&](auto r) FJ_LAMBDA {
      if (j + r < columns) sums[j + r] = reduce_add(sum[r]);
    });
  }
}

FJ_INLINE Gemv as_gemv(const GemmArgs& g) {
  if (g.m == 1) return {g.n, g.k, g.a, g.trans_a ? g.lda : 1, g.b, g.ldb, g.trans_b};
  return {g.m, g.k, g.b, g.trans_b ? 1 : g.ldb, g.a, g.lda, !g.trans_a};
}

}  // namespace

bool gemv_applies(const GemmArgs& g) {
  if (g.m != 1 && g.n != 1) return false;
  const Gemv v = as_gemv(g);
  // A dot product loads x as vectors; a y of a tile's width is better kept in registers.
  return v.transposed ? v.x_step == 1 : v.n > kTileCols;
}

void gemv(const Team& team, const GemmArgs& g) {
  const Gemv v = as_gemv(g);
  const bool row = g.m == 1;
  const int threads = static_cast<int>(smaller(team.count, larger(1, v.n * v.k / kThreadWork)));
  if (team.id >= threads) return;
  const Range range = split(v.n, team.id, threads, 16);
  float sums[kStrip];
  for (int64_t j0 = range.begin; j0 < range.end; j0 += kStrip) {
    const int64_t columns = smaller(kStrip, range.end - j0);
    if (v.transposed) {
      dot_rows(v, j0, columns, sums);
    } else {
      add_scaled_rows(v, j0, columns, sums);
    }
    const int64_t step = row ? 1 : g.ldc;
    const Epilogue& e = g.epilogue;
    for (int64_t j = 0; j < columns; j++) {
      const int64_t offset = (j0 + j) * step;
      float sum = sums[j];
      if (g.accumulate) sum += g.c[offset];
      if (e.bias) sum += e.bias[row ? j0 + j : 0];
      if (e.activation == kActivationRelu && sum < 0) sum = 0;
      if (g.mask && g.mask[offset] <= 0) sum = 0;
      g.c[offset] = sum;
    }
  }
}

}  // namespace forja::FJ_ISA
