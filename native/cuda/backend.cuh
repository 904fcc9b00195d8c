// What the two halves of the CUDA backend share: backend.cu (devices, buffers, the table of functions) and program.cu.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../core/error.h"
#include "choose.cuh"
#include "kernel.cuh"
#include "memory.cuh"

namespace forja::cuda {

// Of NVIDIA's libraries (libraries.cuh).
struct Handles {
  void *cublas_lt = nullptr, *cudnn = nullptr;
  std::string cublas_lt_failed, cudnn_failed;  // why there is none although the library is there
  void close();
};

}  // namespace forja::cuda

struct fj_device {
  uint32_t index = 0;
  int multiprocessors = 1;
  size_t block_memory = forja::cuda::kPlainShared;  // shared memory that a block may ask for
  bool warpgroups = false;
  bool graphs = true;
  bool branches = true, conditions = true;                    // of graphs
  bool refused_branches = false, refused_conditions = false;  // by the driver: why they are off
  bool tune = true;                                           // FORJA_TUNE
  std::string machine;                                        // the GPU's model
  forja::cuda::Handles handles;
  cudaStream_t stream = nullptr;
  cudaStream_t uploads = nullptr;  // brings large arguments while `stream` is at work
  forja::cuda::Trash trash;
  // An error after which the driver answers every call with it: set once, by the thread that meets it first, which is
  // the environment's where that makes a buffer.
  std::atomic<bool> lost{false};
  std::mutex losing;
  char loss[256] = {};  // is not written any more once `lost` is set

  forja::cuda::Launcher launcher() const { return {stream, multiprocessors, block_memory, warpgroups}; }
};

struct fj_buffer {
  explicit fj_buffer(fj_device* owner) : device(owner), memory(owner->trash) {}
  fj_device* device;
  forja::cuda::Block memory;
  uint64_t bytes = 0;
  bool fresh = true;  // still to be filled with zeros
};

// What one run that is under way has for itself.
struct fj_run {
  explicit fj_run(fj_device* owner) : device(owner), staging(owner->trash, true), upload(owner->trash) {}
  ~fj_run() {
    device->trash.add_event(done);
    device->trash.add_event(uploaded);
  }

  fj_device* device;
  // Pinned: the arguments in the places they have in `inputs`, then the outputs, then what a kernel found.
  forja::cuda::Block staging;
  forja::cuda::Block upload;  // device memory to which large arguments are copied on the other stream
  cudaEvent_t done = nullptr, uploaded = nullptr;
  void* const* outputs = nullptr;  // the caller's
};

struct fj_program {
  explicit fj_program(fj_device* owner)
      : device(owner), arena(owner->trash), inputs(owner->trash), scratch(owner->trash), fault(owner->trash) {}
  ~fj_program() {
    for (cudaGraphExec_t graph : graphs) device->trash.add_graph(graph);
    for (cudaEvent_t event : events) device->trash.add_event(event);
  }

  fj_device* device;
  fj_program_view view{};
  std::vector<forja::cuda::Choice> choices;  // the kernel of each instruction
  std::vector<forja::cuda::Call> calls;
  std::vector<forja::Operand> operands;
  forja::cuda::Block arena, inputs, scratch, fault;
  std::vector<uint64_t> scratch_bytes;  // that each call uses from its `scratch` on
  std::vector<uint64_t> input_offsets, output_offsets;
  uint64_t input_bytes = 0, fault_offset = 0;
  std::vector<uint8_t> sent;  // the arguments that lie on the device, where they are few bytes and known
  // Whether arguments and outputs pass through pinned memory; else they are copied from and to the caller's.
  bool staged = true;
  std::vector<std::unique_ptr<fj_run>> slots;  // taken in turn
  uint64_t started = 0, finished = 0;
  std::vector<const uint8_t*> output_data;  // device memory
  bool faults = false;
  bool eager_only = false;
  // All of the program; or the pure part and the commit, between which the host looks for faults.
  cudaGraphExec_t graphs[2] = {};
  bool whole = false;         // graphs[0] is all of it
  const char* recorded = "";  // what explain() says of the graphs: what they had to do without
  bool profile = false;
  std::vector<cudaEvent_t> events;  // before each instruction, after the last, and after the last of the pure part
  std::vector<uint64_t> nanoseconds;
};

namespace forja::cuda {

// Fills `error` from what a call of the runtime answered; an error that later calls cannot get over marks the device as
// lost. Each returns the error's status.
fj_status report(fj_device* device, cudaError_t code, const char* doing, fj_error* error,
                 uint32_t instruction = FJ_NO_INSTRUCTION);
// As report; where there was no memory, with what was asked for and what is free.
fj_status no_memory(fj_device* device, cudaError_t code, const char* what, uint64_t bytes, fj_error* error);
// The device becomes current on this thread, unless it was lost.
fj_status enter(fj_device* device, fj_error* error);
// Zeros into a buffer that nothing was written to yet, in the order of the stream.
cudaError_t fill_fresh(fj_buffer* buffer);

int supports(uint16_t opcode, uint16_t variant);
// Launches instructions [begin, end), in the order of the list; what goes wrong is kept by the launcher.
void launch_instructions(const fj_program* program, uint32_t begin, uint32_t end, Launcher& launcher);
// The fault record says that nothing is wrong, for the run that follows.
cudaError_t forget_fault(const fj_program* program);
// What is timed behind it waits on the device until the host has handed over about all of it: a time would else hold
// that of the launch, which is as long as a short kernel.
void hold(Launcher& to, uint32_t launches);
// What `launches` puts on the device's stream as a graph that can be launched.
cudaError_t record_graph(const fj_device& device, cudaGraphExec_t* out, const std::function<void(Launcher&)>& launches);
// Records the program as CUDA graphs. Where that fails it stays eager, and `note` says why.
void record_graphs(fj_program* program, fj_error* note);

// The functions of fj_backend that programs need.
fj_status program_create(fj_device* device, const fj_program_view* view, fj_buffer* const* buffers, fj_program** out,
                         fj_error* error);
void program_free(fj_program* program);
uint64_t program_bytes(const fj_program* program);
fj_status program_run(fj_program* program, const void* const* inputs, void* const* outputs, const int32_t* cancel,
                      fj_error* error);
fj_status program_finish(fj_program* program, fj_error* error);
uint32_t program_depth(const fj_program* program);
size_t program_describe(const fj_program* program, char* text, size_t size);
fj_status program_profile(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error* error);

}  // namespace forja::cuda
