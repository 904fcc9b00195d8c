// One row of logits at a time: its largest element, and the sum of exponentials below it. Shared by softmax.cu and
// cross_entropy.cu; the twin of native/cpu/softmax.h. A row belongs to a group of kGroup threads: a warp, or for long
// rows the block.
#pragma once

#include "device/block.cuh"
#include "kernel.cuh"

namespace forja::cuda {

constexpr int64_t kWarpColumns = 1024;  // longer rows get a block

template <int kGroup>
struct Row {
  int64_t row;
  int thread;  // in the group

  __device__ __forceinline__ Row()
      : row(static_cast<int64_t>(blockIdx.x) * (kThreads / kGroup) + threadIdx.x / kGroup),
        thread(threadIdx.x % kGroup) {}

  // Largest of n elements, -infinity for none; anything where one is NaN.
  __device__ __forceinline__ float max(const float* x, int64_t n) const {
    __shared__ float shared[kGroup / kWarp];
    float m = -INFINITY;
    for (int64_t i = thread; i < n; i += kGroup) m = Larger()(x[i], m);
    return join_group<kGroup>(m, Larger(), shared);
  }

  // The sum of term(i) over i < n, in float64: long rows lose no digits.
  template <class F>
  __device__ __forceinline__ double sum(int64_t n, const F& term) const {
    __shared__ double shared[kGroup / kWarp];
    double total = 0;
    for (int64_t i = thread; i < n; i += kGroup) total += static_cast<double>(term(i));
    return join_group<kGroup>(total, Add(), shared);
  }
};

// log sum exp(x) = shift + log_sum, kept apart: of large logits only the difference to the shift is exact. An infinite
// maximum is the answer itself.
struct LogSumExp {
  float shift, log_sum;
};

template <int kGroup>
__device__ __forceinline__ LogSumExp log_sum_exp(const Row<kGroup>& row, const float* x, int64_t n) {
  const float m = row.max(x, n);
  if (m == -INFINITY || m == INFINITY) return {m, 0};  // the same for the whole group
  const double sum = row.sum(n, [=](int64_t i) { return expf(x[i] - m); });
  return {m, logf(static_cast<float>(sum))};
}

// Calls f(std::integral_constant<int, kGroup>, blocks) for rows of this length.
template <class F>
void with_group(int64_t rows, int64_t columns, const F& f) {
  if (columns <= kWarpColumns) {
    f(std::integral_constant<int, kWarp>(), ceil_div(rows, kThreads / kWarp));
  } else {
    f(std::integral_constant<int, kThreads>(), rows);
  }
}

}  // namespace forja::cuda
