// Twins of native/cuda/device/warpgroup.cuh. Products are queued and made when they are waited for, as late as the
// program allows; operands are read where PTX's descriptors say, sums are spread over lanes as PTX lays down.
#pragma once
#include "cuda_bf16.h"

namespace forja::cuda::ptx {

constexpr bool kHasWarpgroups = true;

__forceinline__ uint32_t shared_address(const void* shared) { return simt::shared_offset(shared); }
__forceinline__ void publish_copies() { simt::publish_copies(); }
__forceinline__ void begin_products() { simt::begin_products(); }
__forceinline__ void commit_products() { simt::commit_products(); }
template <int kGroups, int kBlocks>
__forceinline__ void wait_for_products(float (&)[kBlocks][4], simt::Where w = simt::Where::current()) {
  simt::wait_for_products(kGroups, w);
}
template <bool kAAlongK, bool kBAlongK, int kBlocks>
__forceinline__ void multiply_async(float (&sums)[kBlocks][4], SharedOperand a, SharedOperand b,
                                    simt::Where w = simt::Where::current()) {
  simt::multiply_async({&sums[0][0], a.bits(), b.bits(), 8 * kBlocks, kAAlongK, kBAlongK, nullptr}, w);
}

}  // namespace forja::cuda::ptx
