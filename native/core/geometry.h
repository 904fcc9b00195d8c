// What the shapes and attributes of an operation say, the same for the kernels of every backend: how to walk memory,
// how windows lie over images, how gates lie in a recurrent layer. No data is looked at. What is not FJ_ANYWHERE is
// compiled once (geometry.cc), like the checks of programs.
#pragma once

#include <string>

#include "../abi/backend.h"
#include "../abi/ops.gen.h"
#include "inline.h"

namespace forja {

struct Operand {
  void* data;  // the backend's memory
  const fj_value* value;

  template <class T>
  FJ_ANYWHERE T* as() const {
    return static_cast<T*>(data);
  }
};

int64_t element_count(const fj_value& value);
// Product of dims [first, last).
int64_t element_count(const fj_value& value, int first, int last);
int64_t element_size(const fj_value& value);

// Everything about a call but where its operands lie, to find again what was chosen for it; operands: inputs, then
// outputs.
std::string call_key(uint16_t opcode, const void* attrs, size_t attr_bytes, const Operand* operands, int count);

// --- Moving elements

// A count of nested loops with a step in each of two arrays, the innermost last; steps in elements, may be negative.
struct Loops {
  int64_t size[FJ_MAX_RANK], from[FJ_MAX_RANK], to[FJ_MAX_RANK];
  int count = 0;

  void add(int64_t n, int64_t from_step, int64_t to_step);
  // Joins neighbours that run on.
  void collapse();
  // Of the first `outer` loops.
  int64_t combinations(int outer) const;
  int64_t combinations() const;
};

// From x to y, which has axis perm[i] of x as its i-th; collapsed.
Loops transpose_loops(const fj_value& x, const fj_value& y, const int32_t* perm);

// x broadcast to the shape of y: runs along y's elements, innermost first, neighbours joined; steps in elements of x,
// 0 where it is broadcast.
struct BroadcastRuns {
  int rank;
  int64_t dims[FJ_MAX_RANK], strides[FJ_MAX_RANK];
};

BroadcastRuns broadcast_runs(const fj_value& x, const fj_value& y);

// --- Products of matrices

// y (batch.., M, N) = op(a) op(b), with a (batch.., M, K) or (batch.., K, M) and b (batch.., K, N) or (batch.., N, K).
struct MatmulGeometry {
  int64_t m, n, k;
  bool trans_a, trans_b;
  int64_t count;  // matrices of y
  // The batch, innermost dimension first; steps in matrices, 0 where one is broadcast.
  int rank;
  int64_t dims[FJ_MAX_RANK], steps_a[FJ_MAX_RANK], steps_b[FJ_MAX_RANK];

  // Which matrix of a (steps_a) or of b (steps_b) makes matrix `index` of y.
  FJ_ANYWHERE int64_t matrix_of(const int64_t* steps, int64_t index) const {
    int64_t matrix = 0;
    for (int i = 0; i < rank; i++) {
      matrix += index % dims[i] * steps[i];
      index /= dims[i];
    }
    return matrix;
  }
  FJ_ANYWHERE int64_t a_offset(int64_t index) const { return matrix_of(steps_a, index) * m * k; }
  FJ_ANYWHERE int64_t b_offset(int64_t index) const { return matrix_of(steps_b, index) * k * n; }
};

// Where b is one matrix for all of an untransposed a, the batch is only more rows: count is 1.
MatmulGeometry matmul_geometry(const Operand& a, const Operand& b, const Operand& y, const fj_matmul_attrs& attrs);

// --- Convolution (letters and formulas: native/cpu/conv.h)

struct ConvGeometry {
  int64_t n, h, w, c;  // input maps
  int64_t k, r, s;     // filters (R, S, C/groups, K)
  int64_t oh, ow;      // output maps; they imply the bottom and right padding
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_left;
  int64_t dilation_h, dilation_w;
  int64_t groups;

  // Channels of a group.
  FJ_ANYWHERE int64_t cg() const { return c / groups; }
  FJ_ANYWHERE int64_t kg() const { return k / groups; }
};

// Of conv2d and its two gradients: image (N, H, W, C), filter (R, S, C/groups, K), maps (N, OH, OW, K), whichever of
// them are inputs.
template <class Attrs>
ConvGeometry conv_geometry(const Operand& image, const Operand& filter, const Operand& maps, const Attrs& attrs);
// Of im2col and col2im: columns (N, OH, OW, R, S, C); k and groups are 1.
template <class Attrs>
ConvGeometry columns_geometry(const Operand& image, const Operand& columns, const Attrs& attrs);

// --- Pooling

// I: int64_t, or int where no product of an axis' numbers reaches 2^31, which divides faster on a GPU.
template <class I>
struct PoolAxisOf {
  I size, out, kernel, stride, before, after;
  bool adaptive;
};
using PoolAxis = PoolAxisOf<int64_t>;

struct PoolGeometry {
  int64_t n, c;
  PoolAxis rows, columns;
};

// Of the five pooling operations: image (N, H, W, C), maps (N, OH, OW, C), whichever of them are inputs.
template <class Attrs>
PoolGeometry pool_geometry(const Operand& image, const Operand& maps, const Attrs& attrs);

// A convolution (one group, no dilation) that max pooling follows: pooled maps (N, PH, PW, K).
struct PooledConvGeometry {
  ConvGeometry conv;
  PoolAxis rows, columns;  // over the convolution's maps
};
// Of conv2dMaxPool and conv2dPooledGrad...: image (N, H, W, C), filter (R, S, C, K), whichever of them are inputs.
template <class Attrs>
PooledConvGeometry pooled_conv_geometry(const Operand& image, const Operand& filter, const Operand& pooled,
                                        const Attrs& attrs);

template <class I>
struct PoolWindowOf {
  I begin, end, origin, padded;  // pixels [begin, end); tap 0; pixels counted with padding
};
using PoolWindow = PoolWindowOf<int64_t>;

// Position p looks at the pixels [p*stride - before, p*stride - before + kernel) cut to the image; adaptive, at
// [p*size/out, ceil((p+1)*size/out)).
template <class I>
FJ_ANYWHERE PoolWindowOf<I> window_at(const PoolAxisOf<I>& a, I p) {
  if (a.adaptive) {
    const I begin = p * a.size / a.out, end = ((p + 1) * a.size + a.out - 1) / a.out;
    return {begin, end, begin, end - begin};
  }
  const I origin = p * a.stride - a.before, stop = origin + a.kernel, past = a.size + a.after;
  return {origin > 0 ? origin : 0, stop < a.size ? stop : a.size, origin, (stop < past ? stop : past) - origin};
}

template <class I>
struct PoolWindows {
  I begin, end;
};

// The windows that see pixel i. quotient(n) = n / stride for n >= 0.
template <class I, class Quotient>
FJ_ANYWHERE PoolWindows<I> windows_over(const PoolAxisOf<I>& a, I i, const Quotient& quotient) {
  if (a.adaptive) return {i * a.out / a.size, ((i + 1) * a.out + a.size - 1) / a.size};
  const I past = i + a.before - a.kernel;  // the last pixel a window may begin before and miss i
  const I last = quotient(i + a.before) + 1;
  return {past < 0 ? 0 : quotient(past) + 1, last < a.out ? last : a.out};
}
template <class I>
FJ_ANYWHERE PoolWindows<I> windows_over(const PoolAxisOf<I>& a, I i) {
  return windows_over(a, i, [&](I n) { return n / a.stride; });
}

// --- Recurrent layers: one direction of one layer. Cells and names as in lib/ops/recurrent.ts.
//
// Gates lie in an order in which those that read x come first and those that read h last, each kind in one run:
//
//   tanh, relu  a          x: a            h: a
//   lstm        i f g o    x: i f g o      h: i f g o
//   gru         n r z m    x: n r z        h: r z m      n = tanh(n + r * m), m = W_hn h + b_hn

struct RecurrentGeometry {
  int cell;
  bool reverse;
  int64_t n, t, i, h;           // samples, steps, inputs, hidden units
  int gates, x_gates, h_gates;  // per unit; the first x_gates read x, the last h_gates read h
  int saved;                    // floats that a unit keeps for backward

  FJ_ANYWHERE int64_t rows() const { return gates * h; }  // of all weights
  // Where x's and h's gate `gate` lies in the weights: blocks of h rows.
  FJ_ANYWHERE int x_block(int gate) const { return cell == FJ_CELL_GRU ? (gate + 2) % 3 : gate; }
  FJ_ANYWHERE int h_block(int gate) const { return gate - (gates - h_gates); }
  // The step of x and y that runs s-th.
  FJ_ANYWHERE int64_t step(int64_t s) const { return reverse ? t - 1 - s : s; }
  // (H) of a sample before the step that runs s-th; h0 (N, H), y (N, T, H).
  FJ_ANYWHERE const float* h_before(const float* h0, const float* y, int64_t sample, int64_t s) const {
    return s == 0 ? h0 + sample * h : y + (sample * t + step(s - 1)) * h;
  }
};

// Of recurrent and recurrentGrad: x (N, T, I) is their first input, h0 (N, H) their sixth.
template <class Attrs>
RecurrentGeometry recurrent_geometry(const Operand* in, const Attrs& attrs);

struct RecurrentGradOperands {
  const float *weight_ih, *weight_hh;   // (G*H, I), (G*H, H)
  const float *x, *h0, *c0;             // (N, T, I), (N, H), (N, H) or null
  const float *y, *gates;               // (N, T, H), (T, N, saved*H)
  const float *dy, *dh_last, *dc_last;  // (N, T, H), (N, H), (N, H), each or null
  float *d_weight_ih, *d_weight_hh;     // (G*H, I), (G*H, H)
  float *d_bias_ih, *d_bias_hh;         // (G*H)
  float *dh, *dc, *dx;                  // (N, H), (N, H) or null, (N, T, I) or null
};

// Inputs: those of the layer, then y, gates, and of dy, dh, dc what `given` says.
RecurrentGradOperands recurrent_grad_operands(const Operand* in, const Operand* out,
                                              const fj_recurrent_grad_attrs& attrs);

}  // namespace forja
