// The kernels of all families, and how one is found.
#include "kernel.cuh"

namespace forja::cuda {

void register_axis(KernelTable&);
void register_conv(KernelTable&);
void register_conv_cudnn(KernelTable&);
void register_conv_max_pool(KernelTable&);
void register_conv_pooled(KernelTable&);
void register_conv_pooled_grad_input(KernelTable&);
void register_cross_entropy(KernelTable&);
void register_detection(KernelTable&);
void register_elementwise(KernelTable&);
void register_indexing(KernelTable&);
void register_layer_norm(KernelTable&);
void register_matmul(KernelTable&);
void register_matmul_cublas(KernelTable&);
void register_norm(KernelTable&);
void register_optim(KernelTable&);
void register_pool(KernelTable&);
void register_random(KernelTable&);
void register_recurrent(KernelTable&);
void register_recurrent_grad(KernelTable&);
void register_reduce(KernelTable&);
void register_shape(KernelTable&);
void register_slice(KernelTable&);
void register_softmax(KernelTable&);

namespace {

void register_kernels(KernelTable& table) {
  register_axis(table);
  register_conv(table);
  register_conv_cudnn(table);
  register_conv_max_pool(table);
  register_conv_pooled(table);
  register_conv_pooled_grad_input(table);
  register_cross_entropy(table);
  register_detection(table);
  register_elementwise(table);
  register_indexing(table);
  register_layer_norm(table);
  register_matmul(table);
  register_matmul_cublas(table);
  register_norm(table);
  register_optim(table);
  register_pool(table);
  register_random(table);
  register_recurrent(table);
  register_recurrent_grad(table);
  register_reduce(table);
  register_shape(table);
  register_slice(table);
  register_softmax(table);
}

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
    if (variant == 0 && (kernel.plan != nullptr || (kernel.prefers != nullptr && !kernel.prefers(call)))) continue;
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

bool KernelTable::is_library(uint16_t opcode, uint16_t variant) const {
  for (int i = 0; i < count; i++) {
    if (kernels[i].opcode == opcode && kernels[i].variant == variant) return kernels[i].plan != nullptr;
  }
  return false;
}

}  // namespace forja::cuda
