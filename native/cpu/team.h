// The threads that run one program. Every thread walks the same instruction list and calls the same kernels, each
// kernel takes the share of the work that its thread id gives it, and a spin barrier separates instructions. This costs
// some 100 ns an instruction where a fork and join per operation costs microseconds. Who starts them is crew.h.
//
// Partition is static, so results depend on the number of threads but never on timing.
#pragma once

#include <atomic>
#include <cstdint>

#include "../core/inline.h"

namespace forja {

// A number that threads wait for to change. Who waits spins, and sleeps when that takes long: on a busy machine
// spinning would take the core from the thread it waits for.
struct Signal {
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};

  // Until the value is no longer `old`. `patience`: turns of spinning, a thread's own, which learns whether it pays.
  void wait_while(uint32_t old, int& patience);
  void advance();  // to the next value, waking all
};

// Turns of spinning, about 50 us.
constexpr int kPatience = 2000;

struct TeamState {
  std::atomic<uint32_t> arrived{0};
  Signal generation;
};

struct Team {
  int id = 0;
  int count = 1;
  TeamState* state = nullptr;
  int patience = kPatience;

  // Waits for all threads of the team; memory written before it is visible to all after it.
  void barrier();
};

// The id-th of count near-equal parts of [0, n), cut at multiples of grain.
FJ_INLINE Range split(int64_t n, int id, int count, int64_t grain = 1) {
  const int64_t blocks = (n + grain - 1) / grain;
  const int64_t base = blocks / count, extra = blocks % count;
  const int64_t first = base * id + (id < extra ? id : extra);
  const int64_t last = first + base + (id < extra ? 1 : 0);
  const int64_t begin = first * grain, end = last * grain;
  return {begin < n ? begin : n, end < n ? end : n};
}

FJ_INLINE Range split(int64_t n, const Team& team, int64_t grain = 1) { return split(n, team.id, team.count, grain); }

}  // namespace forja
