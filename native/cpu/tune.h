// FORJA_TUNE=1: where a program leaves the variant open, the kernels that may be the fastest are timed once for the
// shapes of the call. What was chosen holds for the process, not for the next one: variants differ in rounding.
#pragma once

#include "crew.h"
#include "kernel.h"

namespace forja {

// The fastest of the opcode's kernels down to the first that takes every call; null where there is only one, or no
// memory to try them. Of a team of `threads`, or of the caller alone; `keeps`: with what kernels keep (Kernel::kept)
// already there.
const Kernel* fastest_kernel(const KernelTable& table, const fj_instr& instr, const Call& call, Crew& crew, bool alone,
                             int threads, bool keeps);

}  // namespace forja
