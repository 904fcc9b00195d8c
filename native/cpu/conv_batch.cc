// Direct convolution with many images at a time (conv_direct.h). A tile of the micro-kernel then belongs to
// one output position, so all of it has the same taps inside the image: padding is skipped exactly.
// Rows of x are first transposed to (row, column, channel, image), a strip of them at a time, which makes
// every access sequential whatever the distance between images (often a multiple of 4096 bytes, which would
// put a whole tile into one set of the cache).
//
//   images form  rows of the tile are images, lanes are output channels: for maps too narrow for the row form
//   lanes form   lanes are images, rows are output channels: for few channels, which would leave lanes idle.
//                The result is transposed back, and bias and activation applied, a row of output at a time.
//                Where images are too few for the lanes, each is cut into bands of output columns, lane
//                band * images + image; its strip then holds the zeros that hang over, too.
#include <cstring>

#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kStripFloats = 96 * 1024;       // transposed rows held at a time: 384 KB
constexpr int64_t kMostStripFloats = 256 * 1024;  // one output row may need more, up to here

int64_t images_at_once(const DirectConv& d) {
  return even_part(d.n, d.form == DirectForm::kLanes ? kTileCols : kTileRows);
}

int64_t bands(const DirectConv& d) { return d.form == DirectForm::kLanes ? larger(1, smaller(kWidth / d.n, d.ow)) : 1; }
int64_t band_columns(const DirectConv& d) { return ceil_div(d.ow, bands(d)); }

// Input columns of a strip, the first of them that of output column 0 of a band.
int64_t strip_width(const DirectConv& d) {
  return bands(d) == 1 ? d.w : (band_columns(d) - 1) * d.stride_w + (d.s - 1) * d.dilation_w + 1;
}

// Floats from one transposed element to the next: lanes are read whole.
int64_t image_stride(const DirectConv& d) {
  const int64_t images = images_at_once(d) * bands(d);
  return d.form == DirectForm::kLanes ? ceil_div(images, kWidth) * kWidth : images;
}

int64_t strip_floats(const DirectConv& d, int64_t rows) {
  return smaller(d.h, input_rows(d, rows)) * strip_width(d) * d.x_pixel * image_stride(d);
}

int64_t strip_rows(const DirectConv& d) {
  int64_t rows = 1;
  while (rows < d.oh && strip_floats(d, rows + 1) <= kStripFloats) rows++;
  return rows;
}

// The transposed strip that a thread holds.
struct Strip {
  float* x;
  int64_t n = -1, begin = 0, end = 0;  // output rows [begin, end) of the tile at image n
  int64_t row = 0;                     // input row of its first row
};

void hold_rows(const DirectConv& d, int64_t n, int64_t images, int64_t stride, Range rows, Strip& strip) {
  const int64_t i0 = rows.begin * d.stride_h - d.pad_top;
  const int64_t first = larger(0, i0), last = smaller(d.h, i0 + input_rows(d, rows.end - rows.begin));
  strip.n = n, strip.begin = rows.begin, strip.end = rows.end, strip.row = first;
  if (first >= last) return;
  const int64_t x_row = d.w * d.x_pixel, width = strip_width(d), count = bands(d);
  const int64_t at_once = count == 1 ? last - first : 1;  // rows that follow each other without a gap
  // Lanes without an image are computed too and thrown away; numbers that happen to be subnormal would be slow.
  if (images < stride) memset(strip.x, 0, (last - first) * width * d.x_pixel * stride * sizeof(float));
  for (int64_t band = 0; band < count; band++) {
    const int64_t j0 = count == 1 ? 0 : band * band_columns(d) * d.stride_w - d.pad_left;
    const int64_t begin = larger(0, j0), end = smaller(d.w, j0 + width);
    for (int64_t row = first; row < last && begin < end; row += at_once) {
      const float* from = d.x + (n * d.h + row) * x_row + begin * d.x_pixel;
      float* to = strip.x + ((row - first) * width + begin - j0) * d.x_pixel * stride + band * images;
      pack_transposed(images, at_once * (end - begin) * d.x_pixel, from, d.h * x_row, to, stride);
    }
  }
}

struct Position {
  int64_t n, images, p, q;
  Range r, s;
  const float* x;  // first tap in the strip
};

// The lanes form of one output position: (groups * k) rows of images at out.
void run_lanes(const DirectConv& d, const float* filters, const Position& at, int64_t height, int64_t stride,
               float* out) {
  const int64_t nr = at.r.end - at.r.begin, ns = at.s.end - at.s.begin;
  const int64_t x_row = d.dilation_h * strip_width(d) * d.x_pixel, x_column = d.dilation_w * d.x_pixel;
  const int nv = static_cast<int>(stride / kWidth);
  TileArgs t{};
  t.lda = d.k;
  t.ldb = t.ldc = stride;
  t.tail = kWidth;
  if (x_column == d.c) {
    t.kc = ns * d.c;
    t.segments = nr;
    t.a_segment = d.s * d.c * d.k;
    t.b_segment = (x_row - ns * d.c) * stride;
  } else {
    t.kc = d.c;
    t.segments = ns;
    t.a_segment = d.c * d.k;
    t.b_segment = (x_column - d.c) * stride;
    t.images = nr;
    t.a_image = d.s * d.c * d.k;
    t.b_image = (x_row - ns * x_column) * stride;
  }
  for (int64_t group = 0; group < d.groups; group++) {
    const float* filter = filters + (group * d.depth() + (at.r.begin * d.s + at.s.begin) * d.c) * d.k;
    for (int64_t k = 0; k < d.k; k += height) {
      t.a = filter + k;
      t.b = at.x + group * d.c * stride;
      t.c = out + (group * d.k + k) * stride;
      tile_kernel(ASource::kColumns, BSource::kPacked, static_cast<int>(smaller(height, d.k - k)), nv)(t);
    }
  }
}

// to[image * y_image + e] = max(least, from[e * stride + image] + bias[e]) for kWidth of each. Not inlined: in a loop
// the compiler would keep 16 running addresses in memory.
__attribute__((noinline)) void store_block(const float* from, int64_t stride, float* to, int64_t y_image, Vec bias,
                                           Vec least) {
  Vec block[kWidth];
  unroll<kWidth>([&](auto i) FJ_LAMBDA { block[i] = load(from + i * stride); });
  transpose(block);
  unroll<kWidth>([&](auto i) FJ_LAMBDA { store(to + i * y_image, max(least, block[i] + bias)); });
}

// The same where only `entries` of e and `images` are meant.
__attribute__((noinline)) void store_part(const float* from, int64_t stride, int64_t entries, int64_t images, float* to,
                                          int64_t y_image, Vec bias, Vec least) {
  const Mask across = tail_mask(entries);
  Vec block[kWidth];
  unroll<kWidth>([&](auto i) FJ_LAMBDA { block[i] = i < entries ? load(from + i * stride) : zero(); });
  transpose(block);
  unroll<kWidth>([&](auto i) FJ_LAMBDA {
    if (i < images) store_masked(to + i * y_image, across, max(least, block[i] + bias));
  });
}

// y[image][e] = activation(rows[e][image] + bias[e % channels]) for e < count.
void store_run(const Epilogue& epilogue, int64_t channels, const float* rows, int64_t stride, int64_t images,
               int64_t count, float* y, int64_t y_image) {
  const Vec least = epilogue.activation == kActivationRelu ? zero() : broadcast(-__builtin_inff());
  int64_t channel = 0;
  for (int64_t e = 0; e < count; e += kWidth) {
    float bias[kWidth] = {};
    for (int i = 0; epilogue.bias && i < kWidth; i++) {
      bias[i] = epilogue.bias[channel];
      channel = channel + 1 == channels ? 0 : channel + 1;
    }
    const Vec shift = load(bias);
    for (int64_t image = 0; image < images; image += kWidth) {
      const float* from = rows + e * stride + image;
      float* to = y + image * y_image + e;
      if (count - e >= kWidth && images - image >= kWidth) {
        store_block(from, stride, to, y_image, shift, least);
      } else {
        store_part(from, stride, count - e, images - image, to, y_image, shift, least);
      }
    }
  }
}

// The images form of one output position, for every panel of a block.
void run_images(const DirectConv& d, const float* packed, Range panels, const Position& at, int64_t stride) {
  const int64_t nr = at.r.end - at.r.begin, ns = at.s.end - at.s.begin;
  const int64_t x_row = d.dilation_h * d.w * d.x_pixel * stride, x_column = d.dilation_w * d.x_pixel * stride;
  const bool one_run = d.dilation_w == 1 && d.x_pixel == d.c;
  TileArgs t{};
  t.lda = stride;
  t.ldc = d.y_image;
  t.kc = one_run ? ns * d.c : d.c;
  t.segments = one_run ? nr : ns;
  t.images = one_run ? 1 : nr;
  t.a_segment = one_run ? x_row : x_column;
  t.a_image = x_row;
  const int64_t y_offset = at.n * d.y_image + at.p * d.y_row + at.q * d.y_pixel;
  for (int64_t panel = panels.begin; panel < panels.end; panel++) {
    int64_t group, column;
    d.locate(panel, group, column);
    const int64_t columns = smaller(kTileCols, d.k - column), channel = group * d.k + column;
    const int nv = static_cast<int>(ceil_div(columns, kWidth));
    const int64_t ldb = nv * kWidth, skipped = (d.s - ns) * d.c * ldb;
    t.a = at.x + group * d.c * stride;
    t.b = packed + panel * d.panel_floats() + (at.r.begin * d.s + at.s.begin) * d.c * ldb;
    t.b_segment = one_run ? skipped : 0;
    t.b_image = one_run ? 0 : skipped;
    t.tail = static_cast<int>(columns - (nv - 1) * kWidth);
    t.c = d.y + y_offset + channel;
    t.epilogue = d.epilogue.at(channel);
    tile_kernel(ASource::kColumns, BSource::kPacked, static_cast<int>(at.images), nv)(t);
  }
}

}  // namespace

bool batch_fits(const DirectConv& d) { return strip_floats(d, 1) <= kMostStripFloats; }

double lanes_cost(const DirectConv& d) {
  const int64_t cut = bands(d), lanes = ceil_div(d.n * cut, kWidth) * kWidth * band_columns(d);
  // Bands overlap, compute with zeros and are transposed by halves; two transposes cost about 4 multiply-adds an
  // element.
  const double filled = static_cast<double>(lanes) / (d.n * d.ow) * (cut > 1 ? 1.3 : 1.0);
  const double moved = static_cast<double>(d.c * d.stride_h * d.stride_w + d.k) * 4 * filled;
  const double rows = static_cast<double>(even_part(d.k, kTileRows) * (d.n > kWidth ? 2 : 1));
  const double inside = cut > 1 ? 1.0 : share_inside(d.ow, d.s, d.stride_w, d.pad_left, d.dilation_w, d.w);
  return d.k * filled * (rows < 8 ? 8 / rows : 1.0) * inside + moved / d.depth();
}

int64_t batch_thread_floats(const DirectConv& d) {
  const int64_t stride = image_stride(d);
  const int64_t strip = ceil_div(strip_floats(d, strip_rows(d)), 16) * 16;
  return strip + (d.form == DirectForm::kLanes ? d.ow * d.groups * d.k * stride : 0);
}

void batch_run(const Team& team, const DirectConv& d, const float* packed, float* mine) {
  const bool lanes = d.form == DirectForm::kLanes;
  const int64_t images = images_at_once(d), tiles = ceil_div(d.n, images), stride = image_stride(d);
  const int64_t most_rows = strip_rows(d), channels = d.groups * d.k;
  const int64_t height = even_part(d.k, kTileRows);  // of tiles whose rows are channels
  const int64_t columns = band_columns(d), width = strip_width(d), left = bands(d) == 1 ? d.pad_left : 0;
  const int64_t blocks = lanes ? 1 : panel_blocks(d, tiles * d.oh, team.count);
  const Range items = split(blocks * tiles * d.oh, team);
  Strip strip{mine};
  float* out = mine + ceil_div(strip_floats(d, most_rows), 16) * 16;  // (ow, channels, images)
  for (int64_t item = items.begin; item < items.end; item++) {
    const int64_t block = item / (tiles * d.oh);
    const Range panels = split(d.panels(), static_cast<int>(block), static_cast<int>(blocks));
    Position at{};
    at.n = item / d.oh % tiles * images;
    at.images = smaller(images, d.n - at.n);
    at.p = item % d.oh;
    if (at.n != strip.n || at.p < strip.begin || at.p >= strip.end) {
      const int64_t end = smaller(smaller(d.oh, at.p + most_rows), at.p + items.end - item);
      hold_rows(d, at.n, at.images, stride, {at.p, end}, strip);
    }
    const int64_t i0 = at.p * d.stride_h - d.pad_top;
    at.r = valid_taps(d.r, i0, d.dilation_h, d.h);
    const float* x_row = strip.x + (i0 + at.r.begin * d.dilation_h - strip.row) * width * d.x_pixel * stride;
    for (at.q = 0; at.q < columns; at.q++) {
      const int64_t j0 = at.q * d.stride_w - left;
      at.s = valid_taps(d.s, j0, d.dilation_w, width);
      at.x = x_row + (j0 + at.s.begin * d.dilation_w) * d.x_pixel * stride;
      if (lanes) {
        run_lanes(d, packed, at, height, stride, out + at.q * channels * stride);
      } else {
        run_images(d, packed, panels, at, stride);
      }
    }
    if (!lanes) continue;
    for (int64_t band = 0; band * columns < d.ow; band++) {
      const int64_t count = smaller(columns, d.ow - band * columns);
      const float* from = out + band * at.images;
      float* y = d.y + at.n * d.y_image + at.p * d.y_row + band * columns * d.y_pixel;
      if (d.y_pixel == channels) {
        store_run(d.epilogue, channels, from, stride, at.images, count * channels, y, d.y_image);
        continue;
      }
      for (int64_t q = 0; q < count; q++) {
        store_run(d.epilogue, channels, from + q * channels * stride, stride, at.images, channels, y + q * d.y_pixel,
                  d.y_image);
      }
    }
  }
}

void batch_pack_lanes(const Team& team, const DirectConv& d, float* packed) {
  const Range taps = split(d.groups * d.r * d.s, team);
  for (int64_t tap = taps.begin; tap < taps.end; tap++) {
    const int64_t group = tap / (d.r * d.s), t = tap / d.s % d.r, u = tap % d.s;
    const float* filter = d.filter + group * d.f_group + t * d.f_r + u * d.f_s;
    float* out = packed + tap * d.c * d.k;
    for (int64_t c = 0; c < d.c; c++) {
      for (int64_t k = 0; k < d.k; k++) out[c * d.k + k] = filter[c * d.f_c + k * d.f_k];
    }
  }
}

}  // namespace forja::FJ_ISA
