// The CPU backend: buffers are host memory, a program is a list of kernel calls that a team of threads walks together.
// Here are devices, buffers and the table of functions; programs are in program.cc and run.cc.
#include "backend.h"

#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "../core/backend_loader.h"
#include "../core/choices.h"
#include "isa.h"

namespace forja {

const KernelTable& kernel_table() {
  static const KernelTable* kTable = [] {
    auto* t = new KernelTable();
    active_isa(nullptr).register_kernels(*t);
    return t;
  }();
  return *kTable;
}

int supports(uint16_t opcode, uint16_t variant) { return kernel_table().has(opcode, variant) ? 1 : 0; }

fj_status no_memory(fj_error* error, const char* what, uint64_t bytes) {
  set_error(error, FJ_ERR_OUT_OF_MEMORY, FJ_NO_INSTRUCTION, "no memory for %s of %llu bytes", what,
            static_cast<unsigned long long>(bytes));
  return error->status;
}

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

namespace {

// Processors this process may run on.
int processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  const int count = static_cast<int>(std::thread::hardware_concurrency());
  return count > 0 ? count : 1;
}

// Far more threads than processors only wait for each other, and a thread that cannot be created ends the process
// inside the OpenMP runtime: requests are cut to a multiple of the processors.
int clamp_threads(uint64_t wanted) {
  const int most = processors() * 4 > 16 ? processors() * 4 : 16;
  return wanted > static_cast<uint64_t>(most) ? most : static_cast<int>(wanted);
}

// FORJA_NUM_THREADS; 0, empty and unset mean one a processor. False where it is no number.
bool read_threads(int* threads) {
  const char* wanted = getenv("FORJA_NUM_THREADS");
  *threads = processors();
  if (wanted == nullptr || *wanted == '\0') return true;
  char* end = nullptr;
  const unsigned long long count = strtoull(wanted, &end, 10);
  if (*end != '\0' || *wanted < '0' || *wanted > '9') return false;
  if (count > 0) *threads = clamp_threads(count);
  return true;
}

int default_threads() {
  int threads = 1;
  read_threads(&threads);
  return threads;
}

uint32_t device_count(fj_error*) { return 1; }

void read_cpu_name(char* name, size_t size) {
  snprintf(name, size, "CPU");
  FILE* file = fopen("/proc/cpuinfo", "r");
  if (file == nullptr) return;
  char line[256];
  while (fgets(line, sizeof(line), file) != nullptr) {
    const char* colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || colon == nullptr) continue;
    snprintf(name, size, "%s", colon + 2);
    name[strcspn(name, "\n")] = '\0';
    break;
  }
  fclose(file);
}

fj_status device_describe(uint32_t index, fj_device_info* out, fj_error* error) {
  if (index != 0) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "there is one CPU device, number 0; number %u was asked for",
              index);
    return error->status;
  }
  read_cpu_name(out->name, sizeof(out->name));
  snprintf(out->isa, sizeof(out->isa), "%s", active_isa(nullptr).name);
  out->threads = static_cast<uint32_t>(default_threads());
  out->memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return FJ_OK;
}

fj_status device_open(uint32_t index, fj_device** out, fj_error* error) {
  fj_device_info info;
  if (device_describe(index, &info, error) != FJ_OK) return error->status;
  const char* problem = nullptr;
  active_isa(&problem);
  if (problem != nullptr) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "%s: '%s'", problem, getenv("FORJA_ISA"));
    return error->status;
  }
  int threads = 1;
  if (!read_threads(&threads)) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "FORJA_NUM_THREADS must be a number of threads, or 0: '%s'",
              getenv("FORJA_NUM_THREADS"));
    return error->status;
  }
  bool tune = true;
  if (!read_tune(true, &tune, error)) return error->status;
  *out = new fj_device();
  (*out)->threads = threads;
  (*out)->tune = tune;
  (*out)->machine = std::string(info.name) + info.isa;
  return FJ_OK;
}

void device_close(fj_device* device) { delete device; }

void device_set_threads(fj_device* device, uint32_t threads) {
  device->threads = threads > 0 ? clamp_threads(threads) : default_threads();
  device->crew.start(device->threads);
}

fj_status buffer_create(fj_device*, uint64_t bytes, fj_buffer** out, fj_error* error) {
  auto* buffer = new fj_buffer();
  if (!buffer->memory.allocate(bytes)) {
    delete buffer;
    return no_memory(error, "a buffer", bytes);
  }
  *out = buffer;
  return FJ_OK;
}

void buffer_free(fj_buffer* buffer) { delete buffer; }

fj_status buffer_write(fj_buffer* buffer, uint64_t offset, const void* data, uint64_t bytes, fj_error*) {
  if (bytes > 0) memcpy(buffer->memory.data() + offset, data, bytes);
  buffer->version++;
  return FJ_OK;
}

fj_status buffer_read(fj_buffer* buffer, uint64_t offset, void* data, uint64_t bytes, fj_error*) {
  if (bytes > 0) memcpy(data, buffer->memory.data() + offset, bytes);
  return FJ_OK;
}

// Seconds that `work(team)` takes on all threads together; the best of `rounds`.
template <class Work>
double best_seconds(Crew& crew, int rounds, Work work) {
  double best = 1e30;
  for (int round = 0; round < rounds; round++) {
    const uint64_t begin = now_ns();
    crew.run(
        false, [](void* context, Team& team) { (*static_cast<Work*>(context))(team); }, &work);
    const double seconds = static_cast<double>(now_ns() - begin) * 1e-9;
    if (seconds < best) best = seconds;
  }
  return best;
}

fj_status device_ceilings(fj_device* device, uint32_t wanted, double* fma_gflops, double* copy_gbytes,
                          fj_error* error) {
  const int threads = wanted > 0 ? clamp_threads(wanted) : device->threads;
  Crew crew;
  crew.start(threads);
  constexpr int64_t kIterations = 1000000;
  std::vector<float> sink(static_cast<size_t>(threads));
  const double fma = best_seconds(
      crew, 20, [&](Team& team) { sink[static_cast<size_t>(team.id)] = kernel_table().fma_probe(kIterations); });
  *fma_gflops = kernel_table().fma_probe_flops * kIterations * threads / fma * 1e-9;
  // Four times the largest last-level cache in sight.
  constexpr int64_t kBytes = 256ll << 20;
  Memory from, to;
  if (!from.allocate(kBytes) || !to.allocate(kBytes)) return no_memory(error, "the copy that is timed", kBytes);
  memset(from.data(), 1, kBytes);
  memset(to.data(), 2, kBytes);
  const double copy = best_seconds(crew, 8, [&](Team& team) {
    const Range range = split(kBytes, team, FJ_ALIGNMENT);
    memcpy(to.data() + range.begin, from.data() + range.begin, static_cast<size_t>(range.end - range.begin));
  });
  *copy_gbytes = 2.0 * kBytes / copy * 1e-9;
  return FJ_OK;
}

const fj_backend kBackend = {
    FJ_ABI_VERSION,
    "cpu",
    1,
    device_count,
    device_describe,
    device_open,
    device_close,
    device_set_threads,
    buffer_create,
    buffer_free,
    buffer_write,
    buffer_read,
    supports,
    program_create,
    program_free,
    program_bytes,
    program_run,
    nullptr,  // program_finish: a run is over when program_run returns
    nullptr,  // program_depth
    program_describe,
    program_profile,
    device_ceilings,
    nullptr,  // describe_libraries
};

}  // namespace
}  // namespace forja

extern "C" const fj_backend* forja_cpu_backend(uint32_t host_abi_version) {
  return host_abi_version == FJ_ABI_VERSION ? &forja::kBackend : nullptr;
}
