// Programs of the CPU backend: creating them. A program is a list of kernel calls over memory that is allocated here:
// an arena, scratch, and what kernels keep of their weights. How it runs is in run.cc.
#include "../core/program.h"

#include <cstdio>

#include "backend.h"
#include "order.h"
#include "tune.h"

namespace forja {
namespace {

// About 20 us on one thread. What others can save of a program that is so short is less than waking them may cost, and
// on a busy machine they come late.
constexpr uint32_t kSmallWork = 2'000'000;

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

// Kernels here read float32 maps.
bool is_narrow(const fj_instr& instr, const Call& call) {
  return fj_op_may_be_narrow(instr.opcode) && call.in[0].value->dtype == FJ_BFLOAT16;
}

}  // namespace

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

void program_free(fj_program* program) { delete program; }

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
  const std::vector<bool> written = written_buffers(*view);
  for (uint32_t i = 0; i < header.instr_count; i++) {
    const fj_instr& instr = view->instrs[i];
    const Operand* in = program->operands.data() + instr.operands;
    Call call{instruction_of(instr, in, view->attrs), nullptr, &program->fault};
    const Kernel* kernel = is_narrow(instr, call) ? nullptr : kernel_table().find(instr.opcode, instr.variant, call);
    if (kernel == nullptr) {
      return fail(no_kernel(error, i, "the CPU", instr, in, supports));
    }
    if (const char* missing = kernel->missing != nullptr ? kernel->missing() : nullptr) {
      set_error(error, FJ_ERR_BACKEND_UNAVAILABLE, i, "%s is not available: %s", kernel->name, missing);
      return fail(error->status);
    }
    if (instr.opcode == FJ_OP_FUSED) {
      const size_t words = (call.attr_bytes - sizeof(fj_fused_attrs)) / 4;
      const auto runs = [](uint16_t opcode) { return kernel_table().micro_op[opcode]; };
      const int32_t* code = call.tail(sizeof(fj_fused_attrs));
      if (check_micro_program(error, i, "the CPU", code, words, runs) != FJ_OK) return fail(error->status);
    }
    const int threads = program->alone ? 1 : device->threads;
    const Kernel* fastest = device->tune && instr.variant == 0
                                ? fastest_kernel(kernel_table(), instr, call, kernel, device->crew, program->alone,
                                                 threads, may_keep(call, written), device->machine)
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
  program->barriers = find_barriers(program->calls, program->kernels, header.commit_index);
  std::vector<uint64_t*> versions;
  for (uint32_t i = 0; i < header.buffer_count; i++) versions.push_back(&buffers[i]->version);
  if (!program->kept.allocate(program->kernels, program->calls, written, versions))
    return fail(no_memory(error, "prepared weights", 0));
  if (!size_scratch(program)) return fail(no_memory(error, "scratch", 0));
  *out = program;
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

}  // namespace forja
