// Filling an fj_error, for the core and every backend.
#pragma once

#include "../abi/backend.h"

namespace forja {

void set_error(fj_error* error, fj_status status, uint32_t instruction, const char* format, ...)
    __attribute__((format(printf, 4, 5)));

}  // namespace forja
