// vec.h for AVX-512 (F, BW, DQ, VL): 16 lanes, masks in mask registers, masked access costs nothing extra.
#pragma once

#include <immintrin.h>

namespace forja::FJ_ISA {

constexpr int kWidth = 16;
constexpr int kVectorRegisters = 32;

struct Vec {
  __m512 v;
};
struct VecI {
  __m512i v;
};
struct Mask {
  __mmask16 m;
};

// Half a vector: two are loaded and multiplied at a time, and few of those that lie anywhere cross a cache line.
constexpr int kHalfWidth = 8;
struct Half {
  __m256 v;
};
FJ_INLINE Half load_half(const float* p) { return {_mm256_loadu_ps(p)}; }
FJ_INLINE Half broadcast_half(float x) { return {_mm256_set1_ps(x)}; }
FJ_INLINE Half fma(Half a, Half b, Half c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
FJ_INLINE void store(float* p, Half a) { _mm256_storeu_ps(p, a.v); }

FJ_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
FJ_INLINE Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
FJ_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
FJ_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
FJ_INLINE void stream(float* p, Vec a) { _mm512_stream_ps(p, a.v); }
FJ_INLINE void stream_fence() { _mm_sfence(); }
FJ_INLINE Vec load_masked(Mask m, const float* p) { return {_mm512_maskz_loadu_ps(m.m, p)}; }
FJ_INLINE void store_masked(float* p, Mask m, Vec a) { _mm512_mask_storeu_ps(p, m.m, a.v); }
FJ_INLINE Mask tail_mask(int64_t n) {
  return {n >= 16 ? __mmask16(0xffff) : n <= 0 ? __mmask16(0) : __mmask16((1u << n) - 1)};
}

FJ_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
FJ_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
FJ_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
FJ_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
FJ_INLINE Vec operator-(Vec a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
FJ_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
FJ_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
FJ_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
FJ_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
FJ_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
FJ_INLINE Vec abs(Vec a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
FJ_INLINE Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
FJ_INLINE Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

FJ_INLINE Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
FJ_INLINE Mask operator<=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
FJ_INLINE Mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
FJ_INLINE Mask operator>=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
FJ_INLINE Mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
FJ_INLINE Mask operator!=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
FJ_INLINE Mask operator&(Mask a, Mask b) { return {__mmask16(a.m & b.m)}; }
FJ_INLINE Mask operator|(Mask a, Mask b) { return {__mmask16(a.m | b.m)}; }
FJ_INLINE Mask operator~(Mask a) { return {__mmask16(~a.m)}; }
FJ_INLINE bool any(Mask a) { return a.m != 0; }
FJ_INLINE bool all(Mask a) { return a.m == 0xffff; }
FJ_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }

FJ_INLINE float reduce_add(Vec a) { return _mm512_reduce_add_ps(a.v); }
FJ_INLINE float reduce_max(Vec a) { return _mm512_reduce_max_ps(a.v); }
FJ_INLINE float reduce_min(Vec a) { return _mm512_reduce_min_ps(a.v); }

FJ_INLINE VecI broadcast_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
FJ_INLINE VecI lane_index() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
FJ_INLINE VecI load_int(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
FJ_INLINE void store_int(int32_t* p, VecI a) { _mm512_storeu_si512(p, a.v); }
FJ_INLINE VecI load_bytes(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
FJ_INLINE void store_bytes(uint8_t* p, VecI a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
FJ_INLINE VecI load_int_masked(Mask m, const int32_t* p) { return {_mm512_maskz_loadu_epi32(m.m, p)}; }
FJ_INLINE void store_int_masked(int32_t* p, Mask m, VecI a) { _mm512_mask_storeu_epi32(p, m.m, a.v); }
FJ_INLINE VecI operator+(VecI a, VecI b) { return {_mm512_add_epi32(a.v, b.v)}; }
FJ_INLINE VecI operator-(VecI a, VecI b) { return {_mm512_sub_epi32(a.v, b.v)}; }
FJ_INLINE VecI operator*(VecI a, VecI b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
FJ_INLINE VecI operator&(VecI a, VecI b) { return {_mm512_and_si512(a.v, b.v)}; }
FJ_INLINE VecI operator|(VecI a, VecI b) { return {_mm512_or_si512(a.v, b.v)}; }
FJ_INLINE VecI operator^(VecI a, VecI b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int N>
FJ_INLINE VecI shift_left(VecI a) {
  return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
FJ_INLINE VecI shift_right(VecI a) {
  return {_mm512_srli_epi32(a.v, N)};
}
template <int N>
FJ_INLINE VecI shift_right_signed(VecI a) {
  return {_mm512_srai_epi32(a.v, N)};
}
FJ_INLINE Mask operator==(VecI a, VecI b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
FJ_INLINE Mask operator>(VecI a, VecI b) { return {_mm512_cmpgt_epi32_mask(a.v, b.v)}; }
FJ_INLINE VecI select(Mask m, VecI a, VecI b) { return {_mm512_mask_blend_epi32(m.m, b.v, a.v)}; }
FJ_INLINE Vec permute(Vec a, Vec b, VecI lanes) { return {_mm512_permutex2var_ps(a.v, lanes.v, b.v)}; }
FJ_INLINE Vec even_lanes(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}
FJ_INLINE Vec odd_lanes(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}

FJ_INLINE VecI round_to_int(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
FJ_INLINE VecI truncate_to_int(Vec a) { return {_mm512_cvttps_epi32(a.v)}; }
FJ_INLINE Vec to_float(VecI a) { return {_mm512_cvtepi32_ps(a.v)}; }
FJ_INLINE VecI as_int(Vec a) { return {_mm512_castps_si512(a.v)}; }
FJ_INLINE Vec as_float(VecI a) { return {_mm512_castsi512_ps(a.v)}; }

// 64 shuffles: pairs of rows, pairs of pairs, then 128-bit quarters twice.
FJ_INLINE void transpose(Vec (&rows)[16]) {
  __m512 r[16], t[16];
  for (int i = 0; i < 8; i++) {
    t[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    t[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    const __m512d t0 = _mm512_castps_pd(t[i]), t1 = _mm512_castps_pd(t[i + 1]);
    const __m512d t2 = _mm512_castps_pd(t[i + 2]), t3 = _mm512_castps_pd(t[i + 3]);
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    rows[i].v = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    rows[i + 8].v = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    rows[i + 4].v = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 12].v = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// Pairs of rows to one with half as many terms of each, four times; a pair that is not there costs nothing.
template <int N>
FJ_INLINE Vec reduce_add_each(const Vec (&rows)[N]) {
  __m512 r[16];
  for (int i = 0; i < 16; i++) r[i] = i < N ? rows[i].v : _mm512_setzero_ps();
  for (int i = 0; i < 8 && 2 * i < N; i++) {
    r[i] = _mm512_add_ps(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]), _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
  }
  for (int i = 0; i < 4 && 4 * i < N; i++) {
    const __m512d a = _mm512_castps_pd(r[2 * i]);
    const __m512d b = 4 * i + 2 < N ? _mm512_castps_pd(r[2 * i + 1]) : _mm512_setzero_pd();
    r[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  for (int step = 8; step <= 16; step *= 2) {  // quarters of the vector
    for (int i = 0; i < 16 / step && step * i < N; i++) {
      const __m512 a = r[2 * i], b = step * i + step / 2 < N ? r[2 * i + 1] : _mm512_setzero_ps();
      r[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
  }
  return {r[0]};
}

}  // namespace forja::FJ_ISA
