// 16-bit floating point of the emulation: storage plus float arithmetic, rounded to nearest even.
// For + - * / and sqrt one float operation then one rounding is exact (24 >= 2*11 + 2).
#pragma once
#include "cuda_runtime.h"

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

#define SIMT_HALF_TYPE(N, N2, TO, FROM)                                                          \
  struct N {                                                                                     \
    uint16_t bits;                                                                               \
    N() = default;                                                                               \
    N(float f) : bits(forja::simt::FROM(f)) {}                                                   \
    N(double f) : bits(forja::simt::FROM(float(f))) {}                                           \
    N(int i) : bits(forja::simt::FROM(float(i))) {}                                              \
    operator float() const { return forja::simt::TO(bits); }                                     \
  };                                                                                             \
  struct alignas(4) N2 {                                                                         \
    N x, y;                                                                                      \
  };                                                                                             \
  inline N operator+(N a, N b) { return N(float(a) + float(b)); }                                \
  inline N operator-(N a, N b) { return N(float(a) - float(b)); }                                \
  inline N operator*(N a, N b) { return N(float(a) * float(b)); }                                \
  inline N operator/(N a, N b) { return N(float(a) / float(b)); }                                \
  inline N operator-(N a) {                                                                      \
    a.bits ^= 0x8000;                                                                            \
    return a;                                                                                    \
  }                                                                                              \
  inline N& operator+=(N& a, N b) { return a = a + b; }                                          \
  inline N& operator-=(N& a, N b) { return a = a - b; }                                          \
  inline N& operator*=(N& a, N b) { return a = a * b; }                                          \
  inline N& operator/=(N& a, N b) { return a = a / b; }                                          \
  inline bool operator<(N a, N b) { return float(a) < float(b); }                                \
  inline bool operator>(N a, N b) { return float(a) > float(b); }                                \
  inline bool operator<=(N a, N b) { return float(a) <= float(b); }                              \
  inline bool operator>=(N a, N b) { return float(a) >= float(b); }                              \
  inline bool operator==(N a, N b) { return float(a) == float(b); }                              \
  inline bool operator!=(N a, N b) { return float(a) != float(b); }                              \
  inline N __hadd(N a, N b) { return a + b; }                                                    \
  inline N __hsub(N a, N b) { return a - b; }                                                    \
  inline N __hmul(N a, N b) { return a * b; }                                                    \
  inline N __hdiv(N a, N b) { return a / b; }                                                    \
  inline N __hfma(N a, N b, N c) { return N(float(double(float(a)) * float(b) + float(c))); }    \
  inline N __hneg(N a) { return -a; }                                                            \
  inline N __hmax(N a, N b) { return float(a) != float(a) || b > a ? b : a; }                    \
  inline N __hmin(N a, N b) { return float(a) != float(a) || b < a ? b : a; }                    \
  inline bool __hgt(N a, N b) { return a > b; }                                                  \
  inline bool __hlt(N a, N b) { return a < b; }                                                  \
  inline bool __hisnan(N a) { return float(a) != float(a); }                                     \
  inline N2 __hadd2(N2 a, N2 b) { return {a.x + b.x, a.y + b.y}; }                               \
  inline N2 __hmul2(N2 a, N2 b) { return {a.x * b.x, a.y * b.y}; }                               \
  inline N2 __hfma2(N2 a, N2 b, N2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; } \
  inline N __low2##N2(N2 a) { return a.x; }
