// Where backends come from: the CPU's is linked in.
#pragma once

#include "../abi/backend.h"

extern "C" const fj_backend* forja_cpu_backend(uint32_t host_abi_version);
