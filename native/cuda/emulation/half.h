// 16-bit floating point of the emulation: storage plus float arithmetic, rounded to nearest even.
// For + - * / and sqrt one float operation then one rounding is exact (24 >= 2*11 + 2).
#pragma once
#include "cuda_runtime.h"
#include "formats.h"

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
