// Checks of reductions (native/cpu/reduce.cc).
#include "check.h"

namespace forja {
namespace {

// The output holds as many elements as the input has outside the masked axes.
bool check_reduce(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size(sizeof(fj_sum_attrs))) return false;
  const auto& attrs = c.attrs<fj_sum_attrs>();
  int64_t kept = 1;
  for (int axis = 0; axis < c.in(0).rank; axis++) kept *= attrs.mask[axis] ? 1 : c.in(0).dims[axis];
  return c.dtype(c.in(0), c.out(0).dtype) && c.expect(kept == element_count(c.out(0)), "reduced shape is wrong") &&
         c.expect(c.in(0).dtype == FJ_FLOAT32 || c.in(0).dtype == FJ_INT32, "no reduction for this dtype");
}

const CheckEntry kEntries[] = {{FJ_OP_SUM, check_reduce}};

}  // namespace

CheckFamily checks_reduce() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
