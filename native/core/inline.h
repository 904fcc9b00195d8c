// What may stand inline in every object. Kernel sources of the CPU are compiled once per instruction set, and of a
// function that is not forced inline the linker could keep the AVX-512 copy for all; nvcc compiles for two machines.
#pragma once

#include <cstdint>

#define FJ_INLINE static inline __attribute__((always_inline))
#define FJ_INLINE_MEMBER __attribute__((always_inline))
#if defined(__CUDACC__)
#define FJ_ANYWHERE __host__ __device__ __forceinline__
#else
#define FJ_ANYWHERE inline __attribute__((always_inline))
#endif

namespace forja {

struct Range {
  int64_t begin, end;
};

FJ_ANYWHERE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
FJ_ANYWHERE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
FJ_ANYWHERE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace forja
