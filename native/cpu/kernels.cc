// The kernels of one instruction set.
#include "kernel.h"

namespace forja::FJ_ISA {

void register_ceilings(KernelTable&);
void register_conv(KernelTable&);
void register_elementwise(KernelTable&);
void register_matmul(KernelTable&);
void register_pool(KernelTable&);
void register_reduce(KernelTable&);
void register_shape(KernelTable&);

void register_kernels(KernelTable& table) {
  register_ceilings(table);
  register_conv(table);
  register_elementwise(table);
  register_matmul(table);
  register_pool(table);
  register_reduce(table);
  register_shape(table);
}

}  // namespace forja::FJ_ISA
