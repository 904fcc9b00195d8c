/* Generated from lib/ops by `npm run gen`: do not edit. */
#ifndef FORJA_ABI_OPS_GEN_H
#define FORJA_ABI_OPS_GEN_H

#include <stdint.h>

#ifdef __cplusplus
#define FJ_ATTRS_SIZE(type, bytes) static_assert(sizeof(struct type) == (bytes), #type)
#else
#define FJ_ATTRS_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#endif

enum fj_opcode {
  FJ_OP_FULL = 5,
  FJ_OP_FUSED = 6,
  FJ_OP_COPY = 7,
  FJ_OP_ADD = 16,
  FJ_OP_SUB = 17,
  FJ_OP_MUL = 18,
  FJ_OP_DIV = 19,
  FJ_OP_NEG = 20,
  FJ_OP_POW = 21,
  FJ_OP_MAXIMUM = 22,
  FJ_OP_MINIMUM = 23,
  FJ_OP_ABS = 24,
  FJ_OP_SIGN = 25,
  FJ_OP_SQUARE = 26,
  FJ_OP_SQRT = 27,
  FJ_OP_RSQRT = 28,
  FJ_OP_RECIPROCAL = 29,
  FJ_OP_EXP = 30,
  FJ_OP_EXPM1 = 31,
  FJ_OP_LOG = 32,
  FJ_OP_LOG1P = 33,
  FJ_OP_SIN = 34,
  FJ_OP_COS = 35,
  FJ_OP_ERF = 36,
  FJ_OP_CLAMP = 37,
  FJ_OP_WHERE = 38,
  FJ_OP_CAST = 39,
  FJ_OP_EQUAL = 40,
  FJ_OP_NOT_EQUAL = 41,
  FJ_OP_LESS = 42,
  FJ_OP_LESS_EQUAL = 43,
  FJ_OP_GREATER = 44,
  FJ_OP_GREATER_EQUAL = 45,
  FJ_OP_LOGICAL_AND = 46,
  FJ_OP_LOGICAL_OR = 47,
  FJ_OP_RELU = 48,
  FJ_OP_RELU_GRAD = 49,
  FJ_OP_LOGICAL_NOT = 50,
  FJ_OP_SIGMOID = 51,
  FJ_OP_TANH = 52,
  FJ_OP_SILU = 53,
  FJ_OP_GELU = 54,
  FJ_OP_SOFTPLUS = 55,
  FJ_OP_HARDSWISH = 56,
  FJ_OP_RELU6 = 57,
  FJ_OP_LEAKY_RELU = 58,
  FJ_OP_ELU = 59,
  FJ_OP_SUM = 64,
  FJ_OP_BROADCAST_TO = 81,
  FJ_OP_TRANSPOSE = 82,
  FJ_OP_MATMUL = 96,
  FJ_OP_RANDOM = 216,
};

#define FJ_OP_LIMIT 217

/* Name of an opcode, or a null pointer. */
static inline const char* fj_op_name(uint32_t opcode) {
  switch (opcode) {
    case FJ_OP_FULL: return "full";
    case FJ_OP_FUSED: return "fused";
    case FJ_OP_COPY: return "copy";
    case FJ_OP_ADD: return "add";
    case FJ_OP_SUB: return "sub";
    case FJ_OP_MUL: return "mul";
    case FJ_OP_DIV: return "div";
    case FJ_OP_NEG: return "neg";
    case FJ_OP_POW: return "pow";
    case FJ_OP_MAXIMUM: return "maximum";
    case FJ_OP_MINIMUM: return "minimum";
    case FJ_OP_ABS: return "abs";
    case FJ_OP_SIGN: return "sign";
    case FJ_OP_SQUARE: return "square";
    case FJ_OP_SQRT: return "sqrt";
    case FJ_OP_RSQRT: return "rsqrt";
    case FJ_OP_RECIPROCAL: return "reciprocal";
    case FJ_OP_EXP: return "exp";
    case FJ_OP_EXPM1: return "expm1";
    case FJ_OP_LOG: return "log";
    case FJ_OP_LOG1P: return "log1p";
    case FJ_OP_SIN: return "sin";
    case FJ_OP_COS: return "cos";
    case FJ_OP_ERF: return "erf";
    case FJ_OP_CLAMP: return "clamp";
    case FJ_OP_WHERE: return "where";
    case FJ_OP_CAST: return "cast";
    case FJ_OP_EQUAL: return "equal";
    case FJ_OP_NOT_EQUAL: return "notEqual";
    case FJ_OP_LESS: return "less";
    case FJ_OP_LESS_EQUAL: return "lessEqual";
    case FJ_OP_GREATER: return "greater";
    case FJ_OP_GREATER_EQUAL: return "greaterEqual";
    case FJ_OP_LOGICAL_AND: return "logicalAnd";
    case FJ_OP_LOGICAL_OR: return "logicalOr";
    case FJ_OP_RELU: return "relu";
    case FJ_OP_RELU_GRAD: return "reluGrad";
    case FJ_OP_LOGICAL_NOT: return "logicalNot";
    case FJ_OP_SIGMOID: return "sigmoid";
    case FJ_OP_TANH: return "tanh";
    case FJ_OP_SILU: return "silu";
    case FJ_OP_GELU: return "gelu";
    case FJ_OP_SOFTPLUS: return "softplus";
    case FJ_OP_HARDSWISH: return "hardswish";
    case FJ_OP_RELU6: return "relu6";
    case FJ_OP_LEAKY_RELU: return "leakyRelu";
    case FJ_OP_ELU: return "elu";
    case FJ_OP_SUM: return "sum";
    case FJ_OP_BROADCAST_TO: return "broadcastTo";
    case FJ_OP_TRANSPOSE: return "transpose";
    case FJ_OP_MATMUL: return "matmul";
    case FJ_OP_RANDOM: return "random";
    default: return 0;
  }
}

/* Kernel variants; 0 lets the backend choose. */
#define FJ_MATMUL_NAIVE 1
#define FJ_MATMUL_BLOCKED 2
#define FJ_MATMUL_SIMD 3

/* Values of the attribute `activation`. */
#define FJ_ACTIVATION_NONE 0
#define FJ_ACTIVATION_RELU 1

/* Values of the attribute `kind` of random. */
#define FJ_RANDOM_UNIFORM 0
#define FJ_RANDOM_NORMAL 1
#define FJ_RANDOM_INTEGER 2
#define FJ_RANDOM_MASK 3

/* Limits of a fused micro-program. */
#define FJ_FUSED_MAX_REGISTERS 24
#define FJ_FUSED_MAX_INPUTS 12
#define FJ_FUSED_WORDS 4

/* How many registers an operation of a micro-program reads; -1 where it cannot be in one. */
static inline int fj_micro_arity(uint32_t opcode) {
  switch (opcode) {
    case FJ_OP_FULL: return 0;
    case FJ_OP_ADD: return 2;
    case FJ_OP_SUB: return 2;
    case FJ_OP_MUL: return 2;
    case FJ_OP_DIV: return 2;
    case FJ_OP_NEG: return 1;
    case FJ_OP_POW: return 2;
    case FJ_OP_MAXIMUM: return 2;
    case FJ_OP_MINIMUM: return 2;
    case FJ_OP_ABS: return 1;
    case FJ_OP_SIGN: return 1;
    case FJ_OP_SQUARE: return 1;
    case FJ_OP_SQRT: return 1;
    case FJ_OP_RSQRT: return 1;
    case FJ_OP_RECIPROCAL: return 1;
    case FJ_OP_EXP: return 1;
    case FJ_OP_EXPM1: return 1;
    case FJ_OP_LOG: return 1;
    case FJ_OP_LOG1P: return 1;
    case FJ_OP_SIN: return 1;
    case FJ_OP_COS: return 1;
    case FJ_OP_ERF: return 1;
    case FJ_OP_CLAMP: return 1;
    case FJ_OP_WHERE: return 3;
    case FJ_OP_CAST: return 1;
    case FJ_OP_EQUAL: return 2;
    case FJ_OP_NOT_EQUAL: return 2;
    case FJ_OP_LESS: return 2;
    case FJ_OP_LESS_EQUAL: return 2;
    case FJ_OP_GREATER: return 2;
    case FJ_OP_GREATER_EQUAL: return 2;
    case FJ_OP_LOGICAL_AND: return 2;
    case FJ_OP_LOGICAL_OR: return 2;
    case FJ_OP_RELU: return 1;
    case FJ_OP_RELU_GRAD: return 2;
    case FJ_OP_LOGICAL_NOT: return 1;
    case FJ_OP_SIGMOID: return 1;
    case FJ_OP_TANH: return 1;
    case FJ_OP_SILU: return 1;
    case FJ_OP_GELU: return 1;
    case FJ_OP_SOFTPLUS: return 1;
    case FJ_OP_HARDSWISH: return 1;
    case FJ_OP_RELU6: return 1;
    case FJ_OP_LEAKY_RELU: return 1;
    case FJ_OP_ELU: return 1;
    default: return -1;
  }
}

/* Attribute structs. A tail (`i32[]`) follows its struct; its length comes from the instruction. */
struct fj_full_attrs {
  float value;
  int32_t integer;
  int32_t dtype;
}; /* then int32_t shape[] */
FJ_ATTRS_SIZE(fj_full_attrs, 12);

struct fj_fused_attrs {
  int32_t dtype;
  int32_t rank;
  int32_t shape[8];
  int32_t registers;
  int32_t result;
}; /* then int32_t code[] */
FJ_ATTRS_SIZE(fj_fused_attrs, 48);

struct fj_sum_attrs {
  int32_t mask[8];
  int32_t keep_dims;
};
FJ_ATTRS_SIZE(fj_sum_attrs, 36);

/* fj_transpose_attrs: only then int32_t perm[] */

struct fj_matmul_attrs {
  int32_t transpose_a;
  int32_t transpose_b;
  int32_t activation;
};
FJ_ATTRS_SIZE(fj_matmul_attrs, 12);

struct fj_random_attrs {
  int32_t kind;
  int32_t stream;
  int32_t low;
  int32_t range;
}; /* then int32_t shape[] */
FJ_ATTRS_SIZE(fj_random_attrs, 16);

#endif
