// One vector of the instruction set this file is compiled for, and the operations kernels are written in.
// FJ_ISA picks the implementation: avx512 (16 lanes, mask registers), avx2 (8 lanes, masks are vectors),
// neon and baseline (4 lanes, GCC vector extensions). All of it lives in namespace forja::FJ_ISA and is
// forced inline, because objects for several instruction sets are linked together.
//
//   Vec   kWidth floats          VecI  kWidth int32          Mask  kWidth booleans
//
//   zero() broadcast(x) load(p) store(p, v)      load_masked(m, p): lanes outside m are 0 and are not read
//   store_masked(p, m, v)  tail_mask(n): the first n lanes, n <= 0 none, n >= kWidth all
//   stream(p, v): a store past the caches, to a multiple of a vector's bytes, in whole lines if it is to be fast;
//   stream_fence() after the last one, before another thread reads
//   + - * / unary -  fma(a, b, c) = a*b + c      fnma(a, b, c) = c - a*b   (rounded once, but twice on baseline)
//   min(a, b) max(a, b): b where one of the two is NaN; so max(zero(), x) hands a NaN in x on
//   sqrt abs floor round (to nearest even)       < <= > >= == != give a Mask;  & | ~ on masks;  any(m) all(m)
//   select(m, a, b): a where m, else b           reduce_add reduce_max reduce_min: over the lanes
//   reduce_add_each(Vec (&rows)[n]), n <= kWidth: lane i is reduce_add(rows[i]), lanes from n on are 0
//   VecI: broadcast_int lane_index load_int store_int load_int_masked store_int_masked  + - * & | ^
//         load_bytes store_bytes: one unsigned byte a lane, of which a store keeps the low 8 bits
//         shift_left<n> shift_right<n> (zeros enter) shift_right_signed<n>  == >  select
//   round_to_int truncate_to_int to_float        as_int as_float: the same bits
//   permute(a, b, lanes): lane i is lane lanes[i] of a, or from kWidth on of b
//   even_lanes(a, b) odd_lanes(a, b): every other lane of a, then of b, from lane 0 or 1 on
//   transpose(Vec (&rows)[kWidth])
//   Half  kHalfWidth floats: half a vector of 16, else a vector; load_half broadcast_half fma store
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../team.h"

#if defined(FJ_ISA_avx512)
#include "vec_avx512.h"
#elif defined(FJ_ISA_avx2)
#include "vec_avx2.h"
#else
#include "vec_portable.h"
#endif

// Between a lambda's parameters and its body: a lambda that is called instead of inlined would keep the
// registers it captures in memory.
#define FJ_LAMBDA __attribute__((always_inline))

namespace forja::FJ_ISA {

constexpr int kLineFloats = 16;  // a cache line: 64 bytes

// unroll<3>(f): f(0), f(1), f(2), without a loop. Loops over registers must be written so: an array indexed at run time
// lives in memory.
template <int N, class F>
FJ_INLINE void unroll(const F& f) {
  if constexpr (N == 1) {
    f(0);
  } else if constexpr (N > 1) {
#if defined(__clang__)
#pragma clang loop unroll(full)
#else
#pragma GCC unroll 64
#endif
    for (int i = 0; i < N; i++) f(i);
  }
}

// A compile-time index that a lambda can take as an argument.
template <int I>
struct Index {
  FJ_INLINE_MEMBER constexpr operator int() const { return I; }
};

template <class F, int... I>
FJ_INLINE void unroll_sequence(const F& f, std::integer_sequence<int, I...>) {
  (f(Index<I>{}), ...);
}

// The same where f needs its index as a constant. Compilers take several times as long: to them each call is of another
// function.
template <int N, class F>
FJ_INLINE void unroll_constants(const F& f) {
  unroll_sequence(f, std::make_integer_sequence<int, N>{});
}

#if !defined(FJ_ISA_avx512)
using Half = Vec;
constexpr int kHalfWidth = kWidth;
FJ_INLINE Half load_half(const float* p) { return load(p); }
FJ_INLINE Half broadcast_half(float x) { return broadcast(x); }

template <int N>
FJ_INLINE Vec reduce_add_each(const Vec (&rows)[N]) {
  Vec square[kWidth];
  unroll<N>([&](auto i) FJ_LAMBDA { square[i] = rows[i]; });
  unroll<kWidth - N>([&](auto i) FJ_LAMBDA { square[N + i] = zero(); });
  transpose(square);
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) square[i] = square[i] + square[i + half];
  }
  return square[0];
}
#endif

// The compiler would load what several products share once for each of them, and loads can be what limits.
FJ_INLINE Vec in_register(Vec a) {
#if defined(__aarch64__)
  asm("" : "+w"(a.v));
#elif defined(__x86_64__)
  asm("" : "+v"(a.v));
#endif
  return a;
}

// The lanes of `mask`; `whole` says that it holds all of them, which is faster where masks are not registers.
FJ_INLINE Vec load_lanes(const float* p, Mask mask, bool whole) { return whole ? load(p) : load_masked(mask, p); }
FJ_INLINE void store_lanes(float* p, Mask mask, bool whole, Vec v) {
  if (whole) {
    store(p, v);
  } else {
    store_masked(p, mask, v);
  }
}
// Past the caches where it `streams`; parts of vectors never are.
FJ_INLINE void put_lanes(float* p, Mask mask, bool whole, bool streams, Vec v) {
  if (streams && whole) {
    stream(p, v);
  } else {
    store_lanes(p, mask, whole, v);
  }
}

// Size of the parts when n is cut as evenly as possible into parts of at most `most`: 64 by 14 gives 13.
// Sizes are below 2^31 here, and a 32-bit division takes a third of the time of a 64-bit one.
FJ_INLINE int64_t even_part(int64_t n, int64_t most) {
  if (n <= most) return n;
  const uint32_t size = static_cast<uint32_t>(n), limit = static_cast<uint32_t>(most);
  const uint32_t parts = (size + limit - 1) / limit;
  return (size + parts - 1) / parts;
}

}  // namespace forja::FJ_ISA
