// im2col, its adjoint col2im, and convolution by way of them: the variant that shows what the implicit one
// saves. With A the columns (N*OH*OW, R*S*C/G) of one group and W its filters (R*S*C/G, K/G):
//
//   y = A W        dA = dy W^T, dx = col2im(dA)        dW = A^T dy
//
// Columns are R*S times as large as the image, so they are made for a block of images at a time.
#include <cstring>

#include "conv.h"
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kColumnFloats = 1024 * 1024;  // columns held at a time, 4 MB; one image at least

// c of the x_pixel channels of x, from x's first on.
struct ColumnsOf {
  int64_t c, x_pixel;

  FJ_INLINE_MEMBER int64_t width(const ConvGeometry& g) const { return g.r * g.s * c; }
};

// Rows of columns, one an output pixel, for output rows [begin, end) of N*OH.
void write_columns(const ConvGeometry& g, const ColumnsOf& of, const float* x, Range rows, float* columns) {
  const bool one_run = g.dilation_w == 1 && of.c == of.x_pixel;  // (s, c) of a filter row is contiguous in x
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t n = row / g.oh, p = row % g.oh;
    float* out = columns + row * g.ow * of.width(g);
    for (int64_t q = 0; q < g.ow; q++) {
      const int64_t j0 = q * g.stride_w - g.pad_left;
      const Range inside = valid_taps(g.s, j0, g.dilation_w, g.w);
      for (int64_t r = 0; r < g.r; r++, out += g.s * of.c) {
        const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h;
        const Range s = i >= 0 && i < g.h ? inside : Range{0, 0};
        const float* from = x + ((n * g.h + i) * g.w + j0) * of.x_pixel;
        memset(out, 0, s.begin * of.c * sizeof(float));
        if (one_run) {
          pack_rows(1, (s.end - s.begin) * of.c, from + s.begin * of.c, 0, out + s.begin * of.c, 0);
        } else {
          pack_rows(s.end - s.begin, of.c, from + s.begin * g.dilation_w * of.x_pixel, g.dilation_w * of.x_pixel,
                    out + s.begin * of.c, of.c);
        }
        memset(out + s.end * of.c, 0, (g.s - s.end) * of.c * sizeof(float));
      }
    }
  }
}

// Gathers for input rows [begin, end) of N*H: a pixel sums its entries in the order of taps.
void read_columns(const ConvGeometry& g, const ColumnsOf& of, const float* columns, Range rows, float* x) {
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t n = row / g.h, i = row % g.h;
    for (int64_t j = 0; j < g.w; j++) {
      float* out = x + (row * g.w + j) * of.x_pixel;
      memset(out, 0, of.c * sizeof(float));
      for (int64_t r = 0; r < g.r; r++) {
        const int64_t pi = i + g.pad_top - r * g.dilation_h, p = pi / g.stride_h;
        if (pi < 0 || pi % g.stride_h != 0 || p >= g.oh) continue;
        for (int64_t s = 0; s < g.s; s++) {
          const int64_t qj = j + g.pad_left - s * g.dilation_w, q = qj / g.stride_w;
          if (qj < 0 || qj % g.stride_w != 0 || q >= g.ow) continue;
          const float* from = columns + (((n * g.oh + p) * g.ow + q) * g.r * g.s + r * g.s + s) * of.c;
          for (int64_t c = 0; c < of.c; c += kWidth) {
            const Mask lanes = tail_mask(of.c - c);
            store_masked(out + c, lanes, load_masked(lanes, out + c) + load_masked(lanes, from + c));
          }
        }
      }
    }
  }
}

enum class Direction { kForward, kGradInput, kGradWeight };

struct Im2colPlan {
  int64_t images;  // of a block
  ColumnsOf of;
  float* columns;
  uint8_t* gemm;
  size_t bytes;
};

// The product of one group over `images` images from image n on; pointers may be null when only sizes matter.
GemmArgs product(Direction direction, const ConvGeometry& g, int64_t group, int64_t n, int64_t images, float* columns,
                 const float* a, const float* w, float* out, const Epilogue& epilogue) {
  const int64_t pixels = images * g.oh * g.ow, cg = g.c / g.groups, kg = g.k / g.groups, width = g.r * g.s * cg;
  const float* a_block = a ? a + n * g.oh * g.ow * g.k + group * kg : nullptr;  // dy
  const float* filter = w ? w + group * kg : nullptr;
  switch (direction) {
    case Direction::kForward:
      return {pixels,
              kg,
              width,
              columns,
              width,
              false,
              filter,
              g.k,
              false,
              out ? out + n * g.oh * g.ow * g.k + group * kg : nullptr,
              g.k,
              false,
              epilogue.at(group * kg)};
    case Direction::kGradInput:
      return {pixels, width, kg, a_block, g.k, false, filter, g.k, true, columns, width, false, {}};
    default:
      return {width, kg,    pixels, columns, width, true, a_block, g.k, false, out ? out + group * kg : nullptr,
              g.k,   n > 0, {}};
  }
}

Im2colPlan plan_im2col(Direction direction, const ConvGeometry& g, int threads, uint8_t* scratch) {
  Im2colPlan plan{};
  plan.of = {g.c / g.groups, g.c};
  const int64_t per_image = g.oh * g.ow * plan.of.width(g);
  plan.images = larger(1, smaller(g.n, kColumnFloats / larger(1, per_image)));
  ScratchCursor cursor(scratch);
  plan.columns = cursor.take(plan.images * per_image);
  plan.gemm = reinterpret_cast<uint8_t*>(cursor.take(0));
  plan.bytes =
      cursor.used() +
      gemm_scratch(product(direction, g, 0, 0, plan.images, nullptr, nullptr, nullptr, nullptr, Epilogue{}), threads);
  return plan;
}

}  // namespace

void im2col(Team& team, const ConvGeometry& g, const float* x, float* columns) {
  write_columns(g, {g.c, g.c}, x, split(g.n * g.oh, team), columns);
}

void col2im(Team& team, const ConvGeometry& g, const float* columns, float* x) {
  read_columns(g, {g.c, g.c}, columns, split(g.n * g.h, team), x);
}

size_t conv_forward_im2col_scratch(const ConvGeometry& g, int threads) {
  return plan_im2col(Direction::kForward, g, threads, nullptr).bytes;
}
size_t conv_grad_input_im2col_scratch(const ConvGeometry& g, int threads) {
  return plan_im2col(Direction::kGradInput, g, threads, nullptr).bytes;
}
size_t conv_grad_weight_im2col_scratch(const ConvGeometry& g, int threads) {
  return plan_im2col(Direction::kGradWeight, g, threads, nullptr).bytes;
}

namespace {

// Calls body(block of the geometry, group, first image) for every group and block of images, all threads together.
template <class Body>
FJ_INLINE void for_each_block(const ConvGeometry& g, int64_t images, const Body& body) {
  for (int64_t group = 0; group < g.groups; group++) {
    for (int64_t n = 0; n < g.n; n += images) {
      ConvGeometry block = g;
      block.n = smaller(images, g.n - n);
      body(block, group, n);
    }
  }
}

}  // namespace

void conv_forward_im2col(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                         bool relu, float* y, uint8_t* scratch) {
  const Im2colPlan plan = plan_im2col(Direction::kForward, g, team.count, scratch);
  Epilogue epilogue;
  epilogue.bias = bias;
  epilogue.activation = relu ? kActivationRelu : kActivationNone;
  for_each_block(g, plan.images, [&](const ConvGeometry& block, int64_t group, int64_t n) {
    const float* from = x + n * g.h * g.w * g.c + group * plan.of.c;
    write_columns(block, plan.of, from, split(block.n * g.oh, team), plan.columns);
    team.barrier();
    gemm(team, product(Direction::kForward, g, group, n, block.n, plan.columns, nullptr, w, y, epilogue), plan.gemm);
    team.barrier();
  });
}

void conv_grad_input_im2col(Team& team, const ConvGeometry& g, const float* dy, const float* w, float* dx,
                            uint8_t* scratch) {
  const Im2colPlan plan = plan_im2col(Direction::kGradInput, g, team.count, scratch);
  for_each_block(g, plan.images, [&](const ConvGeometry& block, int64_t group, int64_t n) {
    gemm(team, product(Direction::kGradInput, g, group, n, block.n, plan.columns, dy, w, nullptr, {}), plan.gemm);
    team.barrier();
    float* to = dx + n * g.h * g.w * g.c + group * plan.of.c;
    read_columns(block, plan.of, plan.columns, split(block.n * g.h, team), to);
    team.barrier();
  });
}

void conv_grad_weight_im2col(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                             uint8_t* scratch) {
  const Im2colPlan plan = plan_im2col(Direction::kGradWeight, g, team.count, scratch);
  for_each_block(g, plan.images, [&](const ConvGeometry& block, int64_t group, int64_t n) {
    const float* from = x + n * g.h * g.w * g.c + group * plan.of.c;
    write_columns(block, plan.of, from, split(block.n * g.oh, team), plan.columns);
    team.barrier();
    gemm(team, product(Direction::kGradWeight, g, group, n, block.n, plan.columns, dy, nullptr, dw, {}), plan.gemm);
    team.barrier();
  });
}

}  // namespace forja::FJ_ISA
