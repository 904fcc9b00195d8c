// Running programs of the CPU backend: a team of threads walks the list of instructions together.
#include <atomic>
#include <cstring>

#include "../core/error.h"
#include "backend.h"

namespace forja {
namespace {

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

}  // namespace

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
    if (outputs[i] != nullptr && value.bytes > 0) memcpy(outputs[i], data, value.bytes);
  }
  return FJ_OK;
}

fj_status program_profile(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error*) {
  for (uint32_t i = 0; i < count && i < program->nanoseconds.size(); i++) nanoseconds[i] = program->nanoseconds[i];
  program->profile = enable != 0;
  return FJ_OK;
}

}  // namespace forja
