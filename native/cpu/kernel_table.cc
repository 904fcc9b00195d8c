// KernelTable and Fault of kernel.h.
#include <cstdarg>
#include <cstdio>

#include "kernel.h"

namespace forja {

void Fault::raise(fj_status status, const char* format, ...) {
  int expected = 0;
  if (!set.compare_exchange_strong(expected, 1)) return;
  error.status = status;
  va_list args;
  va_start(args, format);
  vsnprintf(error.message, sizeof(error.message), format, args);
  va_end(args);
}

void KernelTable::add(const Kernel& kernel) {
  if (count < kMaxKernels) kernels[count++] = kernel;
}

const Kernel* KernelTable::find(uint16_t opcode, uint16_t variant, const Call& call) const {
  for (int i = 0; i < count; i++) {
    const Kernel& kernel = kernels[i];
    if (kernel.opcode != opcode || (variant != 0 && kernel.variant != variant)) continue;
    if (kernel.supports != nullptr && !kernel.supports(call)) continue;
    if (variant != 0 || kernel.prefers == nullptr || kernel.prefers(call)) return &kernel;
  }
  return variant != 0 && has(opcode, variant) ? find(opcode, 0, call) : nullptr;
}

bool KernelTable::has(uint16_t opcode, uint16_t variant) const {
  if (opcode < FJ_OP_LIMIT && micro_op[opcode]) return variant == 0;
  for (int i = 0; i < count; i++) {
    if (kernels[i].opcode == opcode && (variant == 0 || kernels[i].variant == variant)) return true;
  }
  return false;
}

}  // namespace forja
