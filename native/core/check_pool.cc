// Checks of pooling (native/cpu/pool.cc). Images N,H,W,C; maps N,OH,OW,C.
#include "check.h"

namespace forja {
namespace {

constexpr int64_t kMaxDim = int64_t{1} << 31;

// Every window has a pixel inside the image, and taps fit the dtype of `index` (null: there is none).
template <class Attrs>
bool check_windows(Check& c, const fj_value& image, const fj_value& maps, const fj_value* index, const Attrs& attrs) {
  if (!c.map_dtype(image) || !c.dtype(maps, image.dtype) || !c.rank(image, 4) || !c.rank(maps, 4) ||
      !c.expect(image.dims[0] == maps.dims[0] && image.dims[3] == maps.dims[3], "images and maps differ")) {
    return false;
  }
  for (int axis = 0; axis < 2; axis++) {
    const int64_t size = image.dims[axis + 1], out = maps.dims[axis + 1];
    const int64_t kernel = attrs.kernel[axis], stride = attrs.stride[axis];
    const int64_t before = attrs.padding[axis], after = attrs.padding[axis + 2];
    if (!c.expect(size >= 1 && size < kMaxDim && out >= 1 && out < kMaxDim, "an image axis is empty or too long") ||
        !c.expect(attrs.output[axis] == out, "output maps have the wrong size") ||
        !c.expect(kernel >= 1 && stride >= 1 && before >= 0 && after >= 0, "window is not positive")) {
      return false;
    }
    if (attrs.adaptive != 0) {
      const int64_t most = size % out == 0 ? size / out : size / out + 2;
      if (!c.expect(kernel == most, "adaptive window has the wrong size")) return false;
    } else if (!c.expect(before < kernel && (out - 1) * stride - before < size, "a window lies outside the image")) {
      return false;
    }
  }
  if (index == nullptr) return true;
  const int64_t taps = static_cast<int64_t>(attrs.kernel[0]) * attrs.kernel[1];
  return c.same_shape(*index, maps) && c.expect(taps < kMaxDim, "window is too large") &&
         c.dtype(*index, taps <= 256 ? FJ_UINT8 : FJ_INT32);
}

template <class Attrs>
bool image_size(Check& c, const fj_value& image, const Attrs& attrs) {
  return c.expect(attrs.size[0] == int64_t{image.dims[1]} && attrs.size[1] == int64_t{image.dims[2]},
                  "image has the wrong size");
}

// x -> y, index.
bool check_max_pool2d(Check& c) {
  return c.arity(1, 1, 2) && c.attr_size(sizeof(fj_max_pool2d_attrs)) &&
         check_windows(c, c.in(0), c.out(0), &c.out(1), c.attrs<fj_max_pool2d_attrs>());
}

// dy, index -> dx.
bool check_max_pool2d_grad(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_max_pool2d_grad_attrs)) &&
         check_windows(c, c.out(0), c.in(0), &c.in(1), c.attrs<fj_max_pool2d_grad_attrs>()) &&
         image_size(c, c.out(0), c.attrs<fj_max_pool2d_grad_attrs>());
}

// x, index -> y.
bool check_max_pool2d_gather(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_max_pool2d_gather_attrs)) &&
         check_windows(c, c.in(0), c.out(0), &c.in(1), c.attrs<fj_max_pool2d_gather_attrs>());
}

bool check_avg_pool2d(Check& c) {
  return c.arity(1, 1, 1) && c.attr_size(sizeof(fj_avg_pool2d_attrs)) &&
         check_windows(c, c.in(0), c.out(0), nullptr, c.attrs<fj_avg_pool2d_attrs>());
}

// dy -> dx.
bool check_avg_pool2d_grad(Check& c) {
  return c.arity(1, 1, 1) && c.attr_size(sizeof(fj_avg_pool2d_grad_attrs)) &&
         check_windows(c, c.out(0), c.in(0), nullptr, c.attrs<fj_avg_pool2d_grad_attrs>()) &&
         image_size(c, c.out(0), c.attrs<fj_avg_pool2d_grad_attrs>());
}

const CheckEntry kEntries[] = {
    {FJ_OP_MAX_POOL2D, check_max_pool2d},
    {FJ_OP_MAX_POOL2D_GRAD, check_max_pool2d_grad},
    {FJ_OP_MAX_POOL2D_GATHER, check_max_pool2d_gather},
    {FJ_OP_AVG_POOL2D, check_avg_pool2d},
    {FJ_OP_AVG_POOL2D_GRAD, check_avg_pool2d_grad},
};

}  // namespace

CheckFamily checks_pool() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
