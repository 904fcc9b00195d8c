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

// All lanes get the result, or of each kLanes neighbours theirs.
template <int kLanes = kWarp, class T, class Join>
__device__ __forceinline__ T join_warp(T value, const Join& join) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value = join(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// All threads of a group get the result: part of a warp, a warp, or a whole block of a multiple of 32 threads in one
// dimension, whose `shared` holds one value a warp. Blocks may call it again with the same memory.
template <int kGroup, class T, class Join>
__device__ __forceinline__ T join_group(T value, const Join& join, T* shared) {
  value = join_warp<(kGroup < kWarp ? kGroup : kWarp)>(value, join);
  if constexpr (kGroup > kWarp) {
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    __syncthreads();  // the last use of `shared` is over
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    value = shared[0];
    for (int i = 1; i < kGroup / kWarp; i++) value = join(value, shared[i]);
  }
  return value;
}

}  // namespace forja::cuda
