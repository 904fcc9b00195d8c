// Sums of one row of a layer normalisation, and what they make of it (layer_norm.cc). In a first look at the row its
// mean is found in float32, in a second one the squares, g and g * x about that, and what it misses of the true mean: a
// large mean costs no digits.
#pragma once

#include <cmath>

#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {

constexpr int kUnroll = 4;  // vectors summed side by side
constexpr int kRun = 4;     // short rows taken at once

// Of a chunk or a row; squares and gx about its own mean.
struct Moments {
  double mean, squares;  // sum (x - mean)^2
  double g, gx;          // sum g, sum g * (x - mean)
};

// f(accumulator, i, lanes, whether they are all) over vectors of n elements.
template <int kLanes, class F>
FJ_INLINE void over_vectors(int64_t n, const F& f) {
  const Mask all = tail_mask(kWidth);
  int64_t i = 0;
  for (; kLanes > 1 && i + kLanes * kWidth <= n; i += kLanes * kWidth) {
    unroll<kLanes>([&](auto v) FJ_LAMBDA { f(v, i + v * kWidth, all, true); });
  }
  for (; i + kWidth <= n; i += kWidth) f(Index<0>{}, i, all, true);
  if (i < n) f(Index<0>{}, i, tail_mask(n - i), false);
}

template <int kLanes>
struct Sum {
  Vec lanes[kLanes];
  FJ_INLINE_MEMBER Sum() {
    unroll<kLanes>([&](auto v) FJ_LAMBDA { lanes[v] = zero(); });
  }
  FJ_INLINE_MEMBER Vec total() const {
    Vec sum = lanes[0];
    unroll<kLanes - 1>([&](auto v) FJ_LAMBDA { sum = sum + lanes[v + 1]; });
    return sum;
  }
};

// What is to be known of a row to write it: h = (x - mean) * s + offset, dx = s * g + p * h + q.
struct Normal {
  float mean, s, offset, p, q;
};

FJ_INLINE Normal normal_of(const Moments& m, int64_t columns, float eps) {
  const double count = static_cast<double>(columns);
  const double s = 1 / std::sqrt((m.squares > 0 ? m.squares : 0 * m.squares) / count + static_cast<double>(eps));
  const auto mean = static_cast<float>(m.mean);
  return {mean, static_cast<float>(s), static_cast<float>((static_cast<double>(mean) - m.mean) * s),
          static_cast<float>(-s * s * m.gx / count), static_cast<float>(-s * m.g / count)};
}

// Columns of a row: x, and for the gradient dy and gamma, or null.
struct Columns {
  const float *x, *dy, *gamma;
};

// Sums about `shift` of a row's d = x - shift: of d, d^2, for the gradient of g and g * d too. kLanes sums side by
// side.
template <bool kGrad, int kLanes>
struct Deviations {
  Sum<kLanes> rest, squares, g, gx;

  FJ_INLINE_MEMBER Deviations(const Columns& row, int64_t n, Vec shift) {
    over_vectors<kLanes>(n, [&](auto v, int64_t i, Mask m, bool whole) FJ_LAMBDA {
      Vec d = load_lanes(row.x + i, m, whole) - shift;
      if (!whole) d = select(m, d, zero());
      rest.lanes[v] = rest.lanes[v] + d;
      squares.lanes[v] = fma(d, d, squares.lanes[v]);
      if constexpr (kGrad) {
        Vec own = load_lanes(row.dy + i, m, whole);
        if (row.gamma) own = own * load_lanes(row.gamma + i, m, whole);
        g.lanes[v] = g.lanes[v] + own;
        gx.lanes[v] = fma(own, d, gx.lanes[v]);
      }
    });
  }
};

template <int kLanes>
FJ_INLINE Vec lanes_of(const float* x, int64_t n) {
  Sum<kLanes> sum;
  over_vectors<kLanes>(n, [&](auto v, int64_t i, Mask m, bool whole)
                              FJ_LAMBDA { sum.lanes[v] = sum.lanes[v] + load_lanes(x + i, m, whole); });
  return sum.total();
}

template <bool kGrad>
FJ_INLINE Moments moments_of(const Columns& row, int64_t n) {
  const float mean = reduce_add(lanes_of<kUnroll>(row.x, n)) / static_cast<float>(n);
  const Deviations<kGrad, kUnroll> sums(row, n, broadcast(mean));
  const auto total = [](const auto& sum) FJ_LAMBDA { return static_cast<double>(reduce_add(sum.total())); };
  const double missed = total(sums.rest), shifted = missed / static_cast<double>(n);
  Moments result{static_cast<double>(mean) + shifted, total(sums.squares) - missed * shifted, 0, 0};
  if constexpr (kGrad) {
    result.g = total(sums.g);
    result.gx = total(sums.gx) - result.g * shifted;
  }
  return result;
}

// As normal_of(moments_of(row)) for kRun short rows at once, a row to a lane: one row's sums and square root would be
// waited for longer than it takes to read it.
template <bool kGrad>
FJ_INLINE void normals_of(const Columns (&rows)[kRun], int64_t n, float eps, Normal (&normals)[kRun]) {
  const Vec part = broadcast(1.0f / static_cast<float>(n));
  Vec sums[kRun], rest[kRun], squares[kRun], g[kRun], gx[kRun];
  float lanes[5][kWidth];
  unroll<kRun>([&](auto r) FJ_LAMBDA { sums[r] = lanes_of<1>(rows[r].x, n); });
  store(lanes[0], reduce_add_each(sums) * part);
  unroll<kRun>([&](auto r) FJ_LAMBDA {
    const Deviations<kGrad, 1> of_row(rows[r], n, broadcast(lanes[0][r]));
    rest[r] = of_row.rest.total();
    squares[r] = of_row.squares.total();
    g[r] = of_row.g.total();
    gx[r] = of_row.gx.total();
  });
  const Vec missed = reduce_add_each(rest) * part;
  const Vec variance = max(zero(), fnma(missed, missed, reduce_add_each(squares) * part));
  const Vec s = broadcast(1) / sqrt(variance + broadcast(eps));
  store(lanes[1], s);
  store(lanes[2], -(missed * s));
  if constexpr (kGrad) {
    const Vec mean_g = reduce_add_each(g) * part;
    store(lanes[3], -(s * s * fnma(mean_g, missed, reduce_add_each(gx) * part)));
    store(lanes[4], -(s * mean_g));
  }
  for (int r = 0; r < kRun; r++) {
    normals[r] = {lanes[0][r], lanes[1][r], lanes[2][r], kGrad ? lanes[3][r] : 0, kGrad ? lanes[4][r] : 0};
  }
}

}  // namespace forja::FJ_ISA
