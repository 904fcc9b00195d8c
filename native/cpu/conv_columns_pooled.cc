// Max pooling of the rows of sums of a convolution of few channels (conv_columns.cc) while they lie in the L1 cache, a
// plane a channel, lanes being columns: every other column makes the windows' first tap, the columns in between their
// second, so a vector of windows is a maximum of vectors. Only what is left of a row of windows is woven to pixels.
#include <cstring>

#include "conv_columns.h"
#include "pool.h"
#include "simd/weave.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kMostTaps = 256;

// Floats of a row of maps of one channel, of which whole vectors are read for each tap.
int64_t plane_floats(const DirectConv& d, const PoolAxis& columns) {
  return larger(sums_width(d), 2 * ceil_div(columns.out, kWidth) * kWidth + (columns.kernel - 1) / 2 * 2);
}

// Of a row of windows of one channel.
int64_t pooled_floats(const PoolAxis& columns) { return ceil_div(columns.out, kWidth) * kWidth; }

// A row of windows, channel by channel.
struct Windows {
  const float* rows[kMostTaps];  // of maps that it sees, (K, plane)
  PoolWindow over_rows;
  int64_t channels, taps, columns;  // taps of a window's row; windows
  int64_t plane, pooled;            // floats from one channel's maps, results to the next one's
  float *values, *chosen;           // (K, pooled), chosen taps as their bits, or null
};

template <int R, int S, bool kIndex>
void pool_row(const Windows& w) {
  const PoolWindow over_columns{0, w.taps, 0, w.taps};
  int64_t plane = 0;
  for (int64_t k = 0; k < w.channels; k++, plane += w.plane) {
    for (int64_t q = 0; q < w.columns; q += kWidth) {
      const Largest found = largest_of<R, S>(w.over_rows, over_columns, w.taps, [&](int64_t i, int64_t j) FJ_LAMBDA {
        const float* row = w.rows[i - w.over_rows.begin] + plane + 2 * q + j / 2 * 2;
        const Vec a = load(row), b = load(row + kWidth);
        return j % 2 == 0 ? even_lanes(a, b) : odd_lanes(a, b);
      });
      store(w.values + k * w.pooled + q, found.best);
      if (kIndex) store(w.chosen + k * w.pooled + q, as_float(found.tap));
    }
  }
}

// The row's results, pixel by pixel.
template <int K>
void finish(const Windows& w, float* y, uint8_t* index) {
  const int64_t floats = w.columns * K;
  weave<K>(w.values, w.pooled, w.columns,
           [&](int64_t at, Vec v) FJ_LAMBDA { store_masked(y + at, tail_mask(floats - at), v); });
  if (index == nullptr) return;
  weave<K>(w.chosen, w.pooled, w.columns, [&](int64_t at, Vec v) FJ_LAMBDA {
    if (at + kWidth <= floats) {
      Whole{}.put(index + at, as_int(v));
    } else {
      First{tail_mask(floats - at), floats - at}.put(index + at, as_int(v));
    }
  });
}

using FinishRow = void (*)(const Windows&, float*, uint8_t*);

template <int... K>
FJ_INLINE FinishRow finish_for(int64_t channels, std::integer_sequence<int, K...>) {
  static constexpr FinishRow kernels[] = {&finish<K + 1>...};
  return kernels[channels - 1];
}

}  // namespace

bool columns_pool_applies(const DirectConv& d, const PoolAxis& columns) {
  return d.form == DirectForm::kColumns && columns.stride == 2 && columns.before == 0 &&
         (columns.out - 1) * columns.stride + columns.kernel <= columns.size;
}

int64_t columns_pool_floats(const DirectConv& d, const PoolAxis& rows, const PoolAxis& columns) {
  return rows.kernel * d.k * plane_floats(d, columns) + 2 * d.k * pooled_floats(columns);
}

void columns_pool_run(const Team& team, const DirectConv& d, const PoolAxis& rows, const PoolAxis& columns,
                      const float* packed, float* mine, float* own, float* y, uint8_t* index) {
  Windows windows{};
  windows.channels = d.k;
  windows.taps = columns.kernel;
  windows.columns = columns.out;
  windows.plane = plane_floats(d, columns);
  windows.pooled = pooled_floats(columns);
  const int64_t row = d.k * windows.plane;
  windows.values = own + rows.kernel * row;
  windows.chosen = windows.values + d.k * windows.pooled;
  // Lanes without a window may read what no sum is written to: a NaN there would only cost time.
  if (windows.plane > sums_width(d)) memset(own, 0, rows.kernel * row * sizeof(float));
  const FinishRow finish_row = finish_for(d.k, std::make_integer_sequence<int, kWidth - 1>{});
  const PoolGeometry g{d.n, d.k, rows, columns};
  ColumnRows maps(d, packed, mine);
  const Range items = split(d.n * rows.out, team);
  int64_t image = -1, computed = 0;  // rows of the image's maps, each in the ring while a window sees it
  for (int64_t item = items.begin; item < items.end; item++) {
    const int64_t n = item / rows.out, p = item % rows.out;
    const int64_t last = window_at(rows, smaller(rows.out, p + items.end - item) - 1).end;
    windows.over_rows = window_at(rows, p);
    if (n != image) image = n, computed = 0;
    for (int64_t i = windows.over_rows.begin; i < windows.over_rows.end; i++) {
      float* sums = own + i % rows.kernel * row;
      windows.rows[i - windows.over_rows.begin] = sums;
      if (i >= computed) maps.sum(n, i, last, sums, windows.plane);
    }
    computed = windows.over_rows.end;
    with_window(g, windows.over_rows, {0, columns.kernel, 0, columns.kernel}, [&](auto r, auto s) FJ_LAMBDA {
      index ? pool_row<r, s, true>(windows) : pool_row<r, s, false>(windows);
    });
    const int64_t at = item * columns.out * d.k;
    finish_row(windows, y + at, index ? index + at : nullptr);
  }
}

}  // namespace forja::FJ_ISA
