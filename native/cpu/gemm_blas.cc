// The product by the machine's own library (blas.h): the last step of the lesson, and what the bench measures with.
// Each thread of the team multiplies for a strip of C, cut along its longer side.
#include "blas.h"
#include "gemm.h"

namespace forja::FJ_ISA {

void gemm_blas(const Team& team, const GemmArgs& g) {
  const Blas& library = blas();
  Range rows{0, g.m}, columns{0, g.n};
  if (!library.concurrent) {
    if (team.id != 0) return;
  } else if (g.m >= g.n) {
    rows = split(g.m, team);
  } else {
    columns = split(g.n, team, kWidth);
  }
  const int64_t m = rows.end - rows.begin, n = columns.end - columns.begin;
  if (m == 0 || n == 0) return;
  // A leading dimension of 0, of an empty A or B, is refused on stderr.
  library.sgemm(kBlasRowMajor, g.trans_a ? kBlasTrans : kBlasNoTrans, g.trans_b ? kBlasTrans : kBlasNoTrans,
                static_cast<int>(m), static_cast<int>(n), static_cast<int>(g.k), 1,
                g.a + rows.begin * (g.trans_a ? 1 : g.lda), static_cast<int>(larger(g.lda, 1)),
                g.b + columns.begin * (g.trans_b ? g.ldb : 1), static_cast<int>(larger(g.ldb, 1)), g.accumulate ? 1 : 0,
                g.c + rows.begin * g.ldc + columns.begin, static_cast<int>(g.ldc));
  apply_epilogue(g, rows, columns);
}

}  // namespace forja::FJ_ISA
