// What the parts of the CPU backend share: backend.cc (devices, buffers, the table of functions), program.cc (creating
// programs) and run.cc (running them).
#pragma once

#include <string>
#include <vector>

#include "crew.h"
#include "kept.h"
#include "kernel.h"
#include "memory.h"

struct fj_device {
  int threads = 1;
  bool tune = true;     // FORJA_TUNE
  std::string machine;  // processor and instruction set
  forja::Crew crew;
};

struct fj_buffer {
  forja::Memory memory;
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
  std::vector<const forja::Kernel*> kernels;
  std::vector<uint8_t> measured;  // whether the kernel was chosen by time
  std::vector<forja::Call> calls;
  std::vector<uint8_t> barriers;  // find_barriers of order.h
  std::vector<forja::Operand> operands;
  std::vector<InputPatch> patches;  // operands that lie in the arguments of a run
  std::vector<void*> output_data;   // null where an output lies in an input
  forja::Memory arena;
  forja::Memory scratch;
  forja::KeptWeights kept;
  int scratch_threads = 0;  // the team size scratch was sized for
  bool alone = false;       // one thread does it sooner than a team
  forja::Fault fault;
  bool profile = false;
  std::vector<uint64_t> nanoseconds;
};

namespace forja {

// The kernels of the instruction set in use.
const KernelTable& kernel_table();
int supports(uint16_t opcode, uint16_t variant);
fj_status no_memory(fj_error* error, const char* what, uint64_t bytes);
// Monotonic.
uint64_t now_ns();
// Makes the scratch large enough for the threads that the device has now; false if there is no memory.
bool size_scratch(fj_program* program);

// The functions of fj_backend that programs need.
fj_status program_create(fj_device* device, const fj_program_view* view, fj_buffer* const* buffers, fj_program** out,
                         fj_error* error);
void program_free(fj_program* program);
uint64_t program_bytes(const fj_program* program);
fj_status program_run(fj_program* program, const void* const* inputs, void* const* outputs, const int32_t* cancel,
                      fj_error* error);
size_t program_describe(const fj_program* program, char* text, size_t size);
fj_status program_profile(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error* error);

}  // namespace forja
