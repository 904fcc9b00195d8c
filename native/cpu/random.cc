// Random numbers by counter: Philox4x32-10, element i of the output from word i of the stream. lib/ops/random.ts says
// what the counters are and how words become numbers. A thread makes the blocks of its share; nothing depends on how
// the output is shared out.
#include <cstring>

#include "kernel.h"
#include "simd/math.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kCounters = 16;          // made at once
constexpr int kChunk = 4 * kCounters;  // elements

// The four words of kCounters counters, words[w][i] of counter `first` + i.
struct Words {
  uint32_t w[4][kCounters];
};

// state: seed low, seed high, draw, domain.
void philox(uint32_t first, uint32_t stream, const uint32_t* state, Words& words) {
  uint32_t c0[kCounters], c1[kCounters], c2[kCounters], c3[kCounters];
  for (int i = 0; i < kCounters; i++) {
    c0[i] = first + static_cast<uint32_t>(i);
    c1[i] = stream;
    c2[i] = state[2];
    c3[i] = state[3];
  }
  uint32_t k0 = state[0], k1 = state[1];
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < kCounters; i++) {
      const uint64_t p0 = uint64_t{0xd2511f53} * c0[i], p1 = uint64_t{0xcd9e8d57} * c2[i];
      c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<uint32_t>(p1);
      c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  memcpy(words.w[0], c0, sizeof(c0));
  memcpy(words.w[1], c1, sizeof(c1));
  memcpy(words.w[2], c2, sizeof(c2));
  memcpy(words.w[3], c3, sizeof(c3));
}

FJ_INLINE Vec unit(const uint32_t* words) {
  return to_float(shift_right<8>(load_int(reinterpret_cast<const int32_t*>(words)))) * broadcast(0x1p-24f);
}

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
        for (int i = 0; i < kCounters; i++) {
          const uint64_t product = uint64_t{from[i]} * static_cast<uint32_t>(attrs.range);
          numbers[w][i] = static_cast<uint32_t>(attrs.low) + static_cast<uint32_t>(product >> 32);
        }
        break;
      case FJ_RANDOM_MASK:
        for (int i = 0; i < kCounters; i++) {
          numbers[w][i] = static_cast<int32_t>(from[i] >> 8) >= attrs.range ? 1 : 0;
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
      for (int i = 0; i < n; i++) y.as<uint8_t>()[at + i] = static_cast<uint8_t>(numbers[i]);
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
