// The convolution operations of programs on top of conv.cuh:
//   conv2d            x (N,H,W,C), weight (R,S,C/groups,K), bias (K) or absent  ->  y (N,OH,OW,K)
//   conv2dGradInput   dy (N,OH,OW,K), weight                                    ->  dx (N,H,W,C)
//   conv2dGradWeight  x, dy                                                     ->  dw (R,S,C/groups,K)
//   im2col, col2im    image (N,H,W,C)                                          <->  columns (N,OH,OW,R,S,C)
// Paddings of the attributes are top, left, bottom, right; the last two show in OH and OW.
#include "conv_call.cuh"

namespace forja::cuda {
namespace {

enum class Variant { kNaive, kDirect, kIm2col, kImplicit, kTensorCore };

template <class Direction, Variant kVariant, class E = float>
void run(const Call& call, Launcher& to) {
  const ConvGeometry g = Direction::geometry_of(call);
  if (g.n == 0) {  // an empty sum: nothing for y and dx, zeros for dw
    const uint64_t bytes = call.out[0].value->bytes;
    if (bytes > 0) to.error = cudaMemsetAsync(call.out[0].data, 0, bytes, to.stream);
    return;
  }
  auto* scratch = reinterpret_cast<float*>(call.scratch);
  const auto operands = Direction::template operands_of<E>(call);
  if constexpr (kVariant == Variant::kTensorCore) {
    conv_tensorcore(to, g, operands, scratch);
  } else if constexpr (kVariant == Variant::kDirect && std::is_same_v<Direction, GradWeight>) {
    conv_direct(to, g, operands, scratch);
  } else if constexpr (kVariant == Variant::kNaive || kVariant == Variant::kDirect) {
    conv_naive(to, g, operands, scratch);
  } else if constexpr (kVariant == Variant::kIm2col) {
    conv_im2col(to, g, operands, scratch);
  } else {
    conv_implicit(to, g, operands, scratch);
  }
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

// Tiles of so few channels stand mostly empty: better a thread to each result.
template <class Direction>
bool has_few_channels(const Call& call) {
  if (std::is_same_v<Direction, GradWeight> && !fits<Direction>(call)) return false;
  return has_dtype(call) && Direction::products_of(Direction::geometry_of(call)).n < 4;
}

template <class Direction>
size_t direct_scratch(const Call& call) {
  if constexpr (!std::is_same_v<Direction, GradWeight>) return 0;
  const ConvGeometry g = Direction::geometry_of(call);
  return g.n == 0 ? 0 : conv_direct_scratch(g);
}

bool may_round(const Call& call) { return call.tf32; }

void run_im2col(const Call& call, Launcher& to) {
  im2col(to, columns_geometry(call.in[0], call.out[0], call.attrs<fj_im2col_attrs>()), call.in[0].as<const float>(),
         call.out[0].as<float>());
}

void run_col2im(const Call& call, Launcher& to) {
  col2im(to, columns_geometry(call.out[0], call.in[0], call.attrs<fj_col2im_attrs>()), call.in[0].as<const float>(),
         call.out[0].as<float>());
}

// The kernels of one direction, names with its opcode's.
struct Names {
  const char *implicit, *im2col, *naive, *tf32, *bfloat16;
};

template <class D>
void register_direction(KernelTable& table, uint16_t op, const Names& names) {
  const auto scratch = implicit_scratch<D>;
  table.add({op, FJ_CONV2D_TENSORCORE, names.tf32, run<D, Variant::kTensorCore>, scratch, fits<D>, false, may_round});
  table.add({op, FJ_CONV2D_IMPLICIT, names.implicit, run<D, Variant::kImplicit>, scratch, fits<D>, false});
  table.add({op, FJ_CONV2D_IM2COL, names.im2col, run<D, Variant::kIm2col>, im2col_scratch<D>, fits<D>, false});
  table.add({op, FJ_CONV2D_NAIVE, names.naive, run<D, Variant::kNaive>, nullptr, has_dtype<>, false});
  table.add({op, FJ_CONV2D_TENSORCORE, names.bfloat16, run<D, Variant::kTensorCore, BFloat16>, scratch,
             fits<D, BFloat16>, false});
}

// Ahead of all others of the direction, also where tensor cores are asked for.
template <class D>
void register_direct(KernelTable& table, uint16_t op, const char* name) {
  for (const int variant : {FJ_CONV2D_IMPLICIT, FJ_CONV2D_TENSORCORE}) {
    table.add({op, static_cast<uint16_t>(variant), name, run<D, Variant::kDirect>, direct_scratch<D>,
               has_few_channels<D>, false});
  }
}

}  // namespace

// The three operations have the same variants under the same numbers.
static_assert(FJ_CONV2D_TENSORCORE == FJ_CONV2D_GRAD_INPUT_TENSORCORE &&
              FJ_CONV2D_TENSORCORE == FJ_CONV2D_GRAD_WEIGHT_TENSORCORE);

void register_conv(KernelTable& table) {
  register_direct<Forward>(table, FJ_OP_CONV2D, "conv2d direct");
  register_direction<Forward>(
      table, FJ_OP_CONV2D,
      {"conv2d implicit", "conv2d im2col", "conv2d naive", "conv2d tensorcore tf32", "conv2d tensorcore bfloat16"});
  register_direct<GradInput>(table, FJ_OP_CONV2D_GRAD_INPUT, "conv2dGradInput direct");
  register_direction<GradInput>(table, FJ_OP_CONV2D_GRAD_INPUT,
                                {"conv2dGradInput implicit", "conv2dGradInput im2col", "conv2dGradInput naive",
                                 "conv2dGradInput tensorcore tf32", "conv2dGradInput tensorcore bfloat16"});
  register_direction<GradWeight>(table, FJ_OP_CONV2D_GRAD_WEIGHT,
                                 {"conv2dGradWeight implicit", "conv2dGradWeight im2col", "conv2dGradWeight naive",
                                  "conv2dGradWeight tensorcore tf32", "conv2dGradWeight tensorcore bfloat16"});
  table.add({FJ_OP_IM2COL, 0, "im2col", run_im2col, nullptr, nullptr, false});
  table.add({FJ_OP_COL2IM, 0, "col2im", run_col2im, nullptr, nullptr, false});
}

}  // namespace forja::cuda
