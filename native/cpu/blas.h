// cblas_sgemm of a library that the machine may have, OpenBLAS or MKL: what gemm.cc is compared with, as the variant
// `blas` of matmul. Opened at first use, never needed. FORJA_BLAS_LIB names one library instead of the usual ones.
#pragma once

namespace forja {

struct Blas {
  // Row-major. Leading dimensions are in floats; C = alpha op(A) op(B) + beta C.
  void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                const float* b, int ldb, float beta, float* c, int ldc);
  bool concurrent;      // may be called from several threads at once, and starts none of its own
  const char* problem;  // why sgemm is null; null where it is not
};

constexpr int kBlasRowMajor = 101, kBlasNoTrans = 111, kBlasTrans = 112;

const Blas& blas();

}  // namespace forja
