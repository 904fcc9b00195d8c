// Planes to pixels: rows of numbers, one a channel, become one row in which a pixel's channels lie side by side.
#pragma once

#include "vec.h"

namespace forja::FJ_ISA {

// Which pixel, counted from the vector's first, and channel each lane of a vector is; after `count` vectors the pattern
// repeats. `step`: pixels from a vector's first to the next one's. For fewer channels than lanes.
struct Weave {
  int32_t pixel[kWidth][kWidth], channel[kWidth][kWidth];
  int32_t step[kWidth];
  int count = 0;

  FJ_INLINE_MEMBER explicit Weave(int64_t channels) {
    const int32_t end = static_cast<int32_t>(channels);
    int32_t c = 0;
    do {
      int32_t p = 0;
      for (int lane = 0; lane < kWidth; lane++) {
        pixel[count][lane] = p, channel[count][lane] = c;
        if (++c == end) c = 0, p++;
      }
      step[count++] = p;
    } while (c != 0);
  }
};

// put(first float, vector) for all vectors of `pixels` pixels of K channels, whose planes are `plane` floats apart;
// kWidth floats of a plane can be read past its end.
template <int K, class Put>
FJ_INLINE void weave(const Weave& pattern, const float* planes, int64_t plane, int64_t pixels, const Put& put) {
  int phase = 0;
  for (int64_t at = 0; at < pixels * K; at += kWidth) {
    const VecI pixel = load_int(pattern.pixel[phase]), channel = load_int(pattern.channel[phase]);
    Vec v = permute(load(planes), pixel);
    unroll<K - 1>([&](auto k) FJ_LAMBDA {
      v = select(channel == broadcast_int(k + 1), permute(load(planes + (k + 1) * plane), pixel), v);
    });
    planes += pattern.step[phase];
    phase = phase + 1 == pattern.count ? 0 : phase + 1;
    put(at, v);
  }
}

}  // namespace forja::FJ_ISA
