// What the convolution instructions of a program ask for, for kernels (conv.cu) and for cuDNN (conv_cudnn.cu).
#pragma once

#include "conv.cuh"

namespace forja::cuda {

// A direction: its geometry, its operands, and the products (M, N, K) of its groups.
struct Products {
  int64_t m, n, k;
};

struct Forward {
  static ConvGeometry geometry_of(const Call& call) {
    return conv_geometry(call.in[0], call.in[1], call.out[0], call.attrs<fj_conv2d_attrs>());
  }
  template <class E>
  static ConvForwardOf<E> operands_of(const Call& call) {
    return {call.in[0].as<const E>(), call.in[1].as<const E>(), call.n_in == 3 ? call.in[2].as<const float>() : nullptr,
            call.out[0].as<E>(), call.attrs<fj_conv2d_attrs>().activation == FJ_ACTIVATION_RELU};
  }
  static Products products_of(const ConvGeometry& g) { return {g.n * g.oh * g.ow, g.kg(), g.r * g.s * g.cg()}; }
};

struct GradInput {
  static ConvGeometry geometry_of(const Call& call) {
    return conv_geometry(call.out[0], call.in[1], call.in[0], call.attrs<fj_conv2d_grad_input_attrs>());
  }
  template <class E>
  static ConvGradInputOf<E> operands_of(const Call& call) {
    return {call.in[0].as<const E>(), call.in[1].as<const E>(), call.out[0].as<E>()};
  }
  static Products products_of(const ConvGeometry& g) { return {g.n * g.h * g.w, g.cg(), g.r * g.s * g.kg()}; }
};

struct GradWeight {
  static ConvGeometry geometry_of(const Call& call) {
    return conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_grad_weight_attrs>());
  }
  template <class E>
  static ConvGradWeightOf<E> operands_of(const Call& call) {
    return {call.in[0].as<const E>(), call.in[1].as<const E>(), call.out[0].as<E>()};
  }
  static Products products_of(const ConvGeometry& g) { return {g.r * g.s * g.cg(), g.kg(), g.n * g.oh * g.ow}; }
};

template <class E = float>
bool has_dtype(const Call& call) {
  return call.in[0].value->dtype == (sizeof(E) == 2 ? FJ_BFLOAT16 : FJ_FLOAT32);
}

// Kernels count pixels, taps and channels in 32 bits, and the bytes of a pixel.
template <class Direction, class E = float>
bool fits(const Call& call) {
  if (!has_dtype<E>(call)) return false;
  const ConvGeometry g = Direction::geometry_of(call);
  const Products p = Direction::products_of(g);
  const int64_t reach_h = g.h + g.pad_top + g.dilation_h * g.r, reach_w = g.w + g.pad_left + g.dilation_w * g.s;
  const int64_t counts[] = {p.m,     p.n,     p.k,     g.r * g.s * g.cg(), g.n * g.h * g.w,  g.n * g.oh * g.ow, g.c * 4,
                            g.k * 4, reach_h, reach_w, g.oh * g.stride_h,  g.ow * g.stride_w};
  for (const int64_t count : counts) {
    if (count >= kMaxSize) return false;
  }
  return g.groups < kMaxProducts;
}

}  // namespace forja::cuda
