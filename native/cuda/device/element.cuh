// Elements of maps and matrices: float, or bfloat16; sums are float32 in either case.
#pragma once

#include "../../abi/backend.h"
#include "../launch.cuh"

namespace forja::cuda {

using BFloat16 = __nv_bfloat16;

// f(E{}) with the element type of maps.
template <class F>
void with_element(const fj_value& maps, const F& f) {
  if (maps.dtype == FJ_BFLOAT16) return f(BFloat16{});
  f(float{});
}

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
__device__ __forceinline__ float float_of(E x) {
  if constexpr (sizeof(E) == 2) {
    return __bfloat162float(x);
  } else {
    return x;
  }
}

// An element, or four float32 in one load from an address that is a multiple of their size, as `v` is; zeros where they
// are outside.
template <int V, class E>
__device__ __forceinline__ void read(const E* from, bool inside, E* v) {
  if constexpr (V == 4) {
    *reinterpret_cast<float4*>(v) = inside ? *reinterpret_cast<const float4*>(from) : float4{};
  } else {
    static_assert(V == 1);
    v[0] = inside ? *from : element_of<E>(0.0f);
  }
}

// Neighbours that move in one load or store, at an address that is a multiple of their size.
template <int V, class E>
struct alignas(V * sizeof(E)) Pack {
  E element[V];
};

// As many as 128 bits hold.
template <class E>
constexpr int kPack = 16 / sizeof(E);

template <int V, class E>
__device__ __forceinline__ void read_pack(const E* from, E* v) {
  const Pack<V, E> pack = *reinterpret_cast<const Pack<V, E>*>(from);
#pragma unroll
  for (int i = 0; i < V; i++) v[i] = pack.element[i];
}

template <int V, class E>
__device__ __forceinline__ void write_pack(E* to, const E* v) {
  Pack<V, E> pack;
#pragma unroll
  for (int i = 0; i < V; i++) pack.element[i] = v[i];
  *reinterpret_cast<Pack<V, E>*>(to) = pack;
}

// As read_pack and write_pack, converted from and to float32.
template <int V, class E>
__device__ __forceinline__ void read_floats(const E* from, float* v) {
  E elements[V];
  read_pack<V>(from, elements);
#pragma unroll
  for (int i = 0; i < V; i++) v[i] = float_of(elements[i]);
}

template <int V, class E>
__device__ __forceinline__ void write_floats(E* to, const float* v) {
  E elements[V];
#pragma unroll
  for (int i = 0; i < V; i++) elements[i] = element_of<E>(v[i]);
  write_pack<V>(to, elements);
}

// A pack as it lies in memory, in registers of 4 bytes, for loads that are to be under way together: where elements of
// 2 bytes are taken apart, the load is waited for.
template <int V, class E>
struct Raw {
  using Unit = std::conditional_t<V == 1, E, uint32_t>;
  static constexpr int kUnits = V == 1 ? 1 : V * sizeof(E) / 4;
  Unit unit[kUnits];

  __device__ __forceinline__ void read(const E* from) { read_pack<kUnits>(reinterpret_cast<const Unit*>(from), unit); }
  __device__ __forceinline__ float operator[](int i) const {
    if constexpr (V == 1) {
      return float_of(unit[i]);
    } else if constexpr (sizeof(E) == 4) {
      return __uint_as_float(unit[i]);
    } else {
      const uint32_t pair = unit[i / 2];
      return __uint_as_float(i % 2 == 0 ? pair << 16 : pair & 0xffff0000u);
    }
  }
};

}  // namespace forja::cuda
