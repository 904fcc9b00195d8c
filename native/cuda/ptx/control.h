// Lanes of a warp that go different ways: those at the least address run first, so that they meet where ways do.
#pragma once
#include "machine.h"

namespace forja::ptx {

// Chooses the lanes that run next where none is active, or where others are not ahead.
void regroup(Warp&);

// Whether all live lanes of `needed` execute the instruction now; otherwise those that are here wait for the rest,
// which brings them back to it. The last ones execute it for all.
bool all_are_here(Warp&, uint32_t needed);

// The same for an instruction that takes a whole warp; a fault where lanes of it have ended or never were.
bool whole_warp_is_here(Warp&);
// The lanes that an instruction names by its operand, each one that executes it among them.
uint32_t named_lanes(Warp&, Operand mask);

void branch(Warp&, const Instruction&);  // to the instruction's immediate
void finish(Warp&, const Instruction&);

}  // namespace forja::ptx
