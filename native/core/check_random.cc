// Checks of random numbers (native/cpu/random.cc).
#include "check.h"

namespace forja {
namespace {

// state (4) int32; the output's dtype follows the kind.
bool check_random(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size_with_tail(sizeof(fj_random_attrs))) return false;
  const auto& attrs = c.attrs<fj_random_attrs>();
  if (!c.expect(attrs.kind >= FJ_RANDOM_UNIFORM && attrs.kind <= FJ_RANDOM_MASK, "no such kind of random numbers") ||
      !c.dtype(c.in(0), FJ_INT32) || !c.expect(element_count(c.in(0)) == 4, "a random state is four numbers")) {
    return false;
  }
  const uint8_t kDTypes[] = {FJ_FLOAT32, FJ_FLOAT32, FJ_INT32, FJ_BOOL};
  return c.dtype(c.out(0), kDTypes[attrs.kind]);
}

const CheckEntry kEntries[] = {{FJ_OP_RANDOM, check_random}};

}  // namespace

CheckFamily checks_random() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
