// float16 and bfloat16 from and to float32, rounded to nearest even, NaN to one quiet NaN. Scalar and without branches:
// loops over them vectorise.
#pragma once

#include <cstdint>
#include <cstring>

#include "../team.h"

namespace forja::FJ_ISA {

FJ_INLINE uint32_t float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}
FJ_INLINE float bits_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

FJ_INLINE float float_from_bfloat16(uint16_t h) { return bits_float(static_cast<uint32_t>(h) << 16); }

FJ_INLINE uint16_t bfloat16_from_float(float x) {
  const uint32_t bits = float_bits(x), rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

// The exponent moves by 112: a product by 2^112 does it for subnormal numbers too.
FJ_INLINE float float_from_half(uint16_t h) {
  const uint32_t magnitude = (h & 0x7fffu) << 13;
  const uint32_t bits = float_bits(bits_float(magnitude) * 5.192296858534828e33f);
  return bits_float(bits | (magnitude >= 0x0f800000 ? 0x7f800000u : 0u) | ((h & 0x8000u) << 16));
}

// Below 2^-14 adding 0.5 rounds to the spacing of subnormal float16; from 65520 on it is infinite.
FJ_INLINE uint16_t half_from_float(float x) {
  const uint32_t bits = float_bits(x), magnitude = bits & 0x7fffffff;
  const uint32_t normal = (magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000) >> 13;
  const uint32_t subnormal = float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000;
  uint32_t h = magnitude < 0x38800000 ? subnormal : normal;
  h = magnitude >= 0x477ff000 ? 0x7c00 : h;
  h = magnitude > 0x7f800000 ? 0x7e00 : h | ((bits >> 16) & 0x8000);
  return static_cast<uint16_t>(h);
}

}  // namespace forja::FJ_ISA
