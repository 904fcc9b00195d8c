// What the gradients of a convolution that max pooling follows share, where (s, c) of a filter row fill vectors
// (conv_pooled.cc, conv_pooled_grad_input.cc). Such a row sees one run of numbers of x. Runs are kept rounded up
// to whole vectors, (columns of the maps, rows of x, run): the patch of x that a pixel of the maps sees is R runs side
// by side, aligned to vectors, and neighbours share none of their numbers.
#pragma once

#include "kernel.h"
#include "scratch.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {

constexpr int kTaps = 256;  // that a uint8 can name

// Pixel (row, column) of a window, and floats from the patch that the window's first pixel saw to its own.
struct Target {
  int64_t row, column, patch;
  bool exists;
};

struct Runs {
  PooledConvGeometry g;
  int64_t padded_h, width;     // rows of x that filters see; floats of one
  int64_t run, column, patch;  // floats of a run, of all runs of a column, of a patch
  int64_t floats, row_floats;  // of all runs; of a row of x, with slack for whole vectors
  int64_t windows, taps;

  FJ_INLINE_MEMBER explicit Runs(const PooledConvGeometry& geometry) : g(geometry) {
    const ConvGeometry& v = g.conv;
    padded_h = (v.oh - 1) * v.stride_h + v.r;
    width = ((v.ow - 1) * v.stride_w + v.s) * v.c;
    run = ceil_div(v.s * v.c, kWidth) * kWidth;
    column = padded_h * run;
    patch = v.r * run;
    floats = v.ow * column;
    row_floats = width + kWidth;
    windows = g.rows.out * g.columns.out;
    taps = g.rows.kernel * g.columns.kernel;
  }

  // Of all numbers that a tap may be, where patches lie `row` and `column` floats from one row of x, one column of the
  // maps to the next.
  FJ_INLINE_MEMBER void find_targets(int64_t row, int64_t column, Target (&targets)[kTaps]) const {
    for (int64_t tap = 0; tap < kTaps; tap++) {
      const int64_t i = tap / g.columns.kernel, j = tap % g.columns.kernel;
      targets[tap] = {i, j, i * g.conv.stride_h * row + j * column, tap < taps};
    }
  }

  // body(window, top, left, inside) for all windows in order: their first pixels, and whether all others are pixels of
  // the maps too.
  template <class Body>
  FJ_INLINE_MEMBER void over_windows(const Body& body) const {
    int64_t window = 0, top = -g.rows.before;
    for (int64_t p = 0; p < g.rows.out; p++, top += g.rows.stride) {
      const bool rows_inside = top >= 0 && top + g.rows.kernel <= g.rows.size;
      int64_t left = -g.columns.before;
      for (int64_t q = 0; q < g.columns.out; q++, left += g.columns.stride) {
        const bool inside = rows_inside && left >= 0 && left + g.columns.kernel <= g.columns.size;
        body(window++, top, left, inside);
      }
    }
  }

  FJ_INLINE_MEMBER bool is_pixel(int64_t i, int64_t j) const {
    return i >= 0 && i < g.rows.size && j >= 0 && j < g.columns.size;
  }
};

}  // namespace forja::FJ_ISA
