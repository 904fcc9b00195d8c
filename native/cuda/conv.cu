// The convolution operations of programs on top of conv.cuh:
//   conv2d            x (N,H,W,C), weight (R,S,C/groups,K), bias (K) or absent  ->  y (N,OH,OW,K)
//   conv2dGradInput   dy (N,OH,OW,K), weight                                    ->  dx (N,H,W,C)
//   conv2dGradWeight  x, dy                                                     ->  dw (R,S,C/groups,K)
//   im2col, col2im    image (N,H,W,C)                                          <->  columns (N,OH,OW,R,S,C)
// Paddings of the attributes are top, left, bottom, right; the last two show in OH and OW.
#include "conv.cuh"

namespace forja::cuda {
namespace {

template <class Attrs>
ConvGeometry geometry(const fj_value& image, int64_t k, int64_t r, int64_t s, int64_t oh, int64_t ow, int64_t groups,
                      const Attrs& attrs) {
  return {image.dims[0],
          image.dims[1],
          image.dims[2],
          image.dims[3],
          k,
          r,
          s,
          oh,
          ow,
          attrs.stride[0],
          attrs.stride[1],
          attrs.padding[0],
          attrs.padding[1],
          attrs.dilation[0],
          attrs.dilation[1],
          groups};
}

// Of the three directions: image, filter and maps are operands whose roles differ.
template <class Attrs>
ConvGeometry geometry(const Operand& image, const Operand& filter, const Operand& maps, const Attrs& attrs) {
  const uint32_t *f = filter.value->dims, *m = maps.value->dims;
  return geometry(*image.value, f[3], f[0], f[1], m[1], m[2], attrs.groups, attrs);
}

template <class Attrs>
ConvGeometry columns_geometry(const Operand& image, const Operand& columns, const Attrs& attrs) {
  const uint32_t* m = columns.value->dims;  // (N,OH,OW,R,S,C)
  return geometry(*image.value, 1, m[3], m[4], m[1], m[2], 1, attrs);
}

// A direction: its geometry, its operands, and the products (M, N, K) of its groups.
struct Products {
  int64_t m, n, k;
};

struct Forward {
  static ConvGeometry geometry_of(const Call& call) {
    return geometry(call.in[0], call.in[1], call.out[0], call.attrs<fj_conv2d_attrs>());
  }
  static ConvForward operands_of(const Call& call) {
    return {call.in[0].as<const float>(), call.in[1].as<const float>(),
            call.n_in == 3 ? call.in[2].as<const float>() : nullptr, call.out[0].as<float>(),
            call.attrs<fj_conv2d_attrs>().activation == FJ_ACTIVATION_RELU};
  }
  static Products products_of(const ConvGeometry& g) { return {g.n * g.oh * g.ow, g.kg(), g.r * g.s * g.cg()}; }
};

struct GradInput {
  static ConvGeometry geometry_of(const Call& call) {
    return geometry(call.out[0], call.in[1], call.in[0], call.attrs<fj_conv2d_grad_input_attrs>());
  }
  static ConvGradInput operands_of(const Call& call) {
    return {call.in[0].as<const float>(), call.in[1].as<const float>(), call.out[0].as<float>()};
  }
  static Products products_of(const ConvGeometry& g) { return {g.n * g.h * g.w, g.cg(), g.r * g.s * g.kg()}; }
};

struct GradWeight {
  static ConvGeometry geometry_of(const Call& call) {
    return geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_grad_weight_attrs>());
  }
  static ConvGradWeight operands_of(const Call& call) {
    return {call.in[0].as<const float>(), call.in[1].as<const float>(), call.out[0].as<float>()};
  }
  static Products products_of(const ConvGeometry& g) { return {g.r * g.s * g.cg(), g.kg(), g.n * g.oh * g.ow}; }
};

enum class Variant { kNaive, kIm2col, kImplicit };

template <class Direction, Variant kVariant>
void run(const Call& call, Launcher& to) {
  const ConvGeometry g = Direction::geometry_of(call);
  if (g.n == 0) {  // an empty sum: nothing for y and dx, zeros for dw
    const uint64_t bytes = call.out[0].value->bytes;
    if (bytes > 0) to.error = cudaMemsetAsync(call.out[0].data, 0, bytes, to.stream);
    return;
  }
  auto* scratch = reinterpret_cast<float*>(call.scratch);
  if (kVariant == Variant::kNaive) return conv_naive(to, g, Direction::operands_of(call), scratch);
  if (kVariant == Variant::kIm2col) return conv_im2col(to, g, Direction::operands_of(call), scratch);
  conv_implicit(to, g, Direction::operands_of(call), scratch);
}

template <class Direction>
size_t implicit_scratch(const Call& call) {
  const ConvGeometry g = Direction::geometry_of(call);
  const Products p = Direction::products_of(g);
  return g.n == 0 ? 0 : gemm_scratch(p.m, p.n, p.k, g.groups);
}

// The columns, then what products of matrices need.
template <class Direction>
size_t im2col_scratch(const Call& call) {
  const ConvGeometry g = Direction::geometry_of(call);
  return static_cast<size_t>(column_floats(g)) * sizeof(float) + 256 + implicit_scratch<Direction>(call);
}

// Kernels count pixels, taps and channels in 32 bits.
template <class Direction>
bool fits(const Call& call) {
  const ConvGeometry g = Direction::geometry_of(call);
  const Products p = Direction::products_of(g);
  const int64_t reach_h = g.h + g.pad_top + g.dilation_h * g.r, reach_w = g.w + g.pad_left + g.dilation_w * g.s;
  return p.m < INT32_MAX && p.n < INT32_MAX && p.k < INT32_MAX && g.groups < kMaxProducts && reach_h < INT32_MAX &&
         reach_w < INT32_MAX && g.oh * g.stride_h < INT32_MAX && g.ow * g.stride_w < INT32_MAX;
}

// Tiles of so few channels stand mostly empty: better a thread to each result.
template <class Direction>
bool has_few_channels(const Call& call) {
  return Direction::products_of(Direction::geometry_of(call)).n < 4;
}

void run_im2col(const Call& call, Launcher& to) {
  im2col(to, columns_geometry(call.in[0], call.out[0], call.attrs<fj_im2col_attrs>()), call.in[0].as<const float>(),
         call.out[0].as<float>());
}

void run_col2im(const Call& call, Launcher& to) {
  col2im(to, columns_geometry(call.out[0], call.in[0], call.attrs<fj_col2im_attrs>()), call.in[0].as<const float>(),
         call.out[0].as<float>());
}

}  // namespace

void register_conv(KernelTable& table) {
  table.add({FJ_OP_CONV2D, FJ_CONV2D_IMPLICIT, "conv2d direct", run<Forward, Variant::kNaive>, nullptr,
             has_few_channels<Forward>, false});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_IMPLICIT, "conv2d implicit", run<Forward, Variant::kImplicit>,
             implicit_scratch<Forward>, fits<Forward>, false});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_IM2COL, "conv2d im2col", run<Forward, Variant::kIm2col>, im2col_scratch<Forward>,
             fits<Forward>, false});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_NAIVE, "conv2d naive", run<Forward, Variant::kNaive>, nullptr, nullptr, false});

  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_IMPLICIT, "conv2dGradInput direct",
             run<GradInput, Variant::kNaive>, nullptr, has_few_channels<GradInput>, false});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_IMPLICIT, "conv2dGradInput implicit",
             run<GradInput, Variant::kImplicit>, implicit_scratch<GradInput>, fits<GradInput>, false});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_IM2COL, "conv2dGradInput im2col",
             run<GradInput, Variant::kIm2col>, im2col_scratch<GradInput>, fits<GradInput>, false});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_NAIVE, "conv2dGradInput naive",
             run<GradInput, Variant::kNaive>, nullptr, nullptr, false});

  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_IMPLICIT, "conv2dGradWeight implicit",
             run<GradWeight, Variant::kImplicit>, implicit_scratch<GradWeight>, fits<GradWeight>, false});
  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_IM2COL, "conv2dGradWeight im2col",
             run<GradWeight, Variant::kIm2col>, im2col_scratch<GradWeight>, fits<GradWeight>, false});
  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_NAIVE, "conv2dGradWeight naive",
             run<GradWeight, Variant::kNaive>, nullptr, nullptr, false});

  table.add({FJ_OP_IM2COL, 0, "im2col", run_im2col, nullptr, nullptr, false});
  table.add({FJ_OP_COL2IM, 0, "col2im", run_col2im, nullptr, nullptr, false});
}

}  // namespace forja::cuda
