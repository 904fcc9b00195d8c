// The form of a convolution that the micro-kernel walks without a copy of the image (conv_direct.cc), and
// the packing of its filters. A forward pass is one DirectConv, an input gradient one per stride phase.
//
//   y[n, p, q, g*k + j] = sum over taps t,u and channels c of
//                         x[n, p*stride_h - pad_top + t*dilation_h, q*stride_w - pad_left + u*dilation_w, g*c + c]
//                         * f(g, t, u, c, j)
#pragma once

#include "conv.h"
#include "simd/microkernel.h"

namespace forja::FJ_ISA {

// How the output is cut into tiles: neighbouring pixels of one row (conv_direct.cc); one pixel of many images, the
// images being rows or lanes of the tile (conv_batch.cc); and for few output channels, columns of a row as lanes
// (conv_columns.cc), or all pixels that a column of x reaches (conv_scatter.cc).
enum class DirectForm { kRows, kImages, kLanes, kColumns, kScatter };

struct DirectConv {
  const float* x;            // (n, h, w, x_pixel)
  int64_t n, h, w, x_pixel;  // x_pixel: floats from one pixel to the next, all groups
  int64_t c;                 // channels summed over, of one group
  int64_t r, s;              // taps
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_left;  // may be negative: the image is cropped
  int64_t dilation_h, dilation_w;
  int64_t oh, ow;
  float* y;
  int64_t y_image, y_row, y_pixel;  // floats from one output image, row, pixel to the next
  int64_t k;                        // output channels of one group
  int64_t groups;
  // Where f(g, t, u, c, j) lies: filter + g*f_group + t*f_r + u*f_s + c*f_c + j*f_k.
  const float* filter;
  int64_t f_group, f_r, f_s, f_c, f_k;
  // Pixel blocking: `block` neighbouring output pixels are treated as one of block*k channels, so that few
  // channels fill a vector. s, stride_w, ow, y_pixel and k above are those of the blocked convolution.
  int64_t block;
  Epilogue epilogue;  // bias (groups * k)
  DirectForm form;    // choose_form

  FJ_INLINE_MEMBER int64_t depth() const { return r * s * c; }
  FJ_INLINE_MEMBER int64_t panels_per_group() const { return ceil_div(k, kTileCols); }
  FJ_INLINE_MEMBER int64_t panels() const { return groups * panels_per_group(); }
  // The group of a panel and the first of its channels within the group.
  FJ_INLINE_MEMBER void locate(int64_t panel, int64_t& group, int64_t& column) const {
    group = groups == 1 ? 0 : panel / panels_per_group();
    column = (panel - group * panels_per_group()) * kTileCols;
  }
  FJ_INLINE_MEMBER int64_t panel_floats() const { return depth() * kTileCols; }
};

// Input rows that so many neighbouring output rows see.
FJ_INLINE int64_t input_rows(const DirectConv& d, int64_t rows) {
  return (rows - 1) * d.stride_h + (d.r - 1) * d.dilation_h + 1;
}

// Number of neighbouring output pixels to take as one, given the filter columns, the column stride, the
// output channels and the output columns: a divisor of ow, 1 where channels fill a vector.
int64_t best_pixel_block(int64_t s, int64_t stride_w, int64_t k, int64_t ow);

// Sets the form that suits d (conv_form.cc), and blocks its pixels where that helps; the caller then repeats the bias
// d.block times.
void choose_form(DirectConv& d);

// Floats of scratch: packed filters (shared) and the padded rows of one thread.
int64_t direct_filter_floats(const DirectConv& d);
int64_t direct_thread_floats(const DirectConv& d);

// This thread's share of the packing; a barrier must follow before direct_run.
void direct_pack(const Team& team, const DirectConv& d, float* packed);
// This thread's share of the output. `mine`: direct_thread_floats of its own.
void direct_run(const Team& team, const DirectConv& d, const float* packed, float* mine);

// A forward pass as a direct convolution: its form, and where its parts lie.
struct ForwardPlan {
  DirectConv direct;
  float *bias, *filter;  // repeated, packed
  float* rows;           // one part a thread, direct_run's `mine`
  int64_t row_floats;
};

// `kept`: forward_kept bytes for what is made of w and bias; null: in the scratch.
ForwardPlan plan_forward(const ConvGeometry& g, int threads, const float* x, const float* w, const Epilogue& epilogue,
                         float* y, ScratchCursor& scratch, uint8_t* kept);
size_t forward_kept(const ConvGeometry& g);
// Packs, unless that `is_kept`, and waits for the team's other threads to have done so.
void pack_forward(Team& team, ForwardPlan& plan, bool is_kept);

// Into how many even blocks the panels are cut: each fits in L2, and there is work for all threads.
int64_t panel_blocks(const DirectConv& d, int64_t tiles, int threads);

// ..._cost, of a form: vector multiply-adds per output pixel and (r, s, c), times kWidth.

// Of the taps of `count` output rows (columns), the share that lies inside the image.
double share_inside(int64_t count, int64_t taps, int64_t stride, int64_t pad, int64_t dilation, int64_t extent);

// The batch forms, of which d.form is one.
bool batch_fits(const DirectConv& d);  // into the scratch of a thread
double lanes_cost(const DirectConv& d);
int64_t batch_thread_floats(const DirectConv& d);
void batch_pack_lanes(const Team& team, const DirectConv& d, float* packed);  // (groups, r, s, c, k)
void batch_run(const Team& team, const DirectConv& d, const float* packed, float* mine);

// The forms for few output channels.
bool columns_apply(const DirectConv& d);
double columns_cost(const DirectConv& d);
int64_t columns_filter_floats(const DirectConv& d);
int64_t columns_thread_floats(const DirectConv& d);
void columns_pack(const Team& team, const DirectConv& d, float* packed);  // (blocks of k, r, c, s, k of the block)
void columns_run(const Team& team, const DirectConv& d, const float* packed, float* mine);

// Rows of a convolution's maps pooled as they are computed, where windows are two columns apart and none hangs over the
// sides (conv_columns_pooled.cc).
bool columns_pool_applies(const DirectConv& d, const PoolAxis& columns);
int64_t columns_pool_floats(const DirectConv& d, const PoolAxis& rows, const PoolAxis& columns);  // of one thread
// y, index (n, rows.out, columns.out, k), index or null. `mine` as for columns_run, `own`: columns_pool_floats.
void columns_pool_run(const Team& team, const DirectConv& d, const PoolAxis& rows, const PoolAxis& columns,
                      const float* packed, float* mine, float* own, float* y, uint8_t* index);

bool scatter_applies(const DirectConv& d);
double scatter_cost(const DirectConv& d);
int64_t scatter_filter_floats(const DirectConv& d);
int64_t scatter_thread_floats(const DirectConv& d);
void scatter_pack(const Team& team, const DirectConv& d, float* packed);  // (panels of (s, k), r, c, lanes)
void scatter_run(const Team& team, const DirectConv& d, const float* packed, float* mine);

// Depthwise convolutions, one filter per channel, are vector loops over the channels and pack nothing.
FJ_INLINE bool is_depthwise(const DirectConv& d) { return d.c == 1 && d.k == 1 && d.groups > 1; }
void depthwise_run(const Team& team, const DirectConv& d);

// --- weight gradients (conv_weight_grad.cc, conv_depthwise.cc) ---
FJ_INLINE bool is_depthwise(const ConvGeometry& g) { return g.groups == g.c && g.groups == g.k && g.groups > 1; }
int64_t depthwise_grad_weight_floats(const ConvGeometry& g);
void depthwise_grad_weight(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                           float* partial);

}  // namespace forja::FJ_ISA
