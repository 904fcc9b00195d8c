// Moving elements between strided places: what transpose, slice and concat are made of. The twin of
// native/cpu/strided.h. Elements are moved, never computed with, so only their size matters.
#pragma once

#include "kernel.cuh"

namespace forja::cuda {

// Offsets of combination `index` of the loops; I: uint32_t where there are less than 2^31.
template <class I>
__device__ __forceinline__ void offsets_of(const Loops& loops, I index, int64_t& from, int64_t& to) {
  from = to = 0;
  for (int i = loops.count - 1; i >= 0; i--) {
    const I size = static_cast<I>(loops.size[i]), quotient = i > 0 ? index / size : 0;
    const auto at = static_cast<int64_t>(index - quotient * size);
    from += at * loops.from[i], to += at * loops.to[i];
    index = quotient;
  }
}

template <class T, class I>
__global__ void move_kernel(T* y, const T* x, const __grid_constant__ Loops loops, int64_t count) {
  const int64_t index = thread_index();
  if (index >= count) return;
  int64_t from, to;
  offsets_of(loops, static_cast<I>(index), from, to);
  y[to] = x[from];
}

template <class T>
void move_all(Launcher& launcher, const Loops& loops, void* y, const void* x) {
  const int64_t count = loops.combinations();
  T* to = static_cast<T*>(y);
  const T* from = static_cast<const T*>(x);
  if (count < INT32_MAX) {
    launch(launcher, move_kernel<T, uint32_t>, blocks_for(count), kThreads, to, from, loops, count);
  } else {
    launch(launcher, move_kernel<T, uint64_t>, blocks_for(count), kThreads, to, from, loops, count);
  }
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

// Every element of the loops from x to y, whose first elements are given.
inline void move_all(Launcher& launcher, Loops& loops, void* y, const void* x, int64_t size) {
  loops.collapse();
  with_size(size, [&](auto element) { move_all<decltype(element)>(launcher, loops, y, x); });
}

// As move_all, for loops whose innermost does not run along x: tile by tile through shared memory where it can
// (shape.cu).
void transpose(Launcher& launcher, Loops& loops, void* y, const void* x, int64_t size);

}  // namespace forja::cuda
