// The instructions of fused micro-programs (lib/ops/fused.ts) on one block of elements.
#pragma once

#include <cstdint>

namespace forja::FJ_ISA {

// d[k] = op(a[k], b[k], c[k]) for k in [0, n), n a multiple of the vector width; registers hold float32, or int32 in
// the same bits. d may be the same memory as an operand. `words`: the operation's attributes, their bits.
using MicroOp = void (*)(float* d, const float* a, const float* b, const float* c, int n, const int32_t* words);

// The implementation for operands of `lane` (0 float32, 1 int32), or null.
MicroOp find_micro_op(uint32_t opcode, uint32_t lane);

}  // namespace forja::FJ_ISA
