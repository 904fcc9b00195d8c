// Device memory: one reserved arena, every allocation between kGuard zones, fresh and freed bytes poisoned.
#include <sys/mman.h>

#include <cstdlib>

#include "internal.h"

namespace forja::simt {
namespace {
constexpr size_t kGuard = 256, kRoundTo = 256;
constexpr unsigned char kGuardByte = 0xc3;
struct Memory {
  char* base = nullptr;
  size_t bytes = 0, top = 0, in_use = 0;
  std::map<char*, Allocation> live;
  std::multimap<size_t, char*> free_blocks;  // by whole size, address of the block (its leading kGuard)
  bool protect = false;
  int opened = 0;
};
Memory& mem() {
  static Memory& m = *[] {
    auto* n = new Memory;
    n->bytes = checks_on() ? size_t(4) << 30 : size_t(16) << 30;
    if (const char* e = std::getenv("SIMT_ARENA_MB")) n->bytes = size_t(std::atoll(e)) << 20;
    void* p = mmap(nullptr, n->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      std::perror("simt: arena");
      std::abort();
    }
    n->base = static_cast<char*>(p);
    return n;
  }();
  return m;
}
size_t whole(size_t n) { return kGuard + (n + kRoundTo - 1) / kRoundTo * kRoundTo + kGuard; }
void annotate(char* p, size_t n, bool poisoned) {
#if SIMT_ASAN
  if (poisoned)
    __asan_poison_memory_region(p, n);
  else
    __asan_unpoison_memory_region(p, n);
#else
  (void)p;
  (void)n;
  (void)poisoned;
#endif
}
}  // namespace

char* arena_base() { return mem().base; }
size_t arena_bytes() { return mem().bytes; }
std::map<char*, Allocation>& allocations() { return mem().live; }
bool in_arena(const void* p) {
  auto* c = static_cast<const char*>(p);
  return c >= mem().base && c < mem().base + mem().bytes;
}
const Allocation* find_allocation(const void* p, char** start) {
  auto& l = mem().live;
  auto it = l.upper_bound(const_cast<char*>(static_cast<const char*>(p)));
  if (it == l.begin()) return nullptr;
  --it;
  if (static_cast<const char*>(p) >= it->first + it->second.bytes && it->second.bytes) return nullptr;
  if (start) *start = it->first;
  return &it->second;
}

cudaError_t allocate(void** out, size_t n, bool host) {
  auto& m = mem();
  *out = nullptr;
  if (n == 0) return cudaSuccess;
  const size_t w = whole(n);
  if (w < n || m.in_use + w > m.bytes) return cudaErrorMemoryAllocation;
  open_memory();
  char* block;
  if (auto it = m.free_blocks.find(w); it != m.free_blocks.end()) {
    block = it->second;
    m.free_blocks.erase(it);
  } else {
    if (m.top + w > m.bytes) {
      close_memory();
      return cudaErrorMemoryAllocation;
    }
    block = m.base + m.top;
    m.top += w;
  }
  m.in_use += w;
  annotate(block, w, false);
  std::memset(block, kGuardByte, w);
  char* user = block + kGuard;
  std::memset(user, kPoison, n);
  m.live[user] = {n, host};
  annotate(block, kGuard, true);
  annotate(user + n, w - kGuard - n, true);
  checks_allocated(user, n);
  if (host) checks_host_write(user, n);
  close_memory();
  *out = user;
  return cudaSuccess;
}

namespace {
// The first of n bytes that is not kGuardByte; n where all are. Eight at a time: every launch asks this of all memory.
__attribute__((no_sanitize("address"))) size_t first_changed(const char* bytes, size_t n) {
  constexpr uint64_t kWhole = 0x0101010101010101u * kGuardByte;
  size_t i = 0;
  for (uint64_t word; i + 8 <= n; i += 8) {
    std::memcpy(&word, bytes + i, 8);
    if (word != kWhole) break;
  }
  while (i < n && static_cast<unsigned char>(bytes[i]) == kGuardByte) ++i;
  return i;
}

bool damaged(char* user, size_t n, long& where) {
  const size_t behind = whole(n) - kGuard - n, before = first_changed(user - kGuard, kGuard);
  where = long(before) - long(kGuard);
  if (before < kGuard) return true;
  const size_t after = first_changed(user + n, behind);
  where = long(n + after);
  return after < behind;
}
void repair(char* user, size_t n) {
  char* block = user - kGuard;
  annotate(block, whole(n), false);
  std::memset(block, kGuardByte, kGuard);
  std::memset(user + n, kGuardByte, whole(n) - kGuard - n);
  annotate(block, kGuard, true);
  annotate(user + n, whole(n) - kGuard - n, true);
}
}  // namespace

int check_guards() {
  int bad = 0;
  open_memory();
  for (auto& [p, a] : mem().live) {
    long at;
    if (!damaged(p, a.bytes, at)) continue;
    ++bad;
    report(
        format("write out of bounds of device memory: byte %ld relative to an allocation of %zu bytes", at, a.bytes));
    repair(p, a.bytes);
  }
  close_memory();
  return bad;
}

cudaError_t release(void* p) {
  auto& m = mem();
  if (!p) return cudaSuccess;
  auto it = m.live.find(static_cast<char*>(p));
  if (it == m.live.end()) {
    report("cudaFree of something that is not a live allocation");
    return cudaErrorInvalidValue;
  }
  const size_t n = it->second.bytes, w = whole(n);
  open_memory();
  long at;
  if (damaged(it->first, n, at))
    report(format(
        "write out of bounds of device memory, found by cudaFree: byte %ld relative to an allocation of %zu bytes", at,
        n));
  annotate(it->first - kGuard, w, false);
  std::memset(it->first, kPoison, n);
  annotate(it->first - kGuard, w, true);
  checks_freed(p, n);
  m.free_blocks.emplace(w, it->first - kGuard);
  m.in_use -= w;
  m.live.erase(it);
  close_memory();
  return cudaSuccess;
}

void set_protect(bool on) {
  auto& m = mem();
  m.protect = on;
  mprotect(m.base, m.bytes, on && !m.opened ? PROT_NONE : PROT_READ | PROT_WRITE);
}
void open_memory() {
  auto& m = mem();
  if (m.opened++ == 0 && m.protect) mprotect(m.base, m.bytes, PROT_READ | PROT_WRITE);
}
void close_memory() {
  auto& m = mem();
  if (--m.opened == 0 && m.protect) mprotect(m.base, m.bytes, PROT_NONE);
}
std::vector<std::vector<char>> snapshot() {
  open_memory();
  std::vector<std::vector<char>> s;
  for (auto& [p, a] : mem().live) s.emplace_back(p, p + a.bytes);
  close_memory();
  return s;
}
void restore(const std::vector<std::vector<char>>& s) {
  open_memory();
  size_t i = 0;
  for (auto& [p, a] : mem().live) std::memcpy(p, s[i++].data(), a.bytes);
  close_memory();
}
}  // namespace forja::simt

using namespace forja::simt;
cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
  *t = mem().bytes;
  *f = mem().bytes - mem().in_use;
  return cudaSuccess;
}
