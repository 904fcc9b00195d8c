// Checks of detection (native/cpu/detection.cc). Images N,H,W,C; regions K,5. Coordinates are data: kernels check them.
#include "check.h"

namespace forja {
namespace {

// boxes (4, N), order (N) -> indices (N), count ().
bool check_nms(Check& c) {
  return c.arity(2, 2, 2) && c.attr_size(sizeof(fj_nms_attrs)) && c.dtype(c.in(0), FJ_FLOAT32) &&
         c.dtype(c.in(1), FJ_INT32) && c.dtype(c.out(0), FJ_INT32) && c.dtype(c.out(1), FJ_INT32) &&
         c.rank(c.in(0), 2) && c.rank(c.in(1), 1) && c.rank(c.out(1), 0) && c.same_shape(c.in(1), c.out(0)) &&
         c.expect(c.in(0).dims[0] == 4 && c.in(0).dims[1] == c.in(1).dims[0], "boxes and order differ") &&
         c.expect(c.in(1).dims[0] <= INT32_MAX, "too many boxes to be indexed");
}

template <class Attrs>
bool check_regions(Check& c, const fj_value& image, const fj_value& rois, const fj_value& maps, const Attrs& attrs) {
  return c.dtype(image, FJ_FLOAT32) && c.dtype(rois, FJ_FLOAT32) && c.dtype(maps, FJ_FLOAT32) && c.rank(image, 4) &&
         c.rank(rois, 2) && c.rank(maps, 4) &&
         c.expect(rois.dims[1] == 5 && maps.dims[0] == rois.dims[0] && maps.dims[3] == image.dims[3],
                  "images, regions and maps differ") &&
         c.expect(attrs.output[0] >= 1 && attrs.output[1] >= 1 && maps.dims[1] == int64_t{attrs.output[0]} &&
                      maps.dims[2] == int64_t{attrs.output[1]},
                  "maps have the wrong size") &&
         c.expect(image.dims[1] >= 1 && image.dims[2] >= 1, "an image has no pixels") &&
         // Positions in (N, H, W) are int32.
         c.expect(uint64_t{image.dims[1]} * image.dims[2] <= INT32_MAX &&
                      image.dims[0] <= INT32_MAX / (uint64_t{image.dims[1]} * image.dims[2]),
                  "images have too many pixels") &&
         c.expect(attrs.spatial_scale > 0 && attrs.spatial_scale <= 65536.0f, "scale is out of range");
}

// x, rois -> y.
bool check_roi_align(Check& c) {
  return c.arity(2, 2, 1) && c.attr_size(sizeof(fj_roi_align_attrs)) &&
         check_regions(c, c.in(0), c.in(1), c.out(0), c.attrs<fj_roi_align_attrs>()) &&
         c.expect(
             c.attrs<fj_roi_align_attrs>().sampling_ratio >= 0 && c.attrs<fj_roi_align_attrs>().sampling_ratio <= 1024,
             "sampling ratio is out of range");
}

// dy, rois -> dx; the tail is dx's [N, H, W].
bool check_roi_align_grad(Check& c) {
  constexpr size_t kBytes = sizeof(fj_roi_align_grad_attrs);
  if (!c.arity(2, 2, 1) || !c.attr_size_with_tail(kBytes) ||
      !check_regions(c, c.out(0), c.in(1), c.in(0), c.attrs<fj_roi_align_grad_attrs>()) ||
      !c.expect(c.attrs<fj_roi_align_grad_attrs>().sampling_ratio >= 0 &&
                    c.attrs<fj_roi_align_grad_attrs>().sampling_ratio <= 1024,
                "sampling ratio is out of range") ||
      !c.expect(c.tail_length(kBytes) == 3, "image has the wrong size")) {
    return false;
  }
  for (int axis = 0; axis < 3; axis++) {
    if (!c.expect(c.tail(kBytes)[axis] == int64_t{c.out(0).dims[axis]}, "image has the wrong size")) return false;
  }
  return true;
}

// x, rois -> y, index.
bool check_roi_pool(Check& c) {
  return c.arity(2, 2, 2) && c.attr_size(sizeof(fj_roi_pool_attrs)) &&
         check_regions(c, c.in(0), c.in(1), c.out(0), c.attrs<fj_roi_pool_attrs>()) && c.dtype(c.out(1), FJ_INT32) &&
         c.same_shape(c.out(0), c.out(1));
}

const CheckEntry kEntries[] = {
    {FJ_OP_NMS, check_nms},
    {FJ_OP_ROI_ALIGN, check_roi_align},
    {FJ_OP_ROI_ALIGN_GRAD, check_roi_align_grad},
    {FJ_OP_ROI_POOL, check_roi_pool},
};

}  // namespace

CheckFamily checks_detection() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
