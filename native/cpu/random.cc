// Random numbers by counter: Philox4x32-10, element i of the output from word i of the stream. lib/ops/random.ts says
// what the counters are and how words become numbers. A thread makes the blocks of its share; nothing depends on how
// the output is shared out.
#include <cstring>

#include "kernel.h"
#include "simd/math.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kCounters = 32;  // made at once
constexpr int kVectors = kCounters / kWidth;
constexpr int kChunk = 4 * kCounters;  // elements

// The four words of kCounters counters, words[w][i] of counter `first` + i.
struct Words {
  uint32_t w[4][kCounters];
};

struct Product {
  VecI high, low;
};

// The 64-bit products of 32-bit lanes with one number: even and odd lanes apart, then sorted into halves.
FJ_INLINE Product multiply_wide(VecI a, uint32_t b) {
#if defined(FJ_ISA_avx512)
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(b));
  const __m512i even = _mm512_mul_epu32(a.v, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), factor);
  return {{_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd)},
          {_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32))}};
#elif defined(FJ_ISA_avx2)
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(b));
  const __m256i even = _mm256_mul_epu32(a.v, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(a.v, 32), factor);
  return {{_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)},
          {_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa)}};
#else
  Product product = {broadcast_int(0), broadcast_int(0)};
  for (int i = 0; i < kWidth; i++) {
    const uint64_t wide = uint64_t{static_cast<uint32_t>(a.v[i])} * b;
    product.high.v[i] = static_cast<int32_t>(wide >> 32);
    product.low.v[i] = static_cast<int32_t>(static_cast<uint32_t>(wide));
  }
  return product;
#endif
}

FJ_INLINE VecI load_words(const uint32_t* p) { return load_int(reinterpret_cast<const int32_t*>(p)); }
FJ_INLINE void store_words(uint32_t* p, VecI x) { store_int(reinterpret_cast<int32_t*>(p), x); }
FJ_INLINE VecI splat(uint32_t x) { return broadcast_int(static_cast<int32_t>(x)); }

// state: seed low, seed high, draw, domain.
void philox(uint32_t first, uint32_t stream, const uint32_t* state, Words& words) {
  VecI c0[kVectors], c1[kVectors], c2[kVectors], c3[kVectors];
  unroll<kVectors>([&](auto v) FJ_LAMBDA {
    c0[v] = splat(first + static_cast<uint32_t>(v * kWidth)) + lane_index();
    c1[v] = splat(stream);
    c2[v] = splat(state[2]);
    c3[v] = splat(state[3]);
  });
  uint32_t k0 = state[0], k1 = state[1];
  for (int round = 0; round < 10; round++) {
    unroll<kVectors>([&](auto v) FJ_LAMBDA {
      const Product p0 = multiply_wide(c0[v], 0xd2511f53), p1 = multiply_wide(c2[v], 0xcd9e8d57);
      c0[v] = p1.high ^ c1[v] ^ splat(k0);
      c1[v] = p1.low;
      c2[v] = p0.high ^ c3[v] ^ splat(k1);
      c3[v] = p0.low;
    });
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  unroll<kVectors>([&](auto v) FJ_LAMBDA {
    store_words(words.w[0] + v * kWidth, c0[v]);
    store_words(words.w[1] + v * kWidth, c1[v]);
    store_words(words.w[2] + v * kWidth, c2[v]);
    store_words(words.w[3] + v * kWidth, c3[v]);
  });
}

FJ_INLINE Vec unit(const uint32_t* words) { return to_float(shift_right<8>(load_words(words))) * broadcast(0x1p-24f); }

// Box-Muller. u is a multiple of 2^-24, so 1 - u, 4 u and what 4 u lacks to a whole quarter turn are exact.
void normal_pair(const uint32_t* first, const uint32_t* second, float* cosine, float* sine) {
  for (int i = 0; i < kCounters; i += kWidth) {
    const Vec radius = sqrt(broadcast(-2.0f) * vlog(broadcast(1.0f) - unit(first + i)));
    const Vec turns = broadcast(4.0f) * unit(second + i), quarter = round(turns);
    const Vec rest = (turns - quarter) * broadcast(1.57079633f);
    const VecI quadrant = round_to_int(quarter);
    store(cosine + i, radius * sin_of_quadrant(rest, quadrant + broadcast_int(1)));
    store(sine + i, radius * sin_of_quadrant(rest, quadrant));
  }
}

// kChunk elements in order, 4 bytes each.
void make_numbers(const fj_random_attrs& attrs, Words& words, uint32_t* out) {
  uint32_t numbers[4][kCounters];
  for (int w = 0; w < 4; w++) {
    const uint32_t* from = words.w[w];
    switch (attrs.kind) {
      case FJ_RANDOM_NORMAL:
        if (w % 2 == 0) {
          normal_pair(from, words.w[w + 1], reinterpret_cast<float*>(numbers[w]),
                      reinterpret_cast<float*>(numbers[w + 1]));
        }
        break;
      case FJ_RANDOM_INTEGER:
        for (int i = 0; i < kCounters; i += kWidth) {
          const VecI high = multiply_wide(load_words(from + i), static_cast<uint32_t>(attrs.range)).high;
          store_words(numbers[w] + i, broadcast_int(attrs.low) + high);
        }
        break;
      case FJ_RANDOM_MASK:
        for (int i = 0; i < kCounters; i += kWidth) {
          const Mask dropped = broadcast_int(attrs.range) > shift_right<8>(load_words(from + i));
          store_words(numbers[w] + i, select(dropped, broadcast_int(0), broadcast_int(1)));
        }
        break;
      default:
        for (int i = 0; i < kCounters; i += kWidth) store(reinterpret_cast<float*>(numbers[w]) + i, unit(from + i));
    }
  }
  for (int i = 0; i < kCounters; i++) {
    for (int w = 0; w < 4; w++) out[4 * i + w] = numbers[w][i];
  }
}

void run_random(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_random_attrs>();
  const Operand& y = call.out[0];
  const uint32_t* state = call.in[0].as<const uint32_t>();
  int64_t count = 1;
  for (int axis = 0; axis < y.value->rank; axis++) count *= y.value->dims[axis];
  const Range range = split(count, team, 16 * kChunk);
  for (int64_t at = range.begin; at < range.end; at += kChunk) {
    const int n = static_cast<int>(smaller(kChunk, range.end - at));
    Words words;
    uint32_t numbers[kChunk];
    philox(static_cast<uint32_t>(at / 4), static_cast<uint32_t>(attrs.stream), state, words);
    make_numbers(attrs, words, numbers);
    if (attrs.kind == FJ_RANDOM_MASK) {
      uint8_t* __restrict to = y.as<uint8_t>() + at;
      for (int i = 0; i < n; i++) to[i] = static_cast<uint8_t>(numbers[i]);
    } else {
      memcpy(y.as<uint32_t>() + at, numbers, static_cast<size_t>(n) * 4);
    }
  }
}

}  // namespace

void register_random(KernelTable& table) {
  table.add({FJ_OP_RANDOM, 0, "random philox", run_random, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
