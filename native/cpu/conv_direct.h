// The form of a convolution that the micro-kernel walks without a copy of the image (conv_direct.cc), and
// the packing of its filters. A forward pass is one DirectConv, an input gradient one per stride phase.
//
//   y[n, p, q, g*k + j] = sum over taps t,u and channels c of
//                         x[n, p*stride_h - pad_top + t*dilation_h, q*stride_w - pad_left + u*dilation_w, g*c + c]
//                         * filter(g, t, u, c, j)
#pragma once

#include "conv.h"
#include "simd/microkernel.h"

namespace forja {
namespace FJ_ISA {

struct DirectConv {
  const float* x;             // (n, h, w, x_pixel)
  int64_t n, h, w, x_pixel;   // x_pixel: floats from one pixel to the next, all groups
  int64_t c;                  // channels summed over, of one group
  int64_t r, s;               // taps
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_left;  // may be negative: the image is cropped
  int64_t dilation_h, dilation_w;
  int64_t oh, ow;
  float* y;
  int64_t y_image, y_row, y_pixel;  // floats from one output image, row, pixel to the next
  int64_t k;                        // output channels of one group
  int64_t groups;
  // Where filter(g, t, u, c, j) lies: w + g*w_group + t*w_r + u*w_s + c*w_c + j*w_k.
  const float* w;
  int64_t w_group, w_r, w_s, w_c, w_k;
  // Pixel blocking: `block` neighbouring output pixels are treated as one of block*k channels, so that few
  // channels fill a vector. s, stride_w, ow, y_pixel and k above are those of the blocked convolution.
  int64_t block;
  Epilogue epilogue;  // bias (groups * k)

  FJ_INLINE_MEMBER int64_t depth() const { return r * s * c; }
  FJ_INLINE_MEMBER int64_t panels_per_group() const { return ceil_div(k, kTileCols); }
  FJ_INLINE_MEMBER int64_t panels() const { return groups * panels_per_group(); }
  FJ_INLINE_MEMBER int64_t panel_floats() const { return depth() * kTileCols; }
};

// Number of neighbouring output pixels to take as one, given the filter columns, the column stride, the
// output channels and the output columns: a divisor of ow, 1 where channels fill a vector.
int64_t best_pixel_block(int64_t s, int64_t stride_w, int64_t k, int64_t ow);

// Rewrites d for the block that suits it, where its output pixels are adjacent and its taps too. The bias of
// the blocked convolution is the bias repeated: `bias` has room for 64 floats and is written by every thread.
void block_pixels(DirectConv& d, float* bias);

// Floats of scratch: packed filters (shared) and the padded rows of one thread.
int64_t direct_filter_floats(const DirectConv& d);
int64_t direct_thread_floats(const DirectConv& d);

// This thread's share of the packing; a barrier must follow before direct_run.
void direct_pack(const Team& team, const DirectConv& d, float* packed);
// This thread's share of the output. `mine`: direct_thread_floats of its own.
void direct_run(const Team& team, const DirectConv& d, const float* packed, float* mine);

// Depthwise convolutions, one filter per channel (groups == c == k), are vector loops over the channels.
FJ_INLINE bool is_depthwise(const ConvGeometry& g) { return g.groups == g.c && g.groups == g.k && g.groups > 1; }
void depthwise_forward(const Team& team, const ConvGeometry& g, const float* x, const float* w,
                       const Epilogue& epilogue, float* y);
void depthwise_grad_input(const Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx);
void depthwise_grad_weight(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                           float* partial);
int64_t depthwise_partial_floats(const ConvGeometry& g);

}  // namespace FJ_ISA
}  // namespace forja
