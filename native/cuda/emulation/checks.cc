// Exact access checking: a 16-byte cell of shadow per byte of device or shared memory holds who wrote and read it
// last. Fed by hooks.cc when the .cu files are compiled with -fsanitize=thread (its run time is NOT linked).
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "internal.h"

extern "C" __attribute__((weak)) int forja_simt_hooks_linked;

namespace forja::simt {
namespace {
// Stamp: phase (32) | thread (11) | warp epoch (16) | flags. Phases count blocks and barriers and never repeat,
// so a stamp tells launch, block and barrier interval at once.
constexpr uint64_t atomic_flag = 1, lanes_flag = 2, warps_flag = 4;
struct Cell {
  uint64_t w, r;
};
constexpr uint64_t unallocated = 0, fresh = uint64_t(1) << 32, freed = uint64_t(2) << 32, by_host = uint64_t(8) << 32;
uint32_t phase_of(uint64_t s) { return uint32_t(s >> 32); }
unsigned thread_of(uint64_t s) { return unsigned(s >> 21) & 2047u; }
unsigned epoch_of(uint64_t s) { return unsigned(s >> 5) & 0xffffu; }

struct Checks {
  Cell* arena = nullptr;
  std::vector<Cell> tls, shared;
  char *stack_low = nullptr, *stack_high = nullptr;
  std::vector<std::pair<uint32_t, uint32_t>> blocks;  // first phase, phase of the last fence
  int reported = 0;
  std::vector<std::pair<const void*, const void*>> seen;
};
Checks& ck() {
  static Checks& c = *new Checks;
  return c;
}
Cell* arena_cells() {
  auto& c = ck();
  if (!c.arena) {
    void* p = mmap(nullptr, arena_bytes() * sizeof(Cell), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      std::perror("simt: shadow");
      std::abort();
    }
    c.arena = static_cast<Cell*>(p);
  }
  return c.arena;
}
Cell* cells_at(const void* p) { return arena_cells() + (static_cast<const char*>(p) - arena_base()); }
void fill(const void* p, size_t n, uint64_t w) {
  Cell* c = cells_at(p);
  for (size_t i = 0; i < n; ++i) c[i] = {w, 0};
}

std::string source_of(const void* pc) {
  std::string out = "?";
  Dl_info module{};
  if (dladdr(pc, &module) == 0) return out;
  const auto offset =
      static_cast<unsigned long>(static_cast<const char*>(pc) - static_cast<const char*>(module.dli_fbase));
  const auto command = format("addr2line -ie %s 0x%lx 2>/dev/null", module.dli_fname, offset - 1);
  if (FILE* p = popen(command.c_str(), "r")) {
    char b[512];  // innermost first; the first frame outside of the emulation's headers is the one to name
    for (bool done = false; !done && std::fgets(b, sizeof b, p);) {
      if (*b == '?') continue;
      out = b;
      done = out.find("/emulation/") == std::string::npos;
      out.resize(out.find_first_of(" \n"));
      if (auto s = out.rfind('/'); s != std::string::npos) out = out.substr(s + 1);
    }
    pclose(p);
  }
  return out;
}
void found(const char* what, const char* memory, const void* p, uint64_t other, const void* pc) {
  auto& c = ck();
  if (std::find(c.seen.begin(), c.seen.end(), std::pair{pc, (const void*)what}) != c.seen.end()) return;
  c.seen.emplace_back(pc, what);
  if (++c.reported > 8) return;
  std::string text = format("%s %s at %s by %s", what, memory, source_of(pc).c_str(), thread_text().c_str());
  if (phase_of(other) >= 16) text += format("; other access by thread %u", thread_of(other));
  (void)p;
  report(text);
}
// The last block of a grid may read what others published with __threadfence.
bool published(uint64_t s) {
  auto& b = ck().blocks;
  auto it = std::upper_bound(b.begin(), b.end(), std::pair{phase_of(s), ~0u});
  if (it == b.begin()) return false;
  return std::prev(it)->second >= phase_of(s);
}
// True when the earlier access s is not ordered before the current one.
bool unordered(uint64_t s, uint64_t now, bool global) {
  const uint32_t p = phase_of(s);
  if (p < sched.launch_first) return false;
  if (p < sched.block_first) return global && !published(s);
  if (p != sched.phase) return false;
  if (s & warps_flag) return true;
  if (thread_of(s) / 32 == thread_of(now) / 32) {
    if (epoch_of(s) != epoch_of(now)) return false;
    return (s & lanes_flag) || thread_of(s) != thread_of(now);
  }
  return true;
}
}  // namespace

bool checks_on() { return &forja_simt_hooks_linked != nullptr; }
bool access_checks_built_in() { return checks_on(); }
void checks_allocated(const void* p, size_t n) {
  if (checks_on()) fill(p, n, fresh);
}
void checks_freed(const void* p, size_t n) {
  if (checks_on()) fill(p, n, freed);
}
void checks_host_write(const void* p, size_t n) {
  if (checks_on()) fill(p, n, by_host);
}
void checks_copy(void* to, const void* from, size_t n) {
  if (!checks_on()) return;
  Cell *a = cells_at(to), *b = cells_at(from);
  for (size_t i = 0; i < n; ++i) a[i] = {b[i].w == fresh ? fresh : by_host, 0};
}
size_t checks_unwritten(const void* p, size_t n) {
  if (!checks_on()) return 0;
  size_t bad = 0;
  Cell* c = cells_at(p);
  for (size_t i = 0; i < n; ++i) bad += c[i].w == fresh;
  return bad;
}
void checks_begin_launch() {
  if (!checks_on()) return;
  auto& c = ck();
  c.reported = 0;
  c.seen.clear();
  c.blocks.clear();
  c.tls.assign(size_t(sched.tls_high - sched.tls_low), Cell{});
  c.shared.assign(sched.shared_bytes, Cell{});
  stack_region(c.stack_low, c.stack_high);
}
void checks_begin_block() {
  if (checks_on()) ck().blocks.emplace_back(sched.phase, 0);
}
void fence() {
  if (checks_on() && !ck().blocks.empty()) ck().blocks.back().second = sched.phase;
}

void check_access(const void* p, int bytes, bool write, bool atomic, const void* pc) {
  auto& c = ck();
  const char* a = static_cast<const char*>(p);
  if (a >= c.stack_low && a < c.stack_high) return;
  if (!sched.running) {
    if (in_arena(p)) {
      const Allocation* al = find_allocation(p);
      if (!al || !al->host) report(format("host code touches device memory at %s", source_of(pc).c_str()));
    }
    return;
  }
  ++count.accesses;
  Cell* cell;
  const char* memory;
  bool global = false;
  if (in_arena(p)) {
    cell = cells_at(p);
    memory = "device memory";
    global = true;
  } else if (a >= sched.tls_low && a < sched.tls_high) {
    cell = c.tls.data() + (a - sched.tls_low);
    memory = "shared memory";
  } else if (a >= sched.shared - 1024 && a < sched.shared + 227 * 1024 + 1024) {
    if (a < sched.shared || a + bytes > sched.shared + sched.shared_bytes)
      abort_block(format("access past the %zu bytes of dynamic shared memory (byte %ld) at %s by %s",
                         sched.shared_bytes, long(a - sched.shared), source_of(pc).c_str(), thread_text().c_str()));
    cell = c.shared.data() + (a - sched.shared);
    memory = "shared memory";
  } else {
    return;  // constants and other static data
  }
  Fiber& f = *sched.current;
  const uint64_t now = uint64_t(sched.phase) << 32 | uint64_t(f.linear) << 21 |
                       uint64_t(sched.warps[f.warp].epoch & 0xffffu) << 5 | (atomic ? atomic_flag : 0);
  for (int i = 0; i < bytes; ++i) {
    const uint64_t w = cell[i].w, r = cell[i].r;
    if (global && (w == unallocated || w == freed))
      abort_block(format("%s of %d bytes %s device memory at %s by %s", write ? "write" : "read", bytes,
                         w == freed ? "in freed" : "out of bounds of", source_of(pc).c_str(), thread_text().c_str()));
    const bool both_atomic = atomic && (w & atomic_flag);
    if (!both_atomic && w != fresh && unordered(w, now, global))
      found(write ? "race: write after write," : "race: read after write,", memory, p, w, pc);
    if (write) {
      if (!(atomic && (r & atomic_flag)) && r && unordered(r, now, global))
        found("race: write after read,", memory, p, r, pc);
      if (atomic && global && w == fresh) found("uninitialised read (atomic),", memory, p, 0, pc);
      if (atomic && !global && phase_of(w) < sched.block_first) found("uninitialised read (atomic),", memory, p, 0, pc);
      cell[i].w = now;
    } else {
      if (global ? w == fresh : phase_of(w) < sched.block_first) found("uninitialised read,", memory, p, 0, pc);
      uint64_t n = now;
      if (phase_of(r) == sched.phase && r) {
        if (thread_of(r) / 32 != f.warp)
          n |= warps_flag;
        else if (epoch_of(r) == epoch_of(now) && thread_of(r) != f.linear)
          n |= lanes_flag;
        n |= r & warps_flag;
        if (epoch_of(r) == epoch_of(now)) n |= r & lanes_flag;
      }
      cell[i].r = n;
    }
  }
}

void note_atomic(const void* p, int bytes, const void* caller) {
  if (checks_on()) check_access(p, bytes, true, true, caller);
}
void note_access(const void* p, int bytes, bool write) {
  if (checks_on()) check_access(p, bytes, write, false, __builtin_return_address(0));
}
}  // namespace forja::simt
