// Checks of fused micro-programs and copies (native/cpu/elementwise.cc).
#include <cstring>

#include "check.h"

namespace forja {
namespace {

bool check_fused(Check& c) {
  const size_t size = sizeof(fj_fused_attrs);
  if (!c.arity(0, FJ_FUSED_MAX_INPUTS, 1) || !c.attr_size_with_tail(size)) return false;
  const auto& attrs = c.attrs<fj_fused_attrs>();
  const fj_value& out = c.out(0);
  if (!c.expect(out.dtype == attrs.dtype && out.dtype != FJ_FLOAT64, "fused output has the wrong dtype")) return false;
  if (!c.expect(c.tail_length(size) % FJ_FUSED_WORDS == 0, "micro-program is cut off")) return false;
  if (!c.expect(attrs.registers >= 1 && attrs.registers <= FJ_FUSED_MAX_REGISTERS && attrs.registers >= c.inputs(),
                "micro-program uses too many registers") ||
      !c.expect(attrs.result >= 0 && attrs.result < attrs.registers, "micro-program's result is no register")) {
    return false;
  }
  for (int i = 0; i < c.inputs(); i++) {
    if (!c.expect(c.in(i).dtype != FJ_FLOAT64, "float64 has no kernel here") || !c.broadcasts_to(c.in(i), out))
      return false;
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
    if (!c.expect((registers & 255) >= static_cast<uint32_t>(c.inputs()), "a micro-program writes an input"))
      return false;
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
