// Checks of reductions and of operations along one axis (native/cpu/reduce.cc, axis.cc).
#include "check.h"

namespace forja {
namespace {

// Kernels read the attributes of every reduction as those of sum.
static_assert(sizeof(fj_max_attrs) == sizeof(fj_sum_attrs) && sizeof(fj_min_attrs) == sizeof(fj_sum_attrs) &&
                  sizeof(fj_prod_attrs) == sizeof(fj_sum_attrs) && sizeof(fj_arg_min_attrs) == sizeof(fj_arg_max_attrs),
              "attributes differ");

// The output has x's dims without the masked axes, or with 1 in their place.
bool check_reduced_shape(Check& c) {
  const auto& attrs = c.attrs<fj_sum_attrs>();
  const fj_value &x = c.in(0), &y = c.out(0);
  int at = 0;
  for (int axis = 0; axis < x.rank; axis++) {
    const bool masked = attrs.mask[axis] != 0;
    if (masked && attrs.keep_dims == 0) continue;
    if (!c.expect(at < y.rank && y.dims[at] == (masked ? 1 : x.dims[axis]), "reduced shape is wrong")) return false;
    at++;
  }
  return c.rank(y, at);
}

bool check_reduce(Check& c) {
  return c.arity(1, 1, 1) && c.attr_size(sizeof(fj_sum_attrs)) && check_reduced_shape(c) &&
         c.dtype(c.in(0), c.out(0).dtype) &&
         c.expect(c.in(0).dtype == FJ_FLOAT32 || c.in(0).dtype == FJ_INT32, "no reduction for this dtype");
}

bool check_extremum(Check& c) {
  if (!c.arity(1, 1, 1)) return false;
  const uint8_t dtype = c.in(0).dtype;
  return c.attr_size(sizeof(fj_sum_attrs)) && check_reduced_shape(c) && c.dtype(c.out(0), c.in(0).dtype) &&
         c.expect(dtype == FJ_FLOAT32 || dtype == FJ_INT32 || dtype == FJ_UINT8 || dtype == FJ_BOOL,
                  "no reduction for this dtype");
}

bool check_product_of_others(Check& c) {
  return c.arity(1, 1, 1) && c.attr_size(sizeof(fj_product_of_others_attrs)) && c.dtype(c.in(0), FJ_FLOAT32) &&
         c.dtype(c.out(0), FJ_FLOAT32) && c.same_shape(c.in(0), c.out(0));
}

bool check_axis(Check& c, int32_t axis) { return c.expect(axis >= 0 && axis < c.in(0).rank, "no such axis"); }

// y has x's dims but the axis. A length of 0 leaves nothing to choose from; indices are int32.
bool check_arg(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size(sizeof(fj_arg_max_attrs))) return false;
  const int32_t axis = c.attrs<fj_arg_max_attrs>().axis;
  const fj_value &x = c.in(0), &y = c.out(0);
  if (!check_axis(c, axis) || !c.dtype(y, FJ_INT32) || !c.rank(y, x.rank - 1) ||
      !c.expect(x.dims[axis] > 0 && x.dims[axis] <= INT32_MAX, "nothing to choose from along the axis") ||
      !c.expect(x.dtype == FJ_FLOAT32 || x.dtype == FJ_INT32 || x.dtype == FJ_UINT8, "no kernel for this dtype")) {
    return false;
  }
  for (int i = 0; i < y.rank; i++) {
    if (!c.expect(y.dims[i] == x.dims[i < axis ? i : i + 1], "result has the wrong shape")) return false;
  }
  return true;
}

bool check_cum_sum(Check& c) {
  return c.arity(1, 1, 1) && c.attr_size(sizeof(fj_cum_sum_attrs)) && check_axis(c, c.attrs<fj_cum_sum_attrs>().axis) &&
         c.dtype(c.out(0), c.in(0).dtype) && c.same_shape(c.in(0), c.out(0)) &&
         c.expect(c.in(0).dtype == FJ_FLOAT32 || c.in(0).dtype == FJ_INT32, "no kernel for this dtype");
}

// x (.., length) → values, indices (.., k), k <= length.
bool check_top_k(Check& c) {
  if (!c.arity(1, 1, 2) || !c.attr_size(sizeof(fj_top_k_attrs))) return false;
  const int32_t k = c.attrs<fj_top_k_attrs>().k;
  const fj_value &x = c.in(0), &values = c.out(0), &indices = c.out(1);
  if (!c.expect(x.rank >= 1, "topK needs an axis") || !c.rank(values, x.rank) || !c.same_shape(values, indices) ||
      !c.dtype(values, x.dtype) || !c.dtype(indices, FJ_INT32) ||
      !c.expect(x.dtype == FJ_FLOAT32 || x.dtype == FJ_INT32, "no kernel for this dtype")) {
    return false;
  }
  const uint32_t length = x.dims[x.rank - 1];
  for (int i = 0; i + 1 < x.rank; i++) {
    if (!c.expect(values.dims[i] == x.dims[i], "result has the wrong shape")) return false;
  }
  return c.expect(k >= 0 && static_cast<uint32_t>(k) <= length && length <= INT32_MAX, "k is out of range") &&
         c.expect(values.dims[x.rank - 1] == static_cast<uint32_t>(k), "result has the wrong shape");
}

const CheckEntry kEntries[] = {
    {FJ_OP_SUM, check_reduce},   {FJ_OP_PROD, check_reduce},     {FJ_OP_MAX, check_extremum},
    {FJ_OP_MIN, check_extremum}, {FJ_OP_ARG_MAX, check_arg},     {FJ_OP_ARG_MIN, check_arg},
    {FJ_OP_TOP_K, check_top_k},  {FJ_OP_CUM_SUM, check_cum_sum}, {FJ_OP_PRODUCT_OF_OTHERS, check_product_of_others},
};

}  // namespace

CheckFamily checks_reduce() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
