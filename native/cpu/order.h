// Which instructions of a program have to wait for each other.
#pragma once

#include <vector>

#include "kernel.h"

namespace forja {

// For each instruction, whether all threads must have done it, and those before it, before any begins the next: 1 where
// the next reads or writes what one of them writes, or writes what one of them reads, since the last such place, or
// both use the scratch. Always before instruction `commit`.
std::vector<uint8_t> find_barriers(const std::vector<Call>& calls, const std::vector<const Kernel*>& kernels,
                                   uint32_t commit);

}  // namespace forja
