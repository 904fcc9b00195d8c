// Which calls of a program have to keep their order.
#pragma once

#include "geometry.h"

namespace forja {

// Whether they share bytes of the arena, of a buffer or of an argument.
bool overlap(const fj_value& x, const fj_value& y);

// Whether an output of `writer` meets an operand of `other`. Call: operands `in` and `out`, `n_in` and `n_out` of them.
template <class Call>
bool writes_operand(const Call& writer, const Call& other) {
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

// Whether one of them writes what the other reads or writes. Scratch is not looked at.
template <class Call>
bool conflict(const Call& a, const Call& b) {
  return writes_operand(a, b) || writes_operand(b, a);
}

}  // namespace forja
