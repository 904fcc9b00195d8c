// decode_program of program.h.
#include "program.h"

#include <cstring>

#include "check.h"
#include "conflict.h"

namespace forja {
namespace {

// Larger programs than any real one; keeps every product below within 64 bits.
constexpr uint64_t kMaxBytes = 1ull << 46;

class Decoder {
 public:
  Decoder(const uint8_t* bytes, size_t size, fj_error* error) : bytes_(bytes), size_(size), error_(error) {}

  bool decode(fj_program_view* view) {
    return sections(view) && values(*view) && outputs(*view) && instructions(*view);
  }

 private:
  bool fail(uint32_t instruction, const char* message) {
    set_error(error_, FJ_ERR_INVALID_PROGRAM, instruction, "%s", message);
    return false;
  }
  bool fail(const char* message) { return fail(FJ_NO_INSTRUCTION, message); }

  // A section of `count` items at the current position, 8-byte aligned.
  template <class T>
  bool take(uint32_t count, const T** out) {
    const uint64_t begin = (at_ + 7) & ~7ull;
    const uint64_t bytes = static_cast<uint64_t>(count) * sizeof(T);
    if (begin + bytes > size_) return false;
    *out = reinterpret_cast<const T*>(bytes_ + begin);
    at_ = begin + bytes;
    return true;
  }

  bool sections(fj_program_view* view) {
    const fj_program_header* h = nullptr;
    if (reinterpret_cast<uintptr_t>(bytes_) % 8 != 0) return fail("program bytes are not 8-byte aligned");
    if (!take(1, &h)) return fail("program is shorter than its header");
    if (h->magic != FJ_PROGRAM_MAGIC) return fail("not a forja program (wrong magic number)");
    if (h->version != FJ_PROGRAM_VERSION) return fail("program was written for another version of the native core");
    if (h->total_bytes != size_) return fail("program is cut off or has bytes left over");
    if (h->arena_bytes > kMaxBytes) return fail("arena is larger than any machine");
    if (h->commit_index > h->instr_count) return fail("commit index lies behind the last instruction");
    view->header = h;
    if (!take(h->value_count, &view->values) || !take(h->instr_count, &view->instrs) ||
        !take(h->operand_count, &view->operands) || !take(h->output_count, &view->outputs) ||
        !take(h->input_count, &view->input_bytes) || !take(h->buffer_count, &view->buffer_bytes) ||
        !take(h->attr_bytes, &view->attrs)) {
      return fail("a section reaches past the end of the program");
    }
    return true;
  }

  bool values(const fj_program_view& view) {
    const fj_program_header& h = *view.header;
    for (uint32_t i = 0; i < h.input_count; i++) {
      if (view.input_bytes[i] > kMaxBytes) return fail("an input is larger than any machine");
    }
    for (uint32_t i = 0; i < h.buffer_count; i++) {
      if (view.buffer_bytes[i] > kMaxBytes) return fail("a buffer is larger than any machine");
    }
    for (uint32_t i = 0; i < h.value_count; i++) {
      const fj_value& v = view.values[i];
      if (v.dtype >= FJ_DTYPE_COUNT || v.rank > FJ_MAX_RANK || v.storage >= FJ_STORAGE_COUNT) {
        return fail("a value has an unknown dtype, rank or storage");
      }
      // `extent` leaves zeros out: also the dims of an empty value multiply without overflow, in any order.
      uint64_t extent = fj_dtype_bytes(v.dtype);
      bool empty = false;
      for (int axis = 0; axis < v.rank; axis++) {
        if (v.dims[axis] > INT32_MAX) return fail("a dimension is larger than 2147483647");
        if (v.dims[axis] == 0) empty = true;
        extent *= v.dims[axis] > 0 ? v.dims[axis] : 1;
        if (extent > kMaxBytes) return fail("a value is larger than any machine");
      }
      if (v.bytes != (empty ? 0 : extent)) return fail("a value's size does not match its shape");
      if (v.offset % FJ_ALIGNMENT != 0) return fail("a value is misaligned");
      uint64_t limit = h.arena_bytes;
      if (v.storage == FJ_INPUT) {
        if (v.index >= h.input_count) return fail("a value lies in an input that does not exist");
        limit = view.input_bytes[v.index];
      } else if (v.storage == FJ_BUFFER) {
        if (v.index >= h.buffer_count) return fail("a value lies in a buffer that does not exist");
        limit = view.buffer_bytes[v.index];
      }
      if (v.offset > limit || v.bytes > limit - v.offset) return fail("a value reaches past its storage");
    }
    return true;
  }

  bool outputs(const fj_program_view& view) {
    for (uint32_t i = 0; i < view.header->output_count; i++) {
      if (view.outputs[i] >= view.header->value_count) return fail("an output is no value");
    }
    return true;
  }

  // How many steps an instruction joins: of an update each has one input more than outputs, the gradient.
  static uint32_t joined(const fj_instr& instr) {
    if (instr.opcode == FJ_OP_FUSED) return instr.n_out;
    const uint32_t shared = fj_op_joins(instr.opcode);
    return shared > 0 && instr.n_in > shared + instr.n_out ? instr.n_in - shared - instr.n_out : 1;
  }

  // Whether the operation may write its output over its input, both of the same step where it joins several.
  static bool inplace(const fj_instr& instr, uint32_t output, uint32_t input) {
    const uint32_t shared = fj_op_joins(instr.opcode), count = joined(instr);
    if (count == 1 || input < shared) return fj_op_inplace(instr.opcode, output, input) != 0;
    const uint32_t outs = instr.n_out / count, ins = (instr.n_in - shared) / count;
    return outs > 0 && ins > 0 && output / outs == (input - shared) / ins &&
           fj_op_inplace(instr.opcode, output % outs, shared + (input - shared) % ins) != 0;
  }

  // Operand k, an output, shares no memory with the others; or it lies exactly on an input that the operation may
  // overwrite.
  static bool may_write(const fj_program_view& view, const fj_instr& instr, const uint32_t* ids, uint32_t k) {
    const fj_value& target = view.values[ids[k]];
    for (uint32_t other = 0; other < k; other++) {
      const fj_value& operand = view.values[ids[other]];
      if (!overlap(target, operand)) continue;
      const bool same_place = target.offset == operand.offset && target.bytes == operand.bytes;
      if (other >= instr.n_in || !same_place || !inplace(instr, k - instr.n_in, other)) return false;
    }
    return true;
  }

  bool instructions(const fj_program_view& view) {
    const fj_program_header& h = *view.header;
    for (uint32_t i = 0; i < h.instr_count; i++) {
      const fj_instr& instr = view.instrs[i];
      const uint64_t operands = static_cast<uint64_t>(instr.n_in) + instr.n_out;
      if (instr.operands > h.operand_count || operands > h.operand_count - instr.operands) {
        return fail(i, "operands reach past their table");
      }
      if ((instr.flags & ~FJ_INSTR_TF32) != 0) return fail(i, "an instruction has unknown flags");
      if (instr.attrs % 4 != 0 || instr.attrs > h.attr_bytes || instr.attr_bytes > h.attr_bytes - instr.attrs) {
        return fail(i, "attributes reach past their section");
      }
      const uint32_t* ids = view.operands + instr.operands;
      for (uint64_t k = 0; k < operands; k++) {
        if (ids[k] >= h.value_count) return fail(i, "an operand is no value");
        if (k < instr.n_in) continue;
        const fj_value& target = view.values[ids[k]];
        if (target.storage == FJ_INPUT) return fail(i, "an instruction writes an input");
        if (target.storage == FJ_BUFFER && i < h.commit_index) return fail(i, "state is written before the commit");
        if (!may_write(view, instr, ids, static_cast<uint32_t>(k))) {
          return fail(i, "an instruction writes over one of its operands");
        }
      }
      const CheckFn check = find_check(instr.opcode);
      if (check == nullptr) {
        set_error(error_, FJ_ERR_UNSUPPORTED_OP, i, "unknown operation code %u", instr.opcode);
        return false;
      }
      Check checker(instr, view.values, ids, view.attrs + instr.attrs);
      if (!check(checker)) {
        set_error(error_, FJ_ERR_INVALID_PROGRAM, i, "%s: %s", fj_op_name(instr.opcode),
                  checker.message() ? checker.message() : "refused");
        return false;
      }
    }
    return true;
  }

  const uint8_t* bytes_;
  uint64_t size_;
  fj_error* error_;
  uint64_t at_ = 0;
};

}  // namespace

bool decode_program(const uint8_t* bytes, size_t size, fj_program_view* view, fj_error* error) {
  Decoder decoder(bytes, size, error);
  return decoder.decode(view);
}

}  // namespace forja
