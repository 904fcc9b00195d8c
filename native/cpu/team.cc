// The barrier of team.h: threads count themselves in, the last one opens the next generation. Who waits spins, and
// sleeps when that takes long: on a busy machine spinning would take the core from the thread it waits for.
#include "team.h"

#include <sched.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#endif

namespace forja {
namespace {
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
// After about 50 us of spinning another process probably holds the core of the thread we wait for.
constexpr int kSpins = 2000;

// Gives the core up until `word` is no longer `value`; may return early.
inline void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
#else
  sched_yield();
#endif
}

inline void wake_all(std::atomic<uint32_t>& word) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#endif
}
}  // namespace

void Team::barrier() {
  if (count == 1) return;
  const uint32_t generation = state->generation.load(std::memory_order_relaxed);
  if (state->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(count)) {
    state->arrived.store(0, std::memory_order_relaxed);
    state->generation.store(generation + 1, std::memory_order_seq_cst);
    if (state->sleepers.load(std::memory_order_seq_cst) > 0) wake_all(state->generation);
    return;
  }
  for (int spins = 0; spins < kSpins; spins++) {
    if (state->generation.load(std::memory_order_acquire) != generation) return;
    relax();
  }
  state->sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (state->generation.load(std::memory_order_seq_cst) == generation) sleep_while(state->generation, generation);
  state->sleepers.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace forja
