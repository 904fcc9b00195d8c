// Division of numbers below 2^31 by one that is known when a kernel is launched: a multiplication and a shift.
#pragma once

#include "../launch.cuh"

namespace forja::cuda {

// With l = ceil(log2 d) and magic = floor(2^32 (2^l - d) / d) + 1, floor(n / d) = (floor(n magic / 2^32) + n) >> l.
struct Divisor {
  uint32_t divisor, magic, shift;

  Divisor() = default;
  explicit Divisor(int64_t d) : divisor(static_cast<uint32_t>(d)), shift(0) {
    while ((uint64_t{1} << shift) < divisor) shift++;
    magic = static_cast<uint32_t>((((uint64_t{1} << shift) - divisor) << 32) / divisor + 1);
  }
  __device__ __forceinline__ int quotient(int n) const {
    const auto u = static_cast<uint32_t>(n);
    return static_cast<int>((__umulhi(u, magic) + u) >> shift);
  }
  // n becomes its quotient; the remainder is returned.
  __device__ __forceinline__ int split(int& n) const {
    const int q = quotient(n), rest = n - q * static_cast<int>(divisor);
    n = q;
    return rest;
  }
};

// n / divisor for n >= 0; I: int where numbers stay below 2^31.
template <class I>
struct Divide {
  I divisor;
  Divide() = default;
  explicit Divide(int64_t d) : divisor(d) {}
  __device__ __forceinline__ I operator()(I n) const { return n / divisor; }
};
template <>
struct Divide<int> {
  Divisor divisor;
  Divide() = default;
  explicit Divide(int64_t d) : divisor(d) {}
  __device__ __forceinline__ int operator()(int n) const { return divisor.quotient(n); }
};

}  // namespace forja::cuda
