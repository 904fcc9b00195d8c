/* Generated from lib/ops by `npm run gen`: do not edit. */
/* clang-format off */
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
  FJ_OP_MAX = 65,
  FJ_OP_MIN = 66,
  FJ_OP_PROD = 67,
  FJ_OP_PRODUCT_OF_OTHERS = 68,
  FJ_OP_ARG_MAX = 69,
  FJ_OP_ARG_MIN = 70,
  FJ_OP_CUM_SUM = 71,
  FJ_OP_TOP_K = 72,
  FJ_OP_BROADCAST_TO = 81,
  FJ_OP_TRANSPOSE = 82,
  FJ_OP_MATMUL = 96,
  FJ_OP_CONV2D = 104,
  FJ_OP_CONV2D_GRAD_INPUT = 105,
  FJ_OP_CONV2D_GRAD_WEIGHT = 106,
  FJ_OP_IM2COL = 107,
  FJ_OP_COL2IM = 108,
  FJ_OP_CONV2D_POOLED_GRAD_WEIGHT = 109,
  FJ_OP_CONV2D_MAX_POOL = 110,
  FJ_OP_CONV2D_POOLED_GRAD_INPUT = 111,
  FJ_OP_MAX_POOL2D = 112,
  FJ_OP_MAX_POOL2D_GRAD = 113,
  FJ_OP_MAX_POOL2D_GATHER = 114,
  FJ_OP_AVG_POOL2D = 115,
  FJ_OP_AVG_POOL2D_GRAD = 116,
  FJ_OP_BATCH_NORM = 120,
  FJ_OP_BATCH_NORM_GRAD = 121,
  FJ_OP_LAYER_NORM = 122,
  FJ_OP_LAYER_NORM_GRAD = 123,
  FJ_OP_SLICE = 192,
  FJ_OP_PLACE = 193,
  FJ_OP_CONCAT = 194,
  FJ_OP_GATHER = 200,
  FJ_OP_GATHER_GRAD = 201,
  FJ_OP_TAKE_ALONG_AXIS = 202,
  FJ_OP_PUT_ALONG_AXIS = 203,
  FJ_OP_ONE_HOT = 204,
  FJ_OP_SOFTMAX = 208,
  FJ_OP_SOFTMAX_GRAD = 209,
  FJ_OP_LOG_SOFTMAX = 210,
  FJ_OP_LOG_SUM_EXP = 211,
  FJ_OP_CROSS_ENTROPY = 212,
  FJ_OP_CROSS_ENTROPY_GRAD = 213,
  FJ_OP_CROSS_ENTROPY_WITH_GRAD = 214,
  FJ_OP_RANDOM = 216,
  FJ_OP_SGD_UPDATE = 224,
  FJ_OP_ADAM_UPDATE = 225,
  FJ_OP_RECURRENT = 244,
  FJ_OP_RECURRENT_GRAD = 245,
  FJ_OP_NMS = 256,
  FJ_OP_ROI_ALIGN = 257,
  FJ_OP_ROI_ALIGN_GRAD = 258,
  FJ_OP_ROI_POOL = 259,
};

#define FJ_OP_LIMIT 260

/* Name of an opcode, or a null pointer. */
static inline const char* fj_op_name(uint32_t opcode) {
  switch (opcode) {
    case FJ_OP_FULL:
      return "full";
    case FJ_OP_FUSED:
      return "fused";
    case FJ_OP_COPY:
      return "copy";
    case FJ_OP_ADD:
      return "add";
    case FJ_OP_SUB:
      return "sub";
    case FJ_OP_MUL:
      return "mul";
    case FJ_OP_DIV:
      return "div";
    case FJ_OP_NEG:
      return "neg";
    case FJ_OP_POW:
      return "pow";
    case FJ_OP_MAXIMUM:
      return "maximum";
    case FJ_OP_MINIMUM:
      return "minimum";
    case FJ_OP_ABS:
      return "abs";
    case FJ_OP_SIGN:
      return "sign";
    case FJ_OP_SQUARE:
      return "square";
    case FJ_OP_SQRT:
      return "sqrt";
    case FJ_OP_RSQRT:
      return "rsqrt";
    case FJ_OP_RECIPROCAL:
      return "reciprocal";
    case FJ_OP_EXP:
      return "exp";
    case FJ_OP_EXPM1:
      return "expm1";
    case FJ_OP_LOG:
      return "log";
    case FJ_OP_LOG1P:
      return "log1p";
    case FJ_OP_SIN:
      return "sin";
    case FJ_OP_COS:
      return "cos";
    case FJ_OP_ERF:
      return "erf";
    case FJ_OP_CLAMP:
      return "clamp";
    case FJ_OP_WHERE:
      return "where";
    case FJ_OP_CAST:
      return "cast";
    case FJ_OP_EQUAL:
      return "equal";
    case FJ_OP_NOT_EQUAL:
      return "notEqual";
    case FJ_OP_LESS:
      return "less";
    case FJ_OP_LESS_EQUAL:
      return "lessEqual";
    case FJ_OP_GREATER:
      return "greater";
    case FJ_OP_GREATER_EQUAL:
      return "greaterEqual";
    case FJ_OP_LOGICAL_AND:
      return "logicalAnd";
    case FJ_OP_LOGICAL_OR:
      return "logicalOr";
    case FJ_OP_RELU:
      return "relu";
    case FJ_OP_RELU_GRAD:
      return "reluGrad";
    case FJ_OP_LOGICAL_NOT:
      return "logicalNot";
    case FJ_OP_SIGMOID:
      return "sigmoid";
    case FJ_OP_TANH:
      return "tanh";
    case FJ_OP_SILU:
      return "silu";
    case FJ_OP_GELU:
      return "gelu";
    case FJ_OP_SOFTPLUS:
      return "softplus";
    case FJ_OP_HARDSWISH:
      return "hardswish";
    case FJ_OP_RELU6:
      return "relu6";
    case FJ_OP_LEAKY_RELU:
      return "leakyRelu";
    case FJ_OP_ELU:
      return "elu";
    case FJ_OP_SUM:
      return "sum";
    case FJ_OP_MAX:
      return "max";
    case FJ_OP_MIN:
      return "min";
    case FJ_OP_PROD:
      return "prod";
    case FJ_OP_PRODUCT_OF_OTHERS:
      return "productOfOthers";
    case FJ_OP_ARG_MAX:
      return "argMax";
    case FJ_OP_ARG_MIN:
      return "argMin";
    case FJ_OP_CUM_SUM:
      return "cumSum";
    case FJ_OP_TOP_K:
      return "topK";
    case FJ_OP_BROADCAST_TO:
      return "broadcastTo";
    case FJ_OP_TRANSPOSE:
      return "transpose";
    case FJ_OP_MATMUL:
      return "matmul";
    case FJ_OP_CONV2D:
      return "conv2d";
    case FJ_OP_CONV2D_GRAD_INPUT:
      return "conv2dGradInput";
    case FJ_OP_CONV2D_GRAD_WEIGHT:
      return "conv2dGradWeight";
    case FJ_OP_IM2COL:
      return "im2col";
    case FJ_OP_COL2IM:
      return "col2im";
    case FJ_OP_CONV2D_POOLED_GRAD_WEIGHT:
      return "conv2dPooledGradWeight";
    case FJ_OP_CONV2D_MAX_POOL:
      return "conv2dMaxPool";
    case FJ_OP_CONV2D_POOLED_GRAD_INPUT:
      return "conv2dPooledGradInput";
    case FJ_OP_MAX_POOL2D:
      return "maxPool2d";
    case FJ_OP_MAX_POOL2D_GRAD:
      return "maxPool2dGrad";
    case FJ_OP_MAX_POOL2D_GATHER:
      return "maxPool2dGather";
    case FJ_OP_AVG_POOL2D:
      return "avgPool2d";
    case FJ_OP_AVG_POOL2D_GRAD:
      return "avgPool2dGrad";
    case FJ_OP_BATCH_NORM:
      return "batchNorm";
    case FJ_OP_BATCH_NORM_GRAD:
      return "batchNormGrad";
    case FJ_OP_LAYER_NORM:
      return "layerNorm";
    case FJ_OP_LAYER_NORM_GRAD:
      return "layerNormGrad";
    case FJ_OP_SLICE:
      return "slice";
    case FJ_OP_PLACE:
      return "place";
    case FJ_OP_CONCAT:
      return "concat";
    case FJ_OP_GATHER:
      return "gather";
    case FJ_OP_GATHER_GRAD:
      return "gatherGrad";
    case FJ_OP_TAKE_ALONG_AXIS:
      return "takeAlongAxis";
    case FJ_OP_PUT_ALONG_AXIS:
      return "putAlongAxis";
    case FJ_OP_ONE_HOT:
      return "oneHot";
    case FJ_OP_SOFTMAX:
      return "softmax";
    case FJ_OP_SOFTMAX_GRAD:
      return "softmaxGrad";
    case FJ_OP_LOG_SOFTMAX:
      return "logSoftmax";
    case FJ_OP_LOG_SUM_EXP:
      return "logSumExp";
    case FJ_OP_CROSS_ENTROPY:
      return "crossEntropy";
    case FJ_OP_CROSS_ENTROPY_GRAD:
      return "crossEntropyGrad";
    case FJ_OP_CROSS_ENTROPY_WITH_GRAD:
      return "crossEntropyWithGrad";
    case FJ_OP_RANDOM:
      return "random";
    case FJ_OP_SGD_UPDATE:
      return "sgdUpdate";
    case FJ_OP_ADAM_UPDATE:
      return "adamUpdate";
    case FJ_OP_RECURRENT:
      return "recurrent";
    case FJ_OP_RECURRENT_GRAD:
      return "recurrentGrad";
    case FJ_OP_NMS:
      return "nms";
    case FJ_OP_ROI_ALIGN:
      return "roiAlign";
    case FJ_OP_ROI_ALIGN_GRAD:
      return "roiAlignGrad";
    case FJ_OP_ROI_POOL:
      return "roiPool";
    default:
      return 0;
  }
}

/* How many inputs the updates that an instruction joins share; those of one update after the other follow them. */
static inline uint32_t fj_op_joins(uint32_t opcode) {
  switch (opcode) {
    case FJ_OP_SGD_UPDATE: return 2;
    case FJ_OP_ADAM_UPDATE: return 2;
    default: return 0;
  }
}

/* Whether the checks let bfloat16 maps through; a backend without kernels for them must refuse. */
static inline int fj_op_may_be_narrow(uint32_t opcode) {
  switch (opcode) {
    case FJ_OP_MATMUL:
    case FJ_OP_CONV2D:
    case FJ_OP_CONV2D_GRAD_INPUT:
    case FJ_OP_CONV2D_GRAD_WEIGHT:
    case FJ_OP_MAX_POOL2D:
    case FJ_OP_MAX_POOL2D_GRAD:
    case FJ_OP_MAX_POOL2D_GATHER:
    case FJ_OP_AVG_POOL2D:
    case FJ_OP_AVG_POOL2D_GRAD:
    case FJ_OP_BATCH_NORM:
    case FJ_OP_BATCH_NORM_GRAD:
    case FJ_OP_LAYER_NORM:
    case FJ_OP_LAYER_NORM_GRAD:
      return 1;
    default:
      return 0;
  }
}

/* Whether an update may write this output over this input, both in exactly one place. */
static inline int fj_op_inplace(uint32_t opcode, uint32_t output, uint32_t input) {
  if (opcode == FJ_OP_FUSED) return 1;
  if (opcode == FJ_OP_BATCH_NORM && output == 0 && input == 0) return 1;
  if (opcode == FJ_OP_BATCH_NORM && output == 0 && input == 3) return 1;
  if (opcode == FJ_OP_BATCH_NORM_GRAD && output == 0 && input == 0) return 1;
  if (opcode == FJ_OP_LAYER_NORM && output == 0 && input == 0) return 1;
  if (opcode == FJ_OP_LAYER_NORM_GRAD && output == 0 && input == 0) return 1;
  if (opcode == FJ_OP_CROSS_ENTROPY_WITH_GRAD && output == 1 && input == 0) return 1;
  if (opcode == FJ_OP_SGD_UPDATE && output == 0 && input == 2) return 1;
  if (opcode == FJ_OP_SGD_UPDATE && output == 1 && input == 4) return 1;
  if (opcode == FJ_OP_ADAM_UPDATE && output == 0 && input == 2) return 1;
  if (opcode == FJ_OP_ADAM_UPDATE && output == 1 && input == 4) return 1;
  if (opcode == FJ_OP_ADAM_UPDATE && output == 2 && input == 5) return 1;
  if (opcode == FJ_OP_ADAM_UPDATE && output == 3 && input == 6) return 1;
  return 0;
}

/* Kernel variants; 0 lets the backend choose. */
#define FJ_MATMUL_NAIVE 1
#define FJ_MATMUL_BLOCKED 2
#define FJ_MATMUL_SIMD 3
#define FJ_MATMUL_BLAS 4
#define FJ_MATMUL_COALESCED 5
#define FJ_MATMUL_SHARED 6
#define FJ_MATMUL_TILED 7
#define FJ_MATMUL_TENSORCORE 8
#define FJ_MATMUL_CUBLAS 9
#define FJ_CONV2D_NAIVE 1
#define FJ_CONV2D_IM2COL 2
#define FJ_CONV2D_IMPLICIT 3
#define FJ_CONV2D_WINOGRAD 4
#define FJ_CONV2D_WINOGRAD2X2 5
#define FJ_CONV2D_TENSORCORE 6
#define FJ_CONV2D_CUDNN 7
#define FJ_CONV2D_GRAD_INPUT_NAIVE 1
#define FJ_CONV2D_GRAD_INPUT_IM2COL 2
#define FJ_CONV2D_GRAD_INPUT_IMPLICIT 3
#define FJ_CONV2D_GRAD_INPUT_WINOGRAD 4
#define FJ_CONV2D_GRAD_INPUT_WINOGRAD2X2 5
#define FJ_CONV2D_GRAD_INPUT_TENSORCORE 6
#define FJ_CONV2D_GRAD_INPUT_CUDNN 7
#define FJ_CONV2D_GRAD_WEIGHT_NAIVE 1
#define FJ_CONV2D_GRAD_WEIGHT_IM2COL 2
#define FJ_CONV2D_GRAD_WEIGHT_IMPLICIT 3
#define FJ_CONV2D_GRAD_WEIGHT_WINOGRAD 4
#define FJ_CONV2D_GRAD_WEIGHT_WINOGRAD2X2 5
#define FJ_CONV2D_GRAD_WEIGHT_TENSORCORE 6
#define FJ_CONV2D_GRAD_WEIGHT_CUDNN 7

/* Name of a variant, or a null pointer. */
static inline const char* fj_variant_name(uint32_t opcode, uint32_t variant) {
  switch (opcode) {
    case FJ_OP_MATMUL: {
      static const char* const kNames[] = {"naive", "blocked", "simd", "blas", "coalesced", "shared", "tiled", "tensorcore", "cublas"};
      return variant >= 1 && variant <= 9 ? kNames[variant - 1] : 0;
    }
    case FJ_OP_CONV2D: {
      static const char* const kNames[] = {"naive", "im2col", "implicit", "winograd", "winograd2x2", "tensorcore", "cudnn"};
      return variant >= 1 && variant <= 7 ? kNames[variant - 1] : 0;
    }
    case FJ_OP_CONV2D_GRAD_INPUT: {
      static const char* const kNames[] = {"naive", "im2col", "implicit", "winograd", "winograd2x2", "tensorcore", "cudnn"};
      return variant >= 1 && variant <= 7 ? kNames[variant - 1] : 0;
    }
    case FJ_OP_CONV2D_GRAD_WEIGHT: {
      static const char* const kNames[] = {"naive", "im2col", "implicit", "winograd", "winograd2x2", "tensorcore", "cudnn"};
      return variant >= 1 && variant <= 7 ? kNames[variant - 1] : 0;
    }
    default:
      return 0;
  }
}

/* Values of the attribute `activation`. */
#define FJ_ACTIVATION_NONE 0
#define FJ_ACTIVATION_RELU 1
#define FJ_ACTIVATION_RELU_GRAD 2

/* Values of the attribute `kind` of random. */
#define FJ_RANDOM_UNIFORM 0
#define FJ_RANDOM_NORMAL 1
#define FJ_RANDOM_INTEGER 2
#define FJ_RANDOM_MASK 3

/* Values of the attribute `cell` of recurrent. */
#define FJ_CELL_TANH 0
#define FJ_CELL_RELU 1
#define FJ_CELL_LSTM 2
#define FJ_CELL_GRU 3

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

struct fj_max_attrs {
  int32_t mask[8];
  int32_t keep_dims;
};
FJ_ATTRS_SIZE(fj_max_attrs, 36);

struct fj_min_attrs {
  int32_t mask[8];
  int32_t keep_dims;
};
FJ_ATTRS_SIZE(fj_min_attrs, 36);

struct fj_prod_attrs {
  int32_t mask[8];
  int32_t keep_dims;
};
FJ_ATTRS_SIZE(fj_prod_attrs, 36);

struct fj_product_of_others_attrs {
  int32_t mask[8];
};
FJ_ATTRS_SIZE(fj_product_of_others_attrs, 32);

struct fj_arg_max_attrs {
  int32_t axis;
};
FJ_ATTRS_SIZE(fj_arg_max_attrs, 4);

struct fj_arg_min_attrs {
  int32_t axis;
};
FJ_ATTRS_SIZE(fj_arg_min_attrs, 4);

struct fj_cum_sum_attrs {
  int32_t axis;
  int32_t reverse;
};
FJ_ATTRS_SIZE(fj_cum_sum_attrs, 8);

struct fj_top_k_attrs {
  int32_t k;
  int32_t smallest;
};
FJ_ATTRS_SIZE(fj_top_k_attrs, 8);

/* fj_transpose_attrs: only then int32_t perm[] */

struct fj_matmul_attrs {
  int32_t transpose_a;
  int32_t transpose_b;
  int32_t activation;
};
FJ_ATTRS_SIZE(fj_matmul_attrs, 12);

struct fj_conv2d_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t dilation[2];
  int32_t groups;
  int32_t activation;
};
FJ_ATTRS_SIZE(fj_conv2d_attrs, 40);

struct fj_conv2d_grad_input_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t dilation[2];
  int32_t groups;
  int32_t size[2];
};
FJ_ATTRS_SIZE(fj_conv2d_grad_input_attrs, 44);

struct fj_conv2d_grad_weight_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t dilation[2];
  int32_t groups;
  int32_t kernel[2];
};
FJ_ATTRS_SIZE(fj_conv2d_grad_weight_attrs, 44);

struct fj_im2col_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t dilation[2];
  int32_t kernel[2];
};
FJ_ATTRS_SIZE(fj_im2col_attrs, 40);

struct fj_col2im_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t dilation[2];
  int32_t kernel[2];
  int32_t size[2];
};
FJ_ATTRS_SIZE(fj_col2im_attrs, 48);

struct fj_conv2d_pooled_grad_weight_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t size[2];
  int32_t window[2];
  int32_t window_stride[2];
  int32_t window_padding[4];
  int32_t kernel[2];
  int32_t fits_core;
};
FJ_ATTRS_SIZE(fj_conv2d_pooled_grad_weight_attrs, 76);

struct fj_conv2d_max_pool_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t size[2];
  int32_t window[2];
  int32_t window_stride[2];
  int32_t window_padding[4];
  int32_t output[2];
  int32_t activation;
  int32_t index;
};
FJ_ATTRS_SIZE(fj_conv2d_max_pool_attrs, 80);

struct fj_conv2d_pooled_grad_input_attrs {
  int32_t stride[2];
  int32_t padding[4];
  int32_t size[2];
  int32_t window[2];
  int32_t window_stride[2];
  int32_t window_padding[4];
  int32_t image[2];
  int32_t activation;
};
FJ_ATTRS_SIZE(fj_conv2d_pooled_grad_input_attrs, 76);

struct fj_max_pool2d_attrs {
  int32_t kernel[2];
  int32_t stride[2];
  int32_t padding[4];
  int32_t output[2];
  int32_t adaptive;
};
FJ_ATTRS_SIZE(fj_max_pool2d_attrs, 44);

struct fj_max_pool2d_grad_attrs {
  int32_t kernel[2];
  int32_t stride[2];
  int32_t padding[4];
  int32_t output[2];
  int32_t adaptive;
  int32_t size[2];
};
FJ_ATTRS_SIZE(fj_max_pool2d_grad_attrs, 52);

struct fj_max_pool2d_gather_attrs {
  int32_t kernel[2];
  int32_t stride[2];
  int32_t padding[4];
  int32_t output[2];
  int32_t adaptive;
};
FJ_ATTRS_SIZE(fj_max_pool2d_gather_attrs, 44);

struct fj_avg_pool2d_attrs {
  int32_t kernel[2];
  int32_t stride[2];
  int32_t padding[4];
  int32_t output[2];
  int32_t adaptive;
  int32_t count_padding;
};
FJ_ATTRS_SIZE(fj_avg_pool2d_attrs, 48);

struct fj_avg_pool2d_grad_attrs {
  int32_t kernel[2];
  int32_t stride[2];
  int32_t padding[4];
  int32_t output[2];
  int32_t adaptive;
  int32_t count_padding;
  int32_t size[2];
};
FJ_ATTRS_SIZE(fj_avg_pool2d_grad_attrs, 56);

struct fj_batch_norm_attrs {
  float eps;
  int32_t activation;
};
FJ_ATTRS_SIZE(fj_batch_norm_attrs, 8);

struct fj_batch_norm_grad_attrs {
  float eps;
};
FJ_ATTRS_SIZE(fj_batch_norm_grad_attrs, 4);

struct fj_layer_norm_attrs {
  float eps;
};
FJ_ATTRS_SIZE(fj_layer_norm_attrs, 4);

struct fj_layer_norm_grad_attrs {
  float eps;
  int32_t vectors;
};
FJ_ATTRS_SIZE(fj_layer_norm_grad_attrs, 8);

struct fj_slice_attrs {
  int32_t starts[8];
  int32_t steps[8];
}; /* then int32_t shape[] */
FJ_ATTRS_SIZE(fj_slice_attrs, 64);

struct fj_place_attrs {
  int32_t starts[8];
  int32_t steps[8];
  float value;
}; /* then int32_t shape[] */
FJ_ATTRS_SIZE(fj_place_attrs, 68);

struct fj_concat_attrs {
  int32_t axis;
};
FJ_ATTRS_SIZE(fj_concat_attrs, 4);

struct fj_gather_attrs {
  int32_t axis;
};
FJ_ATTRS_SIZE(fj_gather_attrs, 4);

struct fj_gather_grad_attrs {
  int32_t axis;
  int32_t length;
};
FJ_ATTRS_SIZE(fj_gather_grad_attrs, 8);

struct fj_take_along_axis_attrs {
  int32_t axis;
};
FJ_ATTRS_SIZE(fj_take_along_axis_attrs, 4);

struct fj_put_along_axis_attrs {
  int32_t axis;
  int32_t length;
};
FJ_ATTRS_SIZE(fj_put_along_axis_attrs, 8);

struct fj_one_hot_attrs {
  int32_t depth;
  int32_t dtype;
};
FJ_ATTRS_SIZE(fj_one_hot_attrs, 8);

struct fj_cross_entropy_attrs {
  float smoothing;
  int32_t ignore_index;
  int32_t log_probabilities;
};
FJ_ATTRS_SIZE(fj_cross_entropy_attrs, 12);

struct fj_cross_entropy_grad_attrs {
  float smoothing;
  int32_t ignore_index;
  int32_t log_probabilities;
};
FJ_ATTRS_SIZE(fj_cross_entropy_grad_attrs, 12);

struct fj_cross_entropy_with_grad_attrs {
  float smoothing;
  int32_t ignore_index;
  int32_t log_probabilities;
};
FJ_ATTRS_SIZE(fj_cross_entropy_with_grad_attrs, 12);

struct fj_random_attrs {
  int32_t kind;
  int32_t stream;
  int32_t low;
  int32_t range;
}; /* then int32_t shape[] */
FJ_ATTRS_SIZE(fj_random_attrs, 16);

struct fj_sgd_update_attrs {
  float momentum;
  float dampening;
  float weight_decay;
  int32_t nesterov;
};
FJ_ATTRS_SIZE(fj_sgd_update_attrs, 16);

struct fj_adam_update_attrs {
  float rate1;
  float rate2;
  float eps;
  float weight_decay;
  int32_t decoupled;
};
FJ_ATTRS_SIZE(fj_adam_update_attrs, 20);

struct fj_recurrent_attrs {
  int32_t cell;
  int32_t reverse;
};
FJ_ATTRS_SIZE(fj_recurrent_attrs, 8);

struct fj_recurrent_grad_attrs {
  int32_t cell;
  int32_t reverse;
  int32_t given;
  int32_t dx;
};
FJ_ATTRS_SIZE(fj_recurrent_grad_attrs, 16);

struct fj_nms_attrs {
  float iou_threshold;
};
FJ_ATTRS_SIZE(fj_nms_attrs, 4);

struct fj_roi_align_attrs {
  int32_t output[2];
  float spatial_scale;
  int32_t sampling_ratio;
  int32_t aligned;
};
FJ_ATTRS_SIZE(fj_roi_align_attrs, 20);

struct fj_roi_align_grad_attrs {
  int32_t output[2];
  float spatial_scale;
  int32_t sampling_ratio;
  int32_t aligned;
}; /* then int32_t image[] */
FJ_ATTRS_SIZE(fj_roi_align_grad_attrs, 20);

struct fj_roi_pool_attrs {
  int32_t output[2];
  float spatial_scale;
};
FJ_ATTRS_SIZE(fj_roi_pool_attrs, 12);

#endif
