// One row of logits at a time: its largest element, and the sum of exponentials below it. Shared by softmax.cc and
// cross_entropy.cc.
#pragma once

#include "kernel.h"
#include "simd/math.h"

namespace forja::FJ_ISA {

constexpr int64_t kRowBlock = 4096;  // terms added in float32 lanes before float64 takes over

// For split(), where a row has one result: those of a cache line are one thread's, but of long rows, whose time is more
// than that of a line that threads share.
FJ_INLINE int64_t row_grain(int64_t columns) { return columns < 256 ? kLineFloats : 1; }

FJ_INLINE float first_lane(Vec x) {
  float lanes[kWidth];
  store(lanes, x);
  return lanes[0];
}

// Largest of n elements, -infinity for none; anything where one is NaN.
FJ_INLINE float row_max(const float* x, int64_t n) {
  Vec m = broadcast(-INFINITY);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) m = max(m, load(x + i));
  if (i < n) {
    const Mask rest = tail_mask(n - i);
    m = select(rest, max(m, load_masked(rest, x + i)), m);
  }
  return reduce_max(m);
}

// Σ over n elements of term(x[i..], i, left): a vector of terms, of which the first `left` count.
template <class F>
FJ_INLINE double row_sum(const float* x, int64_t n, const F& term) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kRowBlock) {
    const int64_t end = smaller(begin + kRowBlock, n);
    Vec sum = zero();
    int64_t i = begin;
    for (; i + kWidth <= end; i += kWidth) sum = sum + term(load(x + i), i, kWidth);
    if (i < end) {
      const Mask rest = tail_mask(end - i);
      sum = sum + select(rest, term(load_masked(rest, x + i), i, end - i), zero());
    }
    total += static_cast<double>(reduce_add(sum));
  }
  return total;
}

FJ_INLINE Vec load_part(const float* p, int64_t n) { return n >= kWidth ? load(p) : load_masked(tail_mask(n), p); }
FJ_INLINE void store_part(float* p, int64_t n, Vec x) {
  if (n >= kWidth) {
    store(p, x);
  } else {
    store_masked(p, tail_mask(n), x);
  }
}

// log Σ exp(x) = shift + log_sum, kept apart: of large logits only the difference to the shift is exact.
struct LogSumExp {
  float shift, log_sum;
};

// `shift`: the row's largest element; log_sum is NaN where that is infinite.
FJ_INLINE LogSumExp row_log_sum_exp(const float* x, int64_t n, float shift) {
  const Vec all = broadcast(shift);
  const double sum = row_sum(x, n, [&](Vec v, int64_t, int64_t) FJ_LAMBDA { return vexp(v - all); });
  return {shift, first_lane(vlog(broadcast(static_cast<float>(sum))))};
}

}  // namespace forja::FJ_ISA
