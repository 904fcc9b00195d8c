// The CUDA backend. A program is a list of kernel calls on one stream, over memory that is allocated when the program
// is created: an arena, a copy of the arguments, scratch. A run
//
//   1. copies the arguments to the device, in one piece where they are small,
//   2. launches the pure part, and the commit behind it; in between it waits only if a kernel of the pure part could
//      find something wrong in its data, since then nothing may be committed,
//   3. copies the outputs back and waits.
//
// The first run launches kernel by kernel; the second records the two parts as CUDA graphs, and it and all later ones
// are two launches. Everything that differs from run to run (arguments, learning rates, random states) lies in device
// memory that graphs read anew. FORJA_CUDA_GRAPH=0 keeps every run as the first.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "../core/error.h"
#include "kernel.cuh"
#include "memory.cuh"

using forja::set_error;
using forja::cuda::Block;
using forja::cuda::Call;
using forja::cuda::Fault;
using forja::cuda::Kernel;
using forja::cuda::kernel_table;
using forja::cuda::KernelTable;
using forja::cuda::Launcher;
using forja::cuda::Operand;
using forja::cuda::Trash;

struct fj_device {
  uint32_t index = 0;
  int multiprocessors = 1;
  bool graphs = true;
  cudaStream_t stream = nullptr;
  Trash trash;
  // An error after which the driver answers every call with it: set once, by the executor's thread.
  bool lost = false;
  char loss[256] = {};
};

struct fj_buffer {
  explicit fj_buffer(fj_device* owner) : device(owner), memory(owner->trash) {}
  fj_device* device;
  Block memory;
  uint64_t bytes = 0;
  bool fresh = true;  // still to be filled with zeros
};

struct fj_program {
  explicit fj_program(fj_device* owner)
      : device(owner),
        arena(owner->trash),
        inputs(owner->trash),
        scratch(owner->trash),
        fault(owner->trash),
        fault_host(owner->trash, true),
        staging(owner->trash, true) {}
  ~fj_program() {
    for (cudaGraphExec_t graph : graphs) device->trash.add_graph(graph);
    for (cudaEvent_t event : events) device->trash.add_event(event);
  }

  fj_device* device;
  fj_program_view view{};
  std::vector<const Kernel*> kernels;
  std::vector<Call> calls;
  std::vector<Operand> operands;
  Block arena, inputs, scratch, fault, fault_host;
  // Pinned: the arguments in the places they have in `inputs`, then the outputs. Null where they are large: then they
  // are copied from and to the caller's memory.
  Block staging;
  std::vector<uint64_t> input_offsets, output_offsets;
  uint64_t input_bytes = 0;
  std::vector<const uint8_t*> output_data;  // device memory
  bool faults = false;
  uint64_t runs = 0;
  bool eager_only = false;
  cudaGraphExec_t graphs[2] = {};  // the pure part, the commit
  bool profile = false;
  std::vector<cudaEvent_t> events;  // before each instruction, and after the last
  std::vector<uint64_t> nanoseconds;
};

namespace {

constexpr uint64_t kStagedBytes = 16ull << 20;
constexpr uint64_t kInputAlignment = 256;

uint64_t align_up(uint64_t bytes) { return (bytes + kInputAlignment - 1) / kInputAlignment * kInputAlignment; }

fj_status lost_error(const fj_device* device, fj_error* error) {
  set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "the CUDA device is lost since an earlier error: %s",
            device->loss);
  return error->status;
}

// Whether later calls can succeed after this error.
bool is_harmless(cudaError_t code) {
  return code == cudaErrorMemoryAllocation || code == cudaErrorInvalidValue || code == cudaErrorInvalidConfiguration ||
         code == cudaErrorNotSupported || code == cudaErrorStreamCaptureUnsupported ||
         code == cudaErrorStreamCaptureInvalidated;
}

fj_status report(fj_device* device, cudaError_t code, const char* doing, fj_error* error,
                 uint32_t instruction = FJ_NO_INSTRUCTION) {
  if (code == cudaErrorMemoryAllocation) {
    set_error(error, FJ_ERR_OUT_OF_MEMORY, instruction, "the CUDA device has no memory left (%s)", doing);
    return error->status;
  }
  if (!is_harmless(code) && !device->lost) {
    snprintf(device->loss, sizeof(device->loss), "%s (%s)", cudaGetErrorString(code), cudaGetErrorName(code));
    device->lost = true;
  }
  set_error(error, FJ_ERR_DEVICE, instruction, "%s failed on the CUDA device: %s (%s)", doing, cudaGetErrorString(code),
            cudaGetErrorName(code));
  return error->status;
}

// --- devices -----------------------------------------------------------------------------------------

uint32_t device_count(fj_error* error) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return static_cast<uint32_t>(count);
  cudaGetLastError();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (code == cudaErrorInsufficientDriver && driver == 0) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "no NVIDIA driver (CUDA error %d)", static_cast<int>(code));
  } else if (code == cudaErrorInsufficientDriver) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION,
              "the NVIDIA driver is too old: it supports CUDA %d.%d, this build needs %d.%d", driver / 1000,
              driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  } else if (code == cudaSuccess || code == cudaErrorNoDevice) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "no NVIDIA GPU is visible (CUDA error %d)",
              static_cast<int>(cudaErrorNoDevice));
  } else {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "CUDA does not start: %s (CUDA error %d)",
              cudaGetErrorString(code), static_cast<int>(code));
  }
  return 0;
}

fj_status device_describe(uint32_t index, fj_device_info* out, fj_error* error) {
  const uint32_t count = device_count(error);
  if (count == 0) return error->status;
  if (index >= count) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION,
              "there are %u CUDA devices, numbers from 0; number %u was asked for", count, index);
    return error->status;
  }
  cudaDeviceProp properties;
  const cudaError_t code = cudaGetDeviceProperties(&properties, static_cast<int>(index));
  if (code != cudaSuccess) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "CUDA device %u cannot be described: %s", index,
              cudaGetErrorString(code));
    return error->status;
  }
  snprintf(out->name, sizeof(out->name), "%.127s", properties.name);
  snprintf(out->isa, sizeof(out->isa), "compute %d.%d", properties.major, properties.minor);
  out->threads = static_cast<uint32_t>(properties.multiProcessorCount);
  out->memory_bytes = properties.totalGlobalMem;
  return FJ_OK;
}

fj_status device_open(uint32_t index, fj_device** out, fj_error* error) {
  fj_device_info info;
  if (device_describe(index, &info, error) != FJ_OK) return error->status;
  auto device = std::make_unique<fj_device>();
  device->index = index;
  device->multiprocessors = static_cast<int>(info.threads);
  const char* graphs = getenv("FORJA_CUDA_GRAPH");
  device->graphs = graphs == nullptr || strcmp(graphs, "0") != 0;
  cudaError_t code = cudaSetDevice(static_cast<int>(index));
  if (code == cudaSuccess) code = cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking);
  if (code != cudaSuccess) return report(device.get(), code, "opening a stream", error);
  *out = device.release();
  return FJ_OK;
}

void device_close(fj_device* device) {
  cudaSetDevice(static_cast<int>(device->index));
  cudaStreamSynchronize(device->stream);
  device->trash.empty();
  cudaStreamDestroy(device->stream);
  delete device;
}

void device_set_threads(fj_device*, uint32_t) {}

// The device is current on this thread and was not lost.
fj_status enter(fj_device* device, fj_error* error) {
  if (device->lost) return lost_error(device, error);
  const cudaError_t code = cudaSetDevice(static_cast<int>(device->index));
  return code == cudaSuccess ? FJ_OK : report(device, code, "choosing the device", error);
}

fj_status no_memory(fj_device* device, cudaError_t code, const char* what, uint64_t bytes, fj_error* error) {
  if (code != cudaErrorMemoryAllocation) return report(device, code, what, error);
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  set_error(error, FJ_ERR_OUT_OF_MEMORY, FJ_NO_INSTRUCTION,
            "no CUDA memory for %s of %llu bytes: %llu of %llu bytes are free", what,
            static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(available),
            static_cast<unsigned long long>(total));
  return error->status;
}

// --- buffers -----------------------------------------------------------------------------------------

fj_status buffer_create(fj_device* device, uint64_t bytes, fj_buffer** out, fj_error* error) {
  if (enter(device, error) != FJ_OK) return error->status;
  auto buffer = std::make_unique<fj_buffer>(device);
  const cudaError_t code = buffer->memory.allocate(bytes);
  if (code != cudaSuccess) return no_memory(device, code, "a buffer", bytes, error);
  buffer->bytes = bytes;
  *out = buffer.release();
  return FJ_OK;
}

void buffer_free(fj_buffer* buffer) { delete buffer; }

cudaError_t fill_fresh(fj_buffer* buffer) {
  if (!buffer->fresh || buffer->bytes == 0) return cudaSuccess;
  buffer->fresh = false;
  return cudaMemsetAsync(buffer->memory.data(), 0, buffer->bytes, buffer->device->stream);
}

fj_status buffer_write(fj_buffer* buffer, uint64_t offset, const void* data, uint64_t bytes, fj_error* error) {
  fj_device* device = buffer->device;
  if (enter(device, error) != FJ_OK) return error->status;
  if (bytes == 0) return FJ_OK;
  if (offset == 0 && bytes == buffer->bytes) buffer->fresh = false;
  cudaError_t code = fill_fresh(buffer);
  if (code == cudaSuccess) {
    code = cudaMemcpyAsync(buffer->memory.data() + offset, data, bytes, cudaMemcpyHostToDevice, device->stream);
  }
  if (code == cudaSuccess) code = cudaStreamSynchronize(device->stream);
  return code == cudaSuccess ? FJ_OK : report(device, code, "writing a buffer", error);
}

fj_status buffer_read(fj_buffer* buffer, uint64_t offset, void* data, uint64_t bytes, fj_error* error) {
  fj_device* device = buffer->device;
  if (enter(device, error) != FJ_OK) return error->status;
  if (bytes == 0) return FJ_OK;
  cudaError_t code = fill_fresh(buffer);
  if (code == cudaSuccess) {
    code = cudaMemcpyAsync(data, buffer->memory.data() + offset, bytes, cudaMemcpyDeviceToHost, device->stream);
  }
  if (code == cudaSuccess) code = cudaStreamSynchronize(device->stream);
  return code == cudaSuccess ? FJ_OK : report(device, code, "reading a buffer", error);
}

// --- creating programs -------------------------------------------------------------------------------

int supports(uint16_t opcode, uint16_t variant) { return kernel_table().has(opcode, variant) ? 1 : 0; }

// The first operation of a fused micro-program that this backend cannot run, or 0.
uint16_t unknown_micro_op(const Call& call) {
  const int32_t* code = call.tail(sizeof(fj_fused_attrs));
  const size_t words = (call.attr_bytes - sizeof(fj_fused_attrs)) / 4;
  for (size_t at = 0; at < words; at += FJ_FUSED_WORDS) {
    const auto opcode = static_cast<uint16_t>(code[at] & 0xffff);
    if (opcode != FJ_OP_FULL && (opcode >= FJ_OP_LIMIT || !kernel_table().micro_op[opcode])) return opcode;
  }
  return 0;
}

// The arena's error names the three largest values, which are what could be made smaller.
fj_status no_arena(fj_device* device, cudaError_t code, const fj_program_view& view, fj_error* error) {
  if (no_memory(device, code, "an arena", view.header->arena_bytes, error) != FJ_ERR_OUT_OF_MEMORY)
    return error->status;
  const fj_value* largest[3] = {};
  for (uint32_t i = 0; i < view.header->value_count; i++) {
    const fj_value* value = &view.values[i];
    if (value->storage != FJ_ARENA) continue;
    for (const fj_value*& place : largest) {
      if (place == nullptr || value->bytes > place->bytes) std::swap(place, value);
      if (value == nullptr) break;
    }
  }
  size_t length = strlen(error->message);
  for (const fj_value* value : largest) {
    if (value == nullptr) break;
    const auto add = [&](const char* format, auto... args) {
      length +=
          static_cast<size_t>(snprintf(error->message + length, sizeof(error->message) - length, format, args...));
      if (length >= sizeof(error->message)) length = sizeof(error->message) - 1;
    };
    add("%s(", value == largest[0] ? "; the largest values are " : ", ");
    for (int axis = 0; axis < value->rank; axis++) add(axis > 0 ? ", %u" : "%u", value->dims[axis]);
    add(") of %llu bytes", static_cast<unsigned long long>(value->bytes));
  }
  return error->status;
}

uint8_t* storage_base(const fj_program& program, fj_buffer* const* buffers, const fj_value& value) {
  switch (value.storage) {
    case FJ_ARENA:
      return program.arena.data();
    case FJ_BUFFER:
      return buffers[value.index]->memory.data();
    default:
      return program.inputs.data() + program.input_offsets[value.index];
  }
}

// Chooses a kernel for every instruction; `scratch_bytes` becomes the most that one asks for.
fj_status choose_kernels(fj_program* program, uint64_t* scratch_bytes, fj_error* error) {
  const fj_program_view& view = program->view;
  for (uint32_t i = 0; i < view.header->instr_count; i++) {
    const fj_instr& instr = view.instrs[i];
    const Operand* in = program->operands.data() + instr.operands;
    Call call{in,
              in + instr.n_in,
              instr.n_in,
              instr.n_out,
              view.attrs + instr.attrs,
              instr.attr_bytes,
              nullptr,
              {reinterpret_cast<Fault*>(program->fault.data()), i}};
    const Kernel* kernel = kernel_table().find(instr.opcode, instr.variant, call);
    if (kernel == nullptr) {
      set_error(error, FJ_ERR_UNSUPPORTED_OP, i, "%s: CUDA has no kernel for variant %u with these operands",
                fj_op_name(instr.opcode), instr.variant);
      return error->status;
    }
    if (const uint16_t unknown = instr.opcode == FJ_OP_FUSED ? unknown_micro_op(call) : 0) {
      const char* name = fj_op_name(unknown);
      set_error(error, FJ_ERR_UNSUPPORTED_OP, i, "fused: CUDA has no elementwise operation %s (code %u)",
                name != nullptr ? name : "unknown", unknown);
      return error->status;
    }
    if (kernel->scratch != nullptr) {
      const uint64_t wanted = kernel->scratch(call);
      if (wanted > *scratch_bytes) *scratch_bytes = wanted;
    }
    program->faults = program->faults || kernel->faults;
    program->calls.push_back(call);
    program->kernels.push_back(kernel);
  }
  return FJ_OK;
}

fj_status place_arguments(fj_program* program, fj_error* error) {
  const fj_program_view& view = program->view;
  for (uint32_t i = 0; i < view.header->input_count; i++) {
    program->input_offsets.push_back(program->input_bytes);
    program->input_bytes += align_up(view.input_bytes[i]);
  }
  cudaError_t code = program->inputs.allocate(program->input_bytes);
  if (code != cudaSuccess) return no_memory(program->device, code, "arguments", program->input_bytes, error);
  uint64_t bytes = program->input_bytes;
  for (uint32_t i = 0; i < view.header->output_count; i++) {
    program->output_offsets.push_back(bytes);
    bytes += align_up(view.values[view.outputs[i]].bytes);
  }
  if (bytes > kStagedBytes) return FJ_OK;
  code = program->staging.allocate(bytes);
  return code == cudaSuccess ? FJ_OK : no_memory(program->device, code, "pinned host memory", bytes, error);
}

void program_free(fj_program* program) { delete program; }

fj_status program_create(fj_device* device, const fj_program_view* view, fj_buffer* const* buffers, fj_program** out,
                         fj_error* error) {
  if (enter(device, error) != FJ_OK) return error->status;
  device->trash.empty();
  auto program = std::make_unique<fj_program>(device);
  const fj_program_header& header = *view->header;
  program->view = *view;
  cudaError_t code = program->arena.allocate(header.arena_bytes);
  if (code != cudaSuccess) return no_arena(device, code, *view, error);
  if (place_arguments(program.get(), error) != FJ_OK) return error->status;
  code = program->fault.allocate(sizeof(Fault));
  if (code == cudaSuccess) code = program->fault_host.allocate(sizeof(Fault));
  if (code != cudaSuccess) return no_memory(device, code, "a fault record", sizeof(Fault), error);
  for (uint32_t i = 0; i < header.buffer_count && code == cudaSuccess; i++) code = fill_fresh(buffers[i]);
  if (code != cudaSuccess) return report(device, code, "filling a buffer", error);

  program->operands.resize(header.operand_count);
  for (uint32_t i = 0; i < header.operand_count; i++) {
    // Operands outside any instruction are not checked by the decoder and not used.
    if (view->operands[i] >= header.value_count) continue;
    const fj_value& value = view->values[view->operands[i]];
    program->operands[i] = Operand{storage_base(*program, buffers, value) + value.offset, &value};
  }
  uint64_t scratch_bytes = 0;
  if (choose_kernels(program.get(), &scratch_bytes, error) != FJ_OK) return error->status;
  code = program->scratch.allocate(scratch_bytes);
  if (code != cudaSuccess) return no_memory(device, code, "scratch", scratch_bytes, error);
  for (Call& call : program->calls) call.scratch = program->scratch.data();
  for (uint32_t i = 0; i < header.output_count; i++) {
    const fj_value& value = view->values[view->outputs[i]];
    program->output_data.push_back(storage_base(*program, buffers, value) + value.offset);
  }
  program->nanoseconds.resize(header.instr_count);
  *out = program.release();
  return FJ_OK;
}

// --- running -----------------------------------------------------------------------------------------

bool cancelled(const int32_t* cancel) { return *reinterpret_cast<const volatile int32_t*>(cancel) != 0; }

fj_status aborted(fj_error* error, uint32_t instruction) {
  set_error(error, FJ_ERR_ABORTED, instruction, "the run was cancelled");
  return error->status;
}

// Launches instructions [begin, end); polls `cancel` between them unless it is null.
fj_status issue(fj_program* program, uint32_t begin, uint32_t end, const int32_t* cancel, fj_error* error) {
  Launcher launcher{program->device->stream, program->device->multiprocessors};
  for (uint32_t i = begin; i < end; i++) {
    if (cancel != nullptr && cancelled(cancel)) return aborted(error, i);
    if (program->profile) launcher.error = cudaEventRecord(program->events[i], launcher.stream);
    program->kernels[i]->run(program->calls[i], launcher);
    if (launcher.error != cudaSuccess) {
      return report(program->device, launcher.error, fj_op_name(program->view.instrs[i].opcode), error, i);
    }
  }
  if (program->profile) launcher.error = cudaEventRecord(program->events[end], launcher.stream);
  return launcher.error == cudaSuccess ? FJ_OK : report(program->device, launcher.error, "timing", error);
}

// Records instructions [begin, end) as a graph; null for none. False where that fails: nothing has run then.
bool capture(fj_program* program, uint32_t begin, uint32_t end, cudaGraphExec_t* out) {
  if (begin == end) return true;
  const cudaStream_t stream = program->device->stream;
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) return false;
  Launcher launcher{stream, program->device->multiprocessors};
  for (uint32_t i = begin; i < end; i++) program->kernels[i]->run(program->calls[i], launcher);
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  bool done = launcher.error == cudaSuccess && ended == cudaSuccess;
  if (done) done = cudaGraphInstantiate(out, graph, 0) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  return done;
}

void capture_both(fj_program* program) {
  const fj_program_header& header = *program->view.header;
  if (capture(program, 0, header.commit_index, &program->graphs[0]) &&
      capture(program, header.commit_index, header.instr_count, &program->graphs[1])) {
    return;
  }
  cudaGetLastError();  // the program stays eager: describe() says so
  program->eager_only = true;
}

// One of the two parts, as a graph where there is one.
fj_status run_part(fj_program* program, int part, bool eager, const int32_t* cancel, fj_error* error) {
  const fj_program_header& header = *program->view.header;
  const uint32_t begin = part == 0 ? 0 : header.commit_index,
                 end = part == 0 ? header.commit_index : header.instr_count;
  if (eager) return issue(program, begin, end, part == 0 ? cancel : nullptr, error);
  if (program->graphs[part] == nullptr) return FJ_OK;
  const cudaError_t code = cudaGraphLaunch(program->graphs[part], program->device->stream);
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "launching a graph", error);
}

fj_status copy_inputs(fj_program* program, const void* const* inputs, fj_error* error) {
  const fj_program_view& view = program->view;
  const cudaStream_t stream = program->device->stream;
  uint8_t* staging = program->staging.data();
  cudaError_t code = cudaSuccess;
  for (uint32_t i = 0; i < view.header->input_count && code == cudaSuccess; i++) {
    const uint64_t bytes = view.input_bytes[i];
    if (bytes == 0) continue;
    if (staging != nullptr) {
      memcpy(staging + program->input_offsets[i], inputs[i], bytes);
    } else {
      code = cudaMemcpyAsync(program->inputs.data() + program->input_offsets[i], inputs[i], bytes,
                             cudaMemcpyHostToDevice, stream);
    }
  }
  if (staging != nullptr && program->input_bytes > 0) {
    code = cudaMemcpyAsync(program->inputs.data(), staging, program->input_bytes, cudaMemcpyHostToDevice, stream);
  }
  if (code == cudaSuccess && program->faults) {
    code = cudaMemsetAsync(program->fault.data(), 0, sizeof(Fault), stream);
  }
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "copying the arguments", error);
}

fj_status wait(fj_program* program, fj_error* error) {
  const cudaError_t code = cudaStreamSynchronize(program->device->stream);
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "running the program", error);
}

// Waits for what was launched and reports what a kernel found.
fj_status check_fault(fj_program* program, fj_error* error) {
  const cudaError_t code = cudaMemcpyAsync(program->fault_host.data(), program->fault.data(), sizeof(Fault),
                                           cudaMemcpyDeviceToHost, program->device->stream);
  if (code != cudaSuccess) return report(program->device, code, "reading the fault record", error);
  if (wait(program, error) != FJ_OK) return error->status;
  Fault fault;
  memcpy(&fault, program->fault_host.data(), sizeof(fault));
  if (fault.kind == Fault::kNone) return FJ_OK;
  const auto at = static_cast<long long>(fault.at), limit = static_cast<long long>(fault.limit);
  const auto fail = [&](const char* format, auto... args) {
    set_error(error, FJ_ERR_ARGUMENT, fault.instruction, format, args...);
  };
  float number = 0;
  switch (fault.kind) {
    case Fault::kLabel:
      fail("labels[%lld] is %d, expected 0..%lld", at, fault.value, limit - 1);
      break;
    case Fault::kRegionImage:
      memcpy(&number, &fault.value, sizeof(number));
      fail("rois[%lld] names image %g, expected 0..%lld", at, static_cast<double>(number), limit - 1);
      break;
    case Fault::kRegionPlace:
      fail("rois[%lld] lies more than %lld pixels away", at, limit);
      break;
    default:
      fail("index[%lld] is %d, expected 0..%lld", at, fault.value, limit - 1);
  }
  return error->status;
}

fj_status copy_outputs(fj_program* program, void* const* outputs, fj_error* error) {
  const fj_program_view& view = program->view;
  uint8_t* staging = program->staging.data();
  cudaError_t code = cudaSuccess;
  for (uint32_t i = 0; i < view.header->output_count && code == cudaSuccess; i++) {
    const uint64_t bytes = view.values[view.outputs[i]].bytes;
    void* to = staging != nullptr ? staging + program->output_offsets[i] : outputs[i];
    if (bytes > 0) {
      code = cudaMemcpyAsync(to, program->output_data[i], bytes, cudaMemcpyDeviceToHost, program->device->stream);
    }
  }
  if (code != cudaSuccess) return report(program->device, code, "copying the outputs", error);
  if (wait(program, error) != FJ_OK) return error->status;
  for (uint32_t i = 0; staging != nullptr && i < view.header->output_count; i++) {
    const uint64_t bytes = view.values[view.outputs[i]].bytes;
    if (bytes > 0) memcpy(outputs[i], staging + program->output_offsets[i], bytes);
  }
  return FJ_OK;
}

void read_times(fj_program* program) {
  for (size_t i = 0; i + 1 < program->events.size(); i++) {
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, program->events[i], program->events[i + 1]);
    program->nanoseconds[i] = static_cast<uint64_t>(milliseconds * 1e6f);
  }
}

fj_status program_run(fj_program* program, const void* const* inputs, void* const* outputs, const int32_t* cancel,
                      fj_error* error) {
  if (enter(program->device, error) != FJ_OK) return error->status;
  const auto captured = [&] { return program->graphs[0] != nullptr || program->graphs[1] != nullptr; };
  if (program->runs > 0 && program->device->graphs && !program->profile && !program->eager_only && !captured()) {
    capture_both(program);
  }
  const bool eager = program->profile || program->eager_only || !captured();
  if (copy_inputs(program, inputs, error) != FJ_OK) return error->status;
  if (run_part(program, 0, eager, cancel, error) != FJ_OK) {
    fj_error ignored;
    wait(program, &ignored);  // the arguments' memory is the caller's again
    return error->status;
  }
  if (program->faults && check_fault(program, error) != FJ_OK) return error->status;
  // A first run waits, so that it can still be cancelled and no kernel that fails is followed by a commit.
  if (eager && wait(program, error) != FJ_OK) return error->status;
  if (cancelled(cancel)) {
    if (wait(program, error) != FJ_OK) return error->status;
    return aborted(error, program->view.header->commit_index);
  }
  if (run_part(program, 1, eager, nullptr, error) != FJ_OK) return error->status;
  if (copy_outputs(program, outputs, error) != FJ_OK) return error->status;
  if (program->profile) read_times(program);
  program->runs++;
  return FJ_OK;
}

size_t program_describe(const fj_program* program, char* text, size_t size) {
  size_t length = 0;
  for (size_t i = 0; i < program->kernels.size(); i++) {
    const size_t room = length < size ? size - length : 0;
    length += static_cast<size_t>(snprintf(room ? text + length : nullptr, room, "%s%s\n", program->kernels[i]->name,
                                           i == 0 && program->eager_only ? " (eager: no CUDA graph)" : ""));
  }
  return length;
}

fj_status program_profile(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error* error) {
  if (enter(program->device, error) != FJ_OK) return error->status;
  for (uint32_t i = 0; i < count && i < program->nanoseconds.size(); i++) nanoseconds[i] = program->nanoseconds[i];
  while (enable != 0 && program->events.size() <= program->kernels.size()) {
    cudaEvent_t event = nullptr;
    const cudaError_t code = cudaEventCreate(&event);
    if (code != cudaSuccess) return report(program->device, code, "creating an event", error);
    program->events.push_back(event);
  }
  program->profile = enable != 0;
  return FJ_OK;
}

// Bytes read plus written a second by copies of half a gigabyte: several times the largest second-level cache.
fj_status measure_copy(fj_device* device, double* gbytes, fj_error* error) {
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  uint64_t bytes = 512ull << 20;
  while (bytes > available / 4) bytes /= 2;
  Block from(device->trash), to(device->trash);
  cudaError_t code = from.allocate(bytes);
  if (code == cudaSuccess) code = to.allocate(bytes);
  if (code != cudaSuccess) return no_memory(device, code, "the copy that is timed", bytes, error);
  cudaEvent_t begin = nullptr, end = nullptr;
  code = cudaEventCreate(&begin);
  if (code == cudaSuccess) code = cudaEventCreate(&end);
  if (code == cudaSuccess) code = cudaMemsetAsync(from.data(), 1, bytes, device->stream);
  float best = 1e30f;
  for (int round = 0; round < 8 && code == cudaSuccess; round++) {
    float milliseconds = 0;
    code = cudaEventRecord(begin, device->stream);
    if (code == cudaSuccess) {
      code = cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, device->stream);
    }
    if (code == cudaSuccess) code = cudaEventRecord(end, device->stream);
    if (code == cudaSuccess) code = cudaEventSynchronize(end);
    if (code == cudaSuccess) code = cudaEventElapsedTime(&milliseconds, begin, end);
    if (milliseconds < best) best = milliseconds;
  }
  device->trash.add_event(begin);
  device->trash.add_event(end);
  if (code != cudaSuccess) return report(device, code, "timing a copy", error);
  *gbytes = 2.0 * static_cast<double>(bytes) / best * 1e-6;
  return FJ_OK;
}

fj_status device_ceilings(fj_device* device, uint32_t, double* fma_gflops, double* copy_gbytes, fj_error* error) {
  if (enter(device, error) != FJ_OK) return error->status;
  Launcher launcher{device->stream, device->multiprocessors};
  *fma_gflops = forja::cuda::measure_fma(launcher);
  if (launcher.error != cudaSuccess) return report(device, launcher.error, "timing multiply-adds", error);
  return measure_copy(device, copy_gbytes, error);
}

#ifdef SIMT_EMULATION
constexpr const char* kName = "cuda-emulated";
#else
constexpr const char* kName = "cuda";
#endif

const fj_backend kBackend = {
    FJ_ABI_VERSION,
    kName,
    0,
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
    program_run,
    program_describe,
    program_profile,
    device_ceilings,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const fj_backend* forja_backend_get(uint32_t host_abi_version) {
  return host_abi_version == FJ_ABI_VERSION ? &kBackend : nullptr;
}
