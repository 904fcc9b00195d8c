// Checks of matrix multiplication (native/cpu/gemm.cc).
#include <initializer_list>

#include "check.h"

namespace forja {
namespace {

// a (batch.., M, K), b (batch.., K, N), y (batch.., M, N), batch dims broadcast; between them bias (N) or nothing, of
// activation reluGrad that ReLU's result, like y.
bool check_matmul(Check& c) {
  if (!c.arity(2, 3, 1) || !c.attr_size(sizeof(fj_matmul_attrs))) return false;
  const auto& attrs = c.attrs<fj_matmul_attrs>();
  const fj_value &a = c.in(0), &b = c.in(1), &y = c.out(0);
  if (!c.expect(a.rank >= 2 && b.rank >= 2 && y.rank >= 2, "matmul needs matrices")) return false;
  if (!c.map_dtype(a) || !c.dtype(b, a.dtype) || !c.dtype(y, a.dtype)) return false;
  const bool masked = attrs.activation == FJ_ACTIVATION_RELU_GRAD;
  if (c.inputs() == 3 && !c.dtype(c.in(2), masked ? a.dtype : static_cast<uint8_t>(FJ_FLOAT32))) return false;
  const uint32_t m = y.dims[y.rank - 2], n = y.dims[y.rank - 1];
  const uint32_t am = a.dims[a.rank - (attrs.transpose_a ? 1 : 2)], ak = a.dims[a.rank - (attrs.transpose_a ? 2 : 1)];
  const uint32_t bk = b.dims[b.rank - (attrs.transpose_b ? 1 : 2)], bn = b.dims[b.rank - (attrs.transpose_b ? 2 : 1)];
  if (!c.expect(am == m && bn == n && ak == bk, "matmul dimensions do not agree") ||
      !c.expect(attrs.activation >= 0 && attrs.activation <= FJ_ACTIVATION_RELU_GRAD, "unknown activation")) {
    return false;
  }
  for (const fj_value* operand : {&a, &b}) {
    const int lead = y.rank - operand->rank;
    if (!c.expect(lead >= 0, "matmul operand has too many batch dimensions")) return false;
    for (int axis = 0; axis + 2 < operand->rank; axis++) {
      const bool fits = operand->dims[axis] == 1 || operand->dims[axis] == y.dims[lead + axis];
      if (!c.expect(fits, "matmul batch dimensions do not broadcast")) return false;
    }
  }
  if (masked) return c.expect(c.inputs() == 3, "matmul lacks the result of ReLU") && c.same_shape(c.in(2), y);
  return c.inputs() == 2 || c.expect(c.in(2).rank == 1 && c.in(2).dims[0] == n, "matmul bias has the wrong shape");
}

const CheckEntry kEntries[] = {{FJ_OP_MATMUL, check_matmul}};

}  // namespace

CheckFamily checks_matmul() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
