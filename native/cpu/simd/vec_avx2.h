// vec.h for AVX2 + FMA: 8 lanes, a mask is a vector of all-ones or all-zeros lanes.
#pragma once

#include <immintrin.h>

namespace forja::FJ_ISA {

constexpr int kWidth = 8;
constexpr int kVectorRegisters = 16;

struct Vec {
  __m256 v;
};
struct VecI {
  __m256i v;
};
struct Mask {
  __m256i m;
};

FJ_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
FJ_INLINE Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
FJ_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
FJ_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
FJ_INLINE void stream(float* p, Vec a) { _mm256_stream_ps(p, a.v); }
FJ_INLINE void stream_fence() { _mm_sfence(); }
FJ_INLINE Vec load_masked(Mask m, const float* p) { return {_mm256_maskload_ps(p, m.m)}; }
FJ_INLINE void store_masked(float* p, Mask m, Vec a) { _mm256_maskstore_ps(p, m.m, a.v); }
FJ_INLINE Mask tail_mask(int64_t n) {
  const int lanes = n >= 8 ? 8 : n <= 0 ? 0 : static_cast<int>(n);
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))};
}

FJ_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
FJ_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
FJ_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
FJ_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
FJ_INLINE Vec operator-(Vec a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }
FJ_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
FJ_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
FJ_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
FJ_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
FJ_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
FJ_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
FJ_INLINE Vec floor(Vec a) { return {_mm256_floor_ps(a.v)}; }
FJ_INLINE Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

FJ_INLINE Mask mask_of(__m256 compared) { return {_mm256_castps_si256(compared)}; }
FJ_INLINE Mask operator<(Vec a, Vec b) { return mask_of(_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)); }
FJ_INLINE Mask operator<=(Vec a, Vec b) { return mask_of(_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)); }
FJ_INLINE Mask operator>(Vec a, Vec b) { return mask_of(_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)); }
FJ_INLINE Mask operator>=(Vec a, Vec b) { return mask_of(_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)); }
FJ_INLINE Mask operator==(Vec a, Vec b) { return mask_of(_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)); }
FJ_INLINE Mask operator!=(Vec a, Vec b) { return mask_of(_mm256_cmp_ps(a.v, b.v, _CMP_NEQ_UQ)); }
FJ_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_si256(a.m, b.m)}; }
FJ_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_si256(a.m, b.m)}; }
FJ_INLINE Mask operator~(Mask a) { return {_mm256_xor_si256(a.m, _mm256_set1_epi32(-1))}; }
FJ_INLINE bool any(Mask a) { return _mm256_movemask_ps(_mm256_castsi256_ps(a.m)) != 0; }
FJ_INLINE bool all(Mask a) { return _mm256_movemask_ps(_mm256_castsi256_ps(a.m)) == 0xff; }
FJ_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, _mm256_castsi256_ps(m.m))}; }

FJ_INLINE float reduce_add(Vec a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
FJ_INLINE float reduce_max(Vec a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
FJ_INLINE float reduce_min(Vec a) {
  __m128 x = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_min_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_min_ss(x, _mm_movehdup_ps(x)));
}

FJ_INLINE VecI broadcast_int(int32_t x) { return {_mm256_set1_epi32(x)}; }
FJ_INLINE VecI lane_index() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)}; }
FJ_INLINE VecI load_int(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
FJ_INLINE void store_int(int32_t* p, VecI a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
FJ_INLINE VecI load_bytes(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
FJ_INLINE void store_bytes(uint8_t* p, VecI a) {
  const __m256i low = _mm256_shuffle_epi8(a.v, _mm256_set1_epi32(0x0c080400));  // of each half, four times
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p),
                   _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
}
FJ_INLINE VecI load_int_masked(Mask m, const int32_t* p) { return {_mm256_maskload_epi32(p, m.m)}; }
FJ_INLINE void store_int_masked(int32_t* p, Mask m, VecI a) { _mm256_maskstore_epi32(p, m.m, a.v); }
FJ_INLINE VecI operator+(VecI a, VecI b) { return {_mm256_add_epi32(a.v, b.v)}; }
FJ_INLINE VecI operator-(VecI a, VecI b) { return {_mm256_sub_epi32(a.v, b.v)}; }
FJ_INLINE VecI operator*(VecI a, VecI b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
FJ_INLINE VecI operator&(VecI a, VecI b) { return {_mm256_and_si256(a.v, b.v)}; }
FJ_INLINE VecI operator|(VecI a, VecI b) { return {_mm256_or_si256(a.v, b.v)}; }
FJ_INLINE VecI operator^(VecI a, VecI b) { return {_mm256_xor_si256(a.v, b.v)}; }
template <int N>
FJ_INLINE VecI shift_left(VecI a) {
  return {_mm256_slli_epi32(a.v, N)};
}
template <int N>
FJ_INLINE VecI shift_right(VecI a) {
  return {_mm256_srli_epi32(a.v, N)};
}
template <int N>
FJ_INLINE VecI shift_right_signed(VecI a) {
  return {_mm256_srai_epi32(a.v, N)};
}
FJ_INLINE Mask operator==(VecI a, VecI b) { return {_mm256_cmpeq_epi32(a.v, b.v)}; }
FJ_INLINE Mask operator>(VecI a, VecI b) { return {_mm256_cmpgt_epi32(a.v, b.v)}; }
FJ_INLINE VecI select(Mask m, VecI a, VecI b) { return {_mm256_blendv_epi8(b.v, a.v, m.m)}; }
FJ_INLINE Vec permute(Vec a, Vec b, VecI lanes) {
  const __m256 of_b = _mm256_castsi256_ps(_mm256_slli_epi32(lanes.v, 28));  // bit 3 becomes the sign
  return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(a.v, lanes.v), _mm256_permutevar8x32_ps(b.v, lanes.v), of_b)};
}
// Halves shuffle by themselves: a0 a2 b0 b2 a4 a6 b4 b6, whose pairs are then put in order.
FJ_INLINE Vec in_order(__m256 pairs) {
  return {_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), _MM_SHUFFLE(3, 1, 2, 0)))};
}
FJ_INLINE Vec even_lanes(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a.v, b.v, _MM_SHUFFLE(2, 0, 2, 0))); }
FJ_INLINE Vec odd_lanes(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a.v, b.v, _MM_SHUFFLE(3, 1, 3, 1))); }

FJ_INLINE VecI round_to_int(Vec a) { return {_mm256_cvtps_epi32(a.v)}; }
FJ_INLINE VecI truncate_to_int(Vec a) { return {_mm256_cvttps_epi32(a.v)}; }
FJ_INLINE Vec to_float(VecI a) { return {_mm256_cvtepi32_ps(a.v)}; }
FJ_INLINE VecI as_int(Vec a) { return {_mm256_castps_si256(a.v)}; }
FJ_INLINE Vec as_float(VecI a) { return {_mm256_castsi256_ps(a.v)}; }

FJ_INLINE void transpose(Vec (&rows)[8]) {
  __m256 r[8], t[8];
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    t[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    rows[i].v = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    rows[i + 4].v = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
}

}  // namespace forja::FJ_ISA
