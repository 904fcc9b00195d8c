// Decoding: from bytes of unknown origin to a view in which every offset, size and operand has been checked.
#pragma once

#include "error.h"

namespace forja {

// Fills `view` with pointers into `bytes` (8-byte aligned), or `error` with what is wrong and where.
bool decode_program(const uint8_t* bytes, size_t size, fj_program_view* view, fj_error* error);

}  // namespace forja
