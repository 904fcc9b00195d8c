// The fast matrix product, on the register tile of simd/microkernel.h.
//
//   for each block of kc rows of B          (512: C is read and written once per block)
//     for each block of nc columns of B     (kc x nc floats stay in the L2 cache)
//       for each tile of rows of A          (rows x kc floats stay in the L1 cache)
//         for each tile of columns of B     one call of the register tile
//
// B is copied to panels of kTileCols columns, so that the tile reads it in one stream: by the first row tile
// while it computes, or, where B is transposed, before. A is read where it lies: the tile wants single
// numbers of it, in any order. Only where the rows of A fall on the same cache sets or pages run out,
// it is copied too.
//
// Threads get a rectangle of C each and work without a barrier, each on its own copy of what it packs.
#include "gemm.h"

namespace forja::FJ_ISA {
namespace {

#ifndef FJ_KC
#define FJ_KC 512
#endif
#ifndef FJ_NC
#define FJ_NC 288
#endif
int g_pack_a = -1, g_pack_b = -1, g_kc = FJ_KC, g_nc = FJ_NC;

struct Plan {
  int grid_rows, grid_columns;  // threads along m and n
  int64_t column_grain;         // columns of C are cut at multiples of this
  int64_t kc, nc;
  bool pack_a, pack_b;
  int64_t a_floats, b_floats;  // of one thread's packed blocks
};

constexpr int64_t kLineFloats = 16;  // 64 bytes

FJ_INLINE int64_t round_up(int64_t n, int64_t grain) { return ceil_div(n, grain) * grain; }

// Which grid of threads has the least work in its largest rectangle. Work is counted in multiply-adds of a
// full vector: a rectangle's own, and what reading or packing its share of B and A is worth.
FJ_INLINE void choose_grid(const GemmArgs& g, int threads, Plan& plan) {
  const int64_t b_rows = g.trans_b ? 8 : 2, a_columns = 2 * kWidth;
  int64_t best = INT64_MAX;
  for (int rows = 1; rows <= threads; rows++) {
    const int columns = threads / rows;
    const int64_t grain = g.n >= 4 * kTileCols * columns ? kTileCols : kWidth;
    const int64_t height = ceil_div(g.m, rows);
    const int64_t width = ceil_div(ceil_div(g.n, grain), columns) * grain;
    const int64_t work = (height + b_rows) * (width + a_columns);
    if (work < best) {
      best = work;
      plan.grid_rows = rows;
      plan.grid_columns = columns;
      plan.column_grain = grain;
    }
  }
}

Plan make_plan(const GemmArgs& g, int threads) {
  Plan plan{};
  choose_grid(g, threads, plan);
  const int64_t height = ceil_div(g.m, plan.grid_rows);
  const int64_t width = ceil_div(ceil_div(g.n, plan.column_grain), plan.grid_columns) * plan.column_grain;
  plan.kc = even_part(larger(g.k, 1), g_kc);
  plan.nc = smaller(round_up(width, kTileCols), g_nc);
  plan.pack_b = g_pack_b >= 0 ? g.trans_b || g_pack_b : g.trans_b || height > kTileRows;
  plan.pack_a = g_pack_a >= 0 ? g_pack_a : false;
  if (plan.pack_b) plan.b_floats = round_up(plan.kc * plan.nc, kLineFloats);
  if (plan.pack_a) plan.a_floats = round_up(plan.kc * height, kLineFloats);
  return plan;
}

// Panels of `rows_per_tile` rows, column-major inside: the tile reads them as kColumns with lda = its height.
FJ_INLINE void pack_a_block(const GemmArgs& g, int64_t k0, int64_t kc, int64_t rows_per_tile, float* packed) {
  for (int64_t i = 0; i < g.m; i += rows_per_tile) {
    const int64_t mr = smaller(rows_per_tile, g.m - i);
    if (g.trans_a) {
      pack_rows(kc, mr, g.a + k0 * g.lda + i, g.lda, packed + i * kc, mr);
    } else {
      pack_transposed(mr, kc, g.a + i * g.lda + k0, g.lda, packed + i * kc, mr);
    }
  }
}

// Panels of B^T's block, each as wide as the tile that will read it.
FJ_INLINE void pack_b_block(const GemmArgs& g, int64_t k0, int64_t kc, int64_t j0, int64_t columns, float* packed) {
  for (int64_t j = 0; j < columns; j += kTileCols) {
    const int64_t nr = smaller(kTileCols, columns - j);
    pack_transposed(nr, kc, g.b + (j0 + j) * g.ldb + k0, g.ldb, packed + j * kc, round_up(nr, kWidth));
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
  for (int64_t k0 = 0; k0 == 0 || k0 < g.k; k0 += plan.kc) {
    t.kc = smaller(plan.kc, g.k - k0);
    t.accumulate = g.accumulate || k0 > 0;
    const bool last_block = k0 + plan.kc >= g.k;
    if (plan.pack_a) pack_a_block(g, k0, t.kc, rows_per_tile, a_packed);
    for (int64_t j0 = 0; j0 < g.n; j0 += plan.nc) {
      const int64_t columns = smaller(plan.nc, g.n - j0);
      if (g.trans_b) pack_b_block(g, k0, t.kc, j0, columns, b_packed);
      for (int64_t i = 0; i < g.m; i += rows_per_tile) {
        const int64_t mr = smaller(rows_per_tile, g.m - i);
        t.a = plan.pack_a ? a_packed + i * t.kc : g.trans_a ? g.a + k0 * g.lda + i : g.a + i * g.lda + k0;
        t.lda = plan.pack_a ? mr : g.lda;
        const BSource b_source = !plan.pack_b ? BSource::kInPlace
                                 : g.trans_b || i > 0 ? BSource::kPacked
                                                      : BSource::kInPlacePacking;
        for (int64_t j = 0; j < columns; j += kTileCols) {
          const int nr = static_cast<int>(smaller(kTileCols, columns - j));
          const int nv = (nr + kWidth - 1) / kWidth;
          const int64_t offset = i * g.ldc + j0 + j;
          t.tail = nr - (nv - 1) * kWidth;
          t.b_packed = b_packed + j * t.kc;
          t.b = b_source == BSource::kPacked ? t.b_packed : g.b + k0 * g.ldb + j0 + j;
          t.c = g.c + offset;
          t.epilogue = last_block ? g.epilogue.at(offset, j0 + j) : Epilogue{};
          tile_kernel(a_source, b_source, static_cast<int>(mr), nv)(t);
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
  const int64_t offset = rows.begin * g.ldc + columns.begin;
  part.c += offset;
  part.epilogue = g.epilogue.at(offset, columns.begin);
  return part;
}

}  // namespace

size_t gemm_scratch(const GemmArgs& args, int threads) {
  if (gemv_applies(args)) return 0;
  const Plan plan = make_plan(args, threads);
  return static_cast<size_t>(plan.a_floats + plan.b_floats) * sizeof(float) * threads;
}

void gemm(const Team& team, const GemmArgs& args, uint8_t* scratch) {
  if (gemv_applies(args)) return gemv(team, args);
  const Plan plan = make_plan(args, team.count);
  const int row = team.id / plan.grid_columns, column = team.id % plan.grid_columns;
  if (row >= plan.grid_rows) return;
  const Range rows = split(args.m, row, plan.grid_rows);
  const Range columns = split(args.n, column, plan.grid_columns, plan.column_grain);
  if (rows.begin == rows.end || columns.begin == columns.end) return;
  float* own = reinterpret_cast<float*>(scratch) + team.id * (plan.a_floats + plan.b_floats);
  multiply(rectangle(args, rows, columns), plan, own);
}

void gemm_serial(const GemmArgs& args, uint8_t* scratch) { gemm(Team{0, 1, nullptr}, args, scratch); }

}  // namespace forja::FJ_ISA
