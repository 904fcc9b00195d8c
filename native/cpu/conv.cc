// The convolution operations of programs on top of conv.h:
//   conv2d            x (N,H,W,C), weight (R,S,C/groups,K), bias (K) or absent  ->  y (N,OH,OW,K)
//   conv2dGradInput   dy (N,OH,OW,K), weight                                    ->  dx (N,H,W,C)
//   conv2dGradWeight  x, dy                                                     ->  dw (R,S,C/groups,K)
//   im2col, col2im    image (N,H,W,C)                                          <->  columns (N,OH,OW,R,S,C)
// Paddings of the attributes are top, left, bottom, right; the last two show in OH and OW.
#include "conv.h"

#include <cstring>

#include "conv_winograd.h"
#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

ConvGeometry forward_geometry(const Call& call) {
  return conv_geometry(call.in[0], call.in[1], call.out[0], call.attrs<fj_conv2d_attrs>());
}
ConvGeometry grad_input_geometry(const Call& call) {
  return conv_geometry(call.out[0], call.in[1], call.in[0], call.attrs<fj_conv2d_grad_input_attrs>());
}
ConvGeometry grad_weight_geometry(const Call& call) {
  return conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_grad_weight_attrs>());
}
using Scratch = size_t (*)(const ConvGeometry&, int threads);
using Forward = void (*)(Team&, const ConvGeometry&, const float*, const float*, const float*, bool, float*, uint8_t*);
using Gradient = void (*)(Team&, const ConvGeometry&, const float*, const float*, float*, uint8_t*);
using Geometry = ConvGeometry (*)(const Call&);

template <Geometry Of, Scratch Size>
size_t scratch(const Call& call, int threads) {
  const ConvGeometry g = Of(call);
  return g.n == 0 ? 0 : Size(g, threads);
}

template <Geometry Of, int M>
bool supports_winograd(const Call& call) {
  return winograd_supports<M>(Of(call));
}

// Where tiles pay: channels fill vectors, there are tiles enough to use a transformed filter again, the direct sum
// would cost that much more (it skips what lies outside the image; tiles hang over), and the whole is long enough for
// anybody to notice the time rather than the rounding. Stride 2 saves less and transforms more; most so its weight
// gradient.
template <Geometry Of, class S>
bool pays(const ConvGeometry& g) {
  constexpr bool kStrided = S::kStride == 2;
  constexpr int64_t kFewestChannels = kStrided && Of == grad_weight_geometry ? 24 : 16;
  constexpr int64_t kFewestTiles = kStrided ? 24 : S::kTile == 4 ? 8 : 16, kLeastWork = 32 * 1024;
  constexpr double kLeastGain = kStrided ? 1.4 : 1.5;
  const TileGrid grid = tile_grid(g.n, g.oh, g.ow, S::kTile, S::kStride);
  if (g.c < kFewestChannels || g.k < kFewestChannels || grid.count < kFewestTiles) return false;
  const auto direct = [](int64_t maps, int64_t image) {
    return 3 * maps - larger(0, S::kStride * (maps - 1) + 3 - image);  // less the padding
  };
  const auto planes = [](const int64_t(&tiles)[2]) {
    return S::kAxisPlanes * tiles[0] + (S::kAxisPlanes - S::kStride) * tiles[1];
  };
  const double products = static_cast<double>(planes(grid.rows) * planes(grid.columns));
  return static_cast<double>(direct(g.oh, g.h) * direct(g.ow, g.w)) >= kLeastGain * products &&
         grid.count * g.c * g.k >= kLeastWork;
}

template <Geometry Of, int M>
bool prefers_winograd(const Call& call) {
  const ConvGeometry g = Of(call);
  if constexpr (M == 4) {
    if (g.stride_h == 2) return pays<Of, Scheme<4, 2>>(g);
  }
  return pays<Of, Scheme<M, 1>>(g);
}

template <Forward Run>
void run_forward(const Call& call, Team& team) {
  const ConvGeometry g = forward_geometry(call);
  if (g.n == 0) return;
  const float* bias = call.n_in == 3 ? call.in[2].as<const float>() : nullptr;
  const bool relu = call.attrs<fj_conv2d_attrs>().activation == FJ_ACTIVATION_RELU;
  Run(team, g, call.in[0].as<const float>(), call.in[1].as<const float>(), bias, relu, call.out[0].as<float>(),
      call.scratch);
}

void run_forward_implicit(const Call& call, Team& team) {
  const ConvGeometry g = forward_geometry(call);
  if (g.n == 0) return;
  const float* bias = call.n_in == 3 ? call.in[2].as<const float>() : nullptr;
  const bool relu = call.attrs<fj_conv2d_attrs>().activation == FJ_ACTIVATION_RELU;
  conv_forward_implicit(team, g, call.in[0].as<const float>(), call.in[1].as<const float>(), bias, relu,
                        call.out[0].as<float>(), call.scratch, call.kept, call.is_kept);
}

size_t kept_implicit(const Call& call) {
  const ConvGeometry g = forward_geometry(call);
  return g.n == 0 ? 0 : conv_forward_implicit_kept(g);
}

template <Geometry Of, Gradient Run>
void run_gradient(const Call& call, Team& team) {
  const ConvGeometry g = Of(call);
  if (g.n == 0) {  // an empty sum: nothing for dx, zeros for dw
    if (team.id == 0) memset(call.out[0].data, 0, call.out[0].value->bytes);
    return;
  }
  Run(team, g, call.in[0].as<const float>(), call.in[1].as<const float>(), call.out[0].as<float>(), call.scratch);
}

void run_im2col(const Call& call, Team& team) {
  const ConvGeometry g = columns_geometry(call.in[0], call.out[0], call.attrs<fj_im2col_attrs>());
  im2col(team, g, call.in[0].as<const float>(), call.out[0].as<float>());
}

void run_col2im(const Call& call, Team& team) {
  const ConvGeometry g = columns_geometry(call.out[0], call.in[0], call.attrs<fj_col2im_attrs>());
  col2im(team, g, call.in[0].as<const float>(), call.out[0].as<float>());
}

}  // namespace

void register_conv(KernelTable& table) {
  table.add({FJ_OP_CONV2D, FJ_CONV2D_WINOGRAD, "conv2d winograd 4x4", run_forward<conv_forward_winograd<4>>,
             scratch<forward_geometry, conv_forward_winograd_scratch<4>>, supports_winograd<forward_geometry, 4>,
             prefers_winograd<forward_geometry, 4>});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_WINOGRAD2X2, "conv2d winograd 2x2", run_forward<conv_forward_winograd<2>>,
             scratch<forward_geometry, conv_forward_winograd_scratch<2>>, supports_winograd<forward_geometry, 2>,
             prefers_winograd<forward_geometry, 2>});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_IMPLICIT, "conv2d implicit", run_forward_implicit,
             scratch<forward_geometry, conv_forward_implicit_scratch>, nullptr, nullptr, nullptr, kept_implicit});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_IM2COL, "conv2d im2col", run_forward<conv_forward_im2col>,
             scratch<forward_geometry, conv_forward_im2col_scratch>, nullptr});
  table.add({FJ_OP_CONV2D, FJ_CONV2D_NAIVE, "conv2d naive", run_forward<conv_forward_naive>, nullptr, nullptr});

  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_WINOGRAD, "conv2dGradInput winograd 4x4",
             run_gradient<grad_input_geometry, conv_grad_input_winograd<4>>,
             scratch<grad_input_geometry, conv_grad_input_winograd_scratch<4>>,
             supports_winograd<grad_input_geometry, 4>, prefers_winograd<grad_input_geometry, 4>});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_WINOGRAD2X2, "conv2dGradInput winograd 2x2",
             run_gradient<grad_input_geometry, conv_grad_input_winograd<2>>,
             scratch<grad_input_geometry, conv_grad_input_winograd_scratch<2>>,
             supports_winograd<grad_input_geometry, 2>, prefers_winograd<grad_input_geometry, 2>});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_IMPLICIT, "conv2dGradInput implicit",
             run_gradient<grad_input_geometry, conv_grad_input_implicit>,
             scratch<grad_input_geometry, conv_grad_input_implicit_scratch>, nullptr});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_IM2COL, "conv2dGradInput im2col",
             run_gradient<grad_input_geometry, conv_grad_input_im2col>,
             scratch<grad_input_geometry, conv_grad_input_im2col_scratch>, nullptr});
  table.add({FJ_OP_CONV2D_GRAD_INPUT, FJ_CONV2D_GRAD_INPUT_NAIVE, "conv2dGradInput naive",
             run_gradient<grad_input_geometry, conv_grad_input_naive>, nullptr, nullptr});

  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_WINOGRAD, "conv2dGradWeight winograd 4x4",
             run_gradient<grad_weight_geometry, conv_grad_weight_winograd<4>>,
             scratch<grad_weight_geometry, conv_grad_weight_winograd_scratch<4>>,
             supports_winograd<grad_weight_geometry, 4>, prefers_winograd<grad_weight_geometry, 4>});
  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_WINOGRAD2X2, "conv2dGradWeight winograd 2x2",
             run_gradient<grad_weight_geometry, conv_grad_weight_winograd<2>>,
             scratch<grad_weight_geometry, conv_grad_weight_winograd_scratch<2>>,
             supports_winograd<grad_weight_geometry, 2>, prefers_winograd<grad_weight_geometry, 2>});
  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_IMPLICIT, "conv2dGradWeight implicit",
             run_gradient<grad_weight_geometry, conv_grad_weight_implicit>,
             scratch<grad_weight_geometry, conv_grad_weight_implicit_scratch>, nullptr});
  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_IM2COL, "conv2dGradWeight im2col",
             run_gradient<grad_weight_geometry, conv_grad_weight_im2col>,
             scratch<grad_weight_geometry, conv_grad_weight_im2col_scratch>, nullptr});
  table.add({FJ_OP_CONV2D_GRAD_WEIGHT, FJ_CONV2D_GRAD_WEIGHT_NAIVE, "conv2dGradWeight naive",
             run_gradient<grad_weight_geometry, conv_grad_weight_naive>, nullptr, nullptr});

  table.add({FJ_OP_IM2COL, 0, "im2col", run_im2col, nullptr, nullptr});
  table.add({FJ_OP_COL2IM, 0, "col2im", run_col2im, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
