// Runs one block: its threads are fibers on the device thread, which switch at barriers and in warp operations only.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "internal.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace forja::simt {

Scheduler sched;
Counters count;

constexpr size_t kPage = 4096;
constexpr size_t kStackBytes = SIMT_ASAN ? 256 * 1024 : 64 * 1024;

Machine& machine() {
  static Machine& s = *new Machine;
  return s;
}

static uint64_t random64() {  // splitmix64
  uint64_t z = machine().random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
void arrange(std::vector<unsigned>& v, size_t from) {
  switch (machine().schedule.order) {
    case Order::kAscending:
      std::sort(v.begin() + long(from), v.end());
      break;
    case Order::kDescending:
      std::sort(v.begin() + long(from), v.end(), std::greater<>());
      break;
    case Order::kShuffled:
      for (size_t n = v.size() - from; n > 1; --n) {
        const size_t k = size_t((unsigned __int128)(random64()) * n >> 64);
        std::swap(v[from + n - 1], v[from + k]);
      }
  }
}

// ---- stacks ------------------------------------------------------------------------------------
void make_stacks() {
  auto& s = machine();
  if (s.stacks) return;
  const size_t stride = kStackBytes + kPage;
  void* p =
      mmap(nullptr, stride * kMaxThreads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::abort();
  s.stacks = static_cast<char*>(p);
  for (int i = kMaxThreads - 1; i >= 0; --i) {
    mprotect(s.stacks + size_t(i) * stride, kPage, PROT_NONE);
    s.free_stacks.push_back(i);
  }
}
static char* stack_base(int i) { return machine().stacks + size_t(i) * (kStackBytes + kPage) + kPage; }
// Tops are staggered so that the hot ends of 1024 stacks do not share the same few cache sets.
static char* stack_top(int i) { return stack_base(i) + kStackBytes - size_t(i & 31) * 128; }
static int take_stack() {
  auto& s = machine();
  const int i = s.free_stacks.back();
  s.free_stacks.pop_back();
  return i;
}

// ---- switching -----------------------------------------------------------------------------------
static void fiber_entry();

static void enter(Fiber& f) {
  sched.current = &f;
  threadIdx = f.tid;
}
// Goes from the context "from" (of fiber self, or the scheduler when self is null) to fiber f.
static void go_to_fiber(Context& from, Fiber* self, Fiber& f, bool self_done) {
  ++count.switches;
  if (f.state == State::kFresh) {
    f.stack = take_stack();
#if SIMT_ASAN
    __asan_unpoison_memory_region(stack_base(f.stack), kStackBytes);
    f.fake_stack = nullptr;
#endif
    make_context(f.context, stack_base(f.stack), stack_top(f.stack), fiber_entry);
  }
  f.state = State::kReady;
  enter(f);
#if SIMT_ASAN
  void** save = self_done ? nullptr : self ? &self->fake_stack : &machine().scheduler_fake;
  __sanitizer_start_switch_fiber(save, stack_base(f.stack), kStackBytes);
#endif
  switch_context(from, f.context);
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(self ? self->fake_stack : machine().scheduler_fake, nullptr, nullptr);
#endif
  (void)self;
  (void)self_done;
}
void go_to_scheduler(Fiber& self, bool self_done) {
  ++count.switches;
#if SIMT_ASAN
  __sanitizer_start_switch_fiber(self_done ? nullptr : &self.fake_stack, machine().scheduler_bottom,
                                 machine().scheduler_size);
#endif
  switch_context(self.context, machine().scheduler);
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(self.fake_stack, nullptr, nullptr);
#endif
  (void)self_done;
}
static Fiber* next_ready() {
  auto& s = machine();
  return s.head < s.ready.size() ? &sched.fibers[s.ready[s.head++]] : nullptr;
}
void block_current(State why) {
  Fiber& self = *sched.current;
  self.state = why;
  if (Fiber* n = next_ready())
    go_to_fiber(self.context, &self, *n, false);
  else
    go_to_scheduler(self, false);
}

// A stack keeps running fresh threads one after another: a kernel without barriers never switches.
static void fiber_entry() {
#if SIMT_ASAN
  {
    const void* bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (!machine().scheduler_bottom) {
      machine().scheduler_bottom = bottom;
      machine().scheduler_size = size;
    }
  }
#endif
  for (;;) {
    Fiber& self = *sched.current;
    (*machine().body)();
    for (auto& g : self.copies)
      for (auto& c : g) std::memcpy(c.to, c.from, size_t(c.valid));
    self.copies.clear();
    self.state = State::kDone;
    --sched.live;
    Fiber* n = next_ready();
    if (n && n->state == State::kFresh) {
      n->stack = self.stack;
      n->state = State::kReady;
      enter(*n);
      continue;
    }
    machine().free_stacks.push_back(self.stack);
    if (n)
      go_to_fiber(self.context, &self, *n, true);
    else
      go_to_scheduler(self, true);
    std::abort();  // a finished fiber is never resumed
  }
}

static std::string group_text(State s, const char* what) {
  std::string out;
  std::map<std::string, std::pair<int, unsigned>> by;
  for (auto& f : sched.fibers)
    if (f.state == s) {
      auto& e = by[s == State::kDone ? std::string() : " at " + where_text(f.where)];
      if (e.first++ == 0) e.second = f.linear;
    }
  for (auto& [k, v] : by) out += format("; %d %s%s (first: thread %u)", v.first, what, k.c_str(), v.second);
  return out;
}

static bool release_barrier() {
  auto& s = machine();
  const Where* first = nullptr;
  for (auto& f : sched.fibers)
    if (f.state == State::kAtBarrier) {
      if (!first)
        first = &f.where;
      else if (f.where.line() != first->line() || f.where.column() != first->column() ||
               std::strcmp(f.where.file_name(), first->file_name())) {
        report("barrier divergence: threads wait at different barriers" + group_text(State::kAtBarrier, "wait"));
        return false;
      }
    }
  ++count.barriers;
  ++sched.phase;
  s.ready.clear();
  s.head = 0;
  for (auto& f : sched.fibers)
    if (f.state == State::kAtBarrier) {
      f.result = f.operand == 0 ? uint64_t(s.votes) : f.operand == 1 ? uint64_t(s.vote_and) : uint64_t(s.vote_or);
      f.state = State::kReady;
      s.ready.push_back(f.linear);
    }
  sched.at_barrier = 0;
  s.votes = 0, s.vote_and = 1, s.vote_or = 0;
  arrange(s.ready, 0);
  return true;
}

void run_block() {
  auto& s = machine();
  ++count.blocks;
  count.threads += sched.threads;
  sched.block_first = ++sched.phase;
  sched.live = sched.threads;
  sched.at_barrier = 0;
  s.votes = 0, s.vote_and = 1, s.vote_or = 0;
  s.ready.clear();
  s.head = 0;
  for (auto& w : sched.warps) w = Warp{};
  for (unsigned i = 0; i < sched.threads; ++i) {
    sched.fibers[i].state = State::kFresh;
    s.ready.push_back(i);
  }
  arrange(s.ready, 0);
  checks_begin_block();
  sched.running = true;
  for (;;) {
    while (Fiber* f = next_ready()) {
      go_to_fiber(s.scheduler, nullptr, *f, false);
      if (sched.aborted) break;
    }
    if (sched.aborted || sched.live == 0) break;
    const bool nobody_left = sched.live == sched.threads || s.allow_exited_at_barrier;
    if (sched.at_barrier == sched.live && nobody_left) {
      if (!release_barrier()) {
        sched.aborted = true;
        break;
      }
      continue;
    }
    report(std::string(sched.at_barrier ? "barrier divergence" : "warp operation never completes") + " in block (" +
           std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) + ")" +
           group_text(State::kAtBarrier, "wait at the barrier") +
           group_text(State::kAtWarp, "wait in a warp operation") + group_text(State::kDone, "have exited"));
    sched.aborted = true;
    break;
  }
  sched.running = false;
  sched.current = nullptr;
  if (sched.aborted) {  // abandoned fibers: take their stacks back
    s.free_stacks.clear();
    for (int i = kMaxThreads - 1; i >= 0; --i) s.free_stacks.push_back(i);
    for (auto& f : sched.fibers) f.copies.clear();
  }
}

void stack_region(char*& low, char*& high) {
  low = machine().stacks;
  high = low + (kStackBytes + kPage) * kMaxThreads;
}

}  // namespace forja::simt
