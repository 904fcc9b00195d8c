// The weight gradient of the implicit variant: dw as a matrix product (taps x channels) x pixels x K whose
// left factor is read from the image where it lies, k-major:
//
//   dw[(r,s,c)][k] = sum over images, output rows p, columns q of x[n, i(p,r), j(q,s), c] * dy[n, p, q, k]
//
// A row tile is part of the contiguous floats of one filter row. `merged` tiles run over (s, c): right for few
// channels, and columns that hang over then need rows copied with zeros around them. Otherwise a tile stays
// within one tap, whose output rows and columns inside the image are known exactly, and nothing is copied;
// dilation and groups need this form.
//
// Pixels are taken in strips of about kStripPixels so that a strip of x and dy stays in L2; dw accumulates in
// memory once a strip. Work is shared over (chunk of strips) x (panel of K) x (row tile); there is more than
// one chunk only where dw is small, and each has its own dw (conv_direct.h).
#include <cstring>

#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kStripPixels = 256;
constexpr int64_t kMergeBelow = 64;             // channels from which a tile stays within a tap
constexpr int64_t kPartialFloats = 512 * 1024;  // all chunks' dw together: 2 MB

struct WeightGradPlan {
  ConvGeometry g;  // as given, with neighbouring output pixels merged if block > 1
  int64_t block;   // pixels merged: s, stride_w, ow and k of g are those of the merged convolution
  int64_t cg, kg;  // channels of one group
  bool merged, copied;
  int64_t padded_w, padded_h;  // of the copy: columns of a row, rows of a strip
  int64_t strip_images, strip_rows;
  int64_t row_strips, strips, chunks;
  int64_t tile_run, tile_rows, tiles;  // floats of x a row of tiles covers, rows of one tile, all row tiles
  int64_t panels_per_group, panels;
  int64_t dw_floats;
  float *partial, *copy, *panel;  // chunks' sums; this layout's padded rows and packed dy, one part a thread
  int64_t copy_floats, panel_floats;
  size_t bytes;

  FJ_INLINE_MEMBER int64_t strip_pixels() const { return strip_images * strip_rows * g.ow; }
};

WeightGradPlan plan_weight_grad(const ConvGeometry& geometry, int threads, uint8_t* scratch) {
  WeightGradPlan plan{};
  ConvGeometry& g = plan.g;
  g = geometry;
  plan.block = 1;
  if (g.r == 1 && g.s == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 && g.pad_left == 0 && g.oh == g.h &&
      g.ow == g.w) {
    // Pointwise: a strip is one run of pixels.
    const int64_t pixels = g.n * g.h * g.w;
    g.w = g.ow = pixels % kStripPixels == 0 ? kStripPixels : g.w;
    g.n = 1;
    g.h = g.oh = pixels / g.w;
  }
  const bool adjacent = g.dilation_w == 1 && g.groups == 1;
  if (adjacent) {
    plan.block = best_pixel_block(g.s, g.stride_w, g.k, g.ow);
    g.s += (plan.block - 1) * g.stride_w;
    g.stride_w *= plan.block;
    g.ow /= plan.block;
    g.k *= plan.block;
  }
  plan.cg = g.c / g.groups;
  plan.kg = g.k / g.groups;
  plan.merged = adjacent && (g.c < kMergeBelow || g.s == 1);
  const int64_t reach = (g.ow - 1) * g.stride_w + (g.s - 1) * g.dilation_w + 1;
  plan.copied = plan.merged && (g.pad_left > 0 || reach - g.pad_left > g.w);
  plan.strip_rows = even_part(g.oh, larger(1, kStripPixels / g.ow));
  plan.strip_images = plan.strip_rows < g.oh ? 1 : larger(1, smaller(g.n, kStripPixels / (g.oh * g.ow)));
  plan.row_strips = ceil_div(g.oh, plan.strip_rows);
  plan.strips = ceil_div(g.n, plan.strip_images) * plan.row_strips;
  plan.padded_w = plan.copied ? reach : g.w;
  plan.padded_h = (plan.strip_rows - 1) * g.stride_h + (g.r - 1) * g.dilation_h + 1;
  plan.tile_run = plan.merged ? g.s * plan.cg : plan.cg;
  plan.tile_rows = even_part(plan.tile_run, kTileRows);
  plan.tiles = g.r * (plan.merged ? 1 : g.s) * ceil_div(plan.tile_run, plan.tile_rows);
  plan.panels_per_group = ceil_div(plan.kg, kTileCols);
  plan.panels = g.groups * plan.panels_per_group;
  plan.dw_floats = g.r * g.s * plan.cg * g.k;
  plan.chunks = larger(1, smaller(smaller(kMaxChunks, plan.strips), kPartialFloats / plan.dw_floats));

  ScratchCursor cursor(scratch);
  plan.partial = cursor.take(plan.chunks > 1 || plan.block > 1 ? plan.chunks * plan.dw_floats : 0);
  plan.copy_floats = plan.copied ? ceil_div(plan.strip_images * plan.padded_h * plan.padded_w * g.c, 16) * 16 : 0;
  plan.copy = cursor.take(plan.copy_floats * threads);
  plan.panel_floats = plan.strip_pixels() * kTileCols;
  plan.panel = cursor.take(plan.panel_floats * threads);
  plan.bytes = cursor.used();
  return plan;
}

struct Strip {
  int64_t n, images, p, rows;  // output rows p.. of images n..
};

Strip strip_at(const WeightGradPlan& plan, int64_t strip) {
  Strip s{};
  s.n = strip / plan.row_strips * plan.strip_images;
  s.images = smaller(plan.strip_images, plan.g.n - s.n);
  s.p = strip % plan.row_strips * plan.strip_rows;
  s.rows = smaller(plan.strip_rows, plan.g.oh - s.p);
  return s;
}

// Input rows of a strip with zeros around them, (images, padded_h, padded_w, c).
void copy_strip(const WeightGradPlan& plan, const Strip& strip, const float* x, float* copy) {
  const ConvGeometry& g = plan.g;
  const int64_t first = larger(0, -g.pad_left), left = smaller(plan.padded_w, larger(0, g.pad_left));
  const int64_t middle = larger(0, smaller(plan.padded_w - left, g.w - first)), right = plan.padded_w - left - middle;
  const int64_t i0 = strip.p * g.stride_h - g.pad_top;
  for (int64_t n = strip.n; n < strip.n + strip.images; n++) {
    float* out = copy + (n - strip.n) * plan.padded_h * plan.padded_w * g.c;
    for (int64_t i = i0; i < i0 + plan.padded_h; i++, out += plan.padded_w * g.c) {
      if (i < 0 || i >= g.h) continue;  // never read: a tap's output rows are cut to those inside the image
      memset(out, 0, left * g.c * sizeof(float));
      memcpy(out + left * g.c, x + ((n * g.h + i) * g.w + first) * g.c, middle * g.c * sizeof(float));
      memset(out + (left + middle) * g.c, 0, right * g.c * sizeof(float));
    }
  }
}

// dy as the micro-kernel reads it for one panel and one strip.
struct PanelSource {
  const float* b;
  int64_t ldb;
  BSource source;
  int nv, tail;
  int64_t channel;  // first column of dw
};

// With AVX-512, whose masked loads cost nothing, dy is read where it lies by few row tiles, at the pace of the product;
// a copy would first wait for all of it. Rows too far apart share sets of the L1 cache, where they must stay a while.
bool reads_in_place(const WeightGradPlan& plan) {
  constexpr int64_t kMostTiles = 8, kFarthest = 512;
  return kWidth == 16 && (plan.panels == 1 || (plan.tiles <= kMostTiles && plan.g.k < kFarthest));
}

PanelSource panel_source(const WeightGradPlan& plan, const Strip& strip, int64_t panel, const float* dy,
                         float* packed) {
  const ConvGeometry& g = plan.g;
  const int64_t column = panel % plan.panels_per_group * kTileCols, columns = smaller(kTileCols, plan.kg - column);
  PanelSource source{};
  source.nv = static_cast<int>(ceil_div(columns, kWidth));
  source.tail = static_cast<int>(columns - (source.nv - 1) * kWidth);
  source.channel = panel / plan.panels_per_group * plan.kg + column;
  source.b = dy + (strip.n * g.oh + strip.p) * g.ow * g.k + source.channel;
  source.ldb = g.k;
  if (g.k == source.nv * kWidth) {  // dy is the panel
    source.source = BSource::kPacked;
    return source;
  }
  if (reads_in_place(plan)) {
    source.source = BSource::kInPlace;
    return source;
  }
  const int64_t width = source.nv * kWidth, pixels = strip.images * strip.rows * g.ow;
  const Mask rest = tail_mask(source.tail);
  const float* from = source.b;
  float* to = packed;
  for (int64_t pixel = 0; pixel < pixels; pixel++, from += g.k, to += width) {
    if (source.nv == 2) store(to, load(from));
    store(to + width - kWidth, load_masked(rest, from + width - kWidth));
  }
  source.b = packed;
  source.ldb = width;
  source.source = BSource::kPacked;
  return source;
}

// One row tile of dw over one strip.
void run_tile(const WeightGradPlan& plan, const Strip& strip, int64_t tile, const PanelSource& panel, const float* x,
              const float* copy, bool first, float* dw) {
  const ConvGeometry& g = plan.g;
  const int64_t tiles_per_run = ceil_div(plan.tile_run, plan.tile_rows);
  const int64_t offset = tile % tiles_per_run * plan.tile_rows, tap = tile / tiles_per_run;
  const int64_t r = plan.merged ? tap : tap / g.s, s = plan.merged ? 0 : tap % g.s;
  const int rows = static_cast<int>(smaller(plan.tile_rows, plan.tile_run - offset));
  // Output rows of the strip, and columns, whose input pixel is inside: "taps" p with p*stride + r*dilation - pad.
  const int64_t i0 = strip.p * g.stride_h - g.pad_top + r * g.dilation_h;
  const int64_t j0 = s * g.dilation_w - g.pad_left;
  const Range p = valid_taps(strip.rows, i0, g.stride_h, g.h);
  const Range q = plan.merged ? Range{0, g.ow} : valid_taps(g.ow, j0, g.stride_w, g.w);
  const int64_t np = p.end - p.begin, nq = q.end - q.begin;
  if ((np == 0 || nq == 0) && !first) return;

  const int64_t x_row = plan.padded_w * g.c;
  TileArgs t{};
  if (plan.copied) {
    t.a = copy + (p.begin * g.stride_h + r * g.dilation_h) * x_row;
    t.a_image = plan.padded_h * x_row;
  } else {
    t.a = x + (strip.n * g.h + i0 + p.begin * g.stride_h) * x_row + (j0 + q.begin * g.stride_w) * g.c;
    t.a_image = g.h * x_row;
  }
  t.a += panel.channel / plan.kg * plan.cg + offset;
  t.lda = g.stride_w * g.c;
  t.a_segment = g.stride_h * x_row;
  t.kc = nq;
  t.segments = np;
  t.images = strip.images;
  t.b = panel.b + (p.begin * g.ow + q.begin) * panel.ldb;
  t.ldb = panel.ldb;
  t.b_segment = (g.ow - nq) * panel.ldb;
  t.b_image = (strip.rows - np) * g.ow * panel.ldb;
  if (nq == g.ow && t.a_segment == g.ow * t.lda) {  // output rows follow each other in x too
    t.kc *= np;
    t.segments = 1;
  }
  t.c = dw + ((r * g.s + s) * plan.cg + offset) * g.k + panel.channel;
  t.ldc = g.k;
  t.tail = panel.tail;
  t.accumulate = !first;
  tile_kernel(ASource::kColumns, panel.source, rows, panel.nv)(t);
}

// dw from the sums of a convolution with merged pixels: pixel b of a block saw filter column s at s + b*stride.
void unmerge(const Team& team, const WeightGradPlan& plan, const ConvGeometry& g, float* dw) {
  const Range rows = split(g.r * g.s * g.c, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t r = row / (g.s * g.c), s = row / g.c % g.s, c = row % g.c;
    for (int64_t k = 0; k < g.k; k++) {
      float sum = 0.0f;
      for (int64_t chunk = 0; chunk < plan.chunks; chunk++) {
        const float* part = plan.partial + chunk * plan.dw_floats;
        for (int64_t b = 0; b < plan.block; b++) {
          sum += part[((r * plan.g.s + s + b * g.stride_w) * g.c + c) * plan.g.k + b * g.k + k];
        }
      }
      dw[row * g.k + k] = sum;
    }
  }
}

}  // namespace

void sum_chunks(const Team& team, const float* partial, int64_t chunks, int64_t floats, float* out) {
  const Range mine = split(floats, team, kWidth);
  for (int64_t i = mine.begin; i < mine.end; i += kWidth) {
    const Mask lanes = tail_mask(mine.end - i);
    Vec sum = load_masked(lanes, partial + i);
    for (int64_t chunk = 1; chunk < chunks; chunk++) sum = sum + load_masked(lanes, partial + chunk * floats + i);
    store_masked(out + i, lanes, sum);
  }
}

size_t conv_grad_weight_implicit_scratch(const ConvGeometry& g, int threads) {
  if (is_depthwise(g)) return depthwise_grad_weight_floats(g) * sizeof(float);
  return plan_weight_grad(g, threads, nullptr).bytes;
}

void conv_grad_weight_implicit(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                               uint8_t* scratch) {
  if (is_depthwise(g)) return depthwise_grad_weight(team, g, x, dy, dw, reinterpret_cast<float*>(scratch));
  const WeightGradPlan plan = plan_weight_grad(g, team.count, scratch);
  const bool direct = plan.chunks == 1 && plan.block == 1;
  float* copy = plan.copy + team.id * plan.copy_floats;
  float* packed = plan.panel + team.id * plan.panel_floats;
  const int64_t per_chunk = plan.panels * plan.tiles;
  const Range units = split(plan.chunks * per_chunk, team);
  for (int64_t unit = units.begin; unit < units.end;) {
    const int64_t chunk = unit / per_chunk, begin = unit % per_chunk;
    const int64_t end = smaller(per_chunk, begin + units.end - unit);
    unit += end - begin;
    float* out = direct ? dw : plan.partial + chunk * plan.dw_floats;
    const Range strips = split(plan.strips, static_cast<int>(chunk), static_cast<int>(plan.chunks));
    for (int64_t at = strips.begin; at < strips.end; at++) {
      const Strip strip = strip_at(plan, at);
      if (plan.copied) copy_strip(plan, strip, x, copy);
      for (int64_t panel = begin / plan.tiles; panel * plan.tiles < end; panel++) {
        const PanelSource source = panel_source(plan, strip, panel, dy, packed);
        const int64_t first_tile = larger(0, begin - panel * plan.tiles);
        const int64_t last_tile = smaller(plan.tiles, end - panel * plan.tiles);
        for (int64_t tile = first_tile; tile < last_tile; tile++) {
          run_tile(plan, strip, tile, source, x, copy, at == strips.begin, out);
        }
      }
    }
  }
  if (direct) return;
  team.barrier();
  if (plan.block > 1) {
    unmerge(team, plan, g, dw);
  } else {
    sum_chunks(team, plan.partial, plan.chunks, plan.dw_floats, dw);
  }
}

}  // namespace forja::FJ_ISA
