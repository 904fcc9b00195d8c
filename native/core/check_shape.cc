// Checks of operations that only move elements (native/cpu/shape.cc, slice.cc).
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

// part[i..] lies at starts + i * steps in `whole`, all inside; a part without elements lies nowhere.
bool check_places(Check& c, const fj_value& part, const fj_value& whole, const int32_t* starts, const int32_t* steps) {
  if (!c.rank(part, whole.rank) || !c.dtype(part, whole.dtype)) return false;
  for (int axis = 0; axis < part.rank; axis++) {
    if (!c.expect(steps[axis] != 0, "a step is 0")) return false;
    if (part.bytes == 0) continue;
    const int64_t first = starts[axis], last = first + (static_cast<int64_t>(part.dims[axis]) - 1) * steps[axis];
    const int64_t size = whole.dims[axis];
    if (!c.expect(first >= 0 && first < size && last >= 0 && last < size, "a part leaves its tensor")) return false;
  }
  return true;
}

bool check_slice(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size_with_tail(sizeof(fj_slice_attrs))) return false;
  const auto& attrs = c.attrs<fj_slice_attrs>();
  return check_places(c, c.out(0), c.in(0), attrs.starts, attrs.steps);
}

// The value must be one of the output's dtype: the kernel converts it.
bool check_place(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size_with_tail(sizeof(fj_place_attrs))) return false;
  const auto& attrs = c.attrs<fj_place_attrs>();
  const uint8_t dtype = c.out(0).dtype;
  const float low = dtype == FJ_INT32 ? -2147483648.0f : 0.0f, high = dtype == FJ_INT32 ? 2147483520.0f : 255.0f;
  return c.expect(dtype == FJ_FLOAT32 || dtype == FJ_INT32 || dtype == FJ_UINT8 || dtype == FJ_BOOL,
                  "no kernel for this dtype") &&
         c.expect(dtype == FJ_FLOAT32 || (attrs.value >= low && attrs.value <= high), "the value has another dtype") &&
         check_places(c, c.in(0), c.out(0), attrs.starts, attrs.steps);
}

// All dims agree but the axis, along which the inputs add up to the output.
bool check_concat(Check& c) {
  if (!c.arity(1, 0xffff, 1) || !c.attr_size(sizeof(fj_concat_attrs))) return false;
  const int32_t axis = c.attrs<fj_concat_attrs>().axis;
  const fj_value& y = c.out(0);
  if (!c.expect(axis >= 0 && axis < y.rank, "no such axis")) return false;
  uint64_t joined = 0;
  for (int i = 0; i < c.inputs(); i++) {
    const fj_value& x = c.in(i);
    if (!c.rank(x, y.rank) || !c.dtype(x, y.dtype)) return false;
    for (int k = 0; k < y.rank; k++) {
      if (!c.expect(k == axis || x.dims[k] == y.dims[k], "inputs differ beside the axis")) return false;
    }
    joined += x.dims[axis];
  }
  return c.expect(joined == y.dims[axis], "inputs do not add up to the output");
}

const CheckEntry kEntries[] = {{FJ_OP_TRANSPOSE, check_transpose},
                               {FJ_OP_SLICE, check_slice},
                               {FJ_OP_PLACE, check_place},
                               {FJ_OP_CONCAT, check_concat}};

}  // namespace

CheckFamily checks_shape() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
