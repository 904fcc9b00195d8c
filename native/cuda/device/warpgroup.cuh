// Products by a warpgroup, four warps together: instructions of sm_90a. Tensor cores read both operands from shared
// memory by themselves and run on while the warps do other things; sums stay in registers that nobody may touch until
// they have been waited for. Under the host compiler their twins in the emulation (warpgroup.h).
//
// An operand lies in rows of 128 bytes, 64 bfloat16; eight rows are 1024 bytes that begin at a multiple of that, and
// the piece of 16 bytes p of row r lies where p ^ r % 8 would ("128-byte swizzle" of PTX, whose section on matrix
// descriptors and canonical layouts gives the bits). Rows are lines of A or B, along K; or steps of K, across 64
// lines, and the next 64 lie `apart` bytes further.
//
// Sums, with g = lane / 4 and t = lane % 4: of the eight columns from 8j on, warp w of the group holds in sums[j]
//   0, 1: row 16w + g, columns 8j + 2t and + 1         2, 3: row 16w + g + 8
#pragma once

#include "ptx.cuh"

namespace forja::cuda::ptx {

constexpr int kWarpgroup = 128;      // threads
constexpr int kWarpgroupRows = 64;   // of a product
constexpr int kSwizzledRow = 128;    // bytes
constexpr int kSwizzledRows = 1024;  // eight of them

// What tensor cores know of an operand: PTX's matrix descriptor.
struct SharedOperand {
  uint32_t low;  // address and `apart`, 14 bits each in units of 16 bytes
  // Where `bytes` further begins, a multiple of 16.
  __device__ __forceinline__ SharedOperand ahead(uint32_t bytes) const { return {low + (bytes >> 4)}; }
  __device__ __forceinline__ uint64_t bits() const {
    constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kEight = uint64_t{kSwizzledRows / 16} << 32;
    return kSwizzle128 | kEight | low;
  }
};

}  // namespace forja::cuda::ptx

#ifdef SIMT_EMULATION
#include <warpgroup.h>
#else

namespace forja::cuda::ptx {

// Whether the architecture that is compiled for has these instructions; a kernel of theirs is a trap elsewhere.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kHasWarpgroups = true;
#else
constexpr bool kHasWarpgroups = false;
#endif

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Makes what this thread has written to shared memory, copies that have landed among it, visible to tensor cores:
// before the barrier that they wait behind.
__device__ __forceinline__ void publish_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Before the first product of a group, once the sums have been written.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// Ends a group of products.
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Until at most the kGroups latest groups are under way, `sums` among what they write.
template <int kGroups, int kBlocks>
__device__ __forceinline__ void wait_for_products(float (&sums)[kBlocks][4]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
  if constexpr (kGroups == 0) {
#pragma unroll
    for (int j = 0; j < kBlocks; j++) {
      asm volatile("" : "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])::"memory");
    }
  }
}

#define FORJA_SUMS_1(j) "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])
#define FORJA_SUMS_4(j) FORJA_SUMS_1(j), FORJA_SUMS_1(j + 1), FORJA_SUMS_1(j + 2), FORJA_SUMS_1(j + 3)
#define FORJA_SUMS_8(j) FORJA_SUMS_4(j), FORJA_SUMS_4(j + 4)
#define FORJA_SUMS_16(j) FORJA_SUMS_8(j), FORJA_SUMS_8(j + 8)
#define FORJA_NAMES_32                                                                                             \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define FORJA_NAMES_64                                                                                               \
  FORJA_NAMES_32                                                                                                     \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, " \
  "%54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FORJA_NAMES_128                                                                                              \
  FORJA_NAMES_64                                                                                                     \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, " \
  "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, " \
  "%107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, "     \
  "%125, %126, %127"
// sums += A B: both signs kept; 1 where rows of an operand are steps of K.
#define FORJA_PRODUCT(columns, names, a_place, b_place, turned_a_place, turned_b_place, ...)                      \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" names "}, " a_place ", " b_place \
               ", 1, 1, 1, " turned_a_place ", " turned_b_place ";"                                               \
               : __VA_ARGS__                                                                                      \
               : "l"(a.bits()), "l"(b.bits()), "n"(kTurnedA), "n"(kTurnedB))

// Begins sums += A B of 64 rows, 8 kBlocks columns and 16 steps of K, of bfloat16.
template <bool kAAlongK, bool kBAlongK, int kBlocks>
__device__ __forceinline__ void multiply_async(float (&sums)[kBlocks][4], SharedOperand a, SharedOperand b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kTurnedA = !kAAlongK, kTurnedB = !kBAlongK;
  static_assert(kBlocks == 8 || kBlocks == 16 || kBlocks == 32);
  if constexpr (kBlocks == 8) {
    FORJA_PRODUCT("64", FORJA_NAMES_32, "%32", "%33", "%34", "%35", FORJA_SUMS_8(0));
  } else if constexpr (kBlocks == 16) {
    FORJA_PRODUCT("128", FORJA_NAMES_64, "%64", "%65", "%66", "%67", FORJA_SUMS_16(0));
  } else {
    FORJA_PRODUCT("256", FORJA_NAMES_128, "%128", "%129", "%130", "%131", FORJA_SUMS_16(0), FORJA_SUMS_16(16));
  }
#endif
}

#undef FORJA_PRODUCT
#undef FORJA_NAMES_128
#undef FORJA_NAMES_64
#undef FORJA_NAMES_32
#undef FORJA_SUMS_16
#undef FORJA_SUMS_8
#undef FORJA_SUMS_4
#undef FORJA_SUMS_1

}  // namespace forja::cuda::ptx

#endif

namespace forja::cuda::ptx {

// An operand whose first row lies at `at`.
__device__ __forceinline__ SharedOperand shared_operand(const void* at, int apart) {
  return {(shared_address(at) >> 4) | static_cast<uint32_t>(apart >> 4) << 16};
}

}  // namespace forja::cuda::ptx
