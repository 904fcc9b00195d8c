// find_barriers of order.h.
#include "order.h"

namespace forja {
namespace {

// Instructions that may run without a barrier: more would only make the search long.
constexpr size_t kLongestRun = 32;

bool overlap(const Operand& a, const Operand& b) {
  const fj_value &x = *a.value, &y = *b.value;
  return x.storage == y.storage && x.index == y.index && x.bytes > 0 && y.bytes > 0 && x.offset < y.offset + y.bytes &&
         y.offset < x.offset + x.bytes;
}

// Whether a write of `writer` meets an operand of `other`.
bool writes_operand(const Call& writer, const Call& other) {
  for (int o = 0; o < writer.n_out; o++) {
    for (int k = 0; k < other.n_in; k++) {
      if (overlap(writer.out[o], other.in[k])) return true;
    }
    for (int k = 0; k < other.n_out; k++) {
      if (overlap(writer.out[o], other.out[k])) return true;
    }
  }
  return false;
}

}  // namespace

std::vector<uint8_t> find_barriers(const std::vector<Call>& calls, const std::vector<const Kernel*>& kernels,
                                   uint32_t commit) {
  std::vector<uint8_t> barriers(calls.size());
  size_t first = 0;  // since the last barrier
  for (size_t next = 1; next < calls.size(); next++) {
    bool waits = next == commit || next - first >= kLongestRun;
    for (size_t i = first; i < next && !waits; i++) {
      const bool both_scratch = kernels[i]->scratch != nullptr && kernels[next]->scratch != nullptr;
      waits = both_scratch || writes_operand(calls[i], calls[next]) || writes_operand(calls[next], calls[i]);
    }
    if (!waits) continue;
    barriers[next - 1] = 1;
    first = next;
  }
  return barriers;
}

}  // namespace forja
