// What an instruction's checks are written with. A check sees the operands' types and the attributes (no data) and
// says whether a kernel may run on them: every index a kernel forms from dims and attributes must be inside its
// operands. Programs come from lib/passes/emit.ts, but nothing here trusts that.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../abi/backend.h"
#include "../abi/ops.gen.h"
#include "geometry.h"

namespace forja {

// dims[axis], or 1 beyond the rank.
inline int64_t dim(const fj_value& value, int axis) { return axis < value.rank ? value.dims[axis] : 1; }

class Check {
 public:
  Check(const fj_instr& instr, const fj_value* values, const uint32_t* operands, const uint8_t* attrs)
      : instr_(instr), values_(values), operands_(operands), attrs_(attrs) {}

  int inputs() const { return instr_.n_in; }
  int outputs() const { return instr_.n_out; }
  const fj_value& in(int i) const { return values_[operands_[i]]; }
  const fj_value& out(int i) const { return values_[operands_[instr_.n_in + i]]; }

  template <class T>
  const T& attrs() const {
    return *reinterpret_cast<const T*>(attrs_);
  }
  const int32_t* tail(size_t struct_bytes) const { return reinterpret_cast<const int32_t*>(attrs_ + struct_bytes); }
  size_t tail_length(size_t struct_bytes) const { return (instr_.attr_bytes - struct_bytes) / 4; }

  // Each returns false after keeping the first failure's text; chain them with &&.
  bool expect(bool condition, const char* message);
  bool arity(int inputs_min, int inputs_max, int outputs);
  bool attr_size(size_t bytes) { return expect(instr_.attr_bytes == bytes, "attributes have the wrong size"); }
  bool attr_size_with_tail(size_t bytes) {
    return expect(instr_.attr_bytes >= bytes && instr_.attr_bytes % 4 == 0, "attributes have the wrong size");
  }
  bool dtype(const fj_value& value, uint8_t wanted) {
    return expect(value.dtype == wanted, "operand has the wrong dtype");
  }
  // Maps and matrices of an operation that may be narrow (fj_op_may_be_narrow).
  bool map_dtype(const fj_value& value) {
    return expect(value.dtype == FJ_FLOAT32 || value.dtype == FJ_BFLOAT16, "operand has the wrong dtype");
  }
  bool rank(const fj_value& value, int wanted) { return expect(value.rank == wanted, "operand has the wrong rank"); }
  bool same_shape(const fj_value& a, const fj_value& b);
  // a's dims, right-aligned, are each 1 or b's.
  bool broadcasts_to(const fj_value& a, const fj_value& b);

  const char* message() const { return message_; }

 private:
  const fj_instr& instr_;
  const fj_value* values_;
  const uint32_t* operands_;
  const uint8_t* attrs_;
  const char* message_ = nullptr;
};

using CheckFn = bool (*)(Check&);

// The checks of all families, filled once; null for an opcode nothing knows.
CheckFn find_check(uint16_t opcode);

struct CheckEntry {
  uint16_t opcode;
  CheckFn check;
};

// A family's table (check_<family>.cc) is listed in check.cc.
struct CheckFamily {
  const CheckEntry* entries;
  size_t count;
};

}  // namespace forja
