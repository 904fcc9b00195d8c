// The kernels of all families, and how one is found.
#include "kernel.cuh"

namespace forja::cuda {

void register_elementwise(KernelTable&);

namespace {

void register_kernels(KernelTable& table) { register_elementwise(table); }

}  // namespace

const KernelTable& kernel_table() {
  static const KernelTable* kTable = [] {
    auto* table = new KernelTable();
    register_kernels(*table);
    return table;
  }();
  return *kTable;
}

const Kernel* KernelTable::find(uint16_t opcode, uint16_t variant, const Call& call) const {
  for (int i = 0; i < count; i++) {
    const Kernel& kernel = kernels[i];
    if (kernel.opcode != opcode || (variant != 0 && kernel.variant != variant)) continue;
    if (kernel.supports == nullptr || kernel.supports(call)) return &kernel;
  }
  return nullptr;
}

bool KernelTable::has(uint16_t opcode, uint16_t variant) const {
  if (opcode < FJ_OP_LIMIT && micro_op[opcode]) return variant == 0;
  for (int i = 0; i < count; i++) {
    if (kernels[i].opcode == opcode && (variant == 0 || kernels[i].variant == variant)) return true;
  }
  return false;
}

}  // namespace forja::cuda
