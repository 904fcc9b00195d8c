// Matrix product, row-major float32:  C (m, n) = epilogue([C +] op(A) (m, k) * op(B) (k, n)), 0 where a mask is not
// positive.
//
// op(A) is A (m, k) with rows lda apart, or with trans_a the transpose of A (k, m); B alike. C must not
// overlap an operand. Four forms: `gemm` is the fast one, `gemm_naive` and `gemm_blocked` (gemm_plain.cc)
// are the steps of a lesson that lead to it, `gemm_blas` is the machine's own library, to compare with. They do
// the same arithmetic in another order.
//
// All threads of the team call together. C is complete after the next barrier. Nothing is allocated; `scratch` is
// shared by the team and needs gemm_scratch() bytes.
#pragma once

#include "simd/microkernel.h"

namespace forja::FJ_ISA {

struct GemmArgs {
  int64_t m, n, k;
  const float* a;  // (m, lda), or (k, lda) if trans_a
  int64_t lda;
  bool trans_a;
  const float* b;  // (k, ldb), or (n, ldb) if trans_b
  int64_t ldb;
  bool trans_b;
  float* c;  // (m, ldc)
  int64_t ldc;
  bool accumulate;
  Epilogue epilogue;
  const float* mask = nullptr;  // (m, ldc), the result of a ReLU whose gradient C is; or null
};

// Sums of a row on their way to C, `lanes` of them in use; e: at the first.
FJ_INLINE Vec finished(Vec c, const Epilogue& e, Mask lanes) {
  if (e.bias) c = c + load_masked(lanes, e.bias);
  return e.activation == kActivationRelu ? max(zero(), c) : c;
}

// The gradient of ReLU: what is left of sums where its result, at `mask`, is positive or NaN.
FJ_INLINE Vec masked(Vec c, const float* mask, Mask lanes) {
  return select(load_masked(lanes, mask) <= zero(), zero(), c);
}
// C[rows, columns] where the mask says so, for forms that leave sums there.
void apply_mask(const GemmArgs& args, Range rows, Range columns);

size_t gemm_scratch(const GemmArgs& args, int threads);  // reads no pointer but through the sizes: data may be null
void gemm(Team& team, const GemmArgs& args, uint8_t* scratch);
// One thread's own product, inside a kernel that splits its work otherwise; scratch as for one thread.
void gemm_serial(const GemmArgs& args, uint8_t* scratch);

void gemm_naive(const Team& team, const GemmArgs& args);
void gemm_blocked(const Team& team, const GemmArgs& args);
void gemm_blas(const Team& team, const GemmArgs& args);  // where blas.h has found a library

// C[rows, columns] = epilogue(C[rows, columns]), masked, for the forms that leave plain sums there.
void apply_epilogue(const GemmArgs& args, Range rows, Range columns);

// Products with one row or one column (gemv.cc): no tile can be filled, memory speed decides.
bool gemv_applies(const GemmArgs& args);
void gemv(const Team& team, const GemmArgs& args);

// Products with few columns and many rows (gemm_narrow.cc): vectors of columns would be mostly empty.
bool gemm_narrow_applies(const GemmArgs& args);
size_t gemm_narrow_scratch(const GemmArgs& args, int threads);
void gemm_narrow(const Team& team, const GemmArgs& args, uint8_t* scratch);

}  // namespace forja::FJ_ISA
