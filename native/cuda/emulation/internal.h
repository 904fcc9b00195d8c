// Shared by the emulator's own sources only.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "emulation.h"
#include "fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define SIMT_ASAN 0
#endif

namespace forja::simt {

struct Pending {
  void* to;
  const void* from;
  int bytes, valid;
};

enum class State : uint8_t { kFresh, kReady, kAtBarrier, kAtWarp, kDone };

struct Fiber {
  Context context;
  uint3 tid;
  unsigned linear, warp, lane;
  State state;
  int stack;
  Where where;
  // warp operation under way
  WarpOp op;
  unsigned mask;
  int operand, width;
  uint64_t value, result;
  void* mine;
  // cp.async: copies of each committed group, oldest first; the last entry is the open group
  std::vector<std::vector<Pending>> copies;
  bool unpublished;  // copies have landed since publish_copies
  bool exposed;      // and had when the thread came to its last barrier
  // wgmma: products of each committed group, as copies
  std::vector<std::vector<Product>> products;
  std::map<float*, std::vector<float>> sums;  // of products under way, whose registers hold poison
  bool products_begun;
#if SIMT_ASAN
  void* fake_stack;
#endif
};

struct Warp {
  unsigned arrived = 0;
  unsigned epoch = 0;
};

struct Scheduler {
  bool running = false;  // inside a block
  Fiber* current = nullptr;
  unsigned threads = 0, live = 0, at_barrier = 0;
  uint32_t phase = 16, block_first = 16, launch_first = 16;
  bool aborted = false;
  char* shared = nullptr;
  size_t shared_bytes = 0;
  char* tls_low = nullptr;
  char* tls_high = nullptr;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  const LaunchInfo* info = nullptr;
};
extern Scheduler sched;
extern Counters count;

constexpr int kMaxThreads = 1024;  // of a block

// What the scheduler keeps between blocks.
struct Machine {
  Schedule schedule;
  uint64_t random = 1;
  int allowed = 0;
  bool replay = false, echo = true, allow_exited_at_barrier = false;
  std::vector<std::string> reports;
  char* stacks = nullptr;
  std::vector<int> free_stacks;
  Context scheduler;
  std::vector<unsigned> ready;
  size_t head = 0;
  const std::function<void()>* body = nullptr;
  int votes = 0, vote_and = 1, vote_or = 0;
  std::vector<char> shared_storage;
#if SIMT_ASAN
  void* scheduler_fake = nullptr;
  const void* scheduler_bottom = nullptr;
  size_t scheduler_size = 0;
#endif
};
Machine& machine();
// Brings v[from..] into the order of the schedule.
void arrange(std::vector<unsigned>& v, size_t from);
void make_stacks();
void block_current(State why);
void go_to_scheduler(Fiber& self, bool self_done);
void run_block();

// The number that a test gave in the environment under this name, or 0: what is to go wrong.
long planted(const char* name);
// Whether a call is that with the number SIMT_FAIL_CALL, counted over all that ask.
bool call_fails();
std::string format(const char* f, ...) __attribute__((format(printf, 1, 2)));
void report(const std::string& text);
[[noreturn]] void abort_block(const std::string& text);
std::string where_text(Where);
std::string thread_text();
void set_error(cudaError_t);
void run_on_device_thread(const std::function<void()>&);
cudaError_t run_launch(const LaunchInfo&, const std::function<void()>& body);
void stack_region(char*& low, char*& high);

// memory
struct Allocation {
  size_t bytes;
  bool host;
};
char* arena_base();
size_t arena_bytes();
std::map<char*, Allocation>& allocations();
bool in_arena(const void*);
const Allocation* find_allocation(const void* p, char** start = nullptr);
cudaError_t allocate(void**, size_t, bool host);
cudaError_t release(void*);
int check_guards();  // number of damaged allocations, reported and repaired
void open_memory();
void close_memory();
std::vector<std::vector<char>> snapshot();
void restore(const std::vector<std::vector<char>>&);

// access checks (active when hooks.cc is linked)
bool checks_on();
void checks_allocated(const void*, size_t);
void checks_freed(const void*, size_t);
void checks_host_write(const void*, size_t);
size_t checks_unwritten(const void*, size_t);  // bytes never written
void checks_copy(void* to, const void* from, size_t);
void checks_begin_launch();
void checks_begin_block();
void check_access(const void* p, int bytes, bool write, bool atomic, const void* pc);
void fence();

inline constexpr unsigned char kPoison = 0xff;  // NaN in every float format, -1 in every integer
}  // namespace forja::simt
