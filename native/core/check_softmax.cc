// Checks of softmax and cross entropy (native/cpu/softmax.cc, cross_entropy.cc): float32, rows are the last axis.
#include "check.h"

namespace forja {
namespace {

bool check_rows(Check& c, int inputs) {
  if (!c.arity(inputs, inputs, 1) || !c.attr_size(0) || !c.expect(c.in(0).rank >= 1, "a scalar has no rows") ||
      !c.dtype(c.out(0), FJ_FLOAT32)) {
    return false;
  }
  for (int i = 0; i < inputs; i++) {
    if (!c.dtype(c.in(i), FJ_FLOAT32) || !c.same_shape(c.in(i), c.out(0))) return false;
  }
  return true;
}

bool check_unary(Check& c) { return check_rows(c, 1); }
bool check_binary(Check& c) { return check_rows(c, 2); }

bool check_log_sum_exp(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size(0)) return false;
  const fj_value &x = c.in(0), &y = c.out(0);
  if (!c.expect(x.rank >= 1, "a scalar has no rows") || !c.dtype(x, FJ_FLOAT32) || !c.dtype(y, FJ_FLOAT32) ||
      !c.rank(y, x.rank - 1)) {
    return false;
  }
  for (int axis = 0; axis < y.rank; axis++) {
    if (!c.expect(y.dims[axis] == x.dims[axis], "result has the wrong shape")) return false;
  }
  return true;
}

bool check_vector(Check& c, const fj_value& value, uint32_t length) {
  return c.rank(value, 1) && c.dtype(value, FJ_FLOAT32) &&
         c.expect(value.dims[0] == length, "operand has the wrong length");
}

// logits (N, C) and labels (N) are the first inputs; weight (C), if there is one, is input `weight`.
bool check_labels(Check& c, int weight) {
  static_assert(sizeof(fj_cross_entropy_attrs) == sizeof(fj_cross_entropy_grad_attrs) &&
                    sizeof(fj_cross_entropy_attrs) == sizeof(fj_cross_entropy_with_grad_attrs),
                "attributes differ");
  if (!c.attr_size(sizeof(fj_cross_entropy_attrs))) return false;
  const fj_value &logits = c.in(0), &labels = c.in(1);
  return c.rank(logits, 2) && c.dtype(logits, FJ_FLOAT32) && c.rank(labels, 1) &&
         c.expect(labels.dtype == FJ_INT32 || labels.dtype == FJ_UINT8, "labels have the wrong dtype") &&
         c.expect(labels.dims[0] == logits.dims[0], "as many labels as rows are needed") &&
         c.expect(logits.dims[1] >= 1 && logits.dims[1] <= INT32_MAX, "number of classes is out of range") &&
         (c.inputs() == weight || check_vector(c, c.in(weight), logits.dims[1]));
}

bool check_cross_entropy(Check& c) {
  if (!c.arity(2, 3, 4) || !check_labels(c, 2)) return false;
  for (int i = 0; i < 4; i++) {
    if (!check_vector(c, c.out(i), c.in(0).dims[0])) return false;
  }
  return true;
}

bool check_cross_entropy_grad(Check& c) {
  if (!c.arity(5, 6, 1) || !check_labels(c, 5)) return false;
  const uint32_t rows = c.in(0).dims[0];
  return check_vector(c, c.in(2), rows) && check_vector(c, c.in(3), rows) && check_vector(c, c.in(4), rows) &&
         c.dtype(c.out(0), FJ_FLOAT32) && c.same_shape(c.in(0), c.out(0));
}

bool check_cross_entropy_with_grad(Check& c) {
  if (!c.arity(3, 4, 2) || !check_labels(c, 3)) return false;
  const uint32_t rows = c.in(0).dims[0];
  return check_vector(c, c.in(2), rows) && check_vector(c, c.out(0), rows) && c.dtype(c.out(1), FJ_FLOAT32) &&
         c.same_shape(c.in(0), c.out(1));
}

const CheckEntry kEntries[] = {
    {FJ_OP_SOFTMAX, check_unary},
    {FJ_OP_SOFTMAX_GRAD, check_binary},
    {FJ_OP_LOG_SOFTMAX, check_unary},
    {FJ_OP_LOG_SUM_EXP, check_log_sum_exp},
    {FJ_OP_CROSS_ENTROPY, check_cross_entropy},
    {FJ_OP_CROSS_ENTROPY_GRAD, check_cross_entropy_grad},
    {FJ_OP_CROSS_ENTROPY_WITH_GRAD, check_cross_entropy_with_grad},
};

}  // namespace

CheckFamily checks_softmax() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
