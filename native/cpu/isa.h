// Which instruction set's kernels run: the best that CPU, operating system and FORJA_ISA allow.
#pragma once

#include "kernel.h"

namespace forja {

struct Isa {
  const char* name;
  void (*register_kernels)(KernelTable&);
};

// The instruction set in use; the first call decides. FORJA_ISA=baseline|avx2|avx512|neon lowers it; a name this
// machine or build lacks is an error kept in `*problem` (null if none) and the best one is used.
const Isa& active_isa(const char** problem);

}  // namespace forja
