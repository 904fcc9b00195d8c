// Lanes of a warp that go different ways: those at the least address run first, so that they meet where ways do.
#pragma once
#include "machine.h"

namespace forja::ptx {

// Chooses the lanes that run next where none is active, or where others are not ahead.
void regroup(Warp&);

// Whether all live lanes of `needed` execute the instruction now; otherwise those that are here wait for the rest,
// which brings them back to it. The last ones execute it for all.
bool all_are_here(Warp&, uint32_t needed);

void branch(Warp&, const Instruction&);  // to the instruction's immediate
void finish(Warp&, const Instruction&);

}  // namespace forja::ptx
