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

template <class E>
struct alignas(4 * sizeof(E)) Four {
  E element[4];
};

// V neighbours into `v`, zeros where they are outside; 4 in one load, from an address that is a multiple of their size.
template <int V, class E>
__device__ __forceinline__ void read(const E* from, bool inside, E* v) {
  const E zero = element_of<E>(0.0f);
  if constexpr (V == 4) {
    if (inside) {
      const Four<E> four = *reinterpret_cast<const Four<E>*>(from);
#pragma unroll
      for (int i = 0; i < 4; i++) v[i] = four.element[i];
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) v[i] = zero;
    }
  } else {
    v[0] = inside ? *from : zero;
  }
}

}  // namespace forja::cuda
