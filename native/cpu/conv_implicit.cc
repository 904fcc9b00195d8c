// The implicit variant of convolution: forward and input gradient as direct convolutions (conv_direct.h).
//
// Input gradient with stride (st): an input row i is reached by the filter rows r with
// (i + pad - r*dilation) divisible by st, so rows of one phase i mod st share their taps. Each of the up to
// stride_h * stride_w phases is a convolution of dy with stride 1, taps in rising order of output row, that
// writes every st-th pixel of dx. With step = st / gcd(st, dilation), its taps are r0, r0 + step, ...
#include <cstring>

#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kBiasFloats = 64;  // a bias repeated for a block of pixels (choose_form)

bool is_pointwise(const ConvGeometry& g) {
  return g.r == 1 && g.s == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 && g.pad_left == 0 &&
         g.oh == g.h && g.ow == g.w;
}

// A pointwise convolution of N images is one of a single row of N*H*W pixels.
ConvGeometry flattened(ConvGeometry g) {
  if (!is_pointwise(g)) return g;
  g.w = g.ow = g.n * g.h * g.w;
  g.n = g.h = g.oh = 1;
  return g;
}

DirectConv forward_direct(const ConvGeometry& g, const float* x, const float* w, const Epilogue& epilogue, float* y) {
  DirectConv d{};
  d.x = x;
  d.n = g.n, d.h = g.h, d.w = g.w, d.x_pixel = g.c;
  d.c = g.c / g.groups;
  d.r = g.r, d.s = g.s;
  d.stride_h = g.stride_h, d.stride_w = g.stride_w;
  d.pad_top = g.pad_top, d.pad_left = g.pad_left;
  d.dilation_h = g.dilation_h, d.dilation_w = g.dilation_w;
  d.oh = g.oh, d.ow = g.ow;
  d.y = y;
  d.y_pixel = g.k, d.y_row = g.ow * g.k, d.y_image = g.oh * g.ow * g.k;
  d.k = g.k / g.groups;
  d.groups = g.groups;
  d.filter = w;
  d.f_group = d.k, d.f_k = 1, d.f_c = g.k, d.f_s = d.c * g.k, d.f_r = g.s * d.f_s;
  d.block = 1;
  d.epilogue = epilogue;
  return d;
}

int64_t greatest_divisor(int64_t a, int64_t b) { return b == 0 ? a : greatest_divisor(b, a % b); }

// One axis of one phase of an input gradient.
struct PhaseAxis {
  int64_t first, step, taps;  // filter rows first, first + step, ... in falling order of output row
  int64_t dilation, pad;      // of the convolution of dy
  int64_t size;               // input rows of this phase
};

PhaseAxis phase_axis(int64_t phase, int64_t taps, int64_t stride, int64_t pad, int64_t dilation, int64_t extent) {
  const int64_t divisor = greatest_divisor(stride, dilation);
  PhaseAxis a{0, stride / divisor, 0, dilation / divisor, 0, ceil_div(extent - phase, stride)};
  while (a.first < taps && (phase + pad - a.first * dilation) % stride != 0) {
    if (++a.first == a.step) return a;  // no filter row meets this phase
  }
  if (a.first >= taps) return a;
  a.taps = (taps - 1 - a.first) / a.step + 1;
  a.pad = a.dilation * (a.taps - 1) - (phase + pad - a.first * dilation) / stride;
  return a;
}

// Those that have pixels, row by row.
int64_t phase_columns(const ConvGeometry& g) { return smaller(g.stride_w, g.w); }
int64_t phase_count(const ConvGeometry& g) { return smaller(g.stride_h, g.h) * phase_columns(g); }

DirectConv phase_direct(const ConvGeometry& g, int64_t phase, const float* dy, const float* w, float* dx) {
  const int64_t phase_h = phase / phase_columns(g), phase_w = phase % phase_columns(g);
  const PhaseAxis v = phase_axis(phase_h, g.r, g.stride_h, g.pad_top, g.dilation_h, g.h);
  const PhaseAxis u = phase_axis(phase_w, g.s, g.stride_w, g.pad_left, g.dilation_w, g.w);
  DirectConv d{};
  d.x = dy;
  d.n = g.n, d.h = g.oh, d.w = g.ow, d.x_pixel = g.k;
  d.c = g.k / g.groups;
  d.r = v.taps, d.s = u.taps;
  d.stride_h = d.stride_w = 1;
  d.pad_top = v.pad, d.pad_left = u.pad;
  d.dilation_h = v.dilation, d.dilation_w = u.dilation;
  d.oh = v.size, d.ow = u.size;
  d.y = dx ? dx + (phase_h * g.w + phase_w) * g.c : nullptr;  // null where only sizes matter
  d.y_pixel = g.stride_w * g.c, d.y_row = g.stride_h * g.w * g.c, d.y_image = g.h * g.w * g.c;
  d.k = g.c / g.groups;
  d.groups = g.groups;
  const int64_t w_s = d.k * g.k, w_r = g.s * w_s;
  if (w) d.filter = w + (v.first + v.step * (v.taps - 1)) * w_r + (u.first + u.step * (u.taps - 1)) * w_s;
  d.f_group = d.c, d.f_k = g.k, d.f_c = 1, d.f_s = -u.step * w_s, d.f_r = -v.step * w_r;
  d.block = 1;
  return d;
}

constexpr int64_t kPixelsAhead = 8;  // stores wait for their lines one after the other
// Zeros of maps this large (8 MB) go past the caches: lines that come only to be overwritten cost a fifth of the time
// of a 1x1 filter with stride 2.
constexpr int64_t kStreamFloats = 2 * 1024 * 1024;

// Pixels of a phase that no filter tap reaches. Where none reaches their rows, the first of a row's phases clears it.
void clear_phase(const Team& team, const ConvGeometry& g, int64_t phase, const DirectConv& d, int64_t map_floats) {
  if (d.r == 0 && phase % phase_columns(g) != 0) return;
  const bool whole_lines = g.c % kLineFloats == 0 && reinterpret_cast<uintptr_t>(d.y) % (4 * kLineFloats) == 0;
  const bool streams = map_floats >= kStreamFloats && whole_lines;
  const auto clear = [&](float* y, int64_t floats) {
    if (!streams) return static_cast<void>(memset(y, 0, floats * sizeof(float)));
    for (int64_t i = 0; i < floats; i += kWidth) stream(y + i, zero());
  };
  const Range rows = split(d.n * d.oh, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    float* y = d.y + row / d.oh * d.y_image + row % d.oh * d.y_row;
    if (d.r == 0) {
      clear(y, g.w * g.c);
      continue;
    }
    for (int64_t q = 0; q < d.ow; q++, y += d.y_pixel) {
      for (int64_t c = 0; !streams && c < g.c; c += kLineFloats) {
        __builtin_prefetch(y + kPixelsAhead * d.y_pixel + c, 1);
      }
      clear(y, g.c);
    }
  }
  if (streams) stream_fence();
}

// The phases share the scratch for rows; each has its own packed filters, so one barrier serves them all. Each reads
// dy and writes to all of dx, so they take turns after every few images, whose maps then stay in L2.
struct GradPlan {
  float *filters, *rows;
  int64_t row_floats;
  int64_t images;
  size_t bytes;
};

constexpr int64_t kMapFloats = 96 * 1024;      // of one thread: 384 KB of L2
constexpr int64_t kFilterFloats = 160 * 1024;  // more of them would have to come from further away at each turn

DirectConv grad_phase(const ConvGeometry& g, int64_t phase, const float* dy, const float* w, float* dx) {
  DirectConv d = phase_direct(g, phase, dy, w, dx);
  choose_form(d);
  return d;
}

GradPlan plan_grad(const ConvGeometry& g, int threads, uint8_t* scratch) {
  GradPlan plan{};
  const int64_t phases = phase_count(g);
  int64_t filter_floats = 0;
  bool in_turns = phases > 1;
  for (int64_t phase = 0; phase < phases; phase++) {
    const DirectConv d = grad_phase(g, phase, nullptr, nullptr, nullptr);
    if (d.depth() == 0) continue;
    filter_floats += direct_filter_floats(d);
    in_turns &= d.form == DirectForm::kRows;  // the others take many images at a time
    plan.row_floats = larger(plan.row_floats, ceil_div(direct_thread_floats(d), 16) * 16);
  }
  const int64_t maps = g.h * g.w * g.c + g.oh * g.ow * g.k;
  in_turns &= filter_floats <= kFilterFloats;
  plan.images = in_turns ? larger(1, threads * kMapFloats / maps) : g.n;
  ScratchCursor cursor(scratch);
  plan.filters = cursor.take(filter_floats);
  plan.rows = cursor.take(plan.row_floats * threads);
  plan.bytes = cursor.used();
  return plan;
}

}  // namespace

ForwardPlan plan_forward(const ConvGeometry& g, int threads, const float* x, const float* w, const Epilogue& epilogue,
                         float* y, ScratchCursor& scratch, uint8_t* kept) {
  ForwardPlan plan{};
  plan.direct = forward_direct(g, x, w, epilogue, y);
  choose_form(plan.direct);
  ScratchCursor keeper(kept);
  ScratchCursor& of_weights = kept ? keeper : scratch;
  plan.bias = of_weights.take(kBiasFloats);
  plan.filter = of_weights.take(direct_filter_floats(plan.direct));
  plan.row_floats = ceil_div(direct_thread_floats(plan.direct), 16) * 16;
  plan.rows = scratch.take(plan.row_floats * threads);
  return plan;
}

size_t forward_kept(const ConvGeometry& g) {
  ScratchCursor unused(nullptr), cursor(nullptr);
  const ForwardPlan plan = plan_forward(g, 1, nullptr, nullptr, Epilogue{}, nullptr, unused, nullptr);
  cursor.take(kBiasFloats);
  cursor.take(direct_filter_floats(plan.direct));
  return cursor.used();
}

void pack_forward(Team& team, ForwardPlan& plan, bool is_kept) {
  DirectConv& d = plan.direct;
  const float* bias = d.epilogue.bias;
  const bool repeats_bias = bias && d.block > 1;
  if (repeats_bias) d.epilogue.bias = plan.bias;
  if (is_kept) return;
  const int64_t k = d.k / d.block;
  for (int64_t b = 0; repeats_bias && team.id == 0 && b < d.block; b++) {
    memcpy(plan.bias + b * k, bias, k * sizeof(float));
  }
  direct_pack(team, d, plan.filter);
  team.barrier();
}

size_t conv_forward_implicit_scratch(const ConvGeometry& g, int threads) {
  ScratchCursor scratch(nullptr);
  plan_forward(flattened(g), threads, nullptr, nullptr, Epilogue{}, nullptr, scratch, nullptr);
  return scratch.used();
}

size_t conv_forward_implicit_kept(const ConvGeometry& g) { return forward_kept(flattened(g)); }

void conv_forward_implicit(Team& team, const ConvGeometry& g, const float* x, const float* w, const float* bias,
                           bool relu, float* y, uint8_t* scratch, uint8_t* kept, bool is_kept) {
  Epilogue epilogue;
  epilogue.bias = bias;
  epilogue.activation = relu ? kActivationRelu : kActivationNone;
  ScratchCursor cursor(scratch);
  ForwardPlan plan = plan_forward(flattened(g), team.count, x, w, epilogue, y, cursor, kept);
  pack_forward(team, plan, is_kept);
  direct_run(team, plan.direct, plan.filter, plan.rows + team.id * plan.row_floats);
}

size_t conv_grad_input_implicit_scratch(const ConvGeometry& g, int threads) {
  return plan_grad(flattened(g), threads, nullptr).bytes;
}

void conv_grad_input_implicit(Team& team, const ConvGeometry& geometry, const float* dy, const float* w, float* dx,
                              uint8_t* scratch) {
  const ConvGeometry g = flattened(geometry);
  const GradPlan plan = plan_grad(g, team.count, scratch);
  const int64_t phases = phase_count(g);
  float* packed = plan.filters;
  for (int64_t phase = 0; phase < phases; phase++) {
    const DirectConv d = grad_phase(g, phase, dy, w, dx);
    if (d.depth() == 0) continue;
    direct_pack(team, d, packed);
    packed += direct_filter_floats(d);
  }
  team.barrier();
  for (int64_t n = 0; n < g.n; n += plan.images) {
    packed = plan.filters;
    for (int64_t phase = 0; phase < phases; phase++) {
      DirectConv d = grad_phase(g, phase, dy, w, dx);
      d.n = smaller(plan.images, g.n - n);
      d.x += n * d.h * d.w * d.x_pixel;
      d.y += n * d.y_image;
      if (d.depth() == 0) {
        clear_phase(team, g, phase, d, g.n * g.h * g.w * g.c);
        continue;
      }
      direct_run(team, d, packed, plan.rows + team.id * plan.row_floats);
      packed += direct_filter_floats(d);
    }
  }
}

}  // namespace forja::FJ_ISA
