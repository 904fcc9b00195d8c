// Filling an fj_error, for the core and every backend.
#pragma once

#include "../abi/backend.h"

namespace forja {

void set_error(fj_error* error, fj_status status, uint32_t instruction, const char* format, ...)
    __attribute__((format(printf, 4, 5)));

// FJ_ERR_UNSUPPORTED_OP for an instruction that `device` has no kernel for: names the variant that was asked for and,
// where the device lacks it altogether, those that it has.
fj_status no_kernel(fj_error* error, uint32_t index, const char* device, const fj_instr& instr,
                    int (*supports)(uint16_t opcode, uint16_t variant));

}  // namespace forja
