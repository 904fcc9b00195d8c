// Step 2 of conv_winograd.h: filters to their planes.
#include "conv_winograd.h"

namespace forja::FJ_ISA {
namespace {

// The nine taps of kWidth output channels, one input channel after the other.
struct FilterTaps {
  const float* first;
  int64_t r, s, c;  // floats from one tap row, tap column, channel to the next
};

// U of `count` input channels (a multiple of a line; zeros beyond the filter's) for one vector of output channels.
template <class S>
__attribute__((noinline)) void transform_filters(const FilterTaps& taps, int64_t channels, int64_t count, Mask lanes,
                                                 float* u, int64_t plane) {
  constexpr int64_t kAhead = 8;  // channels: taps come from places far apart, which the hardware does not foresee
  for_phases<S::kStride>([&](auto phase_i, auto phase_j) FJ_LAMBDA {
    constexpr int kTapRows = S::taps(phase_i), kTapColumns = S::taps(phase_j);
    constexpr int kRows = S::kTile + kTapRows - 1, kColumns = S::kTile + kTapColumns - 1;
    const float* w = taps.first + phase_i * taps.r + phase_j * taps.s;
    for (int64_t c = 0; c < count; c++, w += taps.c) {
      const Mask mask = c < channels ? lanes : tail_mask(0);
      transform_2d<kTapRows, kTapColumns, kRows, kColumns>(
          [&](auto i, auto j) FJ_LAMBDA {
            const float* tap = w + S::kStride * i * taps.r + S::kStride * j * taps.s;
            __builtin_prefetch(tap + kAhead * taps.c);
            return load_masked(mask, tap);
          },
          [](const Vec(&column)[kTapRows], Vec(&o)[kRows])
              FJ_LAMBDA { Winograd<S::kTile, kTapRows>::filter(column, o); },
          [](const Vec(&row)[kTapColumns], Vec(&o)[kColumns])
              FJ_LAMBDA { Winograd<S::kTile, kTapColumns>::filter(row, o); },
          [&](auto i, auto j, Vec v) FJ_LAMBDA {
            const int point = S::plane(S::kStride, i, j, phase_i, phase_j);
            store(u + c * kTileCols + point * plane, v);
          });
    }
  });
}

}  // namespace

template <class S>
void make_filters(const WinogradFilters& w, int64_t panel, Range lines, float* u, int64_t plane) {
  const int64_t count = lines.end - lines.begin, channels = smaller(count, w.channels - lines.begin);
  for (int64_t j = 0; j < kTileCols; j += kWidth) {
    const int64_t column = panel * kTileCols + j;
    if (column >= w.k) break;
    const Mask lanes = tail_mask(w.k - column);
    const float* first = w.first + lines.begin * w.f_c + column * w.f_k;
    if (w.f_k == 1) {
      transform_filters<S>({first, w.f_r, w.f_s, w.f_c}, channels, count, lanes, u + j, plane);
      continue;
    }
    // Output channels are far apart: nine blocks of them are transposed at a time.
    constexpr int64_t kBlock = kWidth * kWidth;
    float block[9 * kBlock];
    const int64_t rows = smaller(kWidth, w.k - column);
    for (int64_t c = 0; c < count; c += kWidth) {
      const int64_t columns = smaller(kWidth, channels - c);
      for (int tap = 0; columns > 0 && tap < 9; tap++) {
        const float* from = first + tap / 3 * w.f_r + tap % 3 * w.f_s + c;
        pack_transposed(rows, columns, from, w.f_k, block + tap * kBlock, kWidth);
      }
      transform_filters<S>({block, 3 * kBlock, kBlock, kWidth}, columns, kWidth, lanes, u + c * kTileCols + j, plane);
    }
  }
}

template void make_filters<Scheme<2, 1>>(const WinogradFilters&, int64_t, Range, float*, int64_t);
template void make_filters<Scheme<4, 1>>(const WinogradFilters&, int64_t, Range, float*, int64_t);
template void make_filters<Scheme<4, 2>>(const WinogradFilters&, int64_t, Range, float*, int64_t);

}  // namespace forja::FJ_ISA
