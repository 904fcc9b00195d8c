// Checks of batch normalisation (native/cpu/norm.cc). Images (.., C), vectors (C).
#include "check.h"

namespace forja {
namespace {

bool check_image(Check& c, const fj_value& x) {
  return c.map_dtype(x) && c.expect(x.rank >= 1 && element_count(x) >= 1, "there is nothing to normalise");
}

bool check_vector(Check& c, const fj_value& v, const fj_value& x) {
  return c.dtype(v, FJ_FLOAT32) && c.rank(v, 1) &&
         c.expect(v.dims[0] == x.dims[x.rank - 1], "a vector does not match the channels");
}

// x, gamma, beta -> y, mean, variance.
bool check_batch_norm(Check& c) {
  if (!c.arity(3, 3, 3) || !c.attr_size(sizeof(fj_batch_norm_attrs))) return false;
  const auto& attrs = c.attrs<fj_batch_norm_attrs>();
  const fj_value& x = c.in(0);
  return c.expect(attrs.activation >= 0 && attrs.activation <= FJ_ACTIVATION_RELU, "unknown activation") &&
         check_image(c, x) && c.dtype(c.out(0), x.dtype) && c.same_shape(c.out(0), x) && check_vector(c, c.in(1), x) &&
         check_vector(c, c.in(2), x) && check_vector(c, c.out(1), x) && check_vector(c, c.out(2), x);
}

// dy, x, gamma, mean, variance, and y or not -> dx, dgamma, dbeta.
bool check_batch_norm_grad(Check& c) {
  if (!c.arity(5, 6, 3) || !c.attr_size(sizeof(fj_batch_norm_grad_attrs))) return false;
  const fj_value& x = c.in(1);
  if (!check_image(c, x)) return false;
  for (int i = 2; i < 5; i++) {
    if (!check_vector(c, c.in(i), x)) return false;
  }
  if (c.inputs() == 6 && (!c.dtype(c.in(5), x.dtype) || !c.same_shape(c.in(5), x))) return false;
  return c.dtype(c.in(0), x.dtype) && c.same_shape(c.in(0), x) && c.dtype(c.out(0), x.dtype) &&
         c.same_shape(c.out(0), x) && check_vector(c, c.out(1), x) && check_vector(c, c.out(2), x);
}

const CheckEntry kEntries[] = {{FJ_OP_BATCH_NORM, check_batch_norm}, {FJ_OP_BATCH_NORM_GRAD, check_batch_norm_grad}};

}  // namespace

CheckFamily checks_norm() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
