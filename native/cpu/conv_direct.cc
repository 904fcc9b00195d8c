// Direct convolution on N,H,W,C maps: see conv_direct.h. Accumulators live over the whole sum, so every output is
// written once. Here is the row form: a tile of the micro-kernel is neighbouring pixels of one output row. Filter
// rows outside the image are skipped; where columns hang over, the rows needed are copied with zeros around them.
// A 1x1 convolution is one long row: a matrix product. (conv_batch.cc has the forms for many images at a time.)
//
// Filters are packed in panels of kTileCols output channels, (r, s, c) rows each. The work is cut into
// (block of panels that fits in L2) x (image) x (piece of an output row), each thread taking a contiguous run.
#include "conv_direct.h"

#include <cstring>

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kFilterFloats = 160 * 1024;  // packed filters of one block of panels: 640 KB of L2
constexpr int64_t kRowPixels = 8 * kTileRows;  // a long row is cut into pieces of this size
constexpr int64_t kStripFloats = 48 * 1024;    // padded rows copied at a time: 192 KB

// Pixels a multiple of 4 KB apart lie in one set of the L1 cache: a tile has no more of them than the set has ways,
// less one for the filter.
constexpr int64_t kSetFloats = 1024;
constexpr int64_t kSetRows = kTileRows < 7 ? kTileRows : 7;

bool columns_hang_over(const DirectConv& d) {
  return d.pad_left > 0 || (d.ow - 1) * d.stride_w - d.pad_left + (d.s - 1) * d.dilation_w >= d.w;
}

// Copied rows are as wide as the taps of one output row reach.
int64_t padded_width(const DirectConv& d) { return (d.ow - 1) * d.stride_w + (d.s - 1) * d.dilation_w + 1; }

// Output rows whose input rows fit in one strip.
int64_t strip_rows(const DirectConv& d) {
  const int64_t row = padded_width(d) * d.x_pixel * d.stride_h;
  return larger(1, smaller(d.oh, kStripFloats / row));
}

// The taps of one tile, and what the kernel must be told about them.
struct TapWindow {
  Range r, s;
};

void set_taps(const DirectConv& d, const TapWindow& taps, int64_t row_floats, TileArgs& t) {
  const int64_t nr = taps.r.end - taps.r.begin, ns = taps.s.end - taps.s.begin;
  if (d.dilation_w == 1 && d.x_pixel == d.c) {  // the columns of a filter row are one run of floats
    t.kc = ns * d.c;
    t.segments = nr;
    t.a_segment = d.dilation_h * row_floats;
    t.images = 1;
  } else {
    t.kc = d.c;
    t.segments = ns;
    t.a_segment = d.dilation_w * d.x_pixel;
    t.images = nr;
    t.a_image = d.dilation_h * row_floats;
  }
}

// What is fetched into the cache while the tiles of one position are computed.
struct Ahead {
  const float* at;
  int64_t floats;
};

// One tile for every panel of a block. a0: the first tap of the first row; offset of y's first pixel.
void run_panels(const DirectConv& d, const float* packed, Range panels, const TapWindow& taps, const float* a0,
                int64_t y_offset, int rows, const Ahead& ahead, TileArgs& t) {
  const bool one_run = t.images == 1 && d.dilation_w == 1 && d.x_pixel == d.c;
  const int64_t skipped = (d.s - (taps.s.end - taps.s.begin)) * d.c;
  t.soon = ahead.at;
  t.soon_step = ceil_div(ahead.floats, (panels.end - panels.begin) * d.depth());
  for (int64_t panel = panels.begin; panel < panels.end; panel++) {
    int64_t group, column;
    d.locate(panel, group, column);
    const int64_t columns = smaller(kTileCols, d.k - column);
    const int nv = static_cast<int>(ceil_div(columns, kWidth));
    const int64_t ldb = nv * kWidth;
    t.a = a0 + group * d.c;
    t.b = packed + panel * d.panel_floats() + (taps.r.begin * d.s + taps.s.begin) * d.c * ldb;
    t.b_segment = one_run ? skipped * ldb : 0;
    t.b_image = one_run ? 0 : skipped * ldb;
    t.tail = static_cast<int>(columns - (nv - 1) * kWidth);
    const int64_t channel = group * d.k + column;
    t.c = d.y + y_offset + channel;
    t.epilogue = d.epilogue.at(channel);
    tile_kernel(ASource::kRows, BSource::kPacked, rows, nv)(t);
    t.soon += d.depth() * t.soon_step;
  }
}

// Copies `rows` input rows from row i0 on, columns from -pad_left on, with zeros outside the image.
void copy_padded(const DirectConv& d, const float* image, int64_t i0, int64_t rows, float* out) {
  const int64_t width = padded_width(d), first = larger(0, -d.pad_left);
  const int64_t left = smaller(width, larger(0, d.pad_left));
  const int64_t middle = larger(0, smaller(width - left, d.w - first));
  const int64_t right = width - left - middle;
  for (int64_t i = i0; i < i0 + rows; i++, out += width * d.x_pixel) {
    if (i < 0 || i >= d.h) continue;  // filter rows outside the image are never read
    memset(out, 0, left * d.x_pixel * sizeof(float));
    memcpy(out + left * d.x_pixel, image + (i * d.w + first) * d.x_pixel, middle * d.x_pixel * sizeof(float));
    memset(out + (left + middle) * d.x_pixel, 0, right * d.x_pixel * sizeof(float));
  }
}

void run_rows(const Team& team, const DirectConv& d, const float* packed, float* mine) {
  const bool copy = columns_hang_over(d);
  const int64_t strip = copy ? strip_rows(d) : d.oh, width = copy ? padded_width(d) : d.w;
  const int64_t piece = even_part(d.ow, kRowPixels), pieces = ceil_div(d.ow, piece);
  TileArgs t{};
  t.lda = d.stride_w * d.x_pixel;
  t.ldc = d.y_pixel;
  const int64_t tile_pixels = even_part(piece, t.lda % kSetFloats == 0 ? kSetRows : kTileRows);
  // Where tiles share no pixels, the next one's come while this one is computed.
  const bool pointwise = d.r * d.s == 1 && !copy;
  const int64_t blocks = panel_blocks(d, d.n * d.oh * pieces, team.count);
  const Range items = split(blocks * d.n * d.oh * pieces, team);
  int64_t copied_image = -1, copied_begin = 0, copied_end = 0;  // output rows that `mine` holds the inputs of
  Ahead next{};                                                 // the part for one tile of what is copied after them
  const float* next_end = nullptr;
  for (int64_t item = items.begin; item < items.end; item++) {
    const int64_t block = item / (d.n * d.oh * pieces), n = item / (d.oh * pieces) % d.n;
    const int64_t p = item / pieces % d.oh, q_begin = item % pieces * piece;
    const Range panels = split(d.panels(), static_cast<int>(block), static_cast<int>(blocks));
    const float* image = d.x + n * d.h * d.w * d.x_pixel;
    const float* base = image - d.pad_left * d.x_pixel;  // input row 0, column -pad_left
    const int64_t i0 = p * d.stride_h - d.pad_top;
    if (copy) {
      if (n != copied_image || p < copied_begin || p >= copied_end) {
        const int64_t last = smaller(d.oh, p + 1 + (items.end - 1) / pieces - item / pieces);
        copied_image = n;
        copied_begin = p;
        copied_end = smaller(p + strip, last);
        const int64_t rows = input_rows(d, copied_end - copied_begin);
        copy_padded(d, image, i0, rows, mine);
        next.at = image + (copied_end < d.oh ? larger(0, copied_end * d.stride_h - d.pad_top) : d.h) * d.w * d.x_pixel;
        next.floats = rows * d.w * d.x_pixel / ((copied_end - copied_begin) * ceil_div(d.ow, tile_pixels)) + 1;
        next_end = next.at + rows * d.w * d.x_pixel;
      }
      base = mine - (copied_begin * d.stride_h - d.pad_top) * width * d.x_pixel;
    }
    const TapWindow taps{valid_taps(d.r, i0, d.dilation_h, d.h), {0, d.s}};
    set_taps(d, taps, width * d.x_pixel, t);
    base += (i0 + taps.r.begin * d.dilation_h) * width * d.x_pixel;
    const int64_t q_end = smaller(d.ow, q_begin + piece);
    for (int64_t q = q_begin; q < q_end; q += tile_pixels) {
      const int rows = static_cast<int>(smaller(tile_pixels, q_end - q));
      const float* a0 = base + q * t.lda;
      if (pointwise) next = {q + rows < d.ow ? a0 + rows * t.lda : base + d.stride_h * width * d.x_pixel, rows * t.lda};
      run_panels(d, packed, panels, taps, a0, n * d.y_image + p * d.y_row + q * d.y_pixel, rows, next, t);
      next.at += next.floats;
      if (next.at >= next_end) next.floats = 0;  // other panels of the same rows follow
    }
  }
}

// One (t, u) tap of one panel: c rows of nv vectors.
void pack_tap(const DirectConv& d, int64_t panel, int64_t tap, float* packed) {
  const int64_t per_group = d.panels_per_group(), group = panel / per_group, column = panel % per_group * kTileCols;
  const int64_t columns = smaller(kTileCols, d.k - column), ldb = ceil_div(columns, kWidth) * kWidth;
  const int64_t t = tap / d.s, u = tap % d.s;
  float* out = packed + panel * d.panel_floats() + tap * d.c * ldb;
  if (d.block > 1) {  // pixel b of the block sees filter column u - b*stride, zero outside the filter
    const int64_t k = d.k / d.block, stride = d.stride_w / d.block, s = d.s - (d.block - 1) * stride;
    memset(out, 0, d.c * ldb * sizeof(float));
    for (int64_t j = 0; j < columns;) {
      const int64_t b = (column + j) / k, first = (column + j) % k, source = u - b * stride;
      const int64_t run = smaller(k - first, columns - j);
      const float* w = d.filter + t * d.f_r + source * d.f_s + first * d.f_k;
      if (source >= 0 && source < s) {
        for (int64_t c = 0; c < d.c; c++) {
          for (int64_t i = 0; i < run; i++) out[c * ldb + j + i] = w[c * d.f_c + i * d.f_k];
        }
      }
      j += run;
    }
    return;
  }
  const float* w = d.filter + group * d.f_group + t * d.f_r + u * d.f_s + column * d.f_k;
  const int64_t whole = columns / kWidth * kWidth;
  const Mask rest = tail_mask(columns - whole);
  if (d.f_k == 1) {
    for (int64_t c = 0; c < d.c; c++, out += ldb, w += d.f_c) {
      for (int64_t j = 0; j < whole; j += kWidth) store(out + j, load(w + j));
      if (whole < columns) store(out + whole, load_masked(rest, w + whole));
    }
  } else {
    pack_transposed(columns, d.c, w, d.f_k, out, ldb);
  }
}

}  // namespace

int64_t panel_blocks(const DirectConv& d, int64_t tiles, int threads) {
  int64_t size = larger(1, kFilterFloats / d.panel_floats());
  while (size > 1 && ceil_div(d.panels(), size) * tiles < 4 * threads && threads > 1) size = (size + 1) / 2;
  return ceil_div(d.panels(), size);
}

int64_t direct_filter_floats(const DirectConv& d) {
  if (is_depthwise(d)) return 0;
  if (d.form == DirectForm::kColumns) return columns_filter_floats(d);
  if (d.form == DirectForm::kScatter) return scatter_filter_floats(d);
  return d.panels() * d.panel_floats();
}

int64_t direct_thread_floats(const DirectConv& d) {
  if (is_depthwise(d)) return 0;
  switch (d.form) {
    case DirectForm::kRows:
      return columns_hang_over(d) ? input_rows(d, strip_rows(d)) * padded_width(d) * d.x_pixel : 0;
    case DirectForm::kColumns:
      return columns_thread_floats(d);
    case DirectForm::kScatter:
      return scatter_thread_floats(d);
    default:
      return batch_thread_floats(d);
  }
}

void direct_pack(const Team& team, const DirectConv& d, float* packed) {
  if (is_depthwise(d)) return;
  if (d.form == DirectForm::kLanes) return batch_pack_lanes(team, d, packed);
  if (d.form == DirectForm::kColumns) return columns_pack(team, d, packed);
  if (d.form == DirectForm::kScatter) return scatter_pack(team, d, packed);
  const Range units = split(d.panels() * d.r * d.s, team);
  for (int64_t unit = units.begin; unit < units.end; unit++)
    pack_tap(d, unit / (d.r * d.s), unit % (d.r * d.s), packed);
}

void direct_run(const Team& team, const DirectConv& d, const float* packed, float* mine) {
  if (is_depthwise(d)) return depthwise_run(team, d);
  switch (d.form) {
    case DirectForm::kRows:
      return run_rows(team, d, packed, mine);
    case DirectForm::kColumns:
      return columns_run(team, d, packed, mine);
    case DirectForm::kScatter:
      return scatter_run(team, d, packed, mine);
    default:
      return batch_run(team, d, packed, mine);
  }
}

}  // namespace forja::FJ_ISA
