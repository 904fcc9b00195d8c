// Checks of optimizer updates (native/cpu/optim.cc).
#include "check.h"

namespace forja {
namespace {

// lr, step, then of each of the joined updates p, g, state..; outputs p, state.. of each: every update has one input
// more than outputs. `states`: how many arrays of state an update may have.
bool check_update(Check& c, int states_min, int states_max) {
  constexpr int kShared = 2;
  const int count = c.inputs() - kShared - c.outputs();
  if (!c.expect(count > 0 && c.outputs() % count == 0, "operands are not those of whole updates")) return false;
  const int outs = c.outputs() / count, ins = outs + 1;
  if (!c.expect(outs - 1 >= states_min && outs - 1 <= states_max, "an update has too few or too many states") ||
      !c.dtype(c.in(0), FJ_FLOAT32) || !c.expect(element_count(c.in(0)) == 1, "the learning rate is no scalar") ||
      !c.dtype(c.in(1), FJ_INT32) || !c.expect(element_count(c.in(1)) == 1, "step is no scalar")) {
    return false;
  }
  for (int k = 0; k < count; k++) {
    const fj_value& p = c.in(kShared + k * ins);
    for (int i = 0; i < ins; i++) {
      const fj_value& before = c.in(kShared + k * ins + i);
      if (!c.dtype(before, FJ_FLOAT32) || !c.same_shape(before, p)) return false;
    }
    for (int i = 0; i < outs; i++) {
      const fj_value& after = c.out(k * outs + i);
      if (!c.dtype(after, FJ_FLOAT32) || !c.same_shape(after, p)) return false;
    }
  }
  return true;
}

// State: velocity, or none.
bool check_sgd(Check& c) { return c.attr_size(sizeof(fj_sgd_update_attrs)) && check_update(c, 0, 1); }

// State: m, v[, vmax].
bool check_adam(Check& c) { return c.attr_size(sizeof(fj_adam_update_attrs)) && check_update(c, 2, 3); }

const CheckEntry kEntries[] = {{FJ_OP_SGD_UPDATE, check_sgd}, {FJ_OP_ADAM_UPDATE, check_adam}};

}  // namespace

CheckFamily checks_optim() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
