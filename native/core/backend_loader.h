// Where backends come from. The CPU's is linked in. CUDA's is a module beside the addon, opened when it is first asked
// for and never closed: its threads and the driver's outlive every environment. "cuda-emulated", for tests, is the
// module that FORJA_CUDA_EMULATED names: the same kernels, run by the CPU.
#pragma once

#include "../abi/backend.h"

extern "C" const fj_backend* forja_cpu_backend(uint32_t host_abi_version);

namespace forja {

// The backend called "cpu", "cuda" or "cuda-emulated"; null with the reason in `error`. From any thread.
const fj_backend* find_backend(const char* name, fj_error* error);

}  // namespace forja
