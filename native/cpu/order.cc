// find_barriers of order.h.
#include "order.h"

#include "../core/conflict.h"

namespace forja {
namespace {

// Instructions that may run without a barrier: more would only make the search long.
constexpr size_t kLongestRun = 32;

}  // namespace

std::vector<uint8_t> find_barriers(const std::vector<Call>& calls, const std::vector<const Kernel*>& kernels,
                                   uint32_t commit) {
  std::vector<uint8_t> barriers(calls.size());
  size_t first = 0;  // since the last barrier
  for (size_t next = 1; next < calls.size(); next++) {
    bool waits = next == commit || next - first >= kLongestRun;
    for (size_t i = first; i < next && !waits; i++) {
      const bool both_scratch = kernels[i]->scratch != nullptr && kernels[next]->scratch != nullptr;
      waits = both_scratch || conflict(calls[i], calls[next]);
    }
    if (!waits) continue;
    barriers[next - 1] = 1;
    first = next;
  }
  return barriers;
}

}  // namespace forja
