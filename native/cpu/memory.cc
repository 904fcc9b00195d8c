// Memory of memory.h.
#include "memory.h"

#include <cstdlib>
#include <cstring>

#if defined(__unix__)
#include <sys/mman.h>
#endif

#include "../abi/program.h"

namespace forja {
namespace {

constexpr uint64_t kHugePage = 2ull << 20;

#if defined(__unix__)
// Fresh pages, aligned to a huge page: the system zeroes each when it is first touched, off the thread that allocates.
uint8_t* map_pages(uint64_t bytes) {
  void* all = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  auto* begin = static_cast<uint8_t*>(all);
  const uint64_t head = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (head > 0) munmap(begin, head);
  munmap(begin + head + bytes, kHugePage - head);
#if defined(MADV_HUGEPAGE)
  madvise(begin + head, bytes, MADV_HUGEPAGE);
#endif
  return begin + head;
}
#endif

}  // namespace

bool Memory::allocate(uint64_t bytes) {
  reset();
  // A line of slack: kernels may read a full vector at the last element.
#if defined(__unix__)
  if (bytes >= kHugePage) {
    const uint64_t padded = (bytes + FJ_ALIGNMENT + kHugePage - 1) / kHugePage * kHugePage;
    data_ = map_pages(padded);
    if (data_ == nullptr) return false;
    mapped_ = padded;
    bytes_ = bytes;
    return true;
  }
#endif
  const uint64_t padded = (bytes + 2 * FJ_ALIGNMENT - 1) / FJ_ALIGNMENT * FJ_ALIGNMENT;
  void* memory = nullptr;
  if (posix_memalign(&memory, FJ_ALIGNMENT, padded) != 0) return false;
  memset(memory, 0, padded);
  data_ = static_cast<uint8_t*>(memory);
  bytes_ = bytes;
  return true;
}

void Memory::reset() {
#if defined(__unix__)
  if (mapped_ > 0) munmap(data_, mapped_);
#endif
  if (mapped_ == 0) free(data_);
  data_ = nullptr;
  bytes_ = mapped_ = 0;
}

}  // namespace forja
