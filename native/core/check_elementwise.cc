// Checks of fused micro-programs and copies (native/cpu/elementwise.cc).
#include <cstring>

#include "check.h"

namespace forja {
namespace {

// Operands of one micro-program, or of several results of it: those of a result follow each other.
bool check_fused(Check& c) {
  const size_t size = sizeof(fj_fused_attrs);
  const int results = c.outputs();
  if (!c.expect(results >= 1 && c.inputs() % results == 0 && c.inputs() / results <= FJ_FUSED_MAX_INPUTS,
                "operands are not those of whole micro-programs") ||
      !c.attr_size_with_tail(size)) {
    return false;
  }
  const int inputs = c.inputs() / results;
  const auto& attrs = c.attrs<fj_fused_attrs>();
  if (!c.expect(c.tail_length(size) % FJ_FUSED_WORDS == 0, "micro-program is cut off")) return false;
  if (!c.expect(attrs.registers >= 1 && attrs.registers <= FJ_FUSED_MAX_REGISTERS && attrs.registers >= inputs,
                "micro-program uses too many registers") ||
      !c.expect(attrs.result >= 0 && attrs.result < attrs.registers, "micro-program's result is no register")) {
    return false;
  }
  for (int k = 0; k < results; k++) {
    const fj_value& out = c.out(k);
    if (!c.expect(out.dtype == attrs.dtype && out.dtype != FJ_FLOAT64, "fused output has the wrong dtype"))
      return false;
    for (int i = 0; i < inputs; i++) {
      const fj_value& x = c.in(k * inputs + i);
      if (!c.expect(x.dtype != FJ_FLOAT64, "float64 has no kernel here") || !c.broadcasts_to(x, out)) return false;
      if (k > 0 && !c.expect(x.dtype == c.in(i).dtype, "joined micro-programs differ in a dtype")) return false;
      if (results > 1 && !c.expect(element_count(x) == 1 || element_count(x) == element_count(out),
                                   "joined micro-programs broadcast nothing but single elements")) {
        return false;
      }
    }
  }
  const int32_t* code = c.tail(size);
  const size_t instructions = c.tail_length(size) / FJ_FUSED_WORDS;
  for (size_t i = 0; i < instructions; i++) {
    const uint32_t head = code[i * FJ_FUSED_WORDS], registers = code[i * FJ_FUSED_WORDS + 1];
    if (!c.expect((head >> 16) <= 1, "unknown lane in a micro-program") ||
        !c.expect(fj_micro_arity(head & 0xffff) >= 0, "an operation that no micro-program may hold")) {
      return false;
    }
    for (int shift = 0; shift < 32; shift += 8) {
      if (!c.expect(((registers >> shift) & 255) < static_cast<uint32_t>(attrs.registers), "no such register"))
        return false;
    }
    // Inputs may be read straight from memory: nothing may write their registers.
    if (!c.expect((registers & 255) >= static_cast<uint32_t>(inputs), "a micro-program writes an input")) return false;
  }
  return true;
}

bool check_copy(Check& c) {
  return c.arity(1, 1, 1) && c.dtype(c.in(0), c.out(0).dtype) && c.same_shape(c.in(0), c.out(0));
}

bool check_full(Check& c) {
  return c.arity(0, 0, 1) && c.attr_size_with_tail(sizeof(fj_full_attrs)) &&
         c.expect(c.out(0).dtype != FJ_FLOAT64, "float64 has no kernel here");
}

const CheckEntry kEntries[] = {{FJ_OP_FUSED, check_fused}, {FJ_OP_COPY, check_copy}, {FJ_OP_FULL, check_full}};

}  // namespace

CheckFamily checks_elementwise() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
