// Checks of convolutions and their columns (native/cpu/conv*.cc). Images N,H,W,C; filters R,S,C/groups,K.
#include <initializer_list>

#include "check.h"

namespace forja {
namespace {

// Elements that a kernel may form by multiplying dims (columns, padded images): far from 64 bits.
constexpr int64_t kMaxElements = int64_t{1} << 44;
constexpr int64_t kMaxDim = int64_t{1} << 31;

// a * b, or kMaxElements + 1 where that is more; both at most kMaxElements + 1 and not negative.
int64_t limited(int64_t a, int64_t b) { return a != 0 && b > kMaxElements / a ? kMaxElements + 1 : a * b; }

struct Window {
  int64_t n, h, w, c;  // image
  int64_t r, s;        // taps
  int64_t oh, ow;      // positions
};

// Every position of the window lies in the padded image: OH = (H + top + bottom - dilation * (R - 1) - 1) / stride + 1.
bool check_window(Check& c, const Window& g, const int32_t* stride, const int32_t* padding, const int32_t* dilation) {
  const int64_t sizes[2] = {g.h, g.w}, taps[2] = {g.r, g.s}, outputs[2] = {g.oh, g.ow};
  int64_t padded[2];
  for (int axis = 0; axis < 2; axis++) {
    if (!c.expect(stride[axis] >= 1 && dilation[axis] >= 1, "stride and dilation must be positive") ||
        !c.expect(padding[axis] >= 0 && padding[axis + 2] >= 0, "padding is negative") ||
        !c.expect(sizes[axis] >= 1 && sizes[axis] < kMaxDim && taps[axis] >= 1 && taps[axis] < kMaxDim,
                  "an image or filter axis is empty or too long")) {
      return false;
    }
    padded[axis] = sizes[axis] + padding[axis] + padding[axis + 2];
    const int64_t room = padded[axis] - dilation[axis] * (taps[axis] - 1) - 1;
    if (!c.expect(room >= 0 && outputs[axis] == room / stride[axis] + 1, "output maps have the wrong size"))
      return false;
  }
  const int64_t columns = limited(limited(limited(g.n, g.oh), g.ow), limited(limited(g.r, g.s), g.c));
  const int64_t image = limited(limited(padded[0], padded[1]), g.c);
  return c.expect(g.c >= 1, "an image has no channels") &&
         c.expect(columns <= kMaxElements && image <= kMaxElements, "convolution is larger than any machine");
}

// image (N,H,W,C), filter (R,S,C/groups,K), maps (N,OH,OW,K).
template <class Attrs>
bool check_geometry(Check& c, const fj_value& image, const fj_value& filter, const fj_value& maps, const Attrs& attrs) {
  for (const fj_value* value : {&image, &filter, &maps}) {
    if (!c.map_dtype(*value) || !c.dtype(*value, image.dtype) || !c.rank(*value, 4)) return false;
  }
  const int64_t channels = image.dims[3], k = filter.dims[3], groups = attrs.groups;
  if (!c.expect(groups >= 1 && k >= 1, "groups and filters must be positive") ||
      !c.expect(filter.dims[2] * groups == channels && k % groups == 0, "channels do not match the filter's groups") ||
      !c.expect(maps.dims[0] == image.dims[0] && maps.dims[3] == k, "output maps have the wrong shape")) {
    return false;
  }
  const Window window{image.dims[0],  image.dims[1],  image.dims[2], channels,
                      filter.dims[0], filter.dims[1], maps.dims[1],  maps.dims[2]};
  return check_window(c, window, attrs.stride, attrs.padding, attrs.dilation);
}

// Of a call whose inputs are x, weight (R,S,C/groups,K), bias (K) or absent.
bool check_activation_and_bias(Check& c, int32_t activation) {
  return c.expect(activation >= 0 && activation <= FJ_ACTIVATION_RELU, "unknown activation") &&
         (c.inputs() < 3 || (c.dtype(c.in(2), FJ_FLOAT32) && c.rank(c.in(2), 1) &&
                             c.expect(c.in(2).dims[0] == dim(c.in(1), 3), "bias has the wrong shape")));
}

// x, weight, bias (K) or absent -> y.
bool check_conv2d(Check& c) {
  if (!c.arity(2, 3, 1) || !c.attr_size(sizeof(fj_conv2d_attrs))) return false;
  const auto& attrs = c.attrs<fj_conv2d_attrs>();
  return check_activation_and_bias(c, attrs.activation) && check_geometry(c, c.in(0), c.in(1), c.out(0), attrs);
}

// dy, weight -> dx; attrs.size is the image's.
bool check_conv2d_grad_input(Check& c) {
  if (!c.arity(2, 2, 1) || !c.attr_size(sizeof(fj_conv2d_grad_input_attrs))) return false;
  const auto& attrs = c.attrs<fj_conv2d_grad_input_attrs>();
  return check_geometry(c, c.out(0), c.in(1), c.in(0), attrs) &&
         c.expect(attrs.size[0] == int64_t{c.out(0).dims[1]} && attrs.size[1] == int64_t{c.out(0).dims[2]},
                  "image has the wrong size");
}

// x, dy -> dw; attrs.kernel is the filter's size.
bool check_conv2d_grad_weight(Check& c) {
  if (!c.arity(2, 2, 1) || !c.attr_size(sizeof(fj_conv2d_grad_weight_attrs))) return false;
  const auto& attrs = c.attrs<fj_conv2d_grad_weight_attrs>();
  return check_geometry(c, c.in(0), c.out(0), c.in(1), attrs) &&
         c.expect(attrs.kernel[0] == int64_t{c.out(0).dims[0]} && attrs.kernel[1] == int64_t{c.out(0).dims[1]},
                  "filter has the wrong size");
}

// Windows over a convolution's maps, of attrs.size pixels: each position of `pooled` (N,PH,PW,K) has a pixel, and a
// uint8 holds its taps.
template <class Attrs>
bool check_map_windows(Check& c, const fj_value& pooled, const Attrs& attrs) {
  for (int axis = 0; axis < 2; axis++) {
    const int64_t out = pooled.dims[axis + 1], before = attrs.window_padding[axis];
    if (!c.expect(attrs.window[axis] >= 1 && attrs.window[axis] <= 256 && attrs.window_stride[axis] >= 1 &&
                      before >= 0 && attrs.window_padding[axis + 2] >= 0 && out >= 1,
                  "window is not positive or too large") ||
        !c.expect(before < attrs.window[axis] && (out - 1) * attrs.window_stride[axis] - before < attrs.size[axis],
                  "a window lies outside the maps")) {
      return false;
    }
  }
  return c.expect(attrs.window[0] * attrs.window[1] <= 256, "window is too large");
}

// x (N,H,W,C), filter (R,S,C,K), dp (N,PH,PW,K), index: the gradient of a convolution's maps is what max pooling hands
// them of dp.
template <class Attrs>
bool check_pooled_gradient(Check& c, const fj_value& x, const fj_value& filter, const fj_value& dp,
                           const fj_value& index, const Attrs& attrs) {
  for (const fj_value* value : {&x, &filter, &dp}) {
    if (!c.dtype(*value, FJ_FLOAT32) || !c.rank(*value, 4)) return false;
  }
  if (!c.expect(filter.dims[2] == x.dims[3] && filter.dims[3] == dp.dims[3] && dp.dims[3] >= 1,
                "channels do not match") ||
      !c.expect(dp.dims[0] == x.dims[0], "pooled maps have the wrong shape") || !c.same_shape(index, dp) ||
      !c.dtype(index, FJ_UINT8)) {
    return false;
  }
  const int32_t dilation[2] = {1, 1};
  const Window window{x.dims[0],      x.dims[1],      x.dims[2],     x.dims[3],
                      filter.dims[0], filter.dims[1], attrs.size[0], attrs.size[1]};
  return check_window(c, window, attrs.stride, attrs.padding, dilation) && check_map_windows(c, dp, attrs);
}

// x, dp, index -> dw.
bool check_conv2d_pooled_grad_weight(Check& c) {
  if (!c.arity(3, 3, 1) || !c.attr_size(sizeof(fj_conv2d_pooled_grad_weight_attrs))) return false;
  const auto& attrs = c.attrs<fj_conv2d_pooled_grad_weight_attrs>();
  const fj_value& dw = c.out(0);
  return c.expect(attrs.fits_core == 0 || attrs.fits_core == 1, "fitsCore is neither 0 nor 1") &&
         check_pooled_gradient(c, c.in(0), dw, c.in(1), c.in(2), attrs) &&
         c.expect(attrs.kernel[0] == int64_t{dw.dims[0]} && attrs.kernel[1] == int64_t{dw.dims[1]},
                  "filter has the wrong size");
}

// dp, weight, index, y where ReLU gave the image -> dx.
bool check_conv2d_pooled_grad_input(Check& c) {
  if (!c.arity(3, 4, 1) || !c.attr_size(sizeof(fj_conv2d_pooled_grad_input_attrs))) return false;
  const auto& attrs = c.attrs<fj_conv2d_pooled_grad_input_attrs>();
  const fj_value& dx = c.out(0);
  const bool masked = c.inputs() == 4;
  if (!c.expect(attrs.activation == (masked ? FJ_ACTIVATION_RELU_GRAD : 0), "activation does not fit the operands") ||
      (masked && !(c.dtype(c.in(3), FJ_FLOAT32) && c.same_shape(c.in(3), dx)))) {
    return false;
  }
  return check_pooled_gradient(c, dx, c.in(1), c.in(0), c.in(2), attrs) &&
         c.expect(attrs.image[0] == int64_t{dx.dims[1]} && attrs.image[1] == int64_t{dx.dims[2]},
                  "image has the wrong size");
}

// x, weight (R,S,C,K), bias (K) or absent -> y (N,PH,PW,K), and where attrs.index says so the taps that were chosen;
// the convolution's maps (N,OH,OW,K) are nobody's operand.
bool check_conv2d_max_pool(Check& c) {
  if (!c.attr_size(sizeof(fj_conv2d_max_pool_attrs))) return false;
  const auto& attrs = c.attrs<fj_conv2d_max_pool_attrs>();
  if (!c.expect(attrs.index == 0 || attrs.index == 1, "index is neither 0 nor 1") || !c.arity(2, 3, 1 + attrs.index)) {
    return false;
  }
  const fj_value &x = c.in(0), &weight = c.in(1), &y = c.out(0);
  for (const fj_value* value : {&x, &weight, &y}) {
    if (!c.dtype(*value, FJ_FLOAT32) || !c.rank(*value, 4)) return false;
  }
  const int64_t k = weight.dims[3];
  if (!check_activation_and_bias(c, attrs.activation) ||
      !c.expect(k >= 1 && weight.dims[2] == x.dims[3], "channels do not match") ||
      !c.expect(y.dims[0] == x.dims[0] && y.dims[3] == k && y.dims[1] == uint32_t(attrs.output[0]) &&
                    y.dims[2] == uint32_t(attrs.output[1]),
                "pooled maps have the wrong shape")) {
    return false;
  }
  const int32_t dilation[2] = {1, 1};
  const Window window{x.dims[0],      x.dims[1],      x.dims[2],     x.dims[3],
                      weight.dims[0], weight.dims[1], attrs.size[0], attrs.size[1]};
  return check_window(c, window, attrs.stride, attrs.padding, dilation) &&
         c.expect(limited(limited(limited(x.dims[0], attrs.size[0]), attrs.size[1]), k) <= kMaxElements,
                  "maps are larger than any machine") &&
         check_map_windows(c, y, attrs) &&
         (attrs.index == 0 || (c.same_shape(c.out(1), y) && c.dtype(c.out(1), FJ_UINT8)));
}

// image (N,H,W,C), columns (N,OH,OW,R,S,C).
template <class Attrs>
bool check_columns(Check& c, const fj_value& image, const fj_value& columns, const Attrs& attrs) {
  if (!c.dtype(image, FJ_FLOAT32) || !c.dtype(columns, FJ_FLOAT32) || !c.rank(image, 4) || !c.rank(columns, 6) ||
      !c.expect(columns.dims[0] == image.dims[0] && columns.dims[5] == image.dims[3], "columns have the wrong shape") ||
      !c.expect(attrs.kernel[0] >= 1 && attrs.kernel[1] >= 1 && columns.dims[3] == uint32_t(attrs.kernel[0]) &&
                    columns.dims[4] == uint32_t(attrs.kernel[1]),
                "columns do not match the window")) {
    return false;
  }
  const Window window{image.dims[0],   image.dims[1],   image.dims[2],   image.dims[3],
                      columns.dims[3], columns.dims[4], columns.dims[1], columns.dims[2]};
  return check_window(c, window, attrs.stride, attrs.padding, attrs.dilation);
}

bool check_im2col(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size(sizeof(fj_im2col_attrs))) return false;
  return check_columns(c, c.in(0), c.out(0), c.attrs<fj_im2col_attrs>());
}

bool check_col2im(Check& c) {
  if (!c.arity(1, 1, 1) || !c.attr_size(sizeof(fj_col2im_attrs))) return false;
  const auto& attrs = c.attrs<fj_col2im_attrs>();
  return check_columns(c, c.out(0), c.in(0), attrs) &&
         c.expect(attrs.size[0] == int64_t{c.out(0).dims[1]} && attrs.size[1] == int64_t{c.out(0).dims[2]},
                  "image has the wrong size");
}

const CheckEntry kEntries[] = {
    {FJ_OP_CONV2D, check_conv2d},
    {FJ_OP_CONV2D_GRAD_INPUT, check_conv2d_grad_input},
    {FJ_OP_CONV2D_GRAD_WEIGHT, check_conv2d_grad_weight},
    {FJ_OP_CONV2D_POOLED_GRAD_INPUT, check_conv2d_pooled_grad_input},
    {FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, check_conv2d_pooled_grad_weight},
    {FJ_OP_CONV2D_MAX_POOL, check_conv2d_max_pool},
    {FJ_OP_IM2COL, check_im2col},
    {FJ_OP_COL2IM, check_col2im},
};

}  // namespace

CheckFamily checks_conv() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
