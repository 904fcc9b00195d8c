// Running programs of the CUDA backend. A run
//
//   1. copies the arguments to the device: in one piece through pinned memory; large ones on a stream of their own,
//      while earlier runs are at work; a few bytes, such as a learning rate, only where they changed,
//   2. launches the pure part, and the commit behind it unless a kernel found something wrong in its data,
//   3. copies the outputs back to pinned memory,
//
// all in the order of one stream and without waiting: program_finish waits for the run's end and hands the outputs
// over. The first run launches kernel by kernel and waits before the commit, so that it can still be cancelled; the
// second records CUDA graphs (graph.cu), and it and all later ones are one launch. Everything that differs from run to
// run (arguments, learning rates, random states) lies in device memory that graphs read anew. FORJA_CUDA_GRAPH=0 keeps
// every run as the first.
#include <algorithm>
#include <cstring>

#include "backend.cuh"

namespace forja::cuda {

void launch_instructions(const fj_program* program, uint32_t begin, uint32_t end, Launcher& launcher) {
  for (uint32_t i = begin; i < end; i++) program->choices[i].kernel->run(program->calls[i], launcher);
}

cudaError_t forget_fault(const fj_program* program) {
  return cudaMemsetAsync(program->fault.data(), 0, sizeof(Fault), program->device->stream);
}

namespace {

bool cancelled(const int32_t* cancel) { return *reinterpret_cast<const volatile int32_t*>(cancel) != 0; }

fj_status aborted(fj_error* error, uint32_t instruction) {
  set_error(error, FJ_ERR_ABORTED, instruction, "the run was cancelled");
  return error->status;
}

fj_status wait(fj_program* program, fj_error* error) {
  const cudaError_t code = cudaStreamSynchronize(program->device->stream);
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "running the program", error);
}

// One thread: waits for so many ticks of the clock, about half a nanosecond each.
__global__ void hold_kernel(long long ticks) {
  const long long begin = clock64();
  while (clock64() - begin < ticks) {
  }
}

}  // namespace

void hold(Launcher& to, uint32_t launches) {
  constexpr long long kTicks = 100'000, kTicksOfEach = 20'000, kMost = 4'000'000;
  launch(to, hold_kernel, 1, dim3(1), std::min(kTicks + kTicksOfEach * launches, kMost));
}

namespace {

// The event at the end of instruction i: that before the next, but for the last of the pure part, behind which the host
// looks at what was found.
cudaEvent_t end_of(const fj_program* program, uint32_t i) {
  const fj_program_header& header = *program->view.header;
  return program->events[i + 1 == header.commit_index ? header.instr_count + 1 : i + 1];
}

// Launches instructions [begin, end) one by one; polls `cancel` between them unless it is null.
fj_status issue(fj_program* program, uint32_t begin, uint32_t end, const int32_t* cancel, fj_error* error) {
  Launcher launcher = program->device->launcher();
  const bool timed = program->profile && begin < end;
  const auto mark = [&](cudaEvent_t event) {
    if (launcher.error == cudaSuccess) launcher.error = cudaEventRecord(event, launcher.stream);
  };
  if (timed) hold(launcher, end - begin);
  for (uint32_t i = begin; i < end; i++) {
    if (cancel != nullptr && cancelled(cancel)) return aborted(error, i);
    if (timed) mark(program->events[i]);
    launch_instructions(program, i, i + 1, launcher);
    if (launcher.error != cudaSuccess) {
      const char* name = program->choices[i].kernel->name;
      report(program->device, launcher.error, name, error, i);
      if (launcher.reason != nullptr) set_error(error, FJ_ERR_DEVICE, i, "%s failed: %s", name, launcher.reason);
      return error->status;
    }
  }
  if (timed) mark(end_of(program, end - 1));
  return launcher.error == cudaSuccess ? FJ_OK : report(program->device, launcher.error, "timing", error);
}

fj_status launch_graph(fj_program* program, cudaGraphExec_t graph, fj_error* error) {
  if (graph == nullptr) return FJ_OK;
  const cudaError_t code = cudaGraphLaunch(graph, program->device->stream);
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "launching a graph", error);
}

bool is_recorded(const fj_program* program) { return program->graphs[0] != nullptr || program->graphs[1] != nullptr; }

bool runs_recorded(const fj_program* program) {
  return is_recorded(program) && !program->profile && !program->eager_only;
}

// --- arguments and outputs ---------------------------------------------------------------------------

constexpr uint64_t kFewBytes = 4096;

bool were_sent(const fj_program* program, const void* const* inputs) {
  if (program->sent.empty()) return false;
  const fj_program_view& view = program->view;
  for (uint32_t i = 0; i < view.header->input_count; i++) {
    const uint8_t* before = program->sent.data() + program->input_offsets[i];
    if (view.input_bytes[i] > 0 && memcmp(before, inputs[i], view.input_bytes[i]) != 0) return false;
  }
  return true;
}

cudaError_t upload(fj_program* program, fj_run& slot, const void* const* inputs) {
  if (program->input_bytes == 0 || were_sent(program, inputs)) return cudaSuccess;
  const fj_program_view& view = program->view;
  const fj_device& device = *program->device;
  uint8_t* to = program->inputs.data();
  cudaError_t code = cudaSuccess;
  if (!program->staged) {
    for (uint32_t i = 0; i < view.header->input_count && code == cudaSuccess; i++) {
      code = cudaMemcpyAsync(to + program->input_offsets[i], inputs[i], view.input_bytes[i], cudaMemcpyHostToDevice,
                             device.stream);
    }
    return code;
  }
  uint8_t* staging = slot.staging.data();
  for (uint32_t i = 0; i < view.header->input_count; i++) {
    if (view.input_bytes[i] > 0) memcpy(staging + program->input_offsets[i], inputs[i], view.input_bytes[i]);
  }
  if (slot.uploaded == nullptr) {
    code = cudaMemcpyAsync(to, staging, program->input_bytes, cudaMemcpyHostToDevice, device.stream);
    program->sent.clear();
    if (code == cudaSuccess && program->input_bytes <= kFewBytes) {
      program->sent.assign(staging, staging + program->input_bytes);
    }
    return code;
  }
  // The run that had this slot before has ended: nothing reads its copy any more.
  code = cudaMemcpyAsync(slot.upload.data(), staging, program->input_bytes, cudaMemcpyHostToDevice, device.uploads);
  if (code == cudaSuccess) code = cudaEventRecord(slot.uploaded, device.uploads);
  if (code == cudaSuccess) code = cudaStreamWaitEvent(device.stream, slot.uploaded, 0);
  if (code != cudaSuccess) return code;
  return cudaMemcpyAsync(to, slot.upload.data(), program->input_bytes, cudaMemcpyDeviceToDevice, device.stream);
}

fj_status copy_inputs(fj_program* program, fj_run& slot, const void* const* inputs, fj_error* error) {
  cudaError_t code = upload(program, slot, inputs);
  if (code == cudaSuccess && program->faults && !runs_recorded(program)) code = forget_fault(program);
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "copying the arguments", error);
}

cudaError_t copy_fault(fj_program* program, fj_run& slot) {
  return cudaMemcpyAsync(slot.staging.data() + program->fault_offset, program->fault.data(), sizeof(Fault),
                         cudaMemcpyDeviceToHost, program->device->stream);
}

fj_status copy_outputs(fj_program* program, fj_run& slot, fj_error* error) {
  const fj_program_view& view = program->view;
  cudaError_t code = program->faults ? copy_fault(program, slot) : cudaSuccess;
  for (uint32_t i = 0; i < view.header->output_count && code == cudaSuccess; i++) {
    const uint64_t bytes = view.values[view.outputs[i]].bytes;
    void* to = program->staged ? slot.staging.data() + program->output_offsets[i] : slot.outputs[i];
    if (slot.outputs[i] != nullptr && bytes > 0) {
      code = cudaMemcpyAsync(to, program->output_data[i], bytes, cudaMemcpyDeviceToHost, program->device->stream);
    }
  }
  if (code == cudaSuccess) code = cudaEventRecord(slot.done, program->device->stream);
  return code == cudaSuccess ? FJ_OK : report(program->device, code, "copying the outputs", error);
}

// What a kernel found, once the slot's copy of it is there.
fj_status read_fault(fj_program* program, fj_run& slot, fj_error* error) {
  Fault fault;
  memcpy(&fault, slot.staging.data() + program->fault_offset, sizeof(fault));
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

// Waits for the pure part; what it found, or that the run was cancelled meanwhile.
fj_status look_before_commit(fj_program* program, fj_run& slot, const int32_t* cancel, fj_error* error) {
  const cudaError_t code = program->faults ? copy_fault(program, slot) : cudaSuccess;
  if (code != cudaSuccess) return report(program->device, code, "reading the fault record", error);
  if (wait(program, error) != FJ_OK) return error->status;
  if (program->faults && read_fault(program, slot, error) != FJ_OK) return error->status;
  return cancelled(cancel) ? aborted(error, program->view.header->commit_index) : FJ_OK;
}

fj_status run_parts(fj_program* program, fj_run& slot, const int32_t* cancel, fj_error* error) {
  const fj_program_header& header = *program->view.header;
  if (runs_recorded(program)) {
    if (cancelled(cancel)) return aborted(error, 0);
    if (launch_graph(program, program->graphs[0], error) != FJ_OK) return error->status;
    if (program->whole) return FJ_OK;
    if (look_before_commit(program, slot, cancel, error) != FJ_OK) return error->status;
    return launch_graph(program, program->graphs[1], error);
  }
  if (issue(program, 0, header.commit_index, cancel, error) != FJ_OK) return error->status;
  if (look_before_commit(program, slot, cancel, error) != FJ_OK) return error->status;
  return issue(program, header.commit_index, header.instr_count, nullptr, error);
}

void read_times(fj_program* program) {
  for (uint32_t i = 0; i < program->nanoseconds.size(); i++) {
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, program->events[i], end_of(program, i));
    program->nanoseconds[i] = static_cast<uint64_t>(milliseconds * 1e6f);
  }
}

}  // namespace

uint32_t program_depth(const fj_program* program) { return static_cast<uint32_t>(program->slots.size()); }

fj_status program_run(fj_program* program, const void* const* inputs, void* const* outputs, const int32_t* cancel,
                      fj_error* error) {
  if (enter(program->device, error) != FJ_OK) return error->status;
  const bool tried = is_recorded(program) || program->eager_only;
  if (program->started > 0 && program->device->graphs && !program->profile && !tried) record_graphs(program, error);
  fj_run& slot = *program->slots[program->started % program->slots.size()];
  slot.outputs = outputs;
  if (copy_inputs(program, slot, inputs, error) != FJ_OK || run_parts(program, slot, cancel, error) != FJ_OK ||
      copy_outputs(program, slot, error) != FJ_OK) {
    fj_error ignored;
    wait(program, &ignored);  // the memory of arguments and outputs is the caller's again
    return error->status;
  }
  program->started++;
  return FJ_OK;
}

fj_status program_finish(fj_program* program, fj_error* error) {
  fj_run& slot = *program->slots[program->finished++ % program->slots.size()];
  if (enter(program->device, error) != FJ_OK) return error->status;
  const cudaError_t code = cudaEventSynchronize(slot.done);
  if (code != cudaSuccess) return report(program->device, code, "running the program", error);
  if (program->faults && read_fault(program, slot, error) != FJ_OK) return error->status;
  const fj_program_view& view = program->view;
  for (uint32_t i = 0; program->staged && i < view.header->output_count; i++) {
    const uint64_t bytes = view.values[view.outputs[i]].bytes;
    if (slot.outputs[i] != nullptr && bytes > 0)
      memcpy(slot.outputs[i], slot.staging.data() + program->output_offsets[i], bytes);
  }
  if (program->profile) read_times(program);
  return FJ_OK;
}

}  // namespace forja::cuda
