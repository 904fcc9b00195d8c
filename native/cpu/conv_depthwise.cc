// Depthwise convolution: every channel has its own R x S filter, so lanes are channels and there is nothing
// to multiply as matrices. Bound by memory on all but small maps.
//   forward, input gradient   kPixels neighbouring output pixels share each filter vector
//   weight gradient           kTaps taps of one filter row x kVectors vectors of channels in registers
#include "chunked_sum.h"
#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kPixels = 4;
constexpr int kTaps = 4;
constexpr int kVectors = 2;

struct TapRun {
  const float* x;  // the first valid tap of the first pixel
  const float* w;
  int64_t rows, columns;             // valid taps
  int64_t x_row, x_column, x_pixel;  // floats to the next tap row, tap column, output pixel
};

// Outputs of `Pixels` neighbouring pixels at y, all channels.
template <int Pixels>
FJ_INLINE void output_pixels(const DirectConv& d, const TapRun& t, float* y) {
  for (int64_t c = 0; c < d.groups; c += kWidth) {
    const Mask lanes = tail_mask(d.groups - c);
    const bool whole = d.groups - c >= kWidth;
    const auto read = [&](const float* p) { return whole ? load(p + c) : load_masked(lanes, p + c); };
    Vec acc[Pixels];
    const Vec bias = d.epilogue.bias ? read(d.epilogue.bias) : zero();
    unroll<Pixels>([&](auto i) FJ_LAMBDA { acc[i] = bias; });
    for (int64_t r = 0; r < t.rows; r++) {
      for (int64_t s = 0; s < t.columns; s++) {
        const Vec w = read(t.w + r * d.f_r + s * d.f_s);
        const float* x = t.x + r * t.x_row + s * t.x_column;
        unroll<Pixels>([&](auto i) FJ_LAMBDA { acc[i] = fma(read(x + i * t.x_pixel), w, acc[i]); });
      }
    }
    unroll<Pixels>([&](auto i) FJ_LAMBDA {
      const Vec v = d.epilogue.activation == kActivationRelu ? max(zero(), acc[i]) : acc[i];
      if (whole) {
        store(y + i * d.y_pixel + c, v);
      } else {
        store_masked(y + i * d.y_pixel + c, lanes, v);
      }
    });
  }
}

}  // namespace

void depthwise_run(const Team& team, const DirectConv& d) {
  const Range rows = split(d.n * d.oh, team);
  const int64_t x_row = d.w * d.x_pixel;
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t n = row / d.oh, p = row % d.oh, i0 = p * d.stride_h - d.pad_top;
    const Range r = valid_taps(d.r, i0, d.dilation_h, d.h);
    const float* x = d.x + (n * d.h + i0 + r.begin * d.dilation_h) * x_row;
    float* y = d.y + n * d.y_image + p * d.y_row;
    for (int64_t q = 0; q < d.ow;) {
      const int64_t j0 = q * d.stride_w - d.pad_left;
      const Range s = valid_taps(d.s, j0, d.dilation_w, d.w);
      const TapRun t{x + (j0 + s.begin * d.dilation_w) * d.x_pixel,
                     d.filter + r.begin * d.f_r + s.begin * d.f_s,
                     r.end - r.begin,
                     s.end - s.begin,
                     d.dilation_h * x_row,
                     d.dilation_w * d.x_pixel,
                     d.stride_w * d.x_pixel};
      const int64_t j_last = j0 + (kPixels - 1) * d.stride_w + (d.s - 1) * d.dilation_w;
      if (q + kPixels <= d.ow && j0 >= 0 && j_last < d.w) {
        output_pixels<kPixels>(d, t, y + q * d.y_pixel);
        q += kPixels;
      } else {
        output_pixels<1>(d, t, y + q * d.y_pixel);
        q++;
      }
    }
  }
}

namespace {

// dw[0..Taps) of filter row r, taps s0.., channels c.. of kVectors vectors, over output rows [begin, end).
template <int Taps>
void grad_taps(const ConvGeometry& g, const float* x, const float* dy, Range rows, int64_t r, int64_t s0, int64_t c,
               float* dw) {
  Mask lanes[kVectors];
  Vec acc[Taps][kVectors];
  unroll<kVectors>([&](auto v) FJ_LAMBDA {
    lanes[v] = tail_mask(g.c - c - v * kWidth);
    unroll<Taps>([&](auto t) FJ_LAMBDA { acc[t][v] = zero(); });
  });
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t n = row / g.oh, i = row % g.oh * g.stride_h - g.pad_top + r * g.dilation_h;
    if (i < 0 || i >= g.h) continue;
    const float* x_row = x + (n * g.h + i) * g.w * g.c + c;
    const float* dy_row = dy + row * g.ow * g.c + c;
    for (int64_t q = 0; q < g.ow; q++) {
      const int64_t j = q * g.stride_w - g.pad_left + s0 * g.dilation_w;
      Vec grad[kVectors];
      unroll<kVectors>([&](auto v) FJ_LAMBDA { grad[v] = load_masked(lanes[v], dy_row + q * g.c + v * kWidth); });
      const bool all_inside = j >= 0 && j + (Taps - 1) * g.dilation_w < g.w;
      unroll<Taps>([&](auto t) FJ_LAMBDA {
        const int64_t column = j + t * g.dilation_w;
        if (all_inside || (column >= 0 && column < g.w)) {
          unroll<kVectors>([&](auto v) FJ_LAMBDA {
            acc[t][v] = fma(load_masked(lanes[v], x_row + column * g.c + v * kWidth), grad[v], acc[t][v]);
          });
        }
      });
    }
  }
  unroll<Taps>([&](auto t) FJ_LAMBDA {
    unroll<kVectors>(
        [&](auto v) FJ_LAMBDA { store_masked(dw + ((r * g.s + s0 + t) * g.c + c) + v * kWidth, lanes[v], acc[t][v]); });
  });
}

int64_t depthwise_chunks(const ConvGeometry& g) { return smaller(kMaxChunks, g.n * g.oh); }

}  // namespace

int64_t depthwise_grad_weight_floats(const ConvGeometry& g) { return depthwise_chunks(g) * g.r * g.s * g.c; }

void depthwise_grad_weight(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                           float* partial) {
  const int64_t chunks = depthwise_chunks(g), floats = g.r * g.s * g.c;
  const int64_t bands = ceil_div(g.c, kVectors * kWidth), tap_groups = ceil_div(g.s, kTaps);
  const Range units = split(chunks * bands * g.r * tap_groups, team);
  for (int64_t unit = units.begin; unit < units.end; unit++) {
    const int64_t chunk = unit / (bands * g.r * tap_groups), band = unit / (g.r * tap_groups) % bands;
    const int64_t r = unit / tap_groups % g.r, s0 = unit % tap_groups * kTaps, c = band * kVectors * kWidth;
    const Range rows = split(g.n * g.oh, static_cast<int>(chunk), static_cast<int>(chunks));
    float* out = partial + chunk * floats;
    switch (smaller(kTaps, g.s - s0)) {
      case 1:
        grad_taps<1>(g, x, dy, rows, r, s0, c, out);
        break;
      case 2:
        grad_taps<2>(g, x, dy, rows, r, s0, c, out);
        break;
      case 3:
        grad_taps<3>(g, x, dy, rows, r, s0, c, out);
        break;
      default:
        grad_taps<kTaps>(g, x, dy, rows, r, s0, c, out);
        break;
    }
  }
  sum_chunks(team, {partial, chunks, floats, bands * g.r * tap_groups}, dw);
}

}  // namespace forja::FJ_ISA
