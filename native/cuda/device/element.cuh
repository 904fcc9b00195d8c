// Elements of products: float, or bfloat16 for tensor cores; sums are float32 in either case.
#pragma once

#include "../launch.cuh"

namespace forja::cuda {

using BFloat16 = __nv_bfloat16;

// A number, rounded to nearest even.
template <class E>
__device__ __forceinline__ E element_of(float x) {
  if constexpr (sizeof(E) == 2) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

// Four neighbours as they lie in memory.
#ifdef SIMT_EMULATION
template <class E>
struct alignas(4 * sizeof(E)) Four {
  E element[4];
};
#else
// Not a struct of four: a register each would hold only half of one in bfloat16.
template <class E>
using Four = std::conditional_t<sizeof(E) == 2, uint2, float4>;
#endif

// V neighbours into `v`, zeros where they are outside; 4 in one load, from an address that is a multiple of their size,
// as `v` is.
template <int V, class E>
__device__ __forceinline__ void read(const E* from, bool inside, E* v) {
  if constexpr (V == 4) {
    *reinterpret_cast<Four<E>*>(v) = inside ? *reinterpret_cast<const Four<E>*>(from) : Four<E>{};
  } else {
    v[0] = inside ? *from : element_of<E>(0.0f);
  }
}

}  // namespace forja::cuda
