// Runs a grid: blocks one after another on the device thread, shared memory poisoned before each, and every launch a
// second and third time in another order where replay is on.
#include <link.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include "internal.h"

namespace forja::simt {
namespace {

constexpr size_t kMaxShared = 227 * 1024;

// ---- static shared memory: the TLS image, on this thread, of the module that holds the kernel ----
struct Range {
  char *low = nullptr, *high = nullptr;
};
static thread_local volatile char touched;
Range tls_of(const void* kernel) {
  touched = 1;  // a module that was opened at run time gets its TLS block on a thread at the first access
  static std::unordered_map<const void*, Range> cache;
  if (auto it = cache.find(kernel); it != cache.end()) return it->second;
  struct Find {
    const void* pc;
    Range r;
  } find{kernel, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* i, size_t, void* d) {
        auto& f = *static_cast<Find*>(d);
        bool here = false;
        for (int k = 0; k < i->dlpi_phnum; ++k) {
          const auto& h = i->dlpi_phdr[k];
          const auto a = i->dlpi_addr + h.p_vaddr, pc = reinterpret_cast<uintptr_t>(f.pc);
          if (h.p_type == PT_LOAD && pc >= a && pc < a + h.p_memsz) here = true;
        }
        if (!here) return 0;
        for (int k = 0; k < i->dlpi_phnum; ++k)
          if (i->dlpi_phdr[k].p_type == PT_TLS && i->dlpi_tls_data) {
            f.r.low = static_cast<char*>(i->dlpi_tls_data);
            f.r.high = f.r.low + i->dlpi_phdr[k].p_memsz;
          }
        return 1;
      },
      &find);
  const char* e = reinterpret_cast<const char*>(&errno);
  if (find.r.low && e >= find.r.low && e < find.r.high) {
    std::fprintf(stderr, "simt: a static C library shares the kernels' TLS image; link libc dynamically\n");
    std::abort();
  }
  return cache[kernel] = find.r;
}

constexpr size_t kSharedGuard = 1024;

void run_grid(const LaunchInfo& info, const std::function<void()>& body) {
  auto& s = machine();
  make_stacks();
  s.body = &body;
  s.random = s.schedule.seed * 0x2545f4914f6cdd1du + 0x9e3779b9u;
  sched.info = &info;
  sched.threads = info.block.x * info.block.y * info.block.z;
  sched.aborted = false;
  sched.fibers.resize(sched.threads);
  sched.warps.resize((sched.threads + 31) / 32);
  for (unsigned i = 0; i < sched.threads; ++i) {
    auto& f = sched.fibers[i];
    f.linear = i;
    f.tid = {i % info.block.x, i / info.block.x % info.block.y, i / (info.block.x * info.block.y)};
    f.warp = i / 32;
    f.lane = i % 32;
    f.copies.clear();
    f.products.clear();
    f.sums.clear();
    f.unpublished = f.exposed = f.products_begun = false;
  }
  blockDim = info.block;
  gridDim = info.grid;
  if (s.shared_storage.empty()) s.shared_storage.resize(kMaxShared + 2 * kSharedGuard + 1024);
  sched.shared = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(s.shared_storage.data()) + kSharedGuard + 1023) &
                                         ~uintptr_t(1023));
  sched.shared_bytes = info.shared;
  char* const guard = sched.shared + info.shared;
  const Range tls = tls_of(info.kernel);
  sched.tls_low = tls.low;
  sched.tls_high = tls.high;
  sched.launch_first = sched.phase + 1;
  checks_begin_launch();

  const uint64_t blocks = uint64_t(info.grid.x) * info.grid.y * info.grid.z;
  std::vector<unsigned> order(blocks);
  for (uint64_t i = 0; i < blocks; ++i) order[i] = unsigned(i);
  arrange(order, 0);
  Range dirty = tls;
  for (uint64_t b = 0; b < blocks && !sched.aborted; ++b) {
    const unsigned n = order[b];
    blockIdx = {n % info.grid.x, n / info.grid.x % info.grid.y, n / (info.grid.x * info.grid.y)};
    if (dirty.low) std::memset(dirty.low, kPoison, size_t(dirty.high - dirty.low));
    std::memset(sched.shared, kPoison, info.shared);
    std::memset(guard, 0xa5, kSharedGuard);
#if SIMT_ASAN
    __asan_poison_memory_region(guard, kSharedGuard);
    __asan_poison_memory_region(sched.shared - kSharedGuard / 2, kSharedGuard / 2);
#endif
    run_block();
#if SIMT_ASAN
    __asan_unpoison_memory_region(guard, kSharedGuard);
    __asan_unpoison_memory_region(sched.shared - kSharedGuard / 2, kSharedGuard / 2);
#endif
    for (size_t i = 0; i < kSharedGuard; ++i)
      if (static_cast<unsigned char>(guard[i]) != 0xa5) {
        report(format("write past dynamic shared memory: %zu bytes asked for, byte %zu changed, block (%u,%u,%u)",
                      info.shared, info.shared + i, blockIdx.x, blockIdx.y, blockIdx.z));
        sched.aborted = true;
        break;
      }
    if (b < 2 && tls.low) {  // learn which part of the module's shared memory this kernel dirties
      char *lo = tls.low, *hi = tls.high;
      const auto clean = [](const char* p) {
        uint64_t w;
        std::memcpy(&w, p, 8);
        return w == ~uint64_t(0);
      };
      while (lo + 8 <= hi && clean(lo)) lo += 8;
      while (hi >= lo + 8 && clean(hi - 8)) hi -= 8;
      while (lo < hi && static_cast<unsigned char>(*lo) == kPoison) ++lo;
      if (b == 0)
        dirty = {lo, hi};
      else if (lo < hi)
        dirty = dirty.low < dirty.high ? Range{std::min(lo, dirty.low), std::max(hi, dirty.high)} : Range{lo, hi};
    }
    if (b == 0 && tls.low)
      std::memset(tls.low, kPoison, size_t(tls.high - tls.low));  // all of it for the second block too
  }
  sched.info = nullptr;
}

// ---- the device thread ---------------------------------------------------------------------------
struct Worker {
  std::mutex one;
  std::binary_semaphore go{0}, finished{0};
  const std::function<void()>* job = nullptr;
  std::thread thread;
  Worker()
      : thread([this] {
          for (;;) {
            go.acquire();
            (*job)();
            finished.release();
          }
        }) {
    thread.detach();
  }
  void run(const std::function<void()>& f) {
    std::lock_guard lock(one);
    job = &f;
    go.release();
    finished.acquire();
  }
};

// Appends where a kernel was launched to the file that SIMT_SITES names, once for each place.
void note_site(const LaunchInfo& info) {
  static const char* const path = std::getenv("SIMT_SITES");
  static std::set<std::pair<std::string, int>> seen;
  if (path == nullptr || info.file == nullptr || !seen.emplace(info.file, info.line).second) return;
  if (FILE* file = std::fopen(path, "a")) {
    std::fprintf(file, "%s:%d\n", info.file, info.line);
    std::fclose(file);
  }
}

}  // namespace

void run_on_device_thread(const std::function<void()>& f) {
  static Worker& w = *new Worker;
  w.run(f);
}

cudaError_t run_launch(const LaunchInfo& info, const std::function<void()>& body) {
  ++count.launches;
  note_site(info);
  static const uint64_t bad_launch = uint64_t(planted("SIMT_FAIL_LAUNCH"));
  if (count.launches == bad_launch) {
    sched.info = &info;
    report("an illegal memory access, planted by SIMT_FAIL_LAUNCH");
    sched.info = nullptr;
    return cudaErrorLaunchFailure;
  }
  const size_t before = machine().reports.size();
  auto once = [&] {
    open_memory();
    sched.info = &info;
    run_on_device_thread([&] { run_grid(info, body); });
    sched.info = &info;
    check_guards();
    sched.info = nullptr;
    close_memory();
  };
  if (!machine().replay || machine().allowed) {
    once();
  } else {
    const auto image = snapshot();
    once();
    const auto first = snapshot();
    const Schedule kept = machine().schedule;
    for (Order o : {Order::kAscending, Order::kDescending}) {
      if (machine().reports.size() != before) break;
      restore(image);
      machine().schedule = {o, kept.seed};
      once();
      const auto again = snapshot();
      size_t a = 0;
      for (auto& [p, al] : allocations()) {
        const auto &want = first[a], &got = again[a];
        ++a;
        if (al.host || got == want) continue;
        size_t i = 0;
        while (got[i] == want[i]) ++i;
        sched.info = &info;
        report(format("result depends on the schedule (%s threads): byte %zu of the allocation of %zu bytes at %p",
                      o == Order::kAscending ? "ascending" : "descending", i, al.bytes, static_cast<void*>(p)));
        sched.info = nullptr;
        break;
      }
    }
    restore(first);
    machine().schedule = kept;
  }
  return machine().reports.size() == before ? cudaSuccess : cudaErrorLaunchFailure;
}

int occupancy(const void*, int block, size_t shared) {
  if (block <= 0 || block > kMaxThreads) return 0;
  int n = 2048 / block;
  if (shared) n = std::min(n, int(228 * 1024 / (shared + 1024)));
  return n;
}

bool same_under_all_schedules(const std::function<std::vector<unsigned char>()>& body, int shuffles) {
  const Schedule kept = schedule();
  set_schedule({Order::kAscending, 1});
  const auto want = body();
  bool same = true;
  set_schedule({Order::kDescending, 1});
  same = same && body() == want;
  for (int i = 0; i < shuffles && same; ++i) {
    set_schedule({Order::kShuffled, uint64_t(i) + 11});
    same = body() == want;
  }
  set_schedule(kept);
  return same;
}

namespace {
Context bench_main, bench_fiber;
void bench_entry() {
  for (;;) switch_context(bench_fiber, bench_main);
}
}  // namespace
double measure_switch_ns(int rounds) {
  std::vector<char> stack(64 * 1024);
  make_context(bench_fiber, stack.data(), stack.data() + stack.size(), bench_entry);
  const auto a = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) switch_context(bench_main, bench_fiber);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - a).count() / (2.0 * rounds);
}

}  // namespace forja::simt
