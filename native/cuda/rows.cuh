// One row at a time, for softmax.cu, cross_entropy.cu and layer_norm.cu; of logits the largest element, and the sum of
// exponentials below it, the twin of native/cpu/softmax.h. A row belongs to a group of kGroup threads: eight of a warp,
// up to eight warps, or for long rows a large block.
//
// Bound by memory, so a row is walked in strides of kGroup * kPer elements, whose loads are all under way before the
// first one is used: up to 128 bytes a thread, 128 bits at a time where the length allows. A row of one stride stays in
// the threads' registers from the first pass over it to the last, so memory is read once up to 32768 columns; longer
// rows come from the second-level cache again, since so few of them are under way.
#pragma once

#include "device/block.cuh"
#include "device/element.cuh"
#include "kernel.cuh"

namespace forja::cuda {

// All axes of a value but the last, and the last.
struct Rows {
  int64_t count, columns;
  explicit Rows(const fj_value& x) : count(element_count(x, 0, x.rank - 1)), columns(x.dims[x.rank - 1]) {}
};

// How threads lie over rows: kGroup to each, V neighbouring elements in a load, kPer elements of a stride.
template <int kGroup_, int kPer_, int V_>
struct Lie {
  static constexpr int kGroup = kGroup_, kPer = kPer_, V = V_;
  static constexpr int kBlock = kGroup > kThreads ? kGroup : kThreads, kRows = kBlock / kGroup;
  static constexpr int64_t kStride = static_cast<int64_t>(kGroup) * kPer;
};

// The row of this thread's group, one of (rows, n). Groups without a row have one of no elements, since a warp's lanes
// stay together.
template <class L>
struct Row {
  int64_t row, n;
  int thread;  // in the group

  __device__ __forceinline__ Row(int64_t rows, int64_t columns)
      : Row(static_cast<int64_t>(blockIdx.x) * L::kRows, rows, columns) {}
  // `first`: the row of the block's first group.
  __device__ __forceinline__ Row(int64_t first, int64_t rows, int64_t columns)
      : row(first + threadIdx.x / L::kGroup), n(row < rows ? columns : 0), thread(threadIdx.x % L::kGroup) {}

  // Whether element i is one of this thread's.
  __device__ __forceinline__ bool holds(int64_t i) const { return i / L::V % L::kGroup == thread; }

  // f(i, k) for each V elements i.. of the stride that begins at `first`, the k-th.. of this thread.
  template <class F>
  __device__ __forceinline__ void packs(int64_t first, const F& f) const {
#pragma unroll
    for (int k = 0; k < L::kPer; k += L::V) {
      const int64_t i = first + k * L::kGroup + thread * L::V;
      if (i < n) f(i, k);
    }
  }
  // f(i, k) for each element.
  template <class F>
  __device__ __forceinline__ void each(int64_t first, const F& f) const {
    packs(first, [&](int64_t i, int k) {
#pragma unroll
      for (int j = 0; j < L::V; j++) f(i + j, k + j);
    });
  }
  template <class E>
  __device__ __forceinline__ void load(const E* x, int64_t first, float* v) const {
    if constexpr (sizeof(E) == sizeof(float)) {
      packs(first, [&](int64_t i, int k) { read_pack<L::V>(x + row * n + i, v + k); });
    } else {
      Raw<L::V, E> raw[L::kPer / L::V];
      packs(first, [&](int64_t i, int k) { raw[k / L::V].read(x + row * n + i); });
      each(first, [&](int64_t, int k) { v[k] = raw[k / L::V][k % L::V]; });
    }
  }
  // Of two maps, whose loads are under way together.
  template <class E>
  __device__ __forceinline__ void load(const E* x, const E* y, int64_t first, float* v, float* w) const {
    if constexpr (sizeof(E) == sizeof(float)) {
      load(x, first, v);
      load(y, first, w);
    } else {
      Raw<L::V, E> a[L::kPer / L::V], b[L::kPer / L::V];
      packs(first, [&](int64_t i, int k) {
        a[k / L::V].read(x + row * n + i);
        b[k / L::V].read(y + row * n + i);
      });
      each(first, [&](int64_t, int k) {
        v[k] = a[k / L::V][k % L::V];
        w[k] = b[k / L::V][k % L::V];
      });
    }
  }
  template <class E>
  __device__ __forceinline__ void store(E* y, int64_t first, const float* v) const {
    packs(first, [&](int64_t i, int k) { write_floats<L::V>(y + row * n + i, v + k); });
  }

  // f(first) for each stride; before that load(first), but where an earlier pass has loaded all there is.
  template <class Load, class F>
  __device__ __forceinline__ void walk(bool again, const Load& load, const F& f) const {
    for (int64_t first = 0; first < n; first += L::kStride) {
      if (!again || n > L::kStride) load(first);
      f(first);
    }
  }

  __device__ __forceinline__ float max_of(float own) const {
    __shared__ float shared[L::kBlock / kWarp];
    return join_group<L::kGroup>(own, Larger(), shared);
  }
  template <int N>
  __device__ __forceinline__ void sum_of(double (&own)[N]) const {
    __shared__ double shared[N * L::kBlock / kWarp];
    join_group<L::kGroup>(own, Add(), shared);
  }
  __device__ __forceinline__ double sum_of(double own) const {
    double sums[1] = {own};
    sum_of(sums);
    return sums[0];
  }
};

// A row of x, which is (rows, n), as the passes of softmax want it.
template <class L>
struct Logits {
  const Row<L>& at;
  const float* x;
  float v[L::kPer];

  __device__ __forceinline__ Logits(const Row<L>& at, const float* x) : at(at), x(x) {}

  // f(i, x[i]) for this thread's elements; `again`: not the first pass.
  template <class F>
  __device__ __forceinline__ void each(bool again, const F& f) {
    at.walk(
        again, [&](int64_t first) { at.load(x, first, v); },
        [&](int64_t first) { at.each(first, [&](int64_t i, int k) { f(i, v[k]); }); });
  }
  // y[i] = f(i, x[i]) in row `at` of y.
  template <class F>
  __device__ __forceinline__ void map(bool again, float* y, const F& f) {
    at.walk(
        again, [&](int64_t first) { at.load(x, first, v); },
        [&](int64_t first) {
          at.each(first, [&](int64_t i, int k) { v[k] = f(i, v[k]); });
          at.store(y, first, v);
        });
  }

  // The first pass: the largest element, -infinity for none; anything where one is NaN.
  __device__ __forceinline__ float max() {
    float m = -INFINITY;
    each(false, [&](int64_t, float value) { m = Larger()(value, m); });
    return at.max_of(m);
  }
  // A later pass: the sum of term(i, x[i]), in float64: long rows lose no digits.
  template <class F>
  __device__ __forceinline__ double sum(const F& term) {
    double total = 0;
    each(true, [&](int64_t i, float value) { total += static_cast<double>(term(i, value)); });
    return at.sum_of(total);
  }
};

// log sum exp(x) = shift + log_sum, kept apart: of large logits only the difference to the shift is exact.
struct LogSumExp {
  float shift, log_sum;
};

// `shift`: the row's largest element; log_sum is NaN where that is infinite.
template <class L>
__device__ __forceinline__ LogSumExp log_sum_exp(Logits<L>& x, float shift) {
  const double sum = x.sum([=](int64_t, float value) { return expf(value - shift); });
  return {shift, logf(static_cast<float>(sum))};
}

// Calls f(Lie, blocks) for rows of E of this length, with kPer elements of a stride to a thread, or fewer where rows
// are short; the group is as large as it takes for a thread to have no more than kMost of a row, up to kLargest
// threads.
template <class E, int kPer, int kMost = kPer, int kLargest = 1024, class F>
void with_rows(const Rows& rows, const F& f) {
  constexpr int kFew = kPack<E>;
  const int64_t columns = rows.columns;
  const auto group = [&](auto size, auto per) {
    constexpr int kGroup = decltype(size)::value, kElements = decltype(per)::value;
    const int64_t blocks = ceil_div(rows.count, Lie<kGroup, kElements, 1>::kRows);
    if (columns % kPack<E> == 0) return f(Lie<kGroup, kElements, kPack<E>>(), blocks);
    f(Lie<kGroup, kElements, 1>(), blocks);
  };
  using Few = std::integral_constant<int, kFew>;
  using Many = std::integral_constant<int, kPer>;
  if (columns <= 8 * kFew) return group(std::integral_constant<int, 8>(), Few());
  if (columns <= kWarp * kFew) return group(std::integral_constant<int, kWarp>(), Few());
  if (columns <= kWarp * kMost) return group(std::integral_constant<int, kWarp>(), Many());
  if (columns <= 64 * kMost) return group(std::integral_constant<int, 64>(), Many());
  if (columns <= 128 * kMost) return group(std::integral_constant<int, 128>(), Many());
  if (columns <= kThreads * kMost) return group(std::integral_constant<int, kThreads>(), Many());
  group(std::integral_constant<int, kLargest>(), Many());
}

}  // namespace forja::cuda
