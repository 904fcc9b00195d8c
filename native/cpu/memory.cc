// Memory of memory.h.
#include "memory.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "../abi/program.h"

namespace forja {
namespace {
constexpr uint64_t kHugePage = 2ull << 20;
}

bool Memory::allocate(uint64_t bytes) {
  reset();
  const uint64_t alignment = bytes >= kHugePage ? kHugePage : FJ_ALIGNMENT;
  // A line of slack: kernels may read a full vector at the last element.
  const uint64_t padded = (bytes + FJ_ALIGNMENT + alignment - 1) / alignment * alignment;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, padded) != 0) return false;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= kHugePage) madvise(memory, padded, MADV_HUGEPAGE);
#endif
  data_ = static_cast<uint8_t*>(memory);
  bytes_ = bytes;
  return true;
}

void Memory::reset() {
  free(data_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace forja
