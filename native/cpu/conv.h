// Two-dimensional convolution of float32 maps, forward and both gradients, on NHWC memory:
//
//   y[n,p,q,k]  = bias[k] + sum over r,s,c  x[n, p*stride_h - pad_top + r*dilation_h, q*stride_w - pad_left +
//   s*dilation_w, c]
//                                           * w[r,s,c,k]                         then ReLU if asked for
//   dx[n,i,j,c] = sum over the r,s,p,q that read (i,j), and k, of  dy[n,p,q,k] * w[r,s,c,k]
//   dw[r,s,c,k] = sum over n,p,q of                                x[n,i,j,c] * dy[n,p,q,k]
//
// Pixels outside the image count as zero. With `groups` G, output channel k reads only the C/G input
// channels of its group, so w is (R, S, C/G, K). Three variants compute the same thing:
//   naive     the loops above as they stand
//   im2col    columns written out to scratch, then matrix products (gemm.h)
//   implicit  the micro-kernel of simd/microkernel.h walks the image itself
//   winograd  3 x 3 filters with stride 1 or 2: fewer products for some rounding error (conv_winograd.h)
// The default is chosen by the sizes (conv.cc).
//
// All threads of a team call a function together with the same arguments; none allocates. Every sum is
// taken in an order that the geometry fixes, so results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/geometry.h"
#include "scratch.h"
#include "team.h"

namespace forja {

namespace FJ_ISA {

// Taps r of output row p whose input row lies inside the image: [begin, end). Also used for columns.
FJ_INLINE Range valid_taps(int64_t taps, int64_t origin, int64_t dilation, int64_t extent) {
  int64_t begin = origin < 0 ? -origin : 0, end = extent > origin ? extent - origin : 0;
  if (dilation != 1) {  // a division costs as much as a small tile
    begin = (begin + dilation - 1) / dilation;
    end = (end + dilation - 1) / dilation;
  }
  if (end > taps) end = taps;
  if (begin > end) begin = end;
  return {begin, end};
}

// bias may be null. x (N,H,W,C), w (R,S,C/groups,K), bias (K), y (N,OH,OW,K).
void conv_forward_naive(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias, bool relu,
                        float* y, uint8_t* scratch);
void conv_forward_im2col(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                         bool relu, float* y, uint8_t* scratch);
// `kept`: conv_forward_implicit_kept bytes for what is made of w and bias, or null; `is_kept`: it lies there already.
void conv_forward_implicit(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                           bool relu, float* y, uint8_t* scratch, uint8_t* kept, bool is_kept);

// dy (N,OH,OW,K), w (R,S,C/groups,K), dx (N,H,W,C).
void conv_grad_input_naive(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                           uint8_t* scratch);
void conv_grad_input_im2col(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                            uint8_t* scratch);
void conv_grad_input_implicit(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                              uint8_t* scratch);

// x (N,H,W,C), dy (N,OH,OW,K), dw (R,S,C/groups,K).
void conv_grad_weight_naive(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                            uint8_t* scratch);
void conv_grad_weight_im2col(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                             uint8_t* scratch);
void conv_grad_weight_implicit(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                               uint8_t* scratch);

// Of tiles of M x M output pixels, M = 2 (stride 1) or 4; only what winograd_supports.
template <int M>
bool winograd_supports(const ConvGeometry& g);
template <int M>
void conv_forward_winograd(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                           bool relu, float* y, uint8_t* scratch);
template <int M>
void conv_grad_input_winograd(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                              uint8_t* scratch);
template <int M>
void conv_grad_weight_winograd(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                               uint8_t* scratch);

// Bytes of scratch for a team of `threads`; the naive variants need none.
size_t conv_forward_im2col_scratch(const ConvGeometry& g, int threads);
size_t conv_forward_implicit_scratch(const ConvGeometry& g, int threads);
size_t conv_forward_implicit_kept(const ConvGeometry& g);
size_t conv_grad_input_im2col_scratch(const ConvGeometry& g, int threads);
size_t conv_grad_input_implicit_scratch(const ConvGeometry& g, int threads);
size_t conv_grad_weight_im2col_scratch(const ConvGeometry& g, int threads);
size_t conv_grad_weight_implicit_scratch(const ConvGeometry& g, int threads);
template <int M>
size_t conv_forward_winograd_scratch(const ConvGeometry& g, int threads);
template <int M>
size_t conv_grad_input_winograd_scratch(const ConvGeometry& g, int threads);
template <int M>
size_t conv_grad_weight_winograd_scratch(const ConvGeometry& g, int threads);

// x (N,H,W,C) -> columns (N*OH*OW, R*S*C), zero where the filter hangs over the border; k and groups are
// not looked at. col2im is the adjoint: it sums each column entry into the pixel it came from.
void im2col(Team& team, const ConvGeometry& g, const float* x, float* columns);
void col2im(Team& team, const ConvGeometry& g, const float* columns, float* x);

}  // namespace FJ_ISA
}  // namespace forja
