// Instructions that CUDA C++ has no words for, all of sm_80: copies into shared memory that run while others compute,
// and products of small matrices by a whole warp. Under the host compiler their twins in the emulation (ptx.h).
//
// A copy lands when its thread has waited for its group, for other threads after a barrier behind that.
//
// A warp's fragments, with g = lane / 4 and t = lane % 4, are registers of two bfloat16 or one float32 each:
//   A (16 rows x 2 pieces of K)   0: row g, piece 0   1: row g + 8, piece 0   2: row g, piece 1   3: row g + 8, piece 1
//   B (8 columns x 2 pieces)      0: column g, piece 0                        1: column g, piece 1
//   sums (16 x 8)                 0, 1: row g, columns 2t, 2t + 1             2, 3: row g + 8
// A piece is 16 bytes along K; lane t holds its t-th four bytes.
#pragma once

#include "element.cuh"

#ifdef SIMT_EMULATION
#include <ptx.h>
#else

namespace forja::cuda::ptx {

// The block's memory that a launch asked for.
__device__ __forceinline__ void* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char forja_dynamic_shared[];
  return forja_dynamic_shared;
}

// What is made of `number` behind this is made then, not ahead of a loop and kept in registers.
__device__ __forceinline__ void forget(int& number) { asm volatile("" : "+r"(number)); }

// base + index * stride, as one multiplication of 32 bits; stride in bytes. In device memory, which the compiler has to
// be told: it takes an address that it knows nothing of by instructions that look where it is.
template <class E>
__device__ __forceinline__ E* at_step(E* base, int index, int stride) {
  uint64_t address;
  asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(address) : "r"(index), "r"(stride), "l"(__cvta_generic_to_global(base)));
  return static_cast<E*>(__cvta_global_to_generic(address));
}

// kBytes to shared memory, zeros where they are not `inside`; both addresses are multiples of kBytes. 16 bytes pass by
// the L1 cache.
template <int kBytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool inside) {
  static_assert(kBytes == 4 || kBytes == 16);
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = inside ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes));
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(bytes));
  }
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until at most the kGroups latest groups are under way.
template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// Four matrices of 8 rows of 16 bytes in shared memory; lane l gives row l % 8 of matrix l / 8. Of each, a lane gets
// the t-th four bytes of row g; kTurned, of 8 x 8 two-byte elements, elements 2t and 2t + 1 of column g.
template <bool kTurned>
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTurned) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from));
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from));
  }
}

// A float32 rounded to TF32, 10 bits of fraction, to nearest, ties away from zero.
__device__ __forceinline__ uint32_t round_to_tf32(uint32_t bits) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

// sums += A B, of 16 steps of bfloat16, or 8 of float32 that were rounded to TF32.
template <class E>
__device__ __forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (sizeof(E) == 2) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

}  // namespace forja::cuda::ptx

#endif
