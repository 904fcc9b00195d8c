// Moving elements between strided places: what transpose, slice and concat are made of. The twin of
// native/cpu/strided.h. Elements are moved, never computed with, so only their size matters.
#pragma once

#include "device/divide.cuh"
#include "kernel.cuh"

namespace forja::cuda {

// Loops on the device; I: int where there are less than 2^31 combinations, which divides by multiplication.
template <class I>
struct Walk {
  int count = 0;
  I size[FJ_MAX_RANK];
  Divide<I> by[FJ_MAX_RANK];
  int64_t from[FJ_MAX_RANK], to[FJ_MAX_RANK];

  Walk() = default;
  explicit Walk(const Loops& loops) : count(loops.count) {
    for (int i = 0; i < count; i++) {
      size[i] = static_cast<I>(loops.size[i]), by[i] = Divide<I>(loops.size[i]);
      from[i] = loops.from[i], to[i] = loops.to[i];
    }
  }
  // Counts steps in units of so many elements, which all are multiples of.
  void in_units(int64_t elements) {
    for (int i = 0; i < count; i++) from[i] /= elements, to[i] /= elements;
  }
  // Offsets of a combination.
  __device__ __forceinline__ void offsets(I index, int64_t& x, int64_t& y) const {
    x = y = 0;
#pragma unroll 1
    for (int i = count - 1; i >= 0; i--) {
      const I quotient = i > 0 ? by[i](index) : 0;
      const auto at = static_cast<int64_t>(index - quotient * size[i]);
      x += at * from[i], y += at * to[i];
      index = quotient;
    }
  }
};

constexpr int kMoves = 4;  // elements of a thread, whose loads are under way together

template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    move_kernel(T* y, const T* x, const __grid_constant__ Walk<I> walk, int64_t count) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads * kMoves + threadIdx.x;
  T v[kMoves];
  int64_t to[kMoves];
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    const int64_t index = first + k * kThreads;
    if (index >= count) break;
    int64_t from;
    walk.offsets(static_cast<I>(index), from, to[k]);
    v[k] = x[from];
  }
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    if (first + k * kThreads < count) y[to[k]] = v[k];
  }
}

template <class T>
void move_all(Launcher& launcher, const Loops& loops, void* y, const void* x) {
  const int64_t count = loops.combinations(), blocks = ceil_div(count, kThreads * kMoves);
  const auto with = [&](auto index) {
    using I = decltype(index);
    launch(launcher, move_kernel<T, I>, blocks, kThreads, static_cast<T*>(y), static_cast<const T*>(x), Walk<I>(loops),
           count);
  };
  if (count < INT32_MAX) return with(int{});
  with(int64_t{});
}

// f(T{}) with T an unsigned type of `size` bytes.
template <class F>
void with_size(int64_t size, const F& f) {
  switch (size) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

inline bool is_multiple(const void* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

// Whether all steps but those of loop `but` keep to multiples of n elements.
inline bool steps_in(const int64_t* steps, const Loops& loops, int but, int64_t n) {
  for (int i = 0; i < loops.count; i++) {
    if (i != but && steps[i] % n != 0) return false;
  }
  return true;
}

// Every element of the loops from x to y, whose first elements are given. Where the innermost loop runs along both,
// neighbours move together, up to 16 bytes.
inline void move_all(Launcher& launcher, Loops& loops, void* y, const void* x, int64_t size) {
  loops.collapse();
  const int last = loops.count - 1;
  while (last >= 0 && loops.from[last] == 1 && loops.to[last] == 1 && loops.size[last] % 2 == 0 && size < 16 &&
         steps_in(loops.from, loops, last, 2) && steps_in(loops.to, loops, last, 2) && is_multiple(x, 2 * size) &&
         is_multiple(y, 2 * size)) {
    size *= 2, loops.size[last] /= 2;
    for (int i = 0; i < last; i++) loops.from[i] /= 2, loops.to[i] /= 2;
  }
  if (size == 16) return move_all<uint4>(launcher, loops, y, x);
  with_size(size, [&](auto element) { move_all<decltype(element)>(launcher, loops, y, x); });
}

// As move_all, for loops whose innermost does not run along x: tile by tile through shared memory where it can
// (shape.cu).
void transpose(Launcher& launcher, Loops& loops, void* y, const void* x, int64_t size);

}  // namespace forja::cuda
