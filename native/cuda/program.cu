// Programs of the CUDA backend. A program is a list of kernel calls on one stream, over memory that is allocated when
// the program is created: an arena, a copy of the arguments, scratch. A run
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
#include <cstring>
#include <memory>

#include "backend.cuh"

namespace forja::cuda {
namespace {

constexpr uint64_t kStagedBytes = 16ull << 20;
constexpr uint64_t kInputAlignment = 256;

uint64_t align_up(uint64_t bytes) { return (bytes + kInputAlignment - 1) / kInputAlignment * kInputAlignment; }

// --- creating programs -------------------------------------------------------------------------------

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

}  // namespace

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

namespace {

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

}  // namespace

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

}  // namespace forja::cuda
