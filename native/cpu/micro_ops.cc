// Every operation with the trait `elementwise`, written once per lane on vectors; table in find_micro_op.
#include "micro_ops.h"

#include "../abi/ops.gen.h"
#include "../abi/program.h"
#include "simd/half.h"
#include "simd/math.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

typedef int32_t Word __attribute__((may_alias));  // an int32 in a register of floats

FJ_INLINE VecI load_word(const float* p) { return load_int(reinterpret_cast<const Word*>(p)); }
FJ_INLINE void store_word(float* p, VecI x) { store_int(reinterpret_cast<Word*>(p), x); }
FJ_INLINE VecI bool_of(Mask m) { return select(m, broadcast_int(1), broadcast_int(0)); }
FJ_INLINE float float_word(int32_t word) { return bits_float(static_cast<uint32_t>(word)); }
FJ_INLINE VecI negative(VecI x) { return broadcast_int(0) - x; }

#define FJ_MICRO(name, ...)                                                                             \
  void name(float* d, const float* pa, const float* pb, const float* pc, int n, const int32_t* words) { \
    (void)pa, (void)pb, (void)pc, (void)words;                                                          \
    for (int k = 0; k < n; k += kWidth) __VA_ARGS__                                                     \
  }
// Operands a, b as vectors of floats or of words; the result likewise.
#define FJ_UNARY(name, ...)     \
  FJ_MICRO(name, {              \
    const Vec a = load(pa + k); \
    store(d + k, __VA_ARGS__);  \
  })
#define FJ_BINARY(name, ...)                      \
  FJ_MICRO(name, {                                \
    const Vec a = load(pa + k), b = load(pb + k); \
    store(d + k, __VA_ARGS__);                    \
  })
#define FJ_UNARY_INT(name, ...)       \
  FJ_MICRO(name, {                    \
    const VecI a = load_word(pa + k); \
    store_word(d + k, __VA_ARGS__);   \
  })
#define FJ_BINARY_INT(name, ...)                             \
  FJ_MICRO(name, {                                           \
    const VecI a = load_word(pa + k), b = load_word(pb + k); \
    store_word(d + k, __VA_ARGS__);                          \
  })
#define FJ_COMPARE(name, ...)                     \
  FJ_MICRO(name, {                                \
    const Vec a = load(pa + k), b = load(pb + k); \
    store_word(d + k, bool_of(__VA_ARGS__));      \
  })

FJ_MICRO(full, { store_word(d + k, broadcast_int(words[0])); })

FJ_BINARY(add, a + b)
FJ_BINARY(sub, a - b)
FJ_BINARY(mul, a* b)
FJ_BINARY(div, a / b)
FJ_UNARY(neg, -a)
FJ_BINARY(maximum, select(a == a, max(a, b), a))
FJ_BINARY(minimum, select(a == a, min(a, b), a))
FJ_BINARY_INT(add_int, a + b)
FJ_BINARY_INT(sub_int, a - b)
FJ_BINARY_INT(mul_int, a* b)
FJ_UNARY_INT(neg_int, negative(a))
FJ_BINARY_INT(maximum_int, select(a > b, a, b))
FJ_BINARY_INT(minimum_int, select(a > b, b, a))

FJ_BINARY(pow_float, vpow(a, b))

// Processors trap on x / 0 and on INT32_MIN / -1: the first is 0 here, the second wraps around.
void div_int(float* d, const float* a, const float* b, const float*, int n, const int32_t*) {
  const Word *x = reinterpret_cast<const Word*>(a), *y = reinterpret_cast<const Word*>(b);
  Word* z = reinterpret_cast<Word*>(d);
  for (int k = 0; k < n; k++) {
    z[k] = y[k] == 0 ? 0 : y[k] == -1 ? static_cast<int32_t>(0u - static_cast<uint32_t>(x[k])) : x[k] / y[k];
  }
}

FJ_INLINE int32_t integer_power(int32_t base, int32_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base != -1 ? 0 : exponent % 2 == 0 ? 1 : -1;
  uint32_t result = 1;
  for (uint32_t factor = static_cast<uint32_t>(base); exponent > 0; exponent >>= 1, factor *= factor) {
    if (exponent & 1) result *= factor;
  }
  return static_cast<int32_t>(result);
}

void pow_int(float* d, const float* a, const float* b, const float*, int n, const int32_t*) {
  const Word *x = reinterpret_cast<const Word*>(a), *y = reinterpret_cast<const Word*>(b);
  for (int k = 0; k < n; k++) reinterpret_cast<Word*>(d)[k] = integer_power(x[k], y[k]);
}

FJ_UNARY(abs_float, abs(a))
FJ_UNARY_INT(abs_int, select(broadcast_int(0) > a, negative(a), a))
FJ_UNARY(sign_float, select(a > zero(), broadcast(1.0f), zero()) - select(a < zero(), broadcast(1.0f), zero()))
FJ_UNARY_INT(sign_int, bool_of(a > broadcast_int(0)) - bool_of(broadcast_int(0) > a))
FJ_UNARY(square, a* a)
FJ_UNARY_INT(square_int, a* a)
FJ_UNARY(sqrt_float, sqrt(a))
FJ_UNARY(rsqrt, broadcast(1.0f) / sqrt(a))
FJ_UNARY(reciprocal, broadcast(1.0f) / a)
FJ_UNARY(exp_float, vexp(a))
FJ_UNARY(expm1_float, vexpm1(a))
FJ_UNARY(log_float, vlog(a))
FJ_UNARY(log1p_float, vlog1p(a))
FJ_UNARY(sin_float, vsin(a))
FJ_UNARY(cos_float, vcos(a))
FJ_UNARY(erf_float, verf(a))
FJ_UNARY(clamp, min(broadcast(float_word(words[1])), max(broadcast(float_word(words[0])), a)))

FJ_COMPARE(equal, a == b)
FJ_COMPARE(not_equal, a != b)
FJ_COMPARE(less, a < b)
FJ_COMPARE(less_equal, a <= b)
FJ_COMPARE(greater, a > b)
FJ_COMPARE(greater_equal, a >= b)
FJ_BINARY_INT(equal_int, bool_of(a == b))
FJ_BINARY_INT(not_equal_int, bool_of(~(a == b)))
FJ_BINARY_INT(less_int, bool_of(b > a))
FJ_BINARY_INT(less_equal_int, bool_of(~(a > b)))
FJ_BINARY_INT(greater_int, bool_of(a > b))
FJ_BINARY_INT(greater_equal_int, bool_of(~(b > a)))
FJ_BINARY_INT(logical_and, bool_of(~((a == broadcast_int(0)) | (b == broadcast_int(0)))))
FJ_BINARY_INT(logical_or, bool_of(~((a | b) == broadcast_int(0))))
FJ_UNARY_INT(logical_not, bool_of(a == broadcast_int(0)))
// The same for both lanes: bits are chosen.
FJ_MICRO(where, {
  const Mask otherwise = load_word(pa + k) == broadcast_int(0);
  store_word(d + k, select(otherwise, load_word(pc + k), load_word(pb + k)));
})

FJ_UNARY(relu, max(zero(), a))
FJ_BINARY(relu_grad, select(b <= zero(), zero(), a))
FJ_UNARY(relu6, min(broadcast(6.0f), max(zero(), a)))
FJ_UNARY(leaky_relu, select(a > zero(), a, a* broadcast(float_word(words[0]))))
FJ_UNARY(elu, select(a > zero(), a, broadcast(float_word(words[0])) * vexpm1(min(zero(), a))) *
                  broadcast(float_word(words[1])))
FJ_UNARY(gelu, vgelu(a))
FJ_UNARY(silu, a* vsigmoid(a))
FJ_UNARY(softplus, vsoftplus(a))
FJ_UNARY(sigmoid, vsigmoid(a))
FJ_UNARY(tanh_float, vtanh(a))
FJ_UNARY(hardswish, a* min(broadcast(6.0f), max(zero(), a + broadcast(3.0f))) * broadcast(1.0f / 6.0f))

// Truncated, kept in the range of int32; NaN gives 0.
FJ_INLINE VecI saturate(Vec a) {
  const Vec inside = max(broadcast(-2147483648.0f), min(broadcast(2147483520.0f), select(a == a, a, zero())));
  return select(a >= broadcast(2147483648.0f), broadcast_int(INT32_MAX), truncate_to_int(inside));
}

void cast_from_float(float* d, const float* a, const float*, const float*, int n, const int32_t* words) {
  Word* integers = reinterpret_cast<Word*>(d);
  switch (words[0]) {
    case FJ_BOOL:
      for (int k = 0; k < n; k += kWidth) store_word(d + k, bool_of(load(a + k) != zero()));
      break;
    case FJ_UINT8:
      for (int k = 0; k < n; k += kWidth) {
        const Vec x = load(a + k);
        store_int(integers + k, truncate_to_int(max(zero(), min(broadcast(255.0f), select(x == x, x, zero())))));
      }
      break;
    case FJ_INT32:
      for (int k = 0; k < n; k += kWidth) store_word(d + k, saturate(load(a + k)));
      break;
    case FJ_FLOAT16:
      for (int k = 0; k < n; k++) d[k] = float_from_half(half_from_float(a[k]));
      break;
    case FJ_BFLOAT16:
      for (int k = 0; k < n; k++) d[k] = float_from_bfloat16(bfloat16_from_float(a[k]));
      break;
    default:
      for (int k = 0; k < n; k += kWidth) store(d + k, load(a + k));
  }
}

void cast_from_int(float* d, const float* a, const float* b, const float* c, int n, const int32_t* words) {
  for (int k = 0; k < n; k += kWidth) {
    const VecI x = load_word(a + k);
    switch (words[0]) {
      case FJ_BOOL:
        store_word(d + k, bool_of(~(x == broadcast_int(0))));
        break;
      case FJ_UINT8:
        store_word(d + k, x & broadcast_int(255));
        break;
      case FJ_INT32:
        store_word(d + k, x);
        break;
      default:
        store(d + k, to_float(x));
    }
  }
  if (words[0] == FJ_FLOAT16 || words[0] == FJ_BFLOAT16) cast_from_float(d, d, b, c, n, words);
}

struct Entry {
  uint32_t opcode;
  MicroOp for_float, for_int;
};

const Entry kEntries[] = {
    {FJ_OP_FULL, full, full},
    {FJ_OP_ADD, add, add_int},
    {FJ_OP_SUB, sub, sub_int},
    {FJ_OP_MUL, mul, mul_int},
    {FJ_OP_DIV, div, div_int},
    {FJ_OP_NEG, neg, neg_int},
    {FJ_OP_POW, pow_float, pow_int},
    {FJ_OP_MAXIMUM, maximum, maximum_int},
    {FJ_OP_MINIMUM, minimum, minimum_int},
    {FJ_OP_ABS, abs_float, abs_int},
    {FJ_OP_SIGN, sign_float, sign_int},
    {FJ_OP_SQUARE, square, square_int},
    {FJ_OP_SQRT, sqrt_float, nullptr},
    {FJ_OP_RSQRT, rsqrt, nullptr},
    {FJ_OP_RECIPROCAL, reciprocal, nullptr},
    {FJ_OP_EXP, exp_float, nullptr},
    {FJ_OP_EXPM1, expm1_float, nullptr},
    {FJ_OP_LOG, log_float, nullptr},
    {FJ_OP_LOG1P, log1p_float, nullptr},
    {FJ_OP_SIN, sin_float, nullptr},
    {FJ_OP_COS, cos_float, nullptr},
    {FJ_OP_ERF, erf_float, nullptr},
    {FJ_OP_CLAMP, clamp, nullptr},
    {FJ_OP_WHERE, where, where},
    {FJ_OP_CAST, cast_from_float, cast_from_int},
    {FJ_OP_EQUAL, equal, equal_int},
    {FJ_OP_NOT_EQUAL, not_equal, not_equal_int},
    {FJ_OP_LESS, less, less_int},
    {FJ_OP_LESS_EQUAL, less_equal, less_equal_int},
    {FJ_OP_GREATER, greater, greater_int},
    {FJ_OP_GREATER_EQUAL, greater_equal, greater_equal_int},
    {FJ_OP_LOGICAL_AND, nullptr, logical_and},
    {FJ_OP_LOGICAL_OR, nullptr, logical_or},
    {FJ_OP_LOGICAL_NOT, nullptr, logical_not},
    {FJ_OP_RELU, relu, nullptr},
    {FJ_OP_RELU_GRAD, relu_grad, nullptr},
    {FJ_OP_RELU6, relu6, nullptr},
    {FJ_OP_LEAKY_RELU, leaky_relu, nullptr},
    {FJ_OP_ELU, elu, nullptr},
    {FJ_OP_GELU, gelu, nullptr},
    {FJ_OP_SILU, silu, nullptr},
    {FJ_OP_SOFTPLUS, softplus, nullptr},
    {FJ_OP_SIGMOID, sigmoid, nullptr},
    {FJ_OP_TANH, tanh_float, nullptr},
    {FJ_OP_HARDSWISH, hardswish, nullptr},
};

}  // namespace

MicroOp find_micro_op(uint32_t opcode, uint32_t lane) {
  for (const Entry& entry : kEntries) {
    if (entry.opcode == opcode) return lane == 0 ? entry.for_float : entry.for_int;
  }
  return nullptr;
}

}  // namespace forja::FJ_ISA
