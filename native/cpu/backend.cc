// The CPU backend: buffers are host memory, a program is a list of kernel calls that a team of threads walks together.
#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "../core/backend_loader.h"
#include "../core/program.h"
#include "crew.h"
#include "isa.h"
#include "kept.h"
#include "kernel.h"
#include "memory.h"
#include "order.h"
#include "tune.h"

using forja::Call;
using forja::Crew;
using forja::fastest_kernel;
using forja::Fault;
using forja::Kernel;
using forja::KernelTable;
using forja::may_keep;
using forja::Memory;
using forja::Operand;
using forja::set_error;
using forja::Team;

struct fj_device {
  int threads = 1;
  bool tune = false;  // FORJA_TUNE
  Crew crew;
};

struct fj_buffer {
  Memory memory;
  uint64_t version = 0;  // grows with every write
};

struct fj_program {
  struct InputPatch {
    uint32_t operand;
    uint32_t input;
    uint64_t offset;
  };
  fj_device* device = nullptr;
  fj_program_view view{};
  std::vector<const Kernel*> kernels;
  std::vector<uint8_t> measured;  // whether the kernel was chosen by time
  std::vector<Call> calls;
  std::vector<uint8_t> barriers;  // find_barriers
  std::vector<Operand> operands;
  std::vector<InputPatch> patches;  // operands that lie in the arguments of a run
  std::vector<void*> output_data;   // null where an output lies in an input
  Memory arena;
  Memory scratch;
  forja::KeptWeights kept;
  int scratch_threads = 0;  // the team size scratch was sized for
  bool alone = false;       // one thread does it sooner than a team
  Fault fault;
  bool profile = false;
  std::vector<uint64_t> nanoseconds;
};

namespace {

const KernelTable& table() {
  static const KernelTable* kTable = [] {
    auto* t = new KernelTable();
    forja::active_isa(nullptr).register_kernels(*t);
    return t;
  }();
  return *kTable;
}

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
  snprintf(out->isa, sizeof(out->isa), "%s", forja::active_isa(nullptr).name);
  out->threads = static_cast<uint32_t>(default_threads());
  out->memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return FJ_OK;
}

fj_status device_open(uint32_t index, fj_device** out, fj_error* error) {
  fj_device_info info;
  if (device_describe(index, &info, error) != FJ_OK) return error->status;
  const char* problem = nullptr;
  forja::active_isa(&problem);
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
  const char* tune = getenv("FORJA_TUNE");
  if (tune != nullptr && strcmp(tune, "") != 0 && strcmp(tune, "0") != 0 && strcmp(tune, "1") != 0) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "FORJA_TUNE must be 0 or 1: '%s'", tune);
    return error->status;
  }
  *out = new fj_device();
  (*out)->threads = threads;
  (*out)->tune = tune != nullptr && strcmp(tune, "1") == 0;
  return FJ_OK;
}

void device_close(fj_device* device) { delete device; }

void device_set_threads(fj_device* device, uint32_t threads) {
  device->threads = threads > 0 ? clamp_threads(threads) : default_threads();
  device->crew.start(device->threads);
}

fj_status no_memory(fj_error* error, const char* what, uint64_t bytes) {
  set_error(error, FJ_ERR_OUT_OF_MEMORY, FJ_NO_INSTRUCTION, "no memory for %s of %llu bytes", what,
            static_cast<unsigned long long>(bytes));
  return error->status;
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

int supports(uint16_t opcode, uint16_t variant) { return table().has(opcode, variant) ? 1 : 0; }

// About 20 us on one thread. What others can save of a program that is so short is less than waking them may cost, and
// on a busy machine they come late.
constexpr uint32_t kSmallWork = 2'000'000;

bool size_scratch(fj_program* program) {
  const int threads = program->alone ? 1 : program->device->threads;
  if (program->scratch_threads == threads) return true;
  size_t bytes = 0;
  for (size_t i = 0; i < program->calls.size(); i++) {
    const auto scratch = program->kernels[i]->scratch;
    if (scratch == nullptr) continue;
    const size_t wanted = scratch(program->calls[i], threads);
    if (wanted > bytes) bytes = wanted;
  }
  if (bytes > program->scratch.bytes() && !program->scratch.allocate(bytes)) return false;
  for (Call& call : program->calls) call.scratch = program->scratch.data();
  program->scratch_threads = threads;
  return true;
}

uint8_t* storage_base(const fj_program& program, fj_buffer* const* buffers, const fj_value& value) {
  switch (value.storage) {
    case FJ_ARENA:
      return program.arena.data();
    case FJ_BUFFER:
      return buffers[value.index]->memory.data();
    default:
      return nullptr;
  }
}

void program_free(fj_program* program) { delete program; }

// Kernels here read float32 maps.
bool is_narrow(const fj_instr& instr, const Call& call) {
  return fj_op_may_be_narrow(instr.opcode) && call.in[0].value->dtype == FJ_BFLOAT16;
}

fj_status program_create(fj_device* device, const fj_program_view* view, fj_buffer* const* buffers, fj_program** out,
                         fj_error* error) {
  auto* program = new fj_program();
  const fj_program_header& header = *view->header;
  program->device = device;
  program->view = *view;
  program->alone = header.work < kSmallWork;
  device->crew.start(device->threads);
  const auto fail = [&](fj_status status) {
    program_free(program);
    return status;
  };
  if (!program->arena.allocate(header.arena_bytes)) return fail(no_memory(error, "an arena", header.arena_bytes));
  program->operands.resize(header.operand_count);
  for (uint32_t i = 0; i < header.operand_count; i++) {
    // Operands outside any instruction are not checked by the decoder and not used.
    if (view->operands[i] >= header.value_count) continue;
    const fj_value& value = view->values[view->operands[i]];
    uint8_t* base = storage_base(*program, buffers, value);
    program->operands[i] = Operand{base == nullptr ? nullptr : base + value.offset, &value};
    if (value.storage == FJ_INPUT) program->patches.push_back({i, value.index, value.offset});
  }
  const std::vector<bool> written = forja::written_buffers(*view);
  for (uint32_t i = 0; i < header.instr_count; i++) {
    const fj_instr& instr = view->instrs[i];
    const Operand* in = program->operands.data() + instr.operands;
    Call call{in,      in + instr.n_in, instr.n_in, instr.n_out, view->attrs + instr.attrs, instr.attr_bytes,
              nullptr, &program->fault};
    const Kernel* kernel = is_narrow(instr, call) ? nullptr : table().find(instr.opcode, instr.variant, call);
    if (kernel == nullptr) {
      return fail(forja::no_kernel(error, i, "the CPU", instr, in, supports));
    }
    if (const char* missing = kernel->missing != nullptr ? kernel->missing() : nullptr) {
      set_error(error, FJ_ERR_BACKEND_UNAVAILABLE, i, "%s is not available: %s", kernel->name, missing);
      return fail(error->status);
    }
    if (instr.opcode == FJ_OP_FUSED) {
      const size_t words = (call.attr_bytes - sizeof(fj_fused_attrs)) / 4;
      const auto runs = [](uint16_t opcode) { return table().micro_op[opcode]; };
      const int32_t* code = call.tail(sizeof(fj_fused_attrs));
      if (forja::check_micro_program(error, i, "the CPU", code, words, runs) != FJ_OK) return fail(error->status);
    }
    const int threads = program->alone ? 1 : device->threads;
    const Kernel* fastest =
        device->tune && instr.variant == 0
            ? fastest_kernel(table(), instr, call, device->crew, program->alone, threads, may_keep(call, written))
            : nullptr;
    program->calls.push_back(call);
    program->kernels.push_back(fastest != nullptr ? fastest : kernel);
    program->measured.push_back(fastest != nullptr);
  }
  for (uint32_t i = 0; i < header.output_count; i++) {
    const fj_value& value = view->values[view->outputs[i]];
    uint8_t* base = storage_base(*program, buffers, value);
    program->output_data.push_back(base == nullptr ? nullptr : base + value.offset);
  }
  program->nanoseconds.resize(header.instr_count);
  program->barriers = forja::find_barriers(program->calls, program->kernels, header.commit_index);
  std::vector<uint64_t*> versions;
  for (uint32_t i = 0; i < header.buffer_count; i++) versions.push_back(&buffers[i]->version);
  if (!program->kept.allocate(program->kernels, program->calls, written, versions))
    return fail(no_memory(error, "prepared weights", 0));
  if (!size_scratch(program)) return fail(no_memory(error, "scratch", 0));
  *out = program;
  return FJ_OK;
}

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

// What reading the clock adds to a time that it measures: 24 ns here, as much as a small kernel.
uint64_t clock_cost() {
  uint64_t least = UINT64_MAX, before = now_ns();
  for (int i = 0; i < 8; i++) {
    const uint64_t after = now_ns();
    if (after - before < least) least = after - before;
    before = after;
  }
  return least;
}

// A run of a program, as the threads of its team share it.
struct Walk {
  fj_program* program;
  const int32_t* cancel;
  // The last instruction, where the run ends before its end. Thread 0 decides when to stop and names the instruction
  // after whose barrier all leave, so that a slow thread cannot take the decision for an earlier barrier.
  std::atomic<uint32_t> stop_after{FJ_NO_INSTRUCTION};

  bool must_stop() const { return *reinterpret_cast<const volatile int32_t*>(cancel) != 0 || program->fault.set != 0; }
};

// Executes the instruction list on one thread of the team.
void walk(void* context, Team& team) {
  Walk& run = *static_cast<Walk*>(context);
  fj_program* program = run.program;
  const uint32_t count = program->view.header->instr_count, commit = program->view.header->commit_index;
  const bool lead = team.id == 0;
  const uint64_t cost = lead && program->profile ? clock_cost() : 0;
  uint64_t begin = lead && program->profile ? now_ns() : 0;
  for (uint32_t i = 0; i < count; i++) {
    program->kernels[i]->run(program->calls[i], team);
    if (!program->profile) {
      if (i + 1 == count) return;  // the crew waits for all
      if (!program->barriers[i]) continue;
    }
    if (lead && i + 1 < commit && run.must_stop()) run.stop_after = i;
    team.barrier();
    if (i + 1 == commit) {  // every fault of the pure part is known only now
      if (lead && run.must_stop()) run.stop_after = i;
      team.barrier();
    }
    if (lead && program->profile) {
      const uint64_t end = now_ns();
      program->nanoseconds[i] = end - begin > cost ? end - begin - cost : 0;
      begin = end;
    }
    if (run.stop_after == i) return;
  }
}

fj_status program_run(fj_program* program, const void* const* inputs, void* const* outputs, const int32_t* cancel,
                      fj_error* error) {
  if (!size_scratch(program)) return no_memory(error, "scratch", 0);
  for (const auto& patch : program->patches) {
    program->operands[patch.operand].data =
        const_cast<uint8_t*>(static_cast<const uint8_t*>(inputs[patch.input]) + patch.offset);
  }
  program->fault.set = 0;
  program->kept.begin(program->calls);
  Walk run{program, cancel};
  program->device->crew.run(program->alone, walk, &run);
  uint32_t stop_after = run.stop_after;
  program->kept.end(program->calls, !program->fault.set && stop_after == FJ_NO_INSTRUCTION);
  if (program->fault.set) {
    const fj_program_header& header = *program->view.header;
    if (stop_after == FJ_NO_INSTRUCTION && header.commit_index == header.instr_count)
      stop_after = header.instr_count - 1;
    *error = program->fault.error;
    error->instruction = stop_after;
    return error->status;
  }
  if (stop_after != FJ_NO_INSTRUCTION) {
    set_error(error, FJ_ERR_ABORTED, stop_after, "the run was cancelled");
    return error->status;
  }
  const fj_program_view& view = program->view;
  for (uint32_t i = 0; i < view.header->output_count; i++) {
    const fj_value& value = view.values[view.outputs[i]];
    const void* data = program->output_data[i];
    if (data == nullptr) data = static_cast<const uint8_t*>(inputs[value.index]) + value.offset;
    if (value.bytes > 0) memcpy(outputs[i], data, value.bytes);
  }
  return FJ_OK;
}

uint64_t program_bytes(const fj_program* program) {
  return program->arena.bytes() + program->scratch.bytes() + program->kept.bytes();
}

size_t program_describe(const fj_program* program, char* text, size_t size) {
  size_t length = 0;
  for (size_t i = 0; i < program->kernels.size(); i++) {
    const size_t room = length < size ? size - length : 0;
    length += static_cast<size_t>(snprintf(room ? text + length : nullptr, room, "%s%s\n", program->kernels[i]->name,
                                           program->measured[i] ? ", measured" : ""));
  }
  return length;
}

fj_status program_profile(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error*) {
  for (uint32_t i = 0; i < count && i < program->nanoseconds.size(); i++) nanoseconds[i] = program->nanoseconds[i];
  program->profile = enable != 0;
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
  const double fma =
      best_seconds(crew, 20, [&](Team& team) { sink[static_cast<size_t>(team.id)] = table().fma_probe(kIterations); });
  *fma_gflops = table().fma_probe_flops * kIterations * threads / fma * 1e-9;
  // Four times the largest last-level cache in sight.
  constexpr int64_t kBytes = 256ll << 20;
  Memory from, to;
  if (!from.allocate(kBytes) || !to.allocate(kBytes)) return no_memory(error, "the copy that is timed", kBytes);
  memset(from.data(), 1, kBytes);
  memset(to.data(), 2, kBytes);
  const double copy = best_seconds(crew, 8, [&](Team& team) {
    const forja::Range range = forja::split(kBytes, team, FJ_ALIGNMENT);
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

extern "C" const fj_backend* forja_cpu_backend(uint32_t host_abi_version) {
  return host_abi_version == FJ_ABI_VERSION ? &kBackend : nullptr;
}
