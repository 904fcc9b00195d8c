// vec.h for NEON and for the baseline (SSE2 or anything else): 4 lanes in GCC vector extensions, with the
// few NEON instructions that they do not reach. Masked access goes lane by lane; nothing outside a mask is
// touched. Baseline has no fused multiply-add: fma() rounds twice there.
#pragma once

#if defined(FJ_ISA_neon)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace forja::FJ_ISA {

constexpr int kWidth = 4;
#if defined(FJ_ISA_neon)
constexpr int kVectorRegisters = 32;
#else
constexpr int kVectorRegisters = 16;
#endif

typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));
typedef uint32_t Uint4 __attribute__((vector_size(16)));
typedef Float4 Float4Unaligned __attribute__((aligned(4), may_alias));
typedef Int4 Int4Unaligned __attribute__((aligned(4), may_alias));

struct Vec {
  Float4 v;
};
struct VecI {
  Int4 v;
};
struct Mask {
  Int4 m;  // -1 or 0
};

FJ_INLINE VecI as_int(Vec a) { return {(Int4)a.v}; }
FJ_INLINE Vec as_float(VecI a) { return {(Float4)a.v}; }

FJ_INLINE Vec zero() { return {Float4{0, 0, 0, 0}}; }
FJ_INLINE Vec broadcast(float x) { return {Float4{x, x, x, x}}; }
FJ_INLINE Vec load(const float* p) { return {*reinterpret_cast<const Float4Unaligned*>(p)}; }
FJ_INLINE void store(float* p, Vec a) { *reinterpret_cast<Float4Unaligned*>(p) = a.v; }
#if defined(__SSE2__)
FJ_INLINE void stream(float* p, Vec a) { _mm_stream_ps(p, (__m128)a.v); }
FJ_INLINE void stream_fence() { _mm_sfence(); }
#else
FJ_INLINE void stream(float* p, Vec a) { store(p, a); }
FJ_INLINE void stream_fence() {}
#endif
FJ_INLINE Vec load_masked(Mask m, const float* p) {
  Float4 r = {0, 0, 0, 0};
  for (int i = 0; i < 4; i++) {
    if (m.m[i]) r[i] = p[i];
  }
  return {r};
}
FJ_INLINE void store_masked(float* p, Mask m, Vec a) {
  for (int i = 0; i < 4; i++) {
    if (m.m[i]) p[i] = a.v[i];
  }
}
FJ_INLINE Mask tail_mask(int64_t n) {
  const int32_t lanes = n >= 4 ? 4 : n <= 0 ? 0 : static_cast<int32_t>(n);
  return {Int4{0, 1, 2, 3} < Int4{lanes, lanes, lanes, lanes}};
}

FJ_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
FJ_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
FJ_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
FJ_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
FJ_INLINE Vec operator-(Vec a) { return {-a.v}; }
FJ_INLINE Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
FJ_INLINE Mask operator<=(Vec a, Vec b) { return {a.v <= b.v}; }
FJ_INLINE Mask operator>(Vec a, Vec b) { return {a.v > b.v}; }
FJ_INLINE Mask operator>=(Vec a, Vec b) { return {a.v >= b.v}; }
FJ_INLINE Mask operator==(Vec a, Vec b) { return {a.v == b.v}; }
FJ_INLINE Mask operator!=(Vec a, Vec b) { return {a.v != b.v}; }
FJ_INLINE Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
FJ_INLINE Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }
FJ_INLINE Mask operator~(Mask a) { return {~a.m}; }
FJ_INLINE bool any(Mask a) { return (a.m[0] | a.m[1] | a.m[2] | a.m[3]) != 0; }
FJ_INLINE bool all(Mask a) { return (a.m[0] & a.m[1] & a.m[2] & a.m[3]) != 0; }
FJ_INLINE VecI select(Mask m, VecI a, VecI b) { return {(a.v & m.m) | (b.v & ~m.m)}; }
FJ_INLINE Vec permute(Vec a, Vec b, VecI lanes) {
  const auto lane = [&](int32_t i) { return i < kWidth ? a.v[i] : b.v[i - kWidth]; };
  return {Float4{lane(lanes.v[0]), lane(lanes.v[1]), lane(lanes.v[2]), lane(lanes.v[3])}};
}
FJ_INLINE Vec even_lanes(Vec a, Vec b) { return {Float4{a.v[0], a.v[2], b.v[0], b.v[2]}}; }
FJ_INLINE Vec odd_lanes(Vec a, Vec b) { return {Float4{a.v[1], a.v[3], b.v[1], b.v[3]}}; }
FJ_INLINE Vec select(Mask m, Vec a, Vec b) { return as_float(select(m, as_int(a), as_int(b))); }

#if defined(FJ_ISA_neon)
FJ_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {(Float4)vfmaq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v)};
}
FJ_INLINE Vec fnma(Vec a, Vec b, Vec c) {
  return {(Float4)vfmsq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v)};
}
FJ_INLINE Vec sqrt(Vec a) { return {(Float4)vsqrtq_f32((float32x4_t)a.v)}; }
FJ_INLINE Vec floor(Vec a) { return {(Float4)vrndmq_f32((float32x4_t)a.v)}; }
FJ_INLINE Vec round(Vec a) { return {(Float4)vrndnq_f32((float32x4_t)a.v)}; }
FJ_INLINE VecI round_to_int(Vec a) { return {(Int4)vcvtnq_s32_f32((float32x4_t)a.v)}; }
FJ_INLINE VecI truncate_to_int(Vec a) { return {(Int4)vcvtq_s32_f32((float32x4_t)a.v)}; }
#else
FJ_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
FJ_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {c.v - a.v * b.v}; }
FJ_INLINE VecI truncate_to_int(Vec a) { return {__builtin_convertvector(a.v, Int4)}; }
#endif
// NaN handling as documented in vec.h, which is what the x86 instructions do; NEON's own min and max differ.
#if defined(__SSE2__)
FJ_INLINE Vec min(Vec a, Vec b) { return {(Float4)_mm_min_ps((__m128)a.v, (__m128)b.v)}; }
FJ_INLINE Vec max(Vec a, Vec b) { return {(Float4)_mm_max_ps((__m128)a.v, (__m128)b.v)}; }
#else
FJ_INLINE Vec min(Vec a, Vec b) { return select(a < b, a, b); }
FJ_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
#endif
FJ_INLINE Vec abs(Vec a) { return as_float({as_int(a).v & 0x7fffffff}); }
FJ_INLINE Vec to_float(VecI a) { return {__builtin_convertvector(a.v, Float4)}; }

#if !defined(FJ_ISA_neon)
#if defined(__SSE2__)
FJ_INLINE Vec sqrt(Vec a) { return {(Float4)_mm_sqrt_ps((__m128)a.v)}; }
#else
FJ_INLINE Vec sqrt(Vec a) {
  return {Float4{__builtin_sqrtf(a.v[0]), __builtin_sqrtf(a.v[1]), __builtin_sqrtf(a.v[2]), __builtin_sqrtf(a.v[3])}};
}
#endif
// Adding and taking away 2^23 leaves no bits for a fraction: rounds to nearest even. From 2^23 on every float is whole.
FJ_INLINE Vec round(Vec a) {
  const Vec sign = as_float({as_int(a).v & INT32_MIN}), magic = broadcast(8388608.0f);
  const Vec whole = (abs(a) + magic) - magic;
  return select(abs(a) < magic, as_float({as_int(whole).v | as_int(sign).v}), a);
}
FJ_INLINE Vec floor(Vec a) {
  const Vec nearest = round(a);
  return select(nearest > a, nearest - broadcast(1.0f), nearest);
}
FJ_INLINE VecI round_to_int(Vec a) { return truncate_to_int(round(a)); }
#endif

FJ_INLINE float reduce_add(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
FJ_INLINE float larger_lane(float a, float b) { return a > b ? a : b; }
FJ_INLINE float smaller_lane(float a, float b) { return a < b ? a : b; }
FJ_INLINE float reduce_max(Vec a) { return larger_lane(larger_lane(a.v[0], a.v[2]), larger_lane(a.v[1], a.v[3])); }
FJ_INLINE float reduce_min(Vec a) { return smaller_lane(smaller_lane(a.v[0], a.v[2]), smaller_lane(a.v[1], a.v[3])); }

FJ_INLINE VecI broadcast_int(int32_t x) { return {Int4{x, x, x, x}}; }
FJ_INLINE VecI lane_index() { return {Int4{0, 1, 2, 3}}; }
FJ_INLINE VecI load_int(const int32_t* p) { return {*reinterpret_cast<const Int4Unaligned*>(p)}; }
FJ_INLINE void store_int(int32_t* p, VecI a) { *reinterpret_cast<Int4Unaligned*>(p) = a.v; }
FJ_INLINE VecI load_bytes(const uint8_t* p) { return {Int4{p[0], p[1], p[2], p[3]}}; }
FJ_INLINE void store_bytes(uint8_t* p, VecI a) {
  for (int i = 0; i < 4; i++) p[i] = static_cast<uint8_t>(a.v[i]);
}
FJ_INLINE VecI load_int_masked(Mask m, const int32_t* p) {
  Int4 r = {0, 0, 0, 0};
  for (int i = 0; i < 4; i++) {
    if (m.m[i]) r[i] = p[i];
  }
  return {r};
}
FJ_INLINE void store_int_masked(int32_t* p, Mask m, VecI a) {
  for (int i = 0; i < 4; i++) {
    if (m.m[i]) p[i] = a.v[i];
  }
}
// Through unsigned: signed overflow is undefined, the wrapping every instruction set does is meant.
FJ_INLINE VecI operator+(VecI a, VecI b) { return {(Int4)((Uint4)a.v + (Uint4)b.v)}; }
FJ_INLINE VecI operator-(VecI a, VecI b) { return {(Int4)((Uint4)a.v - (Uint4)b.v)}; }
FJ_INLINE VecI operator*(VecI a, VecI b) { return {(Int4)((Uint4)a.v * (Uint4)b.v)}; }
FJ_INLINE VecI operator&(VecI a, VecI b) { return {a.v & b.v}; }
FJ_INLINE VecI operator|(VecI a, VecI b) { return {a.v | b.v}; }
FJ_INLINE VecI operator^(VecI a, VecI b) { return {a.v ^ b.v}; }
template <int N>
FJ_INLINE VecI shift_left(VecI a) {
  return {(Int4)((Uint4)a.v << N)};
}
template <int N>
FJ_INLINE VecI shift_right(VecI a) {
  return {(Int4)((Uint4)a.v >> N)};
}
template <int N>
FJ_INLINE VecI shift_right_signed(VecI a) {
  return {a.v >> N};
}
FJ_INLINE Mask operator==(VecI a, VecI b) { return {a.v == b.v}; }
FJ_INLINE Mask operator>(VecI a, VecI b) { return {a.v > b.v}; }

FJ_INLINE void transpose(Vec (&r)[4]) {
  const Float4 a = r[0].v, b = r[1].v, c = r[2].v, d = r[3].v;
  r[0].v = Float4{a[0], b[0], c[0], d[0]};
  r[1].v = Float4{a[1], b[1], c[1], d[1]};
  r[2].v = Float4{a[2], b[2], c[2], d[2]};
  r[3].v = Float4{a[3], b[3], c[3], d[3]};
}

}  // namespace forja::FJ_ISA
