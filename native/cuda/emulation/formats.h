// 16-bit floating point: bits to numbers, and back to the nearest, ties to even.
#pragma once
#include <bit>
#include <cstdint>

namespace forja::simt {
inline float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 0x3ffu;
  if (e == 31) return std::bit_cast<float>(sign | 0x7f800000u | (m << 13));
  if (e == 0) return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(float(m) * 0x1p-24f));
  return std::bit_cast<float>(sign | ((e + 112) << 23) | (m << 13));
}
inline uint16_t float_to_half(float f) {
  const uint32_t b = std::bit_cast<uint32_t>(f), a = b & 0x7fffffffu;
  const uint16_t sign = uint16_t((b >> 16) & 0x8000u);
  if (a > 0x7f800000u) return 0x7fff;                     // NaN, canonical as the GPU gives
  if (a >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // rounds to infinity
  if (a < 0x38800000u) {                                  // subnormal or zero: align at 2^-24
    const float r = std::bit_cast<float>(a) + 0.5f;       // ulp of 0.5 is 2^-24: the add rounds to even
    return uint16_t(sign | (std::bit_cast<uint32_t>(r) - 0x3f000000u));
  }
  return uint16_t(sign | ((a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13));
}
inline float bf16_to_float(uint16_t h) { return std::bit_cast<float>(uint32_t(h) << 16); }
inline uint16_t float_to_bf16(float f) {
  const uint32_t b = std::bit_cast<uint32_t>(f);
  if ((b & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return uint16_t((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}
}  // namespace forja::simt
