// The helpers of check.h and the list of families.
#include "check.h"

namespace forja {

CheckFamily checks_conv();
CheckFamily checks_detection();
CheckFamily checks_elementwise();
CheckFamily checks_indexing();
CheckFamily checks_matmul();
CheckFamily checks_norm();
CheckFamily checks_optim();
CheckFamily checks_pool();
CheckFamily checks_random();
CheckFamily checks_recurrent();
CheckFamily checks_reduce();
CheckFamily checks_shape();
CheckFamily checks_softmax();

CheckFn find_check(uint16_t opcode) {
  // One a line, so that a new family is one line.
  // clang-format off
  static const CheckFamily kFamilies[] = {
      checks_conv(),
      checks_detection(),
      checks_elementwise(),
      checks_indexing(),
      checks_matmul(),
      checks_norm(),
      checks_optim(),
      checks_pool(),
      checks_random(),
      checks_recurrent(),
      checks_reduce(),
      checks_shape(),
      checks_softmax(),
  };
  // clang-format on
  for (const CheckFamily& family : kFamilies) {
    for (size_t i = 0; i < family.count; i++) {
      if (family.entries[i].opcode == opcode) return family.entries[i].check;
    }
  }
  return nullptr;
}

bool Check::expect(bool condition, const char* message) {
  if (!condition && message_ == nullptr) message_ = message;
  return condition;
}

bool Check::arity(int inputs_min, int inputs_max, int outputs) {
  return expect(inputs_min <= instr_.n_in && instr_.n_in <= inputs_max, "wrong number of inputs") &&
         expect(instr_.n_out == outputs, "wrong number of outputs");
}

bool Check::same_shape(const fj_value& a, const fj_value& b) {
  bool same = a.rank == b.rank;
  for (int axis = 0; same && axis < a.rank; axis++) same = a.dims[axis] == b.dims[axis];
  return expect(same, "operands differ in shape");
}

bool Check::broadcasts_to(const fj_value& a, const fj_value& b) {
  bool fits = a.rank <= b.rank;
  const int lead = b.rank - a.rank;
  for (int axis = 0; fits && axis < a.rank; axis++) fits = a.dims[axis] == 1 || a.dims[axis] == b.dims[lead + axis];
  return expect(fits, "an operand does not broadcast to the output");
}

}  // namespace forja
