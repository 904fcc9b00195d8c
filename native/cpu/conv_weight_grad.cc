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
// memory once a strip. A row tile goes through a block of packed panels of dy while its part of x, copied by the first
// panel's kernel on the way, lies in L1: in place its pixels would lie a power of two apart and evict each other. Work
// is shared over (chunk of strips) x (panel of K) x (row tile); there is more than one chunk only where dw is small,
// and each has its own dw (chunked_sum.h).
#include <cstring>

#include "chunked_sum.h"
#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kStripPixels = 512;           // longer sums, and fewer additions to dw
constexpr int64_t kShortStripPixels = 256;      // where x has as many bytes again in between, or one panel is all of dy
constexpr int64_t kMergeBelow = 64;             // channels from which a tile stays within a tap
constexpr int64_t kPartialFloats = 512 * 1024;  // all chunks' dw together: 2 MB
constexpr int64_t kBlockFloats = 160 * 1024;    // packed panels of dy held at a time: 640 KB of L2
constexpr int64_t kMostPanels = 64;             // of them

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
  int64_t block_panels;                  // panels of dy packed at a time
  float *partial, *copy, *panel, *tile;  // chunks' sums; this layout's padded rows and packed dy, one part a thread
  int64_t copy_floats, panel_floats, tile_floats;
  size_t bytes;

  FJ_INLINE_MEMBER int64_t strip_pixels() const { return strip_images * strip_rows * g.ow; }
};

// With AVX-512, whose masked loads cost nothing, dy is read where it lies by few row tiles, at the pace of the product;
// a copy would first wait for all of it. Rows too far apart share sets of the L1 cache, where they must stay a while.
bool reads_in_place(const WeightGradPlan& plan) {
  constexpr int64_t kMostTiles = 8, kFarthest = 512;
  return kWidth == 16 && (plan.panels == 1 || (plan.tiles <= kMostTiles && plan.g.k < kFarthest));
}

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
  plan.panels_per_group = ceil_div(plan.kg, kTileCols);
  plan.panels = g.groups * plan.panels_per_group;
  const bool is_short = geometry.stride_h * geometry.stride_w > 1 || plan.panels == 1;
  const int64_t most = is_short ? kShortStripPixels : kStripPixels;
  plan.strip_rows = even_part(g.oh, larger(1, most / g.ow));
  plan.strip_images = plan.strip_rows < g.oh ? 1 : larger(1, smaller(g.n, most / (g.oh * g.ow)));
  plan.row_strips = ceil_div(g.oh, plan.strip_rows);
  plan.strips = ceil_div(g.n, plan.strip_images) * plan.row_strips;
  plan.padded_w = plan.copied ? reach : g.w;
  plan.padded_h = (plan.strip_rows - 1) * g.stride_h + (g.r - 1) * g.dilation_h + 1;
  plan.tile_run = plan.merged ? g.s * plan.cg : plan.cg;
  plan.tile_rows = even_part(plan.tile_run, kTileRows);
  plan.tiles = g.r * (plan.merged ? 1 : g.s) * ceil_div(plan.tile_run, plan.tile_rows);
  plan.dw_floats = g.r * g.s * plan.cg * g.k;
  plan.chunks = larger(1, smaller(smaller(kMaxChunks, plan.strips), kPartialFloats / plan.dw_floats));

  ScratchCursor cursor(scratch);
  plan.partial = cursor.take(plan.chunks > 1 || plan.block > 1 ? plan.chunks * plan.dw_floats : 0);
  plan.copy_floats = plan.copied ? ceil_div(plan.strip_images * plan.padded_h * plan.padded_w * g.c, 16) * 16 : 0;
  plan.copy = cursor.take(plan.copy_floats * threads);
  // A line apart from a multiple of 4 KB, since a pixel's are written one after the other.
  plan.panel_floats = plan.strip_pixels() * kTileCols + kLineFloats;
  plan.block_panels = larger(1, smaller(kMostPanels, kBlockFloats / plan.panel_floats));
  plan.block_panels = reads_in_place(plan) ? 1 : even_part(plan.panels_per_group, plan.block_panels);
  plan.tile_floats = plan.block_panels > 1 ? plan.strip_pixels() * packed_height(plan.tile_rows) : 0;
  plan.tile = cursor.take(plan.tile_floats * threads);
  plan.panel = cursor.take(plan.panel_floats * plan.block_panels * threads);
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

PanelSource panel_source(const WeightGradPlan& plan, const Strip& strip, int64_t panel, const float* dy) {
  const ConvGeometry& g = plan.g;
  const int64_t column = panel % plan.panels_per_group * kTileCols, columns = smaller(kTileCols, plan.kg - column);
  PanelSource source{};
  source.nv = static_cast<int>(ceil_div(columns, kWidth));
  source.tail = static_cast<int>(columns - (source.nv - 1) * kWidth);
  source.channel = panel / plan.panels_per_group * plan.kg + column;
  source.b = dy + (strip.n * g.oh + strip.p) * g.ow * g.k + source.channel;
  source.ldb = g.k;
  source.source = g.k == source.nv * kWidth ? BSource::kPacked : BSource::kInPlace;  // dy may be the panel
  return source;
}

// Copies panels of dy: all of a pixel's at a time, since rows are what the hardware looks ahead along.
void pack_panels(const WeightGradPlan& plan, const Strip& strip, int64_t count, float* packed, PanelSource* panels) {
  constexpr int64_t kPixelsAhead = 6;
  const int64_t pixels = strip.images * strip.rows * plan.g.ow;
  for (int64_t pixel = 0; pixel < pixels; pixel++) {
    float* to = packed;
    for (int64_t i = 0; i < count; i++, to += plan.panel_floats) {
      const int64_t width = panels[i].nv * kWidth;
      const float* from = panels[i].b + pixel * plan.g.k;
      __builtin_prefetch(from + kPixelsAhead * plan.g.k);
      __builtin_prefetch(from + kPixelsAhead * plan.g.k + kLineFloats);
      if (width > kWidth) store(to + pixel * width, load(from));
      store(to + (pixel + 1) * width - kWidth, load_masked(tail_mask(panels[i].tail), from + width - kWidth));
    }
  }
  for (int64_t i = 0; i < count; i++) {
    panels[i].b = packed + i * plan.panel_floats;
    panels[i].ldb = panels[i].nv * kWidth;
    panels[i].source = BSource::kPacked;
  }
}

// A row tile over one strip: what the kernel must be told about x, and the pixels of dy that belong to it.
struct TileSource {
  TileArgs args;
  int rows;
  int64_t dw_row;      // first row of dw
  int64_t skipped[3];  // pixels of dy before the first, behind each output row, behind each image
};

// False where no pixel of the strip belongs to the tile.
bool tile_source(const WeightGradPlan& plan, const Strip& strip, int64_t tile, int64_t group, const float* x,
                 const float* copy, TileSource& source) {
  const ConvGeometry& g = plan.g;
  const int64_t tiles_per_run = ceil_div(plan.tile_run, plan.tile_rows);
  const Range run = split(plan.tile_run, static_cast<int>(tile % tiles_per_run), static_cast<int>(tiles_per_run));
  const int64_t offset = run.begin, tap = tile / tiles_per_run;
  const int64_t r = plan.merged ? tap : tap / g.s, s = plan.merged ? 0 : tap % g.s;
  source.rows = static_cast<int>(run.end - run.begin);
  source.dw_row = (r * g.s + s) * plan.cg + offset;
  // Output rows of the strip, and columns, whose input pixel is inside: "taps" p with p*stride + r*dilation - pad.
  const int64_t i0 = strip.p * g.stride_h - g.pad_top + r * g.dilation_h;
  const int64_t j0 = s * g.dilation_w - g.pad_left;
  const Range p = valid_taps(strip.rows, i0, g.stride_h, g.h);
  const Range q = plan.merged ? Range{0, g.ow} : valid_taps(g.ow, j0, g.stride_w, g.w);
  const int64_t np = p.end - p.begin, nq = q.end - q.begin;
  source.skipped[0] = p.begin * g.ow + q.begin;
  source.skipped[1] = g.ow - nq;
  source.skipped[2] = (strip.rows - np) * g.ow;

  const int64_t x_row = plan.padded_w * g.c;
  TileArgs& t = source.args;
  t = TileArgs{};
  if (plan.copied) {
    t.a = copy + (p.begin * g.stride_h + r * g.dilation_h) * x_row;
    t.a_image = plan.padded_h * x_row;
  } else {
    t.a = x + (strip.n * g.h + i0 + p.begin * g.stride_h) * x_row + (j0 + q.begin * g.stride_w) * g.c;
    t.a_image = g.h * x_row;
  }
  t.a += group * plan.cg + offset;
  t.lda = g.stride_w * g.c;
  t.a_segment = g.stride_h * x_row;
  t.kc = nq;
  t.segments = np;
  t.images = strip.images;
  if (nq == g.ow && t.a_segment == g.ow * t.lda) {  // output rows follow each other in x too
    t.kc *= np;
    t.segments = 1;
  }
  return np > 0 && nq > 0;
}

// One row tile and panel of dw over one strip.
void run_tile(const WeightGradPlan& plan, const TileSource& tile, ASource source, const PanelSource& panel, bool first,
              float* dw) {
  TileArgs t = tile.args;
  t.b = panel.b + tile.skipped[0] * panel.ldb;
  t.ldb = panel.ldb;
  t.b_segment = tile.skipped[1] * panel.ldb;
  t.b_image = tile.skipped[2] * panel.ldb;
  t.c = dw + tile.dw_row * plan.g.k + panel.channel;
  t.ldc = plan.g.k;
  t.tail = panel.tail;
  t.accumulate = !first;
  tile_kernel(source, panel.source, tile.rows, panel.nv)(t);
}

// One row tile and some panels. The first one's kernel copies x on its way, to where the others find it close by.
void run_tile(const WeightGradPlan& plan, TileSource& tile, int64_t count, const PanelSource* panels, bool first,
              float* packed, float* dw) {
  TileArgs& t = tile.args;
  t.a_packed = packed;
  if (t.segments > 1 && t.kc > 0 && t.kc < kPrefetchRows) {  // the kernel would look past the end of a segment
    t.soon = t.a + ceil_div(kPrefetchRows, t.kc) * t.a_segment;
    t.soon_step = t.lda;
    t.soon_segment = t.a_segment;
    t.soon_image = t.a_image;
  }
  run_tile(plan, tile, count > 1 ? ASource::kColumnsPacking : ASource::kColumns, panels[0], first, dw);
  t.soon = nullptr;
  const TileArgs of_x = t;
  t.a = packed;
  t.lda = packed_height(tile.rows);
  t.a_segment = t.kc * t.lda;
  t.a_image = t.segments * t.a_segment;
  for (int64_t i = 1; i < count; i++) {
    if (i + 1 == count) {
      t.soon = of_x.a + tile.rows;
      t.soon_step = of_x.lda;
      t.soon_segment = of_x.a_segment;
      t.soon_image = of_x.a_image;
    }
    run_tile(plan, tile, ASource::kColumns, panels[i], first, dw);
  }
}

// A rectangle of row tiles x panels of dw.
struct Part {
  Range tiles, panels;
};

// The first of the rectangles that make up [begin, end) of the tiles x panels; the longer side varies slowest, so that
// the parts of threads are about square. Returns how many it has.
int64_t first_part(const WeightGradPlan& plan, int64_t begin, int64_t end, Part& part) {
  const bool tiles_first = plan.tiles > plan.panels;
  const int64_t inner = tiles_first ? plan.panels : plan.tiles, row = begin / inner, at = begin % inner;
  Range rows{row, row + 1}, columns{at, smaller(inner, at + end - begin)};
  if (at == 0 && end - begin >= inner) rows.end = end / inner;
  part = tiles_first ? Part{rows, columns} : Part{columns, rows};
  return (rows.end - rows.begin) * (columns.end - columns.begin);
}

// dw from that of a convolution with merged pixels: pixel b of a block saw filter column s at s + b*stride.
void unmerge(const Team& team, const WeightGradPlan& plan, const ConvGeometry& g, const float* merged, float* dw) {
  const Range rows = split(g.r * g.s * g.c, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t r = row / (g.s * g.c), s = row / g.c % g.s, c = row % g.c;
    for (int64_t k = 0; k < g.k; k++) {
      float sum = 0.0f;
      for (int64_t b = 0; b < plan.block; b++) {
        sum += merged[((r * plan.g.s + s + b * g.stride_w) * g.c + c) * plan.g.k + b * g.k + k];
      }
      dw[row * g.k + k] = sum;
    }
  }
}

// One thread's part of the scratch.
struct Own {
  float *copy, *tile, *panels;
};

// [units.begin, units.end) of the tiles x panels of one strip.
void run_strip(const WeightGradPlan& plan, const Strip& strip, Range units, const float* x, const float* dy, bool first,
               const Own& own, float* dw) {
  if (plan.copied) copy_strip(plan, strip, x, own.copy);
  Part part;
  for (int64_t unit = units.begin; unit < units.end;) {
    unit += first_part(plan, unit, units.end, part);
    for (int64_t panel = part.panels.begin; panel < part.panels.end;) {
      const int64_t group = panel / plan.panels_per_group;
      const int64_t end =
          smaller(smaller(part.panels.end, panel + plan.block_panels), (group + 1) * plan.panels_per_group);
      const int64_t count = end - panel;
      PanelSource block[kMostPanels];
      for (int64_t i = 0; i < count; i++) block[i] = panel_source(plan, strip, panel + i, dy);
      if (block[0].source != BSource::kPacked && !reads_in_place(plan))
        pack_panels(plan, strip, count, own.panels, block);
      for (int64_t tile = part.tiles.begin; tile < part.tiles.end; tile++) {
        TileSource source;
        if (!tile_source(plan, strip, tile, group, x, own.copy, source) && !first) continue;
        run_tile(plan, source, count, block, first, own.tile, dw);
      }
      panel = end;
    }
  }
}

}  // namespace

size_t conv_grad_weight_implicit_scratch(const ConvGeometry& g, int threads) {
  if (is_depthwise(g)) return depthwise_grad_weight_floats(g) * sizeof(float);
  return plan_weight_grad(g, threads, nullptr).bytes;
}

void conv_grad_weight_implicit(Team& team, const ConvGeometry& g, const float* x, const float* dy, float* dw,
                               uint8_t* scratch) {
  if (is_depthwise(g)) return depthwise_grad_weight(team, g, x, dy, dw, reinterpret_cast<float*>(scratch));
  const WeightGradPlan plan = plan_weight_grad(g, team.count, scratch);
  const bool direct = plan.chunks == 1 && plan.block == 1;
  const Own own{plan.copy + team.id * plan.copy_floats, plan.tile + team.id * plan.tile_floats,
                plan.panel + team.id * plan.panel_floats * plan.block_panels};
  const int64_t per_chunk = plan.panels * plan.tiles;
  const Range units = split(plan.chunks * per_chunk, team);
  for (int64_t unit = units.begin; unit < units.end;) {
    const int64_t chunk = unit / per_chunk, begin = unit % per_chunk;
    const int64_t end = smaller(per_chunk, begin + units.end - unit);
    unit += end - begin;
    float* out = direct ? dw : plan.partial + chunk * plan.dw_floats;
    const Range strips = split(plan.strips, static_cast<int>(chunk), static_cast<int>(plan.chunks));
    for (int64_t at = strips.begin; at < strips.end; at++) {
      run_strip(plan, strip_at(plan, at), {begin, end}, x, dy, at == strips.begin, own, out);
    }
  }
  if (direct) return;
  const ChunkedSum sum{plan.partial, plan.chunks, plan.dw_floats, per_chunk};
  if (plan.block == 1) return sum_chunks(team, sum, dw);
  sum_chunks(team, sum, plan.partial);
  team.barrier();
  unmerge(team, plan, g, plan.partial, dw);
}

}  // namespace forja::FJ_ISA
