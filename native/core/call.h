// What a kernel of any backend is told about an instruction: operands and attributes.
#pragma once

#include <cstddef>

#include "geometry.h"

namespace forja {

struct Instruction {
  const Operand* in;
  const Operand* out;
  int n_in, n_out;
  const void* attr_data;  // the fj_*_attrs struct of the opcode, then its tail
  uint32_t attr_bytes;

  template <class T>
  FJ_ANYWHERE const T& attrs() const {
    return *static_cast<const T*>(attr_data);
  }
  // The int32 tail behind an attribute struct of `struct_bytes`.
  FJ_ANYWHERE const int32_t* tail(size_t struct_bytes) const {
    return reinterpret_cast<const int32_t*>(static_cast<const uint8_t*>(attr_data) + struct_bytes);
  }
};

// `operands`: inputs, then outputs; `attrs`: of the whole program.
FJ_ANYWHERE Instruction instruction_of(const fj_instr& instr, const Operand* operands, const uint8_t* attrs) {
  return {operands, operands + instr.n_in, instr.n_in, instr.n_out, attrs + instr.attrs, instr.attr_bytes};
}

// Of an FJ_OP_FUSED: whether its micro-program has at most `most` steps, and each has(opcode, lane).
template <class Has>
FJ_ANYWHERE bool all_steps(const Instruction& fused, size_t most, const Has& has) {
  const int32_t* code = fused.tail(sizeof(fj_fused_attrs));
  const size_t steps = (fused.attr_bytes - sizeof(fj_fused_attrs)) / (4 * FJ_FUSED_WORDS);
  if (steps > most) return false;
  for (size_t i = 0; i < steps; i++) {
    const uint32_t head = static_cast<uint32_t>(code[i * FJ_FUSED_WORDS]);
    if (!has(head & 0xffff, head >> 16)) return false;
  }
  return true;
}

}  // namespace forja
