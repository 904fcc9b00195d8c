// Checks of indexing by tensors (native/cpu/indexing.cc). Indices themselves are data: kernels check each.
#include "check.h"

namespace forja {
namespace {

// Largest axis whose indices fit the int32 that indexes it.
bool check_length(Check& c, uint32_t length) { return c.expect(length <= INT32_MAX, "axis is too long to be indexed"); }

bool check_index_dtype(Check& c, const fj_value& index) {
  return c.expect(index.dtype == FJ_INT32 || index.dtype == FJ_UINT8, "index has the wrong dtype");
}

// gathered = whole's dims with `axis` replaced by the index's dims.
bool check_gathered(Check& c, const fj_value& whole, const fj_value& index, const fj_value& gathered, int32_t axis) {
  if (!c.expect(axis >= 0 && axis < whole.rank, "no such axis") || !check_index_dtype(c, index) ||
      !c.rank(gathered, whole.rank - 1 + index.rank) || !check_length(c, whole.dims[axis]) ||
      !c.dtype(gathered, whole.dtype)) {
    return false;
  }
  for (int i = 0; i < gathered.rank; i++) {
    const uint32_t expected = i < axis                ? whole.dims[i]
                              : i < axis + index.rank ? index.dims[i - axis]
                                                      : whole.dims[i - index.rank + 1];
    if (!c.expect(gathered.dims[i] == expected, "gathered slices have the wrong shape")) return false;
  }
  return true;
}

bool check_gather(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_gather_attrs)) &&
         check_gathered(c, c.in(0), c.in(1), c.out(0), c.attrs<fj_gather_attrs>().axis);
}

bool check_addable(Check& c, const fj_value& y) {
  return c.expect(y.dtype == FJ_FLOAT32 || y.dtype == FJ_INT32, "no kernel for this dtype");
}

bool check_gather_grad(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_gather_grad_attrs)) && check_addable(c, c.out(0)) &&
         check_gathered(c, c.out(0), c.in(0), c.in(1), c.attrs<fj_gather_grad_attrs>().axis);
}

// index and part have one shape, which is whole's but for the axis.
bool check_along(Check& c, const fj_value& whole, const fj_value& index, const fj_value& part, int32_t axis) {
  if (!c.expect(axis >= 0 && axis < whole.rank, "no such axis") || !check_index_dtype(c, index) ||
      !c.same_shape(index, part) || !c.rank(part, whole.rank) || !check_length(c, whole.dims[axis]) ||
      !c.dtype(part, whole.dtype)) {
    return false;
  }
  for (int i = 0; i < whole.rank; i++) {
    if (!c.expect(i == axis || part.dims[i] == whole.dims[i], "operands differ beside the axis")) return false;
  }
  return true;
}

bool check_take_along_axis(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_take_along_axis_attrs)) &&
         check_along(c, c.in(0), c.in(1), c.out(0), c.attrs<fj_take_along_axis_attrs>().axis);
}

bool check_put_along_axis(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_put_along_axis_attrs)) && check_addable(c, c.out(0)) &&
         check_along(c, c.out(0), c.in(0), c.in(1), c.attrs<fj_put_along_axis_attrs>().axis);
}

// y = index's dims, then the depth.
bool check_one_hot(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size(sizeof(fj_one_hot_attrs)) || !check_index_dtype(c, c.in(0))) return false;
  const fj_value &index = c.in(0), &y = c.out(0);
  if (!c.rank(y, index.rank + 1) || !check_length(c, y.dims[index.rank]) ||
      !c.expect(y.dtype == FJ_FLOAT32 || y.dtype == FJ_INT32 || y.dtype == FJ_UINT8 || y.dtype == FJ_BOOL,
                "no kernel for this dtype")) {
    return false;
  }
  for (int i = 0; i < index.rank; i++) {
    if (!c.expect(y.dims[i] == index.dims[i], "result has the wrong shape")) return false;
  }
  return true;
}

const CheckEntry kEntries[] = {
    {FJ_OP_GATHER, check_gather},
    {FJ_OP_GATHER_GRAD, check_gather_grad},
    {FJ_OP_TAKE_ALONG_AXIS, check_take_along_axis},
    {FJ_OP_PUT_ALONG_AXIS, check_put_along_axis},
    {FJ_OP_ONE_HOT, check_one_hot},
};

}  // namespace

CheckFamily checks_indexing() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
