// Moving elements between strided places: what transpose, slice, place and concat are made of. Elements are moved,
// never computed with, so only their size matters.
#pragma once

#include <cstring>

#include "kernel.h"

namespace forja::FJ_ISA {

template <class T>
FJ_INLINE void move_line(T* __restrict to, int64_t to_step, const T* __restrict from, int64_t from_step, int64_t n) {
  if (to_step == 1 && from_step == 1) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
  } else if (to_step == 1 && from_step == -1) {
    for (int64_t i = 0; i < n; i++) to[i] = from[-i];
  } else if (to_step == 1) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i * from_step];
  } else {
    for (int64_t i = 0; i < n; i++) to[i * to_step] = from[i * from_step];
  }
}

// n elements of `size` bytes; steps in elements, which may be negative.
FJ_INLINE void move_elements(void* to, int64_t to_step, const void* from, int64_t from_step, int64_t n, int64_t size) {
  switch (size) {
    case 1:
      return move_line(static_cast<uint8_t*>(to), to_step, static_cast<const uint8_t*>(from), from_step, n);
    case 2:
      return move_line(static_cast<uint16_t*>(to), to_step, static_cast<const uint16_t*>(from), from_step, n);
    case 4:
      return move_line(static_cast<uint32_t*>(to), to_step, static_cast<const uint32_t*>(from), from_step, n);
    default:
      return move_line(static_cast<uint64_t*>(to), to_step, static_cast<const uint64_t*>(from), from_step, n);
  }
}

// Walks the first `outer` loops from combination `begin` on; one addition a step.
struct LoopIndex {
  int64_t at[FJ_MAX_RANK], from = 0, to = 0;

  LoopIndex(const Loops& loops, int outer, int64_t begin) {
    for (int i = outer - 1; i >= 0; i--) {
      at[i] = begin % loops.size[i];
      begin /= loops.size[i];
      from += at[i] * loops.from[i], to += at[i] * loops.to[i];
    }
  }
  FJ_INLINE_MEMBER void next(const Loops& loops, int outer) {
    for (int i = outer - 1; i >= 0; i--) {
      from += loops.from[i], to += loops.to[i];
      if (++at[i] < loops.size[i]) return;
      from -= loops.from[i] * loops.size[i], to -= loops.to[i] * loops.size[i];
      at[i] = 0;
    }
  }
};

// Every element of the loops from x to y, whose first elements are given; each thread takes its share.
FJ_INLINE void move_all(Loops& loops, uint8_t* y, const uint8_t* x, int64_t size, const Team& team) {
  loops.collapse();
  if (loops.count == 0) {
    if (team.id == 0) memcpy(y, x, static_cast<size_t>(size));
    return;
  }
  const int outer = loops.count - 1;
  const int64_t n = loops.size[outer], from_step = loops.from[outer], to_step = loops.to[outer];
  const int64_t lines = loops.combinations(outer);
  if (lines == 1) {
    const Range range = split(n, team, 64);
    move_elements(y + range.begin * to_step * size, to_step, x + range.begin * from_step * size, from_step,
                  range.end - range.begin, size);
    return;
  }
  const Range range = split(lines, team);
  LoopIndex index(loops, outer, range.begin);
  for (int64_t line = range.begin; line < range.end; line++, index.next(loops, outer)) {
    move_elements(y + index.to * size, to_step, x + index.from * size, from_step, n, size);
  }
}

}  // namespace forja::FJ_ISA
