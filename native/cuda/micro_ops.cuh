// Every operation with the trait `elementwise` on N elements of one thread, float32 or int32 in the same bits:
// the twin of native/cpu/micro_ops.cc.
#pragma once

#include "device/convert.cuh"
#include "kernel.cuh"

namespace forja::cuda {

struct MicroStep {
  uint16_t opcode;
  uint8_t lane;        // of the operands: 0 float32, 1 int32
  uint8_t d, a, b, c;  // where the result goes, and where operands come from (elementwise.cu)
  uint8_t unused;
  uint32_t words[2];  // the operation's attributes, their bits
};

__device__ __forceinline__ float as_float(uint32_t bits) { return __uint_as_float(bits); }
__device__ __forceinline__ uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ uint32_t bits_of(bool x) { return x ? 1u : 0u; }
__device__ __forceinline__ uint32_t bits_of(int32_t x) { return static_cast<uint32_t>(x); }
__device__ __forceinline__ uint32_t bits_of(uint32_t x) { return x; }

// NaN in either operand is handed on.
__device__ __forceinline__ float maximum(float a, float b) { return a != a || a > b ? a : b; }
__device__ __forceinline__ float minimum(float a, float b) { return a != a || a < b ? a : b; }
// A NaN x stays.
__device__ __forceinline__ float at_least(float x, float low) { return x < low ? low : x; }
__device__ __forceinline__ float at_most(float x, float high) { return x > high ? high : x; }

// Devices give something for x / 0, and x86 traps on INT32_MIN / -1: the first is 0 here, the second wraps around.
__device__ __forceinline__ int32_t divide(int32_t a, int32_t b) {
  if (b == 0) return 0;
  if (b == -1) return static_cast<int32_t>(0u - static_cast<uint32_t>(a));
  return a / b;
}

__device__ inline int32_t integer_power(int32_t base, int32_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base != -1 ? 0 : exponent % 2 == 0 ? 1 : -1;
  uint32_t result = 1;
  for (uint32_t factor = static_cast<uint32_t>(base); exponent > 0; exponent >>= 1, factor *= factor) {
    if (exponent & 1) result *= factor;
  }
  return static_cast<int32_t>(result);
}

__device__ __forceinline__ float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
__device__ __forceinline__ float softplus(float x) { return at_least(x, 0.0f) + log1pf(expf(-fabsf(x))); }
__device__ __forceinline__ float gelu(float x) { return 0.5f * x * erfcf(-0.70710678f * x); }

// r = f(r, b), the elements as float32 or as int32.
template <int N, class F>
__device__ __forceinline__ void map_float(uint32_t* r, const uint32_t* b, const F& f) {
#pragma unroll
  for (int k = 0; k < N; k++) r[k] = bits_of(f(as_float(r[k]), as_float(b[k])));
}
template <int N, class F>
__device__ __forceinline__ void map_int(uint32_t* r, const uint32_t* b, const F& f) {
#pragma unroll
  for (int k = 0; k < N; k++) {
    r[k] = bits_of(f(static_cast<int32_t>(r[k]), static_cast<int32_t>(b[k])));
  }
}

// The elements as another dtype, in its lane.
template <int N>
__device__ __forceinline__ void cast_float(uint32_t* r, uint32_t dtype) {
  switch (dtype) {
    case FJ_BOOL:
      return map_float<N>(r, r, [](float a, float) { return a != 0; });
    case FJ_UINT8:
      return map_float<N>(r, r, [](float a, float) {
        return static_cast<int32_t>(at_least(at_most(a == a ? a : 0.0f, 255.0f), 0.0f));
      });
    case FJ_INT32:
      return map_float<N>(r, r, [](float a, float) { return saturate_to_int(a); });
    case FJ_FLOAT16:
      return map_float<N>(r, r, [](float a, float) { return __half2float(__float2half_rn(a)); });
    case FJ_BFLOAT16:
      return map_float<N>(r, r, [](float a, float) { return __bfloat162float(__float2bfloat16_rn(a)); });
    default:
      return;
  }
}

template <int N>
__device__ __forceinline__ void cast_int(uint32_t* r, uint32_t dtype) {
  switch (dtype) {
    case FJ_BOOL:
      return map_int<N>(r, r, [](int32_t a, int32_t) { return a != 0; });
    case FJ_UINT8:
      return map_int<N>(r, r, [](int32_t a, int32_t) { return static_cast<uint32_t>(a) & 255u; });
    case FJ_INT32:
      return;
    default:
      map_int<N>(r, r, [](int32_t a, int32_t) { return static_cast<float>(a); });
      cast_float<N>(r, dtype);
  }
}

// r = op(r, b, c) for elements r and b; load_third(c) reads the third operand of those operations that have one.
template <int N, class Third>
__device__ __forceinline__ void run_micro_op(uint32_t* r, const uint32_t* b, const Third& load_third,
                                             const MicroStep& s) {
  constexpr uint32_t kInt = 1u << 16;
  const uint32_t word0 = s.words[0], word1 = s.words[1];
#define FJ_FLOAT(op, ...)                                                               \
  case op:                                                                              \
    map_float<N>(r, b, [=](float a, [[maybe_unused]] float b) { return __VA_ARGS__; }); \
    break;
#define FJ_INT(op, ...)                                                                   \
  case kInt | op:                                                                         \
    map_int<N>(r, b, [=](int32_t a, [[maybe_unused]] int32_t b) { return __VA_ARGS__; }); \
    break;
#define FJ_UNSIGNED(x) static_cast<uint32_t>(x)
  switch (s.opcode | (s.lane != 0 ? kInt : 0u)) {
    case FJ_OP_FULL:
    case kInt | FJ_OP_FULL:
#pragma unroll
      for (int k = 0; k < N; k++) r[k] = word0;
      break;
      // clang-format off
    FJ_FLOAT(FJ_OP_ADD, a + b)
    FJ_INT(FJ_OP_ADD, FJ_UNSIGNED(a) + FJ_UNSIGNED(b))
    FJ_FLOAT(FJ_OP_SUB, a - b)
    FJ_INT(FJ_OP_SUB, FJ_UNSIGNED(a) - FJ_UNSIGNED(b))
    FJ_FLOAT(FJ_OP_MUL, a * b)
    FJ_INT(FJ_OP_MUL, FJ_UNSIGNED(a) * FJ_UNSIGNED(b))
    FJ_FLOAT(FJ_OP_DIV, a / b)
    FJ_INT(FJ_OP_DIV, divide(a, b))
    FJ_FLOAT(FJ_OP_NEG, -a)
    FJ_INT(FJ_OP_NEG, 0u - FJ_UNSIGNED(a))
    // Through float64, as on the CPU: float32 loses digits of large results.
    FJ_FLOAT(FJ_OP_POW, static_cast<float>(pow(static_cast<double>(a), static_cast<double>(b))))
    FJ_INT(FJ_OP_POW, integer_power(a, b))
    FJ_FLOAT(FJ_OP_MAXIMUM, maximum(a, b))
    FJ_INT(FJ_OP_MAXIMUM, a > b ? a : b)
    FJ_FLOAT(FJ_OP_MINIMUM, minimum(a, b))
    FJ_INT(FJ_OP_MINIMUM, a > b ? b : a)
    FJ_FLOAT(FJ_OP_ABS, fabsf(a))
    FJ_INT(FJ_OP_ABS, a < 0 ? 0u - FJ_UNSIGNED(a) : FJ_UNSIGNED(a))
    FJ_FLOAT(FJ_OP_SIGN, (a > 0 ? 1.0f : 0.0f) - (a < 0 ? 1.0f : 0.0f))
    FJ_INT(FJ_OP_SIGN, (a > 0 ? 1 : 0) - (a < 0 ? 1 : 0))
    FJ_FLOAT(FJ_OP_SQUARE, a * a)
    FJ_INT(FJ_OP_SQUARE, FJ_UNSIGNED(a) * FJ_UNSIGNED(a))
    FJ_FLOAT(FJ_OP_SQRT, sqrtf(a))
    FJ_FLOAT(FJ_OP_RSQRT, 1.0f / sqrtf(a))
    FJ_FLOAT(FJ_OP_RECIPROCAL, 1.0f / a)
    FJ_FLOAT(FJ_OP_EXP, expf(a))
    FJ_FLOAT(FJ_OP_EXPM1, expm1f(a))
    FJ_FLOAT(FJ_OP_LOG, logf(a))
    FJ_FLOAT(FJ_OP_LOG1P, log1pf(a))
    FJ_FLOAT(FJ_OP_ERF, erff(a))
    FJ_FLOAT(FJ_OP_CLAMP, at_most(at_least(a, as_float(word0)), as_float(word1)))
    FJ_FLOAT(FJ_OP_EQUAL, a == b)
    FJ_INT(FJ_OP_EQUAL, a == b)
    FJ_FLOAT(FJ_OP_NOT_EQUAL, a != b)
    FJ_INT(FJ_OP_NOT_EQUAL, a != b)
    FJ_FLOAT(FJ_OP_LESS, a < b)
    FJ_INT(FJ_OP_LESS, a < b)
    FJ_FLOAT(FJ_OP_LESS_EQUAL, a <= b)
    FJ_INT(FJ_OP_LESS_EQUAL, a <= b)
    FJ_FLOAT(FJ_OP_GREATER, a > b)
    FJ_INT(FJ_OP_GREATER, a > b)
    FJ_FLOAT(FJ_OP_GREATER_EQUAL, a >= b)
    FJ_INT(FJ_OP_GREATER_EQUAL, a >= b)
    FJ_INT(FJ_OP_LOGICAL_AND, a != 0 && b != 0)
    FJ_INT(FJ_OP_LOGICAL_OR, a != 0 || b != 0)
    FJ_INT(FJ_OP_LOGICAL_NOT, a == 0)
    FJ_FLOAT(FJ_OP_RELU, at_least(a, 0.0f))
    FJ_FLOAT(FJ_OP_RELU_GRAD, b <= 0 ? 0.0f : a)
    FJ_FLOAT(FJ_OP_RELU6, at_most(at_least(a, 0.0f), 6.0f))
    FJ_FLOAT(FJ_OP_LEAKY_RELU, a > 0 ? a : a * as_float(word0))
    FJ_FLOAT(FJ_OP_ELU, (a > 0 ? a : as_float(word0) * expm1f(a)) * as_float(word1))
    FJ_FLOAT(FJ_OP_GELU, gelu(a))
    FJ_FLOAT(FJ_OP_SILU, a * sigmoid(a))
    FJ_FLOAT(FJ_OP_SOFTPLUS, softplus(a))
    FJ_FLOAT(FJ_OP_SIGMOID, sigmoid(a))
    FJ_FLOAT(FJ_OP_TANH, tanhf(a))
    FJ_FLOAT(FJ_OP_HARDSWISH, a * at_most(at_least(a + 3.0f, 0.0f), 6.0f) * (1.0f / 6.0f))
    // clang-format on
    // As two cases the compiler does what both begin with ahead of all other operations.
    case FJ_OP_SIN:
    case FJ_OP_COS:
      map_float<N>(r, b, [sine = s.opcode == FJ_OP_SIN](float a, float) { return sine ? sinf(a) : cosf(a); });
      break;
    case FJ_OP_CAST:
      cast_float<N>(r, word0);
      break;
    case kInt | FJ_OP_CAST:
      cast_int<N>(r, word0);
      break;
    case FJ_OP_WHERE:
    case kInt | FJ_OP_WHERE: {
      uint32_t c[N] = {};
      load_third(c);
#pragma unroll
      for (int k = 0; k < N; k++) r[k] = r[k] != 0 ? b[k] : c[k];
      break;
    }
    default:
      __builtin_unreachable();  // has_micro_op was asked
  }
#undef FJ_FLOAT
#undef FJ_INT
#undef FJ_UNSIGNED
}

// Whether run_micro_op has the operation for operands of this lane.
inline bool has_micro_op(uint32_t opcode, uint32_t lane) {
  switch (opcode) {
    case FJ_OP_SQRT:
    case FJ_OP_RSQRT:
    case FJ_OP_RECIPROCAL:
    case FJ_OP_EXP:
    case FJ_OP_EXPM1:
    case FJ_OP_LOG:
    case FJ_OP_LOG1P:
    case FJ_OP_SIN:
    case FJ_OP_COS:
    case FJ_OP_ERF:
    case FJ_OP_CLAMP:
    case FJ_OP_RELU:
    case FJ_OP_RELU_GRAD:
    case FJ_OP_RELU6:
    case FJ_OP_LEAKY_RELU:
    case FJ_OP_ELU:
    case FJ_OP_GELU:
    case FJ_OP_SILU:
    case FJ_OP_SOFTPLUS:
    case FJ_OP_SIGMOID:
    case FJ_OP_TANH:
    case FJ_OP_HARDSWISH:
      return lane == 0;
    case FJ_OP_LOGICAL_AND:
    case FJ_OP_LOGICAL_OR:
    case FJ_OP_LOGICAL_NOT:
      return lane == 1;
    case FJ_OP_FULL:
    case FJ_OP_ADD:
    case FJ_OP_SUB:
    case FJ_OP_MUL:
    case FJ_OP_DIV:
    case FJ_OP_NEG:
    case FJ_OP_POW:
    case FJ_OP_MAXIMUM:
    case FJ_OP_MINIMUM:
    case FJ_OP_ABS:
    case FJ_OP_SIGN:
    case FJ_OP_SQUARE:
    case FJ_OP_WHERE:
    case FJ_OP_CAST:
    case FJ_OP_EQUAL:
    case FJ_OP_NOT_EQUAL:
    case FJ_OP_LESS:
    case FJ_OP_LESS_EQUAL:
    case FJ_OP_GREATER:
    case FJ_OP_GREATER_EQUAL:
      return true;
    default:
      return false;
  }
}

}  // namespace forja::cuda
