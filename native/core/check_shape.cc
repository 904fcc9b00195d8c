// Checks of operations that only move elements (native/cpu/shape.cc).
#include "check.h"

namespace forja {
namespace {

// out.dims[i] = in.dims[perm[i]], perm a permutation.
bool check_transpose(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size_with_tail(0)) return false;
  const fj_value &x = c.in(0), &y = c.out(0);
  if (!c.dtype(x, y.dtype) || !c.rank(y, x.rank) ||
      !c.expect(c.tail_length(0) == x.rank, "permutation has the wrong length")) {
    return false;
  }
  uint32_t seen = 0;
  for (int axis = 0; axis < x.rank; axis++) {
    const int32_t source = c.tail(0)[axis];
    if (!c.expect(source >= 0 && source < x.rank && y.dims[axis] == x.dims[source], "wrong permutation")) return false;
    seen |= 1u << source;
  }
  return c.expect(seen == (1u << x.rank) - 1, "an axis is missing in the permutation");
}

const CheckEntry kEntries[] = {{FJ_OP_TRANSPOSE, check_transpose}};

}  // namespace

CheckFamily checks_shape() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
