// Direct convolution to few channels with stride 1 (conv_direct.h): the input gradient of an early layer. One input
// column reaches s neighbouring output pixels, and their channels lie side by side in a row of y. So lanes are (pixel,
// channel): 5 pixels of 6 channels fill 30 of 32, where 6 channels would fill 6 of 16.
//
//   y[p][i + pad - s + 1 .. i + pad][k] += sum over taps t and channels c of x[p + t][i][c] * f(t, .., c, k)
//
// is one call of the micro-kernel for some output rows that see the same taps, so that padding is skipped exactly: rows
// of one image where all taps are inside, the same row of many images at the edges. Sums stay in the L1 cache, as wide
// as the columns reach, and are copied to y when all columns have been added.
#include <cstring>

#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kStripFloats = 6 * 1024;  // of sums held at a time: 24 KB

int64_t lanes(const DirectConv& d) { return d.s * d.k; }
int64_t panels(const DirectConv& d) { return ceil_div(lanes(d), kTileCols); }
int64_t panel_floats(const DirectConv& d) { return d.r * d.c * kTileCols; }

int64_t row_floats(const DirectConv& d) { return (d.w + d.s - 1) * d.k; }
int64_t images_at_once(const DirectConv& d) {
  return larger(1, smaller(smaller(kTileRows, d.n), kStripFloats / (d.oh * row_floats(d))));
}
int64_t strip_floats(const DirectConv& d) {
  return ceil_div(images_at_once(d) * d.oh * row_floats(d), kLineFloats) * kLineFloats;
}

Range taps_of(const DirectConv& d, int64_t p) { return valid_taps(d.r, p * d.stride_h - d.pad_top, d.dilation_h, d.h); }

// Neighbouring output rows from p on that see the same taps.
int64_t rows_alike(const DirectConv& d, int64_t p) {
  const Range taps = taps_of(d, p);
  int64_t end = p + 1;
  while (end < d.oh && taps_of(d, end).begin == taps.begin && taps_of(d, end).end == taps.end) end++;
  return end - p;
}

// All columns of `rows` output rows, the first of them p of image n, x_step and sum_step floats apart.
void add_rows(const DirectConv& d, const float* packed, int64_t n, int64_t p, int64_t rows, int64_t x_step, float* sums,
              int64_t sum_step) {
  const Range taps = taps_of(d, p);
  if (taps.begin == taps.end) return;
  const int64_t x_row = d.w * d.x_pixel, at_once = even_part(rows, kTileRows);
  const float* x = d.x + (n * d.h + p * d.stride_h - d.pad_top + taps.begin * d.dilation_h) * x_row;
  TileArgs t{};
  t.lda = x_step;
  t.ldc = sum_step;
  t.kc = d.c;
  t.segments = taps.end - taps.begin;
  t.a_segment = d.dilation_h * x_row;
  t.accumulate = true;
  for (int64_t row = 0; row < rows; row += at_once) {
    const int count = static_cast<int>(smaller(at_once, rows - row));
    for (int64_t i = 0; i < d.w; i++) {
      for (int64_t panel = 0; panel < panels(d); panel++) {
        const int64_t width = smaller(kTileCols, lanes(d) - panel * kTileCols);
        const int nv = static_cast<int>(ceil_div(width, kWidth));
        t.a = x + row * x_step + i * d.x_pixel;
        t.b = packed + panel * panel_floats(d) + taps.begin * d.c * nv * kWidth;
        t.c = sums + row * sum_step + i * d.k + panel * kTileCols;
        t.tail = static_cast<int>(width - (nv - 1) * kWidth);
        tile_kernel(ASource::kRows, BSource::kPacked, count, nv)(t);
      }
    }
  }
}

// A row of y; `bias` (ow, k), or null. Pixel 0 of the sums is pixel pad_left - s + 1 of y.
void finish_row(const DirectConv& d, const float* sums, const float* bias, float* y) {
  const int64_t first = (d.pad_left - d.s + 1) * d.k, count = d.ow * d.k, end = first + row_floats(d);
  const Vec least = d.epilogue.activation == kActivationRelu ? zero() : broadcast(-__builtin_inff());
  const auto put = [&](Range range, const float* from) FJ_LAMBDA {
    for (int64_t at = range.begin; at < range.end; at += kWidth) {
      const Mask inside = tail_mask(range.end - at);
      Vec v = from ? load_masked(inside, from + at) : zero();
      if (bias) v = v + load_masked(inside, bias + at);
      store_masked(y + at, inside, max(least, v));
    }
  };
  const Range reached{smaller(count, larger(0, first)), larger(0, smaller(count, end))};
  put({0, reached.begin}, nullptr);
  put(reached, sums - first);
  put({larger(reached.begin, reached.end), count}, nullptr);
}

}  // namespace

bool scatter_applies(const DirectConv& d) {
  return d.groups == 1 && d.stride_w == 1 && d.dilation_w == 1 && d.k < kWidth && d.y_pixel == d.k && d.r * d.s > 1 &&
         d.oh * row_floats(d) <= kStripFloats;
}

// 1.15: short tiles; each adds to its sums in memory.
double scatter_cost(const DirectConv& d) {
  const double vectors = static_cast<double>(d.w * ceil_div(lanes(d), kWidth)) / (d.ow * d.s);
  return vectors * kWidth * 1.15 * (1 + 8.0 / static_cast<double>(d.r * d.c));
}

int64_t scatter_filter_floats(const DirectConv& d) { return panels(d) * panel_floats(d); }
int64_t scatter_thread_floats(const DirectConv& d) {
  return strip_floats(d) + ceil_div(d.ow * d.k, kLineFloats) * kLineFloats;
}

// Of an input gradient, channels of x lie side by side, and lanes at one distance: a transposition.
void scatter_pack(const Team& team, const DirectConv& d, float* packed) {
  const bool even = d.f_c == 1 && d.f_s == -d.k * d.f_k;
  const Range units = split(d.r * panels(d), team);
  for (int64_t unit = units.begin; unit < units.end; unit++) {
    const int64_t t = unit / panels(d), panel = unit % panels(d), first = panel * kTileCols;
    const int64_t width = smaller(kTileCols, lanes(d) - first), ldb = ceil_div(width, kWidth) * kWidth;
    const float* f = d.filter + t * d.f_r + (d.s - 1) * d.f_s;  // the tap of the first pixel
    float* out = packed + panel * panel_floats(d) + t * d.c * ldb;
    for (int64_t c = 0; c < d.c; c++) {
      for (int64_t lane = width; lane < ldb; lane++) out[c * ldb + lane] = 0.0f;
    }
    if (even) {
      pack_transposed(width, d.c, f + first * d.f_k, d.f_k, out, ldb);
      continue;
    }
    for (int64_t lane = 0; lane < width; lane++) {
      const float* tap = f - (first + lane) / d.k * d.f_s + (first + lane) % d.k * d.f_k;
      for (int64_t c = 0; c < d.c; c++) out[c * ldb + lane] = tap[c * d.f_c];
    }
  }
}

void scatter_run(const Team& team, const DirectConv& d, const float* packed, float* mine) {
  const int64_t at_once = images_at_once(d), row = row_floats(d), x_image = d.h * d.w * d.x_pixel;
  float* bias = nullptr;
  if (d.epilogue.bias) {
    bias = mine + strip_floats(d);
    for (int64_t i = 0; i < d.ow * d.k; i++) bias[i] = d.epilogue.bias[i % d.k];
  }
  const Range items = split(d.n * d.oh, team);
  for (int64_t n0 = items.begin / d.oh; n0 * d.oh < items.end; n0 += at_once) {
    const int64_t n1 = smaller(n0 + at_once, ceil_div(items.end, d.oh));
    // This thread's rows of image n.
    const auto rows_of = [&](int64_t n) FJ_LAMBDA {
      return Range{larger(0, items.begin - n * d.oh), smaller(d.oh, items.end - n * d.oh)};
    };
    memset(mine, 0, (n1 - n0) * d.oh * row * sizeof(float));
    for (int64_t p = 0; p < d.oh;) {
      const int64_t alike = rows_alike(d, p);
      if (alike > 1) {
        for (int64_t n = n0; n < n1; n++) {
          const Range rows = rows_of(n);
          const int64_t begin = larger(p, rows.begin), end = smaller(p + alike, rows.end);
          if (begin < end) {
            add_rows(d, packed, n, begin, end - begin, d.stride_h * d.w * d.x_pixel,
                     mine + ((n - n0) * d.oh + begin) * row, row);
          }
        }
      } else {
        int64_t begin = n0, end = n1;
        while (begin < end && p < rows_of(begin).begin) begin++;
        while (begin < end && p >= rows_of(end - 1).end) end--;
        if (begin < end) {
          add_rows(d, packed, begin, p, end - begin, x_image, mine + ((begin - n0) * d.oh + p) * row, d.oh * row);
        }
      }
      p += alike;
    }
    for (int64_t n = n0; n < n1; n++) {
      const Range rows = rows_of(n);
      for (int64_t p = rows.begin; p < rows.end; p++) {
        finish_row(d, mine + ((n - n0) * d.oh + p) * row, bias, d.y + n * d.y_image + p * d.y_row);
      }
    }
  }
}

}  // namespace forja::FJ_ISA
