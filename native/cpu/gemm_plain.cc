// Two matrix products to compare gemm.cc with, in plain loops.
//
// naive    C[i][j] is a dot product. B is read down a column, one cache line per number: this is what a
//          textbook's three loops cost.
// blocked  the same sums in the order i, k, j inside blocks that fit the caches. The innermost loop runs along
//          a row of B and of C, so the compiler vectorises it, but each multiply-add still loads and stores C.
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

// Floats: a block of B (128 x 256, 128 KB) stays in the L2 cache, a strip of C's row (256, 1 KB) in L1.
constexpr int64_t kBlockDepth = 128, kBlockColumns = 256;

FJ_INLINE float finished(float sum, const Epilogue& e, int64_t column) {
  if (e.bias) sum += e.bias[column];
  return e.activation == kActivationRelu && sum < 0 ? 0 : sum;
}

}  // namespace

void gemm_naive(const Team& team, const GemmArgs& g) {
  const Range rows = split(g.m, team);
  const int64_t a_row = g.trans_a ? 1 : g.lda, a_step = g.trans_a ? g.lda : 1;
  const int64_t b_column = g.trans_b ? g.ldb : 1, b_step = g.trans_b ? 1 : g.ldb;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = 0; j < g.n; j++) {
      float sum = g.accumulate ? g.c[i * g.ldc + j] : 0;
      for (int64_t k = 0; k < g.k; k++) sum += g.a[i * a_row + k * a_step] * g.b[j * b_column + k * b_step];
      g.c[i * g.ldc + j] = finished(sum, g.epilogue, j);
    }
  }
  apply_mask(g, rows, {0, g.n});
}

void gemm_blocked(const Team& team, const GemmArgs& g) {
  const Range rows = split(g.m, team);
  const int64_t a_row = g.trans_a ? 1 : g.lda, a_step = g.trans_a ? g.lda : 1;
  if (!g.accumulate) {
    for (int64_t i = rows.begin; i < rows.end; i++) {
      for (int64_t j = 0; j < g.n; j++) g.c[i * g.ldc + j] = 0;
    }
  }
  for (int64_t k0 = 0; k0 < g.k; k0 += kBlockDepth) {
    const int64_t depth = smaller(kBlockDepth, g.k - k0);
    for (int64_t j0 = 0; j0 < g.n; j0 += kBlockColumns) {
      const int64_t columns = smaller(kBlockColumns, g.n - j0);
      const float* b = g.b;
      int64_t ldb = g.ldb;
      float turned[kBlockDepth * kBlockColumns];  // the block of B, if B is transposed: rows of it become contiguous
      if (g.trans_b) {
        for (int64_t j = 0; j < columns; j++) {
          for (int64_t k = 0; k < depth; k++) turned[k * columns + j] = g.b[(j0 + j) * g.ldb + k0 + k];
        }
        b = turned;
        ldb = columns;
      } else {
        b += k0 * ldb + j0;
      }
      for (int64_t i = rows.begin; i < rows.end; i++) {
        float* __restrict c = g.c + i * g.ldc + j0;
        for (int64_t k = 0; k < depth; k++) {
          const float a = g.a[i * a_row + (k0 + k) * a_step];
          const float* __restrict b_row = b + k * ldb;
          for (int64_t j = 0; j < columns; j++) c[j] += a * b_row[j];
        }
      }
    }
  }
  apply_epilogue(g, rows, {0, g.n});
}

void apply_epilogue(const GemmArgs& g, Range rows, Range columns) {
  apply_mask(g, rows, columns);
  if (g.epilogue.empty()) return;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) {
      float& c = g.c[i * g.ldc + j];
      c = finished(c, g.epilogue, j);
    }
  }
}

}  // namespace forja::FJ_ISA
