// Decoding: from bytes of unknown origin to a view in which every offset, size and operand has been checked.
#pragma once

#include "../abi/backend.h"

namespace forja {

// Fills `view` with pointers into `bytes` (8-byte aligned), or `error` with what is wrong and where.
bool decode_program(const uint8_t* bytes, size_t size, fj_program_view* view, fj_error* error);

void set_error(fj_error* error, fj_status status, uint32_t instruction, const char* format, ...)
    __attribute__((format(printf, 4, 5)));

}  // namespace forja
