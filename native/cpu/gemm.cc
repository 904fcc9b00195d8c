// The fast matrix product, on the register tile of simd/microkernel.h.
//
//   for each block of kc rows of B          (512: C is read and written once per block)
//     for each block of nc columns of B     (kc x nc floats stay in the L2 cache)
//       for each tile of rows of A          (rows x kc floats stay in the L1 cache)
//         for each tile of columns of B     one call of the register tile
//
// B is copied to panels of kTileCols columns, so that the tile reads it in one stream: by the first row tile
// while it computes, or before, where B is transposed or C has many rows. A is read where it lies: the tile
// wants single numbers of it, in any order. It is copied only where that fails the caches (pays_to_pack_a).
//
// Threads get a rectangle of C each and work without a barrier, each on its own copy of what it packs. Only where C has
// few rows do some threads take the other half of B's rows (halves_depth).
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kDepth = 512;    // rows of a block of B
constexpr int64_t kColumns = 288;  // its columns: 512 x 288 floats are 590 KB of a 1 MB L2 cache

// Up to this many row tiles, B is packed by the first of them on the way. That tile runs at a third of its
// speed when B is not in the cache, so with more of them a pass of its own, along B's rows, is cheaper by 2 %.
constexpr int64_t kPackingTiles = 24;

// B is read where it lies by every row tile if it is no larger than the L1 cache, more or less, and its rows do not
// meet in few of that cache's sets: then packing costs 2 to 4 % and saves nothing.
constexpr int64_t kSmallB = 96 * 96;    // floats
constexpr int64_t kAliasingRows = 128;  // floats: rows a multiple of 512 bytes apart share 8 of 64 sets

struct Plan {
  int grid_rows, grid_columns;  // threads along m and n
  bool by_halves;               // and as many again for the other half of k
  int64_t column_grain;         // columns of C are cut at multiples of this
  int64_t height, width;        // of the largest rectangle
  int64_t kc, nc;
  bool pack_a, pack_b;
  bool pack_b_first;           // in a pass of its own
  int64_t a_floats, b_floats;  // of one thread's packed blocks
};

FJ_INLINE int64_t round_up(int64_t n, int64_t grain) { return ceil_div(n, grain) * grain; }

// Where the panel of B's column j begins. A line apart from a multiple of 4 KB: packing writes one row of every panel
// at a time, and nine panels in one set of an 8-way L1 cache would evict each other at each row.
FJ_INLINE int64_t panel_at(int64_t j, int64_t kc) { return j * kc + j / kTileCols * kLineFloats; }

// Which grid of threads has the least work in its largest rectangle. Work is counted in multiply-adds of a
// full vector: a rectangle's own, and what reading or packing its share of B and A is worth.
void choose_grid(const GemmArgs& g, int threads, Plan& plan) {
  const int64_t b_rows = g.trans_b ? 8 : 2, a_columns = 2 * kWidth;
  int64_t least = INT64_MAX;
  for (int rows = 1; rows <= threads; rows++) {
    const int columns = threads / rows;
    const int64_t grain = g.n >= 4 * kTileCols * columns ? kTileCols : kWidth;
    const int64_t height = ceil_div(g.m, rows);
    const int64_t width = ceil_div(ceil_div(g.n, grain), columns) * grain;
    const int64_t work = (height + b_rows) * (width + a_columns);
    if (work < least) {
      least = work;
      plan.grid_rows = rows;
      plan.grid_columns = columns;
      plan.column_grain = grain;
      plan.height = height;
      plan.width = width;
    }
  }
}

// Reading A in place costs nothing while its lines stay in the caches. They do not where A is transposed and
// each tile reads a few numbers of a line and comes back for the rest much later, where its rows lie a
// multiple of 4 KB apart (one set of the L1 cache), or where A far exceeds L2. The copy is used once per
// panel of B, so there must be some.
FJ_INLINE bool pays_to_pack_a(const GemmArgs& g, int64_t height, int64_t width) {
  const int64_t floats = height * g.k;
  if (g.trans_a) return width > 3 * kTileCols && floats >= 16 * 1024;
  return width >= 8 * kTileCols && height >= 4 && (floats >= 2048 * 1024 || g.lda % 1024 == 0);
}

FJ_INLINE bool pays_to_pack_b(const GemmArgs& g, int64_t height) {
  if (g.trans_b) return true;
  const bool reads_well = g.k * g.ldb <= kSmallB && g.ldb % kWidth == 0 && g.ldb % kAliasingRows != 0;
  return height > kTileRows && !reads_well;
}

// C of few rows, B of many numbers: the input gradient of a linear layer, a small batch. A thread then takes whole rows
// of the weights, as it does in the forward product, in their gradient and in their update, so that these lines stay in
// its own cache: writing to lines that another core has read costs 7 ns each (Zen 4), twice the rest of the update.
// Sums are taken by halves whatever the number of threads, so that it does not show in the bits.
constexpr int64_t kHalvedB = 8 * 1024;  // floats
FJ_INLINE bool halves_depth(const GemmArgs& g) {
  return g.m <= kTileRows && !g.trans_b && g.k <= 2 * kDepth && g.k * g.n >= kHalvedB;
}

// A thread's part should last longer than the barrier that follows: 300 ns at full speed.
constexpr int64_t kThreadWork = 32 * 1024;  // multiply-adds

Plan make_plan(const GemmArgs& g, int threads) {
  threads = static_cast<int>(smaller(threads, 1 + g.m * g.n * g.k / kThreadWork));
  Plan plan{};
  plan.grid_rows = plan.grid_columns = 1;
  plan.column_grain = kTileCols;
  plan.height = g.m;
  plan.width = g.n;
  const bool halves = halves_depth(g);
  plan.by_halves = halves && threads > 1;
  if (threads > 1) choose_grid(g, plan.by_halves ? threads / 2 : threads, plan);
  plan.kc = even_part(larger(g.k, 1), halves ? ceil_div(g.k, 2) : kDepth);
  plan.nc = smaller(round_up(plan.width, kTileCols), kColumns);
  plan.pack_b = pays_to_pack_b(g, plan.height);
  plan.pack_b_first = g.trans_b || (plan.pack_b && plan.height > kPackingTiles * kTileRows);
  plan.pack_a = pays_to_pack_a(g, plan.height, plan.width);
  if (plan.pack_b) plan.b_floats = round_up(panel_at(plan.nc, plan.kc), kLineFloats);
  if (plan.pack_a) plan.a_floats = round_up(plan.kc * plan.height + kWidth, kLineFloats);  // room to spill
  return plan;
}

// Panels of `rows_per_tile` rows, column-major inside: the tile reads them as kColumns with lda = its height.
FJ_INLINE void pack_a_block(const GemmArgs& g, int64_t k0, int64_t kc, int64_t rows_per_tile, float* packed) {
  for (int64_t i = 0; i < g.m; i += rows_per_tile) {
    const int64_t mr = smaller(rows_per_tile, g.m - i);
    if (g.trans_a) {
      pack_rows(kc, mr, g.a + k0 * g.lda + i, g.lda, packed + i * kc, mr);
    } else {
      pack_transposed<kTileRows <= kWidth>(mr, kc, g.a + i * g.lda + k0, g.lda, packed + i * kc, mr);
    }
  }
}

// Panels of B's block, each as wide as the tile that will read it.
FJ_INLINE void pack_b_block(const GemmArgs& g, int64_t k0, int64_t kc, int64_t j0, int64_t columns, float* packed) {
  if (g.trans_b) {
    for (int64_t j = 0; j < columns; j += kTileCols) {
      const int64_t nr = smaller(kTileCols, columns - j);
      pack_transposed(nr, kc, g.b + (j0 + j) * g.ldb + k0, g.ldb, packed + panel_at(j, kc), round_up(nr, kWidth));
    }
    return;
  }
  for (int64_t k = 0; k < kc; k++) {  // whole rows of the block, which the hardware prefetches
    const float* row = g.b + (k0 + k) * g.ldb + j0;
    for (int64_t j = 0; j < columns; j += kTileCols) {
      const int64_t nr = smaller(kTileCols, columns - j);
      pack_rows(1, nr, row + j, 0, packed + panel_at(j, kc) + k * round_up(nr, kWidth), 0);
    }
  }
}

// One thread's rectangle, described by its own GemmArgs.
void multiply(const GemmArgs& g, const Plan& plan, float* scratch) {
  float* const a_packed = scratch;
  float* const b_packed = scratch + plan.a_floats;
  const int64_t rows_per_tile = even_part(g.m, kTileRows);
  const ASource a_source = plan.pack_a || g.trans_a ? ASource::kColumns : ASource::kRows;
  TileArgs t;
  t.ldb = g.ldb;
  t.ldc = g.ldc;
  if (plan.by_halves) t.ahead = 0;  // the rows after the last are the other threads'
  for (int64_t k0 = 0; k0 == 0 || k0 < g.k; k0 += plan.kc) {
    t.kc = smaller(plan.kc, g.k - k0);
    t.accumulate = g.accumulate || k0 > 0;
    const bool last_block = k0 + plan.kc >= g.k;
    if (plan.pack_a) pack_a_block(g, k0, t.kc, rows_per_tile, a_packed);
    for (int64_t j0 = 0; j0 < g.n; j0 += plan.nc) {
      const int64_t columns = smaller(plan.nc, g.n - j0);
      if (plan.pack_b_first) pack_b_block(g, k0, t.kc, j0, columns, b_packed);
      for (int64_t i = 0; i < g.m; i += rows_per_tile) {
        const int64_t mr = smaller(rows_per_tile, g.m - i);
        t.a = plan.pack_a ? a_packed + i * t.kc : g.trans_a ? g.a + k0 * g.lda + i : g.a + i * g.lda + k0;
        t.lda = plan.pack_a ? mr : g.lda;
        for (int64_t j = 0; j < columns; j += kTileCols) {
          const int nr = static_cast<int>(smaller(kTileCols, columns - j));
          const int nv = (nr + kWidth - 1) / kWidth;
          t.tail = nr - (nv - 1) * kWidth;
          const BSource b_source = !plan.pack_b ? (t.tail == kWidth ? BSource::kInPlaceWhole : BSource::kInPlace)
                                   : plan.pack_b_first || i > 0 ? BSource::kPacked
                                                                : BSource::kInPlacePacking;
          t.b_packed = b_packed + panel_at(j, t.kc);
          t.b = b_source == BSource::kPacked ? t.b_packed : g.b + k0 * g.ldb + j0 + j;
          t.c = g.c + i * g.ldc + j0 + j;
          t.epilogue = last_block ? g.epilogue.at(j0 + j) : Epilogue{};
          tile_kernel(a_source, b_source, static_cast<int>(mr), nv)(t);
          if (last_block) apply_mask(g, {i, i + mr}, {j0 + j, j0 + j + nr});
        }
      }
    }
  }
}

// The part of the product that gives C[rows, columns].
FJ_INLINE GemmArgs rectangle(const GemmArgs& g, Range rows, Range columns) {
  GemmArgs part = g;
  part.m = rows.end - rows.begin;
  part.n = columns.end - columns.begin;
  part.a += rows.begin * (g.trans_a ? 1 : g.lda);
  part.b += columns.begin * (g.trans_b ? g.ldb : 1);
  part.c += rows.begin * g.ldc + columns.begin;
  if (g.mask) part.mask += rows.begin * g.ldc + columns.begin;
  part.epilogue = g.epilogue.at(columns.begin);
  return part;
}

// Both halves of k at once, the second into a matrix (m, n) of its own, which is then added.
void multiply_halves(Team& team, const GemmArgs& g, const Plan& plan, float* scratch) {
  const int across = plan.grid_rows * plan.grid_columns, half = team.id / across, place = team.id % across;
  const int64_t own = plan.a_floats + plan.b_floats;
  float* const second = scratch + 2 * across * own;
  if (half < 2) {
    GemmArgs part = g;
    part.epilogue = {};
    part.mask = nullptr;
    part.k = half == 0 ? plan.kc : g.k - plan.kc;
    if (half == 1) {
      part.a += plan.kc * (g.trans_a ? g.lda : 1);
      part.b += plan.kc * g.ldb;
      part.c = second;
      part.ldc = g.n;
      part.accumulate = false;
    }
    const Range rows = split(g.m, place / plan.grid_columns, plan.grid_rows);
    const Range columns = split(g.n, place % plan.grid_columns, plan.grid_columns, plan.column_grain);
    multiply(rectangle(part, rows, columns), plan, scratch + team.id * own);
  }
  team.barrier();
  const Range columns = split(g.n, team, kLineFloats);
  for (int64_t i = 0; i < g.m; i++) {
    for (int64_t j = columns.begin; j < columns.end; j += kWidth) {
      const int64_t offset = i * g.ldc + j;
      const Mask rest = tail_mask(columns.end - j);
      const Vec c = load_masked(rest, second + i * g.n + j) + load_masked(rest, g.c + offset);
      store_masked(g.c + offset, rest, finished(c, g.epilogue.at(j), rest));
    }
  }
  apply_mask(g, {0, g.m}, columns);
  team.barrier();  // the next product may have the same scratch
}

}  // namespace

void apply_mask(const GemmArgs& g, Range rows, Range columns) {
  if (g.mask == nullptr) return;
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = columns.begin; j < columns.end; j += kWidth) {
      const Mask lanes = tail_mask(columns.end - j);
      float* c = g.c + i * g.ldc + j;
      store_masked(c, lanes, masked(load_masked(lanes, c), g.mask + i * g.ldc + j, lanes));
    }
  }
}

size_t gemm_scratch(const GemmArgs& args, int threads) {
  if (gemv_applies(args)) return 0;
  if (gemm_narrow_applies(args)) return gemm_narrow_scratch(args, threads);
  const Plan plan = make_plan(args, threads);
  const int64_t across = plan.grid_rows * plan.grid_columns, own = plan.a_floats + plan.b_floats;
  return sizeof(float) * static_cast<size_t>(plan.by_halves ? 2 * across * own + args.m * args.n : across * own);
}

void gemm(Team& team, const GemmArgs& args, uint8_t* scratch) {
  if (gemv_applies(args)) return gemv(team, args);
  if (gemm_narrow_applies(args)) return gemm_narrow(team, args, scratch);
  const Plan plan = make_plan(args, team.count);
  if (team.count == 1) return multiply(args, plan, reinterpret_cast<float*>(scratch));
  if (plan.by_halves) return multiply_halves(team, args, plan, reinterpret_cast<float*>(scratch));
  const int row = team.id / plan.grid_columns, column = team.id % plan.grid_columns;
  if (row >= plan.grid_rows) return;
  const Range rows = split(args.m, row, plan.grid_rows);
  const Range columns = split(args.n, column, plan.grid_columns, plan.column_grain);
  if (rows.begin == rows.end || columns.begin == columns.end) return;
  float* own = reinterpret_cast<float*>(scratch) + team.id * (plan.a_floats + plan.b_floats);
  multiply(rectangle(args, rows, columns), plan, own);
}

void gemm_serial(const GemmArgs& args, uint8_t* scratch) {
  Team alone{0, 1, nullptr};
  gemm(alone, args, scratch);
}

}  // namespace forja::FJ_ISA
