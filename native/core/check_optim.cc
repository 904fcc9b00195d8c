// Checks of optimizer updates (native/cpu/optim.cc).
#include "check.h"

namespace forja {
namespace {

// Inputs p, g, lr, step, state..; outputs p, state..; every array float32 in the shape of p.
bool check_arrays(Check& c, int states) {
  const fj_value& p = c.in(0);
  if (!c.dtype(p, FJ_FLOAT32) || !c.dtype(c.in(1), FJ_FLOAT32) || !c.same_shape(c.in(1), p) ||
      !c.dtype(c.in(2), FJ_FLOAT32) || !c.expect(element_count(c.in(2)) == 1, "the learning rate is no scalar") ||
      !c.dtype(c.out(0), FJ_FLOAT32) || !c.same_shape(c.out(0), p)) {
    return false;
  }
  if (c.inputs() > 3 && (!c.dtype(c.in(3), FJ_INT32) || !c.expect(element_count(c.in(3)) == 1, "step is no scalar"))) {
    return false;
  }
  for (int i = 0; i < states; i++) {
    const fj_value &before = c.in(4 + i), &after = c.out(1 + i);
    if (!c.dtype(before, FJ_FLOAT32) || !c.same_shape(before, p) || !c.dtype(after, FJ_FLOAT32) ||
        !c.same_shape(after, p)) {
      return false;
    }
  }
  return true;
}

// p, g, lr -> p, or p, g, lr, step, velocity -> p, velocity.
bool check_sgd(Check& c) {
  const int states = c.inputs() > 3 ? 1 : 0;
  return c.arity(3, 5, 1 + states) && c.expect(c.inputs() != 4, "sgdUpdate has a step but no velocity") &&
         c.attr_size(sizeof(fj_sgd_update_attrs)) && check_arrays(c, states);
}

// p, g, lr, step, m, v[, vmax] -> p, m, v[, vmax].
bool check_adam(Check& c) {
  const int states = c.inputs() > 6 ? 3 : 2;
  return c.arity(6, 7, 1 + states) && c.attr_size(sizeof(fj_adam_update_attrs)) && check_arrays(c, states);
}

const CheckEntry kEntries[] = {{FJ_OP_SGD_UPDATE, check_sgd}, {FJ_OP_ADAM_UPDATE, check_adam}};

}  // namespace

CheckFamily checks_optim() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
