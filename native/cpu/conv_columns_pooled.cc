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

// A row of windows: all columns of one channel.
struct Windows {
  const float* rows[kMostTaps];  // of maps that it sees
  PoolWindow over_rows;
  int64_t taps, columns;  // of a window; windows
};

template <int R, int S, bool kIndex>
FJ_INLINE void pool_channel(const Windows& w, int64_t plane, float* values, float* taps) {
  const PoolWindow over_columns{0, w.taps, 0, w.taps};
  for (int64_t q = 0; q < w.columns; q += kWidth) {
    const Largest found = largest_of<R, S>(w.over_rows, over_columns, w.taps, [&](int64_t i, int64_t j) FJ_LAMBDA {
      const float* row = w.rows[i - w.over_rows.begin] + plane + 2 * q + j / 2 * 2;
      const Vec a = load(row), b = load(row + kWidth);
      return j % 2 == 0 ? even_lanes(a, b) : odd_lanes(a, b);
    });
    store(values + q, found.best);
    if (kIndex) store(taps + q, as_float(found.tap));
  }
}

struct Finish {
  int64_t columns, plane;      // windows of a row; floats from one channel's to the next one's
  const float *values, *taps;  // (K, plane), the taps' bits
};

template <int K>
void finish(const Finish& f, float* y, uint8_t* index) {
  const int64_t floats = f.columns * K;
  weave<K>(f.values, f.plane, f.columns,
           [&](int64_t at, Vec v) FJ_LAMBDA { store_masked(y + at, tail_mask(floats - at), v); });
  if (index == nullptr) return;
  weave<K>(f.taps, f.plane, f.columns, [&](int64_t at, Vec v) FJ_LAMBDA {
    if (at + kWidth <= floats) {
      Whole{}.put(index + at, as_int(v));
    } else {
      First{tail_mask(floats - at), floats - at}.put(index + at, as_int(v));
    }
  });
}

using FinishRow = void (*)(const Finish&, float*, uint8_t*);

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
  const int64_t plane = plane_floats(d, columns), row = d.k * plane, pooled = pooled_floats(columns);
  float* const values = own + rows.kernel * row;
  float* const taps = values + d.k * pooled;
  // Lanes without a window may read what no sum is written to: a NaN there would only cost time.
  if (plane > sums_width(d)) memset(own, 0, rows.kernel * row * sizeof(float));
  const Finish results{columns.out, pooled, values, taps};
  const FinishRow finish_row = finish_for(d.k, std::make_integer_sequence<int, kWidth - 1>{});
  const PoolGeometry g{d.n, d.k, rows, columns};
  ColumnRows maps(d, packed, mine);
  Windows windows{};
  windows.taps = columns.kernel;
  windows.columns = columns.out;
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
      if (i >= computed) maps.sum(n, i, last, sums, plane);
    }
    computed = windows.over_rows.end;
    with_window(g, windows.over_rows, {0, columns.kernel, 0, columns.kernel}, [&](auto r, auto s) FJ_LAMBDA {
      for (int64_t k = 0; k < d.k; k++) {
        if (index) {
          pool_channel<r, s, true>(windows, k * plane, values + k * pooled, taps + k * pooled);
        } else {
          pool_channel<r, s, false>(windows, k * plane, values + k * pooled, nullptr);
        }
      }
    });
    const int64_t at = item * columns.out * d.k;
    finish_row(results, y + at, index ? index + at : nullptr);
  }
}

}  // namespace forja::FJ_ISA
