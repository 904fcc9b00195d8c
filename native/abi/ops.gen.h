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
  FJ_OP_RELU = 48,
  FJ_OP_RELU_GRAD = 49,
  FJ_OP_SUM = 64,
  FJ_OP_BROADCAST_TO = 81,
  FJ_OP_TRANSPOSE = 82,
  FJ_OP_MATMUL = 96,
  FJ_OP_CONV2D = 104,
  FJ_OP_CONV2D_GRAD_INPUT = 105,
  FJ_OP_CONV2D_GRAD_WEIGHT = 106,
  FJ_OP_IM2COL = 107,
  FJ_OP_COL2IM = 108,
  FJ_OP_MAX_POOL2D = 112,
  FJ_OP_MAX_POOL2D_GRAD = 113,
  FJ_OP_MAX_POOL2D_GATHER = 114,
  FJ_OP_AVG_POOL2D = 115,
  FJ_OP_AVG_POOL2D_GRAD = 116,
};

#define FJ_OP_LIMIT 117

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
    case FJ_OP_RELU:
      return "relu";
    case FJ_OP_RELU_GRAD:
      return "reluGrad";
    case FJ_OP_SUM:
      return "sum";
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
    default:
      return 0;
  }
}

/* Whether an instruction may write this output over this input, both in exactly one place. */
static inline int fj_op_inplace(uint32_t opcode, uint32_t output, uint32_t input) {
  if (opcode == FJ_OP_FUSED) return 1;
  return 0;
}

/* Kernel variants; 0 lets the backend choose. */
#define FJ_MATMUL_NAIVE 1
#define FJ_MATMUL_BLOCKED 2
#define FJ_MATMUL_SIMD 3
#define FJ_CONV2D_NAIVE 1
#define FJ_CONV2D_IM2COL 2
#define FJ_CONV2D_IMPLICIT 3
#define FJ_CONV2D_GRAD_INPUT_NAIVE 1
#define FJ_CONV2D_GRAD_INPUT_IM2COL 2
#define FJ_CONV2D_GRAD_INPUT_IMPLICIT 3
#define FJ_CONV2D_GRAD_WEIGHT_NAIVE 1
#define FJ_CONV2D_GRAD_WEIGHT_IM2COL 2
#define FJ_CONV2D_GRAD_WEIGHT_IMPLICIT 3

/* Values of the attribute `activation`. */
#define FJ_ACTIVATION_NONE 0
#define FJ_ACTIVATION_RELU 1

/* Limits of a fused micro-program. */
#define FJ_FUSED_MAX_REGISTERS 24
#define FJ_FUSED_MAX_INPUTS 12
#define FJ_FUSED_WORDS 4

/* Attribute structs. A tail (`i32[]`) follows its struct; its length comes from the instruction. */
struct fj_full_attrs {
  float value;
  int32_t dtype;
}; /* then int32_t shape[] */
FJ_ATTRS_SIZE(fj_full_attrs, 8);

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

#endif
