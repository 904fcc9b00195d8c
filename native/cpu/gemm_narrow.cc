// Products with few columns:  C (m, n) = epilogue([C +] A (m, k) * op(B) (k, n)), n up to 0.7 of a vector.
//
// A tile whose vectors run along n would leave lanes empty: 6 of 16 for ten classes. So vectors run along k. B lies
// transposed in the L1 cache, (n, k) with its rows padded by zeros, and rows x n sums stay in registers:
//
//   sums[i][j] += A[i][k..k+15] * B^T[j][k..k+15]
//
// At the end the lanes of each sum are added up, n sums at once: a tenth of the time at k = 512.
//
// Few rows and a transposed B, a linear layer of a small batch, are the same product turned: C^T = B A^T. Rows of
// weights are read where they lie; a tile would have to transpose them first.
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostColumns = 7 * kWidth / 10;

// Fewer rows or steps than this do not pay for transposing B and for adding up lanes.
constexpr int64_t kLeastRows = 2 * kWidth, kLeastDepth = 16 * kWidth;
constexpr int64_t kLeastTurnedDepth = 4 * kWidth;  // where otherwise all of B is transposed

// Sums, a row of A, one vector of B; more than four rows gain nothing.
constexpr int rows_at_once(int columns) {
  int rows = 1;
  while (rows < 4 && (rows + 1) * (columns + 1) + 1 <= kVectorRegisters) rows++;
  return rows;
}

// A row of B^T: whole vectors, and a line more, since rows a multiple of 4 KB apart share a set of the L1 cache.
FJ_INLINE int64_t padded(int64_t k) { return ceil_div(k, kWidth) * kWidth + kLineFloats; }

// What is multiplied: rows of `a`, lda apart, with rows of `bt` (n, padded(k)).
struct Long {
  int64_t k;
  const float* a;
  int64_t lda;
};

// sums[r][j] of rows i.. i + Rows, lanes still apart.
template <int Rows, int N>
FJ_INLINE void add_products(const Long& t, const float* bt, int64_t i, Vec (&sums)[Rows][N]) {
  const int64_t step = padded(t.k), whole = t.k / kWidth * kWidth;
  const float* a = t.a + i * t.lda;
  unroll<Rows>([&](auto r) FJ_LAMBDA { unroll<N>([&](auto j) FJ_LAMBDA { sums[r][j] = zero(); }); });
  const auto add = [&](const Vec(&av)[Rows], int64_t k) FJ_LAMBDA {
    unroll<N>([&](auto j) FJ_LAMBDA {
      const Vec bv = in_register(load(bt + j * step + k));
      unroll<Rows>([&](auto r) FJ_LAMBDA { sums[r][j] = fma(av[r], bv, sums[r][j]); });
    });
  };
  Vec av[Rows];
  for (int64_t k = 0; k < whole; k += kWidth) {
    unroll<Rows>([&](auto r) FJ_LAMBDA { av[r] = load(a + r * t.lda + k); });
    add(av, k);
  }
  if (whole < t.k) {
    const Mask rest = tail_mask(t.k - whole);
    unroll<Rows>([&](auto r) FJ_LAMBDA { av[r] = load_masked(rest, a + r * t.lda + whole); });
    add(av, whole);
  }
}

// C[i.. i + Rows], a row of it a vector.
template <int Rows, int N>
FJ_INLINE void some_rows(const GemmArgs& g, const float* bt, int64_t i) {
  Vec sums[Rows][N];
  add_products<Rows, N>({g.k, g.a, g.lda}, bt, i, sums);
  const Mask columns = tail_mask(N);
  unroll<Rows>([&](auto r) FJ_LAMBDA {
    const int64_t offset = (i + r) * g.ldc;
    Vec c = reduce_add_each(sums[r]);
    if (g.accumulate) c = c + load_masked(columns, g.c + offset);
    store_masked(g.c + offset, columns, finished(c, g.epilogue, columns));
  });
}

// C[:, i.. i + Rows], a column of it a vector.
template <int Rows, int N>
FJ_INLINE void some_columns(const GemmArgs& g, const float* at, int64_t i) {
  Vec sums[Rows][N];
  add_products<Rows, N>({g.k, g.b, g.ldb}, at, i, sums);
  float column[Rows][kWidth];
  unroll<Rows>([&](auto r) FJ_LAMBDA {
    Vec c = reduce_add_each(sums[r]);
    if (g.epilogue.bias) c = c + broadcast(g.epilogue.bias[i + r]);
    if (g.epilogue.activation == kActivationRelu) c = max(zero(), c);
    store(column[r], c);
  });
  unroll<N>([&](auto j) FJ_LAMBDA { unroll<Rows>([&](auto r) FJ_LAMBDA { g.c[j * g.ldc + i + r] = column[r][j]; }); });
}

template <int N, bool kTurned>
void all_rows(const GemmArgs& g, const float* bt, Range rows) {
  constexpr int kRows = rows_at_once(N);
  int64_t i = rows.begin;
  for (; i + kRows <= rows.end; i += kRows) {
    if constexpr (kTurned) {
      some_columns<kRows, N>(g, bt, i);
    } else {
      some_rows<kRows, N>(g, bt, i);
    }
  }
  for (; i < rows.end; i++) {
    if constexpr (kTurned) {
      some_columns<1, N>(g, bt, i);
    } else {
      some_rows<1, N>(g, bt, i);
    }
  }
}

using AllRows = void (*)(const GemmArgs&, const float*, Range);

// For 2 .. kMostColumns columns; one is gemv.cc's.
template <bool kTurned, int... I>
FJ_INLINE AllRows kernel_for(int64_t n, std::integer_sequence<int, I...>) {
  static constexpr AllRows kernels[] = {&all_rows<I + 2, kTurned>...};
  return kernels[n - 2];
}

bool is_few(int64_t count) { return count >= 2 && count <= kMostColumns; }

bool rows_are_few(const GemmArgs& g) {
  return is_few(g.m) && !g.trans_a && g.trans_b && g.n >= kLeastRows && g.k >= kLeastTurnedDepth && !g.accumulate;
}

bool columns_are_few(const GemmArgs& g) { return is_few(g.n) && !g.trans_a && g.m >= kLeastRows && g.k >= kLeastDepth; }

}  // namespace

bool gemm_narrow_applies(const GemmArgs& g) { return rows_are_few(g) || columns_are_few(g); }

// One copy of what is few a thread: no barrier, and it is in the thread's own cache.
size_t gemm_narrow_scratch(const GemmArgs& g, int threads) {
  return sizeof(float) * (rows_are_few(g) ? g.m : g.n) * padded(g.k) * threads;
}

void gemm_narrow(const Team& team, const GemmArgs& g, uint8_t* scratch) {
  const bool turned = rows_are_few(g);
  const int64_t few = turned ? g.m : g.n, step = padded(g.k);
  const Range mine = split(turned ? g.n : g.m, team, rows_at_once(static_cast<int>(few)));
  if (mine.begin == mine.end) return;
  float* bt = reinterpret_cast<float*>(scratch) + team.id * few * step;
  if (turned) {
    pack_rows(few, g.k, g.a, g.lda, bt, step);
  } else if (g.trans_b) {
    pack_rows(few, g.k, g.b, g.ldb, bt, step);
  } else {
    pack_transposed(g.k, few, g.b, g.ldb, bt, step);
  }
  for (int64_t j = 0; j < few; j++) {
    for (int64_t k = g.k; k % kWidth != 0; k++) bt[j * step + k] = 0;
  }
  const std::make_integer_sequence<int, kMostColumns - 1> counts;
  (turned ? kernel_for<true>(few, counts) : kernel_for<false>(few, counts))(g, bt, mine);
  apply_mask(g, turned ? Range{0, g.m} : mine, turned ? mine : Range{0, g.n});
}

}  // namespace forja::FJ_ISA
