// Joining values over the threads of a warp or a block, in an order that depends on the numbers of the threads only.
#pragma once

#include "../launch.cuh"

namespace forja::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;

struct Add {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// Anything where one is NaN.
struct Larger {
  __device__ __forceinline__ float operator()(float a, float b) const { return a > b ? a : b; }
};

// All of kLanes neighbouring lanes get the result.
template <int kLanes = kWarp, class T, class Join>
__device__ __forceinline__ T join_warp(T value, const Join& join) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value = join(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// All threads of a group get the results: part of a warp, a warp, or several of a block in one dimension, whose threads
// come here together then and whose `shared` holds N values a warp. Blocks may call it again with the same memory.
template <int kGroup, int N, class T, class Join>
__device__ __forceinline__ void join_group(T (&values)[N], const Join& join, T* shared) {
#pragma unroll
  for (int k = 0; k < N; k++) values[k] = join_warp<(kGroup < kWarp ? kGroup : kWarp)>(values[k], join);
  if constexpr (kGroup > kWarp) {
    constexpr int kWarps = kGroup / kWarp;
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, first = threadIdx.x / kGroup * kWarps;
    __syncthreads();  // the last use of `shared` is over
#pragma unroll
    for (int k = 0; k < N; k++) {
      if (lane == 0) shared[warp * N + k] = values[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; k++) {
      values[k] = shared[first * N + k];
      for (int i = 1; i < kWarps; i++) values[k] = join(values[k], shared[(first + i) * N + k]);
    }
  }
}

template <int kGroup, class T, class Join>
__device__ __forceinline__ T join_group(T value, const Join& join, T* shared) {
  T values[1] = {value};
  join_group<kGroup>(values, join, shared);
  return values[0];
}

}  // namespace forja::cuda
