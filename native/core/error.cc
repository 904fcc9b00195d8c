// set_error of error.h.
#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace forja {

void set_error(fj_error* error, fj_status status, uint32_t instruction, const char* format, ...) {
  error->status = status;
  error->instruction = instruction;
  va_list args;
  va_start(args, format);
  vsnprintf(error->message, sizeof(error->message), format, args);
  va_end(args);
}

}  // namespace forja
