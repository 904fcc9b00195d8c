// Checks of batch and layer normalisation (native/cpu/norm.cc, layer_norm.cc). Images or rows (.., C), vectors (C).
#include "check.h"

namespace forja {
namespace {

bool check_image(Check& c, const fj_value& x) {
  return c.map_dtype(x) && c.expect(x.rank >= 1 && element_count(x) >= 1, "there is nothing to normalise");
}

bool check_rows(Check& c, const fj_value& x) { return c.map_dtype(x) && c.expect(x.rank >= 1, "a scalar has no rows"); }

// `map` is as x is.
bool check_map(Check& c, const fj_value& map, const fj_value& x) {
  return c.dtype(map, x.dtype) && c.same_shape(map, x);
}

bool check_vector(Check& c, const fj_value& v, const fj_value& x) {
  return c.dtype(v, FJ_FLOAT32) && c.rank(v, 1) &&
         c.expect(v.dims[0] == x.dims[x.rank - 1], "a vector does not match the channels");
}

// x, gamma, beta, residual or not -> y, mean, variance.
bool check_batch_norm(Check& c) {
  if (!c.arity(3, 4, 3) || !c.attr_size(sizeof(fj_batch_norm_attrs))) return false;
  const auto& attrs = c.attrs<fj_batch_norm_attrs>();
  const fj_value& x = c.in(0);
  if (c.inputs() == 4 && !check_map(c, c.in(3), x)) return false;
  return c.expect(attrs.activation >= 0 && attrs.activation <= FJ_ACTIVATION_RELU, "unknown activation") &&
         check_image(c, x) && check_map(c, c.out(0), x) && check_vector(c, c.in(1), x) && check_vector(c, c.in(2), x) &&
         check_vector(c, c.out(1), x) && check_vector(c, c.out(2), x);
}

// dy, x, gamma, mean, variance, and y or not -> dx, dgamma, dbeta.
bool check_batch_norm_grad(Check& c) {
  if (!c.arity(5, 6, 3) || !c.attr_size(sizeof(fj_batch_norm_grad_attrs))) return false;
  const fj_value& x = c.in(1);
  if (!check_image(c, x)) return false;
  for (int i = 2; i < 5; i++) {
    if (!check_vector(c, c.in(i), x)) return false;
  }
  if (c.inputs() == 6 && !check_map(c, c.in(5), x)) return false;
  return check_map(c, c.in(0), x) && check_map(c, c.out(0), x) && check_vector(c, c.out(1), x) &&
         check_vector(c, c.out(2), x);
}

// x, gamma or not, with it beta or not -> y.
bool check_layer_norm(Check& c) {
  if (!c.arity(1, 3, 1) || !c.attr_size(sizeof(fj_layer_norm_attrs))) return false;
  const fj_value& x = c.in(0);
  if (!check_rows(c, x) || !check_map(c, c.out(0), x)) return false;
  for (int i = 1; i < c.inputs(); i++) {
    if (!check_vector(c, c.in(i), x)) return false;
  }
  return true;
}

// dy, x, gamma or not -> dx; with gamma, dgamma and dbeta where they are wanted.
bool check_layer_norm_grad(Check& c) {
  if (!c.attr_size(sizeof(fj_layer_norm_grad_attrs))) return false;
  const int32_t vectors = c.attrs<fj_layer_norm_grad_attrs>().vectors;
  if (!c.expect(vectors == 0 || vectors == 1, "`vectors` is 0 or 1") || !c.arity(2 + vectors, 3, 1 + 2 * vectors)) {
    return false;
  }
  const fj_value& x = c.in(1);
  if (!check_rows(c, x) || !check_map(c, c.in(0), x) || !check_map(c, c.out(0), x)) return false;
  return (c.inputs() == 2 || check_vector(c, c.in(2), x)) &&
         (vectors == 0 || (check_vector(c, c.out(1), x) && check_vector(c, c.out(2), x)));
}

const CheckEntry kEntries[] = {{FJ_OP_BATCH_NORM, check_batch_norm},
                               {FJ_OP_BATCH_NORM_GRAD, check_batch_norm_grad},
                               {FJ_OP_LAYER_NORM, check_layer_norm},
                               {FJ_OP_LAYER_NORM_GRAD, check_layer_norm_grad}};

}  // namespace

CheckFamily checks_norm() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
