// Where a program leaves the variant open, the kernels that may be the fastest are timed once for the shapes of the
// call (FORJA_TUNE=0: never). What was chosen is remembered (choice_file.h): variants differ in rounding.
#pragma once

#include <string>

#include "crew.h"
#include "kernel.h"

namespace forja {

// The fastest of the opcode's kernels down to the first that takes every call; null where there is only one, or no
// memory to try them. `usual`: the one that runs where nothing is measured. Of a team of `threads`, or of the caller
// alone; `keeps`: with what kernels keep (Kernel::kept) already there; `machine`: what it is that takes the time.
const Kernel* fastest_kernel(const KernelTable& table, const fj_instr& instr, const Call& call, const Kernel* usual,
                             Crew& crew, bool alone, int threads, bool keeps, const std::string& machine);

}  // namespace forja
