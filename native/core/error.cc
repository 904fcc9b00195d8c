// Functions of error.h.
#include "error.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "../abi/ops.gen.h"

namespace forja {

void set_error(fj_error* error, fj_status status, uint32_t instruction, const char* format, ...) {
  error->status = status;
  error->instruction = instruction;
  va_list args;
  va_start(args, format);
  vsnprintf(error->message, sizeof(error->message), format, args);
  va_end(args);
}

namespace {

// The message goes on.
__attribute__((format(printf, 2, 3))) void append(fj_error* error, const char* format, ...) {
  const size_t length = strlen(error->message);
  va_list args;
  va_start(args, format);
  vsnprintf(error->message + length, sizeof(error->message) - length, format, args);
  va_end(args);
}

void append_dtypes(fj_error* error, const fj_instr& instr, const Operand* in) {
  for (uint32_t i = 0; i < instr.n_in; i++) {
    append(error, "%s%s", i == 0 ? " operands of " : ", ", fj_dtype_name(in[i].value->dtype));
  }
}

}  // namespace

fj_status no_kernel(fj_error* error, uint32_t index, const char* device, const fj_instr& instr, const Operand* in,
                    int (*supports)(uint16_t opcode, uint16_t variant)) {
  const char *op = fj_op_name(instr.opcode), *variant = fj_variant_name(instr.opcode, instr.variant);
  if (variant == nullptr) {
    set_error(error, FJ_ERR_UNSUPPORTED_OP, index, "%s: %s has no kernel for", op, device);
    append_dtypes(error, instr, in);
    return error->status;
  }
  if (supports(instr.opcode, instr.variant)) {
    set_error(error, FJ_ERR_UNSUPPORTED_OP, index, "%s: the variant '%s' of %s does not take these shapes or", op,
              variant, device);
    append_dtypes(error, instr, in);
    return error->status;
  }
  set_error(error, FJ_ERR_UNSUPPORTED_OP, index, "%s: %s has no variant '%s', expected ", op, device, variant);
  const char* separator = "";
  for (uint16_t v = 1; const char* name = fj_variant_name(instr.opcode, v); v++) {
    if (!supports(instr.opcode, v)) continue;
    append(error, "%s'%s'", separator, name);
    separator = ", ";
  }
  return error->status;
}

fj_status check_micro_program(fj_error* error, uint32_t index, const char* device, const int32_t* code, size_t words,
                              bool (*runs)(uint16_t opcode)) {
  for (size_t at = 0; at < words; at += FJ_FUSED_WORDS) {
    const auto opcode = static_cast<uint16_t>(code[at] & 0xffff);
    if (opcode == FJ_OP_FULL || (opcode < FJ_OP_LIMIT && runs(opcode))) continue;
    const char* name = fj_op_name(opcode);
    set_error(error, FJ_ERR_UNSUPPORTED_OP, index, "fused: %s has no elementwise operation %s (code %u)", device,
              name != nullptr ? name : "unknown", opcode);
    return error->status;
  }
  return FJ_OK;
}

}  // namespace forja
