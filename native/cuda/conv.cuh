// Two-dimensional convolution of float32 or bfloat16 maps, forward and both gradients, on NHWC memory; formulas and
// letters are those of native/cpu/conv.h. Variants:
//   naive     the loops as they stand, a thread to each result
//   im2col    columns written out to scratch, then products of matrices
//   implicit  the tiles of gemm.cuh gather their operands from the images: the default
//   tensorcore  as implicit, on tensor cores (gemm_tensorcore.cuh): of bfloat16, or of float32 rounded to TF32
#pragma once

#include "device/divide.cuh"
#include "gemm.cuh"

namespace forja::cuda {

// What one of the three directions reads and writes.
template <class E>
struct ConvForwardOf {
  const E *x, *w;
  const float* bias;  // may be null
  E* y;
  bool relu;
};
template <class E>
struct ConvGradInputOf {
  const E *dy, *w;
  E* dx;
};
template <class E>
struct ConvGradWeightOf {
  const E *x, *dy;
  E* dw;
};
using ConvForward = ConvForwardOf<float>;
using ConvGradInput = ConvGradInputOf<float>;
using ConvGradWeight = ConvGradWeightOf<float>;

void conv_naive(Launcher& to, const ConvGeometry& g, const ConvForward& a, float* scratch);
void conv_naive(Launcher& to, const ConvGeometry& g, const ConvGradInput& a, float* scratch);
void conv_naive(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch);
// Where the loops are the default, the pixels of each filter are shared out; pixels have numbers of 32 bits.
void conv_direct(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch);
size_t conv_direct_scratch(const ConvGeometry& g);
void conv_im2col(Launcher& to, const ConvGeometry& g, const ConvForward& a, float* scratch);
void conv_im2col(Launcher& to, const ConvGeometry& g, const ConvGradInput& a, float* scratch);
void conv_im2col(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch);
void conv_implicit(Launcher& to, const ConvGeometry& g, const ConvForward& a, float* scratch);
void conv_implicit(Launcher& to, const ConvGeometry& g, const ConvGradInput& a, float* scratch);
void conv_implicit(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch);
template <class E>
void conv_tensorcore(Launcher& to, const ConvGeometry& g, const ConvForwardOf<E>& a, float* scratch);
template <class E>
void conv_tensorcore(Launcher& to, const ConvGeometry& g, const ConvGradInputOf<E>& a, float* scratch);
template <class E>
void conv_tensorcore(Launcher& to, const ConvGeometry& g, const ConvGradWeightOf<E>& a, float* scratch);

// Floats of columns (N*OH*OW, R*S*C).
inline int64_t column_floats(const ConvGeometry& g) { return g.n * g.oh * g.ow * g.r * g.s * g.c; }

// x (N,H,W,C) -> columns (N,OH,OW,R,S,C), zero where the filter hangs over the border; col2im is the adjoint.
void im2col(Launcher& to, const ConvGeometry& g, const float* x, float* columns);
void col2im(Launcher& to, const ConvGeometry& g, const float* columns, float* x);

}  // namespace forja::cuda
