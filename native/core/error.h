// Filling an fj_error, for the core and every backend.
#pragma once

#include <cstddef>

#include "../abi/backend.h"
#include "geometry.h"

namespace forja {

void set_error(fj_error* error, fj_status status, uint32_t instruction, const char* format, ...)
    __attribute__((format(printf, 4, 5)));

// FJ_ERR_UNSUPPORTED_OP for an instruction that `device` has no kernel for: names the variant that was asked for and,
// where the device lacks it altogether, those that it has.
fj_status no_kernel(fj_error* error, uint32_t index, const char* device, const fj_instr& instr, const Operand* in,
                    int (*supports)(uint16_t opcode, uint16_t variant));

// FJ_ERR_UNSUPPORTED_OP for the first operation of a fused micro-program that `device` cannot run, by name; else FJ_OK.
// `code`: its instructions, `words` in all.
fj_status check_micro_program(fj_error* error, uint32_t index, const char* device, const int32_t* code, size_t words,
                              bool (*runs)(uint16_t opcode));

}  // namespace forja
