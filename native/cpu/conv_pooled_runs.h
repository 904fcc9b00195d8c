// What the gradients of a convolution that max pooling follows share, where (s, c) of a filter row fill vectors
// (conv_pooled.cc, conv_pooled_grad_input.cc). Such a row sees one run of numbers of x. Runs are kept rounded up
// to whole vectors, (columns of the maps, rows of x, run): the patch of x that a pixel of the maps sees is R runs side
// by side, aligned to vectors, and neighbours share none of their numbers.
#pragma once

#include "kernel.h"
#include "scratch.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {

constexpr int kTaps = 256;               // that a uint8 can name
constexpr int64_t kMostRuns = 6 * 1024;  // floats of an image: 24 KB of the L1 cache

// A window over the maps: the patch that its first pixel sees, which of dp's numbers is its first, and its origin.
struct Place {
  int64_t at, first;
  int64_t row, column;
};

// All windows, those that lie wholly inside the maps first.
struct Places {
  const Place* list;
  int64_t inside, all;
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

  // Few lanes are wasted, and an image stays in the L1 cache.
  FJ_INLINE_MEMBER bool pay() const { return 4 * g.conv.s * g.conv.c >= 3 * run && floats <= kMostRuns; }

  FJ_INLINE_MEMBER int64_t places_floats() const {
    return windows * static_cast<int64_t>(sizeof(Place) / sizeof(float));
  }

  FJ_INLINE_MEMBER Places find_places(Place* list) const {
    Places places{list, 0, 0};
    for (const bool inside : {true, false}) {
      for (int64_t i = 0; i < windows; i++) {
        const int64_t p = i / g.columns.out, q = i % g.columns.out;
        const int64_t row = p * g.rows.stride - g.rows.before, column_ = q * g.columns.stride - g.columns.before;
        const bool is_inside = row >= 0 && row + g.rows.kernel <= g.rows.size && column_ >= 0 &&
                               column_ + g.columns.kernel <= g.columns.size;
        if (is_inside != inside) continue;
        list[places.all++] = {row * g.conv.stride_h * run + column_ * column, i * g.conv.k, row, column_};
      }
      if (inside) places.inside = places.all;
    }
    return places;
  }

  // Floats from a window's first patch to the one of each tap.
  FJ_INLINE_MEMBER void find_offsets(int64_t* offsets) const {
    for (int64_t tap = 0; tap < taps; tap++) {
      offsets[tap] = tap / g.columns.kernel * g.conv.stride_h * run + tap % g.columns.kernel * column;
    }
  }

  // Whether a tap of a window lies inside the maps.
  FJ_INLINE_MEMBER bool is_inside(const Place& place, int64_t tap) const {
    const int64_t i = place.row + tap / g.columns.kernel, j = place.column + tap % g.columns.kernel;
    return i >= 0 && i < g.rows.size && j >= 0 && j < g.columns.size;
  }
};

}  // namespace forja::FJ_ISA
