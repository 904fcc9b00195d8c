#include "conflict.h"

namespace forja {
namespace {

// Whether an output of `writer` meets an operand of `other`.
bool writes_operand(const Instruction& writer, const Instruction& other) {
  const auto meets = [&](const Operand* operands, int count) {
    for (int o = 0; o < writer.n_out; o++) {
      for (int i = 0; i < count; i++) {
        if (overlap(*writer.out[o].value, *operands[i].value)) return true;
      }
    }
    return false;
  };
  return meets(other.in, other.n_in) || meets(other.out, other.n_out);
}

}  // namespace

bool overlap(const fj_value& x, const fj_value& y) {
  return x.storage == y.storage && x.index == y.index && x.bytes > 0 && y.bytes > 0 && x.offset < y.offset + y.bytes &&
         y.offset < x.offset + x.bytes;
}

bool conflict(const Instruction& a, const Instruction& b) { return writes_operand(a, b) || writes_operand(b, a); }

}  // namespace forja
