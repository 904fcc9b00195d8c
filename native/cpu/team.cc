// The barrier of team.h: threads count themselves in, the last one opens the next generation.
#include "team.h"

#include <sched.h>

#include <chrono>

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
// After a wait that no spinning would have bridged: about 3 us, since the next one will probably be as long.
constexpr int kLittlePatience = kPatience / 16;
constexpr std::chrono::microseconds kLongWait{100};

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

void Signal::wait_while(uint32_t old, int& patience) {
  for (int spins = 0; spins < patience; spins++) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  const auto began = std::chrono::steady_clock::now();
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (value.load(std::memory_order_seq_cst) == old) sleep_while(value, old);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
  patience = std::chrono::steady_clock::now() - began < kLongWait ? kPatience : kLittlePatience;
}

void Signal::advance() {
  value.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst) > 0) wake_all(value);
}

void Team::barrier() {
  if (count == 1) return;
  const uint32_t generation = state->generation.value.load(std::memory_order_relaxed);
  if (state->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(count)) {
    state->arrived.store(0, std::memory_order_relaxed);
    state->generation.advance();
  } else {
    state->generation.wait_while(generation, patience);
  }
}

}  // namespace forja
