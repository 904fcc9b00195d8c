// Products with few columns:  C (m, n) = epilogue([C +] A (m, k) * op(B) (k, n)), n up to 0.7 of a vector.
//
// A tile whose vectors run along n would leave lanes empty: 6 of 16 for ten classes. So vectors run along k. B lies
// transposed in the L1 cache, (n, k) with its rows padded by zeros, and rows x n sums stay in registers:
//
//   sums[i][j] += A[i][k..k+15] * B^T[j][k..k+15]
//
// At the end the lanes of each sum are added up, n sums at once: a tenth of the time at k = 512.
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostColumns = 7 * kWidth / 10;

// Fewer rows or steps than this do not pay for transposing B and for adding up lanes.
constexpr int64_t kLeastRows = 2 * kWidth, kLeastDepth = 16 * kWidth;

// Sums, a row of A, one vector of B; more than four rows gain nothing.
constexpr int rows_at_once(int columns) {
  int rows = 1;
  while (rows < 4 && (rows + 1) * (columns + 1) + 1 <= kVectorRegisters) rows++;
  return rows;
}

// A row of B^T: whole vectors, and a line more, since rows a multiple of 4 KB apart share a set of the L1 cache.
FJ_INLINE int64_t padded(int64_t k) { return ceil_div(k, kWidth) * kWidth + kLineFloats; }

// C[i.. i + Rows] from `bt` (N, padded(k)).
template <int Rows, int N>
FJ_INLINE void some_rows(const GemmArgs& g, const float* bt, int64_t i) {
  const int64_t step = padded(g.k), whole = g.k / kWidth * kWidth;
  const float* a = g.a + i * g.lda;
  Vec sums[Rows][N];
  unroll<Rows>([&](auto r) FJ_LAMBDA { unroll<N>([&](auto j) FJ_LAMBDA { sums[r][j] = zero(); }); });
  const auto add = [&](const Vec(&av)[Rows], int64_t k) FJ_LAMBDA {
    unroll<N>([&](auto j) FJ_LAMBDA {
      const Vec bv = in_register(load(bt + j * step + k));
      unroll<Rows>([&](auto r) FJ_LAMBDA { sums[r][j] = fma(av[r], bv, sums[r][j]); });
    });
  };
  Vec av[Rows];
  for (int64_t k = 0; k < whole; k += kWidth) {
    unroll<Rows>([&](auto r) FJ_LAMBDA { av[r] = load(a + r * g.lda + k); });
    add(av, k);
  }
  if (whole < g.k) {
    const Mask rest = tail_mask(g.k - whole);
    unroll<Rows>([&](auto r) FJ_LAMBDA { av[r] = load_masked(rest, a + r * g.lda + whole); });
    add(av, whole);
  }
  const Mask columns = tail_mask(N);
  unroll<Rows>([&](auto r) FJ_LAMBDA {
    const int64_t offset = (i + r) * g.ldc;
    Vec c = reduce_add_each(sums[r]);
    if (g.accumulate) c = c + load_masked(columns, g.c + offset);
    if (g.epilogue.bias) c = c + load_masked(columns, g.epilogue.bias);
    if (g.epilogue.residual) c = c + load_masked(columns, g.epilogue.residual + offset);
    if (g.epilogue.activation == kActivationRelu) c = max(zero(), c);
    store_masked(g.c + offset, columns, c);
  });
}

template <int N>
void all_rows(const GemmArgs& g, const float* bt, Range rows) {
  constexpr int kRows = rows_at_once(N);
  int64_t i = rows.begin;
  for (; i + kRows <= rows.end; i += kRows) some_rows<kRows, N>(g, bt, i);
  for (; i < rows.end; i++) some_rows<1, N>(g, bt, i);
}

using AllRows = void (*)(const GemmArgs&, const float*, Range);

// For 2 .. kMostColumns columns; one is gemv.cc's.
template <int... I>
FJ_INLINE AllRows kernel_for(int64_t n, std::integer_sequence<int, I...>) {
  static constexpr AllRows kernels[] = {&all_rows<I + 2>...};
  return kernels[n - 2];
}

}  // namespace

bool gemm_narrow_applies(const GemmArgs& g) {
  return g.n >= 2 && g.n <= kMostColumns && !g.trans_a && g.m >= kLeastRows && g.k >= kLeastDepth;
}

// One copy of B^T a thread: no barrier, and it is in the thread's own cache.
size_t gemm_narrow_scratch(const GemmArgs& g, int threads) { return sizeof(float) * g.n * padded(g.k) * threads; }

void gemm_narrow(const Team& team, const GemmArgs& g, uint8_t* scratch) {
  const Range rows = split(g.m, team, rows_at_once(static_cast<int>(g.n)));
  if (rows.begin == rows.end) return;
  const int64_t step = padded(g.k);
  float* bt = reinterpret_cast<float*>(scratch) + team.id * g.n * step;
  if (g.trans_b) {
    pack_rows(g.n, g.k, g.b, g.ldb, bt, step);
  } else {
    pack_transposed(g.k, g.n, g.b, g.ldb, bt, step);
  }
  for (int64_t j = 0; j < g.n; j++) {
    for (int64_t k = g.k; k % kWidth != 0; k++) bt[j * step + k] = 0;
  }
  kernel_for(g.n, std::make_integer_sequence<int, kMostColumns - 1>{})(g, bt, rows);
}

}  // namespace forja::FJ_ISA
