// The kernels of one instruction set.
#include "kernel.h"

namespace forja::FJ_ISA {

void register_axis(KernelTable&);
void register_ceilings(KernelTable&);
void register_conv(KernelTable&);
void register_conv_max_pool(KernelTable&);
void register_conv_pooled(KernelTable&);
void register_conv_pooled_grad_input(KernelTable&);
void register_cross_entropy(KernelTable&);
void register_detection(KernelTable&);
void register_elementwise(KernelTable&);
void register_indexing(KernelTable&);
void register_layer_norm(KernelTable&);
void register_matmul(KernelTable&);
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

void register_kernels(KernelTable& table) {
  register_axis(table);
  register_ceilings(table);
  register_conv(table);
  register_conv_max_pool(table);
  register_conv_pooled_grad_input(table);
  register_conv_pooled(table);
  register_cross_entropy(table);
  register_detection(table);
  register_elementwise(table);
  register_indexing(table);
  register_layer_norm(table);
  register_matmul(table);
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

}  // namespace forja::FJ_ISA
