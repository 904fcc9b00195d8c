// Between the dtypes of memory and the two lanes that kernels compute in.
#pragma once

#include <cstring>

#include "../launch.cuh"

namespace forja::cuda {

// Truncated, kept in the range of int32; NaN gives 0.
__device__ __forceinline__ int32_t saturate_to_int(float a) {
  if (a != a) return 0;
  if (a >= 2147483648.0f) return INT32_MAX;
  return a <= -2147483648.0f ? INT32_MIN : static_cast<int32_t>(a);
}

// Rounded to nearest even; every NaN becomes the one that the CPU writes.
__device__ __forceinline__ uint16_t float_to_half_bits(float x) {
  return x != x ? uint16_t{0x7e00} : static_cast<uint16_t>(__half_as_ushort(__float2half_rn(x)));
}
__device__ __forceinline__ uint16_t float_to_bfloat16_bits(float x) {
  return x != x ? uint16_t{0x7fc0} : static_cast<uint16_t>(__bfloat16_as_ushort(__float2bfloat16_rn(x)));
}
// Two numbers, neither of them NaN, by one instruction; the first in the lower half.
__device__ __forceinline__ uint32_t numbers_to_half_pair(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, 4);
  return bits;
}
__device__ __forceinline__ uint32_t numbers_to_bfloat16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, 4);
  return bits;
}
__device__ __forceinline__ float half_bits_to_float(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
// A bfloat16 is the upper half of a float32.
__device__ __forceinline__ float bfloat16_bits_to_float(uint16_t bits) { return __uint_as_float(uint32_t{bits} << 16); }

}  // namespace forja::cuda
