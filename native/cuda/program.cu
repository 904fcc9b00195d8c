// Programs of the CUDA backend: creating them. A program is a list of kernel calls on one stream, over memory that is
// allocated when the program is created: an arena, a copy of the arguments, scratch, and pinned memory for each of the
// runs that may be under way. How it runs is in run.cu and graph.cu.
#include <cstdio>
#include <cstring>
#include <utility>

#include "backend.cuh"

namespace forja::cuda {
namespace {

// Runs that may be under way: as many as the executor hands over; two where large arguments are double-buffered.
constexpr uint64_t kSlots = 4, kSlotsOfLarge = 2;
constexpr uint64_t kLarge = 1ull << 20;        // arguments from here on are brought on a stream of their own
constexpr uint64_t kMostStaged = 64ull << 20;  // of arguments and outputs together; beyond, runs come one by one
// Instructions get scratch of their own, so that they need not wait for each other, up to so much; then from the start.
#ifdef SIMT_EMULATION
constexpr uint64_t kMostScratch = 0;  // tests see that those wait who share it
#else
constexpr uint64_t kMostScratch = 64ull << 20;
#endif

// --- creating programs -------------------------------------------------------------------------------

// As no_memory, with the three largest values, which are what could be made smaller.
fj_status no_program_memory(const fj_program* program, cudaError_t code, const char* what, uint64_t bytes,
                            fj_error* error) {
  if (no_memory(program->device, code, what, bytes, error) != FJ_ERR_OUT_OF_MEMORY) return error->status;
  const fj_program_view& view = program->view;
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

// Chooses a kernel for every instruction.
fj_status choose_kernels(fj_program* program, fj_error* error) {
  const fj_program_view& view = program->view;
  for (uint32_t i = 0; i < view.header->instr_count; i++) {
    const fj_instr& instr = view.instrs[i];
    Call call{instruction_of(instr, program->operands.data() + instr.operands, view.attrs),
              nullptr,
              {reinterpret_cast<Fault*>(program->fault.data()), i},
              (instr.flags & FJ_INSTR_TF32) != 0,
              nullptr};
    Choice choice;
    if (choose_kernel(*program->device, instr, i, call, &choice, error) != FJ_OK) return error->status;
    if (instr.opcode == FJ_OP_FUSED) {
      const size_t words = (call.attr_bytes - sizeof(fj_fused_attrs)) / 4;
      const auto runs = [](uint16_t opcode) { return kernel_table().micro_op[opcode]; };
      const int32_t* code = call.tail(sizeof(fj_fused_attrs));
      if (check_micro_program(error, i, "CUDA", code, words, runs) != FJ_OK) return error->status;
    }
    program->scratch_bytes.push_back(choice.scratch(call));
    program->faults = program->faults || choice.kernel->faults;
    call.plan = choice.plan.get();
    program->calls.push_back(call);
    program->choices.push_back(std::move(choice));
  }
  return FJ_OK;
}

cudaError_t allocate_scratch(fj_program* program, uint64_t* total) {
  const std::vector<uint64_t>& wanted = program->scratch_bytes;
  uint64_t most = kMostScratch, next = 0;
  for (const uint64_t bytes : wanted) most = bytes > most ? bytes : most;
  *total = 0;
  std::vector<uint64_t> offsets;
  for (const uint64_t bytes : wanted) {
    if (next + bytes > most) next = 0;
    offsets.push_back(next);
    next += align_up(bytes);
    if (next > *total) *total = next;
  }
  const cudaError_t code = program->scratch.allocate(*total);
  if (code != cudaSuccess) return code;
  for (size_t i = 0; i < wanted.size(); i++) program->calls[i].scratch = program->scratch.data() + offsets[i];
  return cudaSuccess;
}

// Offsets of arguments, outputs and fault in a run's pinned memory.
void place_arguments(fj_program* program) {
  const fj_program_view& view = program->view;
  uint64_t bytes = 0;
  const auto place = [&](std::vector<uint64_t>& offsets, uint64_t size) {
    offsets.push_back(bytes);
    bytes += align_up(size);
  };
  for (uint32_t i = 0; i < view.header->input_count; i++) place(program->input_offsets, view.input_bytes[i]);
  program->input_bytes = bytes;
  for (uint32_t i = 0; i < view.header->output_count; i++) {
    place(program->output_offsets, view.values[view.outputs[i]].bytes);
  }
  program->staged = bytes <= kMostStaged;
  program->fault_offset = program->staged ? bytes : 0;
}

fj_status make_slots(fj_program* program, fj_error* error) {
  fj_device* device = program->device;
  const bool large = program->staged && program->input_bytes >= kLarge;
  const uint64_t count = !program->staged ? 1 : large ? kSlotsOfLarge : kSlots;
  for (uint64_t i = 0; i < count; i++) {
    auto slot = std::make_unique<fj_run>(device);
    const uint64_t bytes = program->fault_offset + sizeof(Fault);
    cudaError_t code = slot->staging.allocate(bytes);
    if (code != cudaSuccess) return no_memory(device, code, "pinned host memory", bytes, error);
    if (large) code = slot->upload.allocate(program->input_bytes);
    if (code != cudaSuccess) return no_program_memory(program, code, "arguments", program->input_bytes, error);
    code = cudaEventCreateWithFlags(&slot->done, cudaEventDisableTiming);
    if (code == cudaSuccess && large) code = cudaEventCreateWithFlags(&slot->uploaded, cudaEventDisableTiming);
    if (code != cudaSuccess) return report(device, code, "creating an event", error);
    program->slots.push_back(std::move(slot));
  }
  return FJ_OK;
}

}  // namespace

void program_free(fj_program* program) { delete program; }

fj_status program_create(fj_device* device, const fj_program_view* view, fj_buffer* const* buffers, fj_program** out,
                         fj_error* error) {
  if (enter(device, error) != FJ_OK) return error->status;
  // What is put aside may still be in use by runs that are under way.
  const cudaError_t idle = cudaStreamSynchronize(device->stream);
  if (idle != cudaSuccess) return report(device, idle, "creating a program", error);
  device->trash.empty();
  auto program = std::make_unique<fj_program>(device);
  const fj_program_header& header = *view->header;
  program->view = *view;
  cudaError_t code = program->arena.allocate(header.arena_bytes);
  if (code != cudaSuccess) return no_program_memory(program.get(), code, "an arena", header.arena_bytes, error);
  place_arguments(program.get());
  code = program->inputs.allocate(program->input_bytes);
  if (code != cudaSuccess) {
    return no_program_memory(program.get(), code, "arguments", program->input_bytes, error);
  }
  if (make_slots(program.get(), error) != FJ_OK) return error->status;
  code = program->fault.allocate(sizeof(Fault));
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
  if (choose_kernels(program.get(), error) != FJ_OK) return error->status;
  uint64_t scratch_bytes = 0;
  code = allocate_scratch(program.get(), &scratch_bytes);
  if (code != cudaSuccess) return no_program_memory(program.get(), code, "scratch", scratch_bytes, error);
  for (uint32_t i = 0; i < header.output_count; i++) {
    const fj_value& value = view->values[view->outputs[i]];
    program->output_data.push_back(storage_base(*program, buffers, value) + value.offset);
  }
  program->nanoseconds.resize(header.instr_count);
  *out = program.release();
  return FJ_OK;
}

uint64_t program_bytes(const fj_program* program) {
  uint64_t bytes = program->arena.bytes() + program->inputs.bytes() + program->scratch.bytes();
  for (const auto& slot : program->slots) bytes += slot->staging.bytes() + slot->upload.bytes();
  return bytes;
}

size_t program_describe(const fj_program* program, char* text, size_t size) {
  size_t length = 0;
  for (size_t i = 0; i < program->choices.size(); i++) {
    const size_t room = length < size ? size - length : 0;
    length += static_cast<size_t>(
        snprintf(room ? text + length : nullptr, room, "%s%s%s\n", program->choices[i].kernel->name,
                 program->choices[i].measured ? ", measured" : "", i == 0 ? program->recorded : ""));
  }
  return length;
}

fj_status program_profile(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error* error) {
  if (enter(program->device, error) != FJ_OK) return error->status;
  for (uint32_t i = 0; i < count && i < program->nanoseconds.size(); i++) nanoseconds[i] = program->nanoseconds[i];
  while (enable != 0 && program->events.size() < program->choices.size() + 2) {
    cudaEvent_t event = nullptr;
    const cudaError_t code = cudaEventCreate(&event);
    if (code != cudaSuccess) return report(program->device, code, "creating an event", error);
    program->events.push_back(event);
  }
  program->profile = enable != 0;
  return FJ_OK;
}

}  // namespace forja::cuda
