// What pooling is made of: channels a vector at a time, the pixels of a window, the largest of them; for the kernels
// that pool maps in memory (pool.cc) and for those that pool what they have just computed (conv_max_pool.cc).
#pragma once

#include "../core/geometry.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {

// How many channels a vector holds: all lanes, or the first n.
struct Whole {
  FJ_INLINE_MEMBER Vec get(const float* p) const { return load(p); }
  FJ_INLINE_MEMBER void put(float* p, Vec v) const { store(p, v); }
  FJ_INLINE_MEMBER VecI get(const int32_t* p) const { return load_int(p); }
  FJ_INLINE_MEMBER void put(int32_t* p, VecI v) const { store_int(p, v); }
  FJ_INLINE_MEMBER VecI get(const uint8_t* p) const { return load_bytes(p); }
  FJ_INLINE_MEMBER void put(uint8_t* p, VecI v) const { store_bytes(p, v); }
};

struct First {
  Mask mask;
  int64_t n;
  FJ_INLINE_MEMBER Vec get(const float* p) const { return load_masked(mask, p); }
  FJ_INLINE_MEMBER void put(float* p, Vec v) const { store_masked(p, mask, v); }
  FJ_INLINE_MEMBER VecI get(const int32_t* p) const { return load_int_masked(mask, p); }
  FJ_INLINE_MEMBER void put(int32_t* p, VecI v) const { store_int_masked(p, mask, v); }
#if defined(FJ_ISA_avx512)
  FJ_INLINE_MEMBER VecI get(const uint8_t* p) const { return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask.m, p))}; }
  FJ_INLINE_MEMBER void put(uint8_t* p, VecI v) const { _mm_mask_storeu_epi8(p, mask.m, _mm512_cvtepi32_epi8(v.v)); }
#else
  FJ_INLINE_MEMBER VecI get(const uint8_t* p) const {
    uint8_t bytes[kWidth] = {};
    for (int64_t i = 0; i < n; i++) bytes[i] = p[i];
    return load_bytes(bytes);
  }
  FJ_INLINE_MEMBER void put(uint8_t* p, VecI v) const {
    uint8_t bytes[kWidth];
    store_bytes(bytes, v);
    for (int64_t i = 0; i < n; i++) p[i] = bytes[i];
  }
#endif
};

// body(channel, lanes) for channels from `channel` on, kWidth at a time.
template <class Body>
FJ_INLINE void over_channels(int64_t c, const Body& body, int64_t channel = 0) {
  for (; channel + kWidth <= c; channel += kWidth) body(channel, Whole{});
  if (channel < c) body(channel, First{tail_mask(c - channel), c - channel});
}

// body(i, j, tap) for the pixels of a window in order; R x S known at compile time unless 0.
template <int R, int S, class Body>
FJ_INLINE void over_taps(const PoolWindow& rows, const PoolWindow& columns, int64_t taps, const Body& body) {
  if (R > 0) {
    unroll<R>([&](auto r) FJ_LAMBDA {
      unroll<S>([&](auto s) FJ_LAMBDA { body(rows.begin + r, columns.begin + s, int64_t{r * S + s}); });
    });
    return;
  }
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j++) body(i, j, (i - rows.origin) * taps + j - columns.origin);
  }
}

// Calls f with the size of the window as template arguments where it is one of the usual ones and wholly inside.
template <class F>
FJ_INLINE void with_window(const PoolGeometry& g, const PoolWindow& rows, const PoolWindow& columns, const F& f) {
  const int64_t r = rows.end - rows.begin, s = columns.end - columns.begin;
  const bool inside = r == g.rows.kernel && s == g.columns.kernel;
  if (inside && r == 2 && s == 2) return f(Index<2>{}, Index<2>{});
  if (inside && r == 3 && s == 3) return f(Index<3>{}, Index<3>{});
  f(Index<0>{}, Index<0>{});
}

// The largest value of a window and its tap, the first of equals; NaN beats all, the last one others.
struct Largest {
  Vec best;
  VecI tap;
};

template <int R, int S, class Get>
FJ_INLINE Largest largest_of(const PoolWindow& rows, const PoolWindow& columns, int64_t taps, const Get& get) {
  const int64_t first = R > 0 ? 0 : (rows.begin - rows.origin) * taps + columns.begin - columns.origin;
  Largest found{in_register(get(rows.begin, columns.begin)), broadcast_int(static_cast<int32_t>(first))};
  Vec sum = found.best;  // NaN where one of them is, and where infinities cancel
  over_taps<R, S>(rows, columns, taps, [&](int64_t i, int64_t j, int64_t tap) FJ_LAMBDA {
    if (tap == first) return;
    const Vec v = in_register(get(i, j));
    found.tap = select(v > found.best, broadcast_int(static_cast<int32_t>(tap)), found.tap);
    found.best = max(v, found.best);
    sum = sum + v;
  });
  if (!any(sum != sum)) return found;
  over_taps<0, 0>(rows, columns, taps, [&](int64_t i, int64_t j, int64_t tap) FJ_LAMBDA {
    const Vec v = get(i, j);
    const Mask wins = v != v;
    found.best = select(wins, v, found.best);
    found.tap = select(wins, broadcast_int(static_cast<int32_t>(tap)), found.tap);
  });
  return found;
}

// Rows [begin, end) of all n * rows.out rows of windows over x (n, rows, columns, c): y, and the taps that were chosen
// unless `index` is null.
void max_pool_rows(const PoolGeometry& g, Range rows, const float* x, float* y, uint8_t* index);

}  // namespace forja::FJ_ISA
