// Which calls of a program have to keep their order.
#pragma once

#include "call.h"

namespace forja {

// Whether they share bytes of the arena, of a buffer or of an argument.
bool overlap(const fj_value& x, const fj_value& y);

// Whether one of them writes what the other reads or writes. Scratch is not looked at.
bool conflict(const Instruction& a, const Instruction& b);

}  // namespace forja
