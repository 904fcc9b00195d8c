// The spin barrier of team.h: threads count themselves in, the last one opens the next generation.
#include "team.h"

#include <sched.h>

namespace forja {
namespace {
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
// After about 50 us of spinning another process probably holds the core: give ours up.
constexpr int kSpinsBeforeYield = 2000;
}  // namespace

void Team::barrier() {
  if (count == 1) return;
  const uint32_t generation = state->generation.load(std::memory_order_relaxed);
  if (state->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(count)) {
    state->arrived.store(0, std::memory_order_relaxed);
    state->generation.store(generation + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; state->generation.load(std::memory_order_acquire) == generation; spins++) {
    if (spins < kSpinsBeforeYield) {
      relax();
    } else {
      sched_yield();
    }
  }
}

}  // namespace forja
