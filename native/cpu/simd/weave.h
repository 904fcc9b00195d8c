// Planes to pixels: rows of numbers, one a channel, become one row in which a pixel's channels lie side by side.
#pragma once

#include "vec.h"

namespace forja::FJ_ISA {

// kWidth pixels of K channels are K vectors. Lane i of the j-th is number j * kWidth + i, so channel % K of pixel / K
// of it: `pair`: which two planes the channel is of; `lane`: the pixel's lane in the first of them, or + kWidth in the
// second.
template <int K>
struct WeavePattern {
  int32_t pair[K][kWidth] = {}, lane[K][kWidth] = {};

  constexpr WeavePattern() {
    for (int i = 0; i < K * kWidth; i++) {
      pair[i / kWidth][i % kWidth] = i % K / 2;
      lane[i / kWidth][i % kWidth] = i / K + i % K % 2 * kWidth;
    }
  }
};

// put(first float, vector) for all vectors of `pixels` pixels of K channels, whose planes are `plane` floats apart and
// are read in whole vectors.
template <int K, class Put>
FJ_INLINE void weave(const float* planes, int64_t plane, int64_t pixels, const Put& put) {
  static constexpr WeavePattern<K> kPattern;
  for (int64_t first = 0; first < pixels; first += kWidth) {
    Vec rows[K];
    unroll<K>([&](auto k) FJ_LAMBDA { rows[k] = load(planes + k * plane + first); });
    unroll<K>([&](auto j) FJ_LAMBDA {
      const int64_t at = first * K + j * kWidth;
      if (at >= pixels * K) return;
      const VecI pair = load_int(kPattern.pair[j]), lane = load_int(kPattern.lane[j]);
      Vec v = permute(rows[0], rows[K > 1 ? 1 : 0], lane);
      unroll<(K - 1) / 2>([&](auto p) FJ_LAMBDA {
        const int a = 2 * p + 2, b = a + 1 < K ? a + 1 : a;
        v = select(pair == broadcast_int(p + 1), permute(rows[a], rows[b], lane), v);
      });
      put(at, v);
    });
  }
}

}  // namespace forja::FJ_ISA
