// The register tile that matrix products and convolutions are made of:
//
//   C[i][j] (+)= sum over images, segments, k of A[i][k] * B[k][j]      i < mr <= kTileRows, j < nv vectors
//
// The mr x nv accumulators stay in registers over the whole sum; each step of k loads nv vectors of B and
// multiplies them by mr broadcast numbers of A, so nothing is shuffled and no lane is wasted but in the last
// column vector, which is masked. One kernel exists for every height 1..kTileRows and every number of
// vectors 1..kTileVectors; there is no scalar code for edges.
//
// A tile is fast when it has 12 accumulators or more (FMA latency 4 x 2 ports, and some slack): 14 x 2
// vectors of 16 with AVX-512 use 31 of 32 registers, 6 x 2 vectors of 8 with AVX2 use 15 of 16.
//
// The sum has three levels so that a convolution needs no copy of its input: for one filter row the (s, c)
// part of an N,H,W,C image is contiguous (kc), filter rows are segments, images (of a weight gradient) are
// the outer level. A plain product has one image of one segment.
//
//   for image: for segment: for k < kc:  A at a + image*a_image + segment*a_segment, B runs on by itself
//
// A is read where it lies (ASource); a packed panel of A is kColumns with lda = mr. B is read from a panel
// packed to nv vectors a row, or where it lies, in which case the kernel can also write the panel while
// it computes, so that the next row tile finds it packed.
#pragma once

#include "vec.h"

namespace forja::FJ_ISA {

#if defined(FJ_ISA_avx512)
constexpr int kTileRows = 14;
#elif defined(FJ_ISA_avx2)
constexpr int kTileRows = 6;
#elif defined(FJ_ISA_neon)
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 4;  // the unfused product needs registers of its own: 5 x 2 spills
#endif
constexpr int kTileVectors = 2;
constexpr int kTileCols = kTileVectors * kWidth;

// B streams through the L1 cache from L2, faster than the hardware looks ahead: without this hint a tile of
// 14 x 32 falls from 96 to 88 % of peak (Cascade Lake). So does A where it is read k-major, and either may come from
// further away, whence the distance: the weight gradient of a first layer gains 20 % (Zen 4).
constexpr int kPrefetchRows = 24;

enum class ASource {
  kRows,            // A[i][k] is a[i*lda + k]
  kColumns,         // a[k*lda + i]
  kColumnsPacking,  // the same, and column k is stored to a_packed + k * packed_height(mr); not with kInPlacePacking
};
enum class BSource {
  kPacked,          // b[k * nv*kWidth + j]; every lane may be read
  kInPlace,         // b[k*ldb + j]; only the tile's columns are read
  kInPlaceWhole,    // the same where the tile has nv*kWidth columns: a masked load takes a product's turn, 1 to 2 %
  kInPlacePacking,  // as kInPlace, and row k is stored to b_packed + k * nv*kWidth, padded with zeros
};

enum Activation : int32_t { kActivationNone = 0, kActivationRelu = 1 };

// What happens to a finished sum on its way to memory: c = activation(sum + bias[j]).
struct Epilogue {
  const float* bias = nullptr;  // (columns) or null
  int32_t activation = kActivationNone;

  FJ_INLINE_MEMBER bool empty() const { return !bias && activation == kActivationNone; }
  // For the tile that starts in column `column`.
  FJ_INLINE_MEMBER Epilogue at(int64_t column) const { return {bias ? bias + column : nullptr, activation}; }
};

struct TileArgs {
  const float* a;
  int64_t lda;
  float* a_packed = nullptr;  // kColumnsPacking only
  const float* b;
  int64_t ldb;      // not used by kPacked
  float* b_packed;  // kInPlacePacking only; 64-byte aligned rows are fastest
  float* c;         // (mr, ldc)
  int64_t ldc;
  int64_t kc;       // steps of k in one segment
  int tail;         // columns of the last vector, 1..kWidth
  bool accumulate;  // add to what C holds
  Epilogue epilogue;
  int64_t segments = 1, images = 1;
  int64_t a_segment = 0, a_image = 0;  // floats from one segment (image) of A to the next
  int64_t b_segment = 0, b_image = 0;  // floats of B skipped after a segment (image), beyond the rows used
  int64_t ahead = kPrefetchRows;       // rows of B from the one in use to the one asked for
  // Fetched into the cache on the way, soon_step floats further at each step of k; null: more of A where that is
  // read k-major.
  const float* soon = nullptr;
  int64_t soon_step = 0, soon_segment = 0, soon_image = 0;
};

// Floats from one column of a packed tile of mr rows to the next: whole vectors.
constexpr int64_t packed_height(int64_t mr) { return (mr + kWidth - 1) / kWidth * kWidth; }

// The compiled kernel for mr rows and nv vectors of columns (native/cpu/microkernel_table.h).
using TileKernel = void (*)(const TileArgs&);
TileKernel tile_kernel(ASource a, BSource b, int mr, int nv);

// Stores wait for their lines one after the other: these come while the sum is taken. A first layer, whose sums are
// short, gains 40 % (Zen 4). The 28 lines of an AVX-512 tile are asked for a row at a step of k, since all at once
// would hold up what A and B wait for: 64 to 64 channels gain 17 %. Smaller tiles have no time to spare in a step, and
// few lines.
template <int MR, int NV>
constexpr bool kStoreLinesByStep = kWidth == 16 && MR* NV > 16;
struct StoreAhead {
  const float* c;
  int64_t ldc, rows;  // rows still to be asked for

  template <int NV>
  FJ_INLINE_MEMBER void fetch_row() {
    for (int64_t j = 0; j < NV * kWidth; j += kLineFloats) __builtin_prefetch(c + j, 1);
    c += --rows > 0 ? ldc : 0;
  }
};

// A column of a tile of MR rows, whole vectors of it.
template <int MR>
FJ_INLINE void pack_column(const float* a, float* packed) {
  unroll<packed_height(MR) / kWidth>([&](auto v) FJ_LAMBDA {
    const bool whole = (v + 1) * kWidth <= MR;
    store(packed + v * kWidth, whole ? load(a + v * kWidth) : load_masked(tail_mask(MR - v * kWidth), a + v * kWidth));
  });
}

// acc += A * B over one segment; b and what is packed are moved past the rows used.
template <int MR, int NV, ASource A, BSource B>
FJ_INLINE void tile_segment(Vec (&acc)[MR][NV], const float* a, int64_t lda, float*& a_packed, const float*& b_rows,
                            int64_t ldb, int64_t ahead, float*& packed_rows, int64_t kc, Mask tail, const float* soon,
                            int64_t soon_step, StoreAhead& ahead_c) {
  constexpr int kRowGroups = (MR + 3) / 4;  // rows are reached as base, base+lda, +2lda, +3lda: few registers
  const float* rows[kRowGroups];
  unroll<kRowGroups>([&](auto g) FJ_LAMBDA { rows[g] = a + g * 4 * lda; });
  const int64_t lda3 = 3 * lda;
  const float* b = b_rows;
  float* packed = packed_rows;
#pragma GCC unroll 1
  for (int64_t k = 0; k < kc; k++) {
    Vec bv[NV];
    unroll<NV>([&](auto j) FJ_LAMBDA {
      if (j * kWidth % kLineFloats == 0) __builtin_prefetch(b + ahead + j * kWidth);
      const bool masked = (B == BSource::kInPlace || B == BSource::kInPlacePacking) && j == NV - 1;
      bv[j] = masked ? load_masked(tail, b + j * kWidth) : load(b + j * kWidth);
      if constexpr (B == BSource::kInPlacePacking) store(packed + j * kWidth, bv[j]);
    });
    if constexpr (NV > 1) {  // loads hold up the others as it is
      __builtin_prefetch(soon);
      if constexpr (A != ASource::kRows) __builtin_prefetch(soon + MR - 1);
      soon += soon_step;
    }
    if constexpr (kStoreLinesByStep<MR, NV>) ahead_c.template fetch_row<NV>();
    unroll<MR>([&](auto i) FJ_LAMBDA {
      const int g = i / 4, r = i % 4;
      const float* p = A != ASource::kRows ? a + i : r == 3 ? rows[g] + k + lda3 : rows[g] + k + r * lda;
      const Vec av = broadcast(*p);
      unroll<NV>([&](auto j) FJ_LAMBDA { acc[i][j] = fma(av, bv[j], acc[i][j]); });
    });
    if constexpr (A == ASource::kColumnsPacking) {
      pack_column<MR>(a, a_packed);
      a_packed += packed_height(MR);
    }
    if constexpr (A != ASource::kRows) a += lda;
    if constexpr (B == BSource::kInPlacePacking) packed += NV * kWidth;
    b += ldb;
  }
  b_rows = b;
  packed_rows = packed;
}

// The last steps of k are taken row by row, so that a row is stored beside the products of the next ones. All rows
// stored at the end would hold up the next tile: 28 stores take 80 cycles, as much as 3 steps of k (Zen 4).
constexpr int kLastSteps = 4;

template <int MR, int NV, ASource A, BSource B>
__attribute__((noinline)) void tile(const TileArgs& g) {
  Vec acc[MR][NV];
  unroll<MR>([&](auto i) FJ_LAMBDA { unroll<NV>([&](auto j) FJ_LAMBDA { acc[i][j] = zero(); }); });
  const Mask tail = tail_mask(g.tail);
  const int64_t ldb = B == BSource::kPacked ? NV * kWidth : g.ldb;
  const int64_t ahead = g.ahead * ldb;
  const float* a = g.a;
  const float* b = g.b;
  float *packed = g.b_packed, *a_packed = g.a_packed;
  const bool own = A != ASource::kRows && g.soon == nullptr;  // nothing else to fetch than A
  const float* soon = own ? g.a + kPrefetchRows * g.lda : g.soon ? g.soon : g.a;
  const int64_t soon_step = own ? g.lda : g.soon_step;
  const int64_t soon_segment = own ? g.a_segment : g.soon_segment, soon_image = own ? g.a_image : g.soon_image;
  StoreAhead ahead_c{g.c, g.ldc, MR};
  if constexpr (!kStoreLinesByStep<MR, NV>) unroll<MR>([&](auto) FJ_LAMBDA { ahead_c.template fetch_row<NV>(); });
  const bool by_rows =
      NV == kTileVectors && MR * NV >= kVectorRegisters / 4 && g.kc >= kLastSteps && g.segments > 0 && g.images > 0;
  for (int64_t image = 0; image < g.images; image++, a += g.a_image, b += g.b_image, soon += soon_image) {
    const float *a_row = a, *soon_row = soon;
    for (int64_t segment = 0; segment < g.segments;
         segment++, a_row += g.a_segment, b += g.b_segment, soon_row += soon_segment) {
      const bool last = by_rows && image == g.images - 1 && segment == g.segments - 1;
      tile_segment<MR, NV, A, B>(acc, a_row, g.lda, a_packed, b, ldb, ahead, packed, g.kc - (last ? kLastSteps : 0),
                                 tail, soon_row, soon_step, ahead_c);
    }
  }

  float* c = g.c;
  const int64_t ldc = g.ldc;
  const auto load_column = [&](auto j, const float* p) FJ_LAMBDA {
    return j == NV - 1 ? load_masked(tail, p + j * kWidth) : load(p + j * kWidth);
  };
  const auto finish = [&](auto i) FJ_LAMBDA {
    const auto add = [&](const float* p) FJ_LAMBDA {
      unroll<NV>([&](auto j) FJ_LAMBDA { acc[i][j] = acc[i][j] + load_column(j, p); });
    };
    if (g.accumulate) add(c + i * ldc);
    if (g.epilogue.bias) add(g.epilogue.bias);
    if (g.epilogue.activation == kActivationRelu) {
      unroll<NV>([&](auto j) FJ_LAMBDA { acc[i][j] = max(zero(), acc[i][j]); });
    }
    unroll<NV - 1>([&](auto j) FJ_LAMBDA { store(c + i * ldc + j * kWidth, acc[i][j]); });
    if constexpr (kWidth == 16) {
      store_masked(c + i * ldc + (NV - 1) * kWidth, tail, acc[i][NV - 1]);
    } else if (g.tail == kWidth) {
      store(c + i * ldc + (NV - 1) * kWidth, acc[i][NV - 1]);
    } else {
      store_masked(c + i * ldc + (NV - 1) * kWidth, tail, acc[i][NV - 1]);
    }
  };
  if (!by_rows) return unroll<MR>(finish);

  const int64_t k = g.kc - kLastSteps;
  const float* a_last = g.a + (g.images - 1) * g.a_image + (g.segments - 1) * g.a_segment;
  const float* b_last = b - g.b_image - g.b_segment;
  const int64_t b_step = B == BSource::kInPlacePacking ? NV * kWidth : ldb;
  if constexpr (B == BSource::kInPlacePacking) {
    unroll<kLastSteps>([&](auto t) FJ_LAMBDA {
      unroll<NV>([&](auto j) FJ_LAMBDA { store(packed + t * b_step + j * kWidth, load_column(j, b_last + t * ldb)); });
    });
    b_last = packed;
  }
  if constexpr (A == ASource::kColumnsPacking) {
    unroll<kLastSteps>([&](auto t)
                           FJ_LAMBDA { pack_column<MR>(a_last + (k + t) * g.lda, a_packed + t * packed_height(MR)); });
  }
  const auto load_b = [&](auto t, auto j) FJ_LAMBDA {
    return B == BSource::kInPlace ? load_column(j, b_last + t * b_step) : load(b_last + t * b_step + j * kWidth);
  };
  Vec bv[kLastSteps][NV];  // step t from row t on: each finished row frees the registers for one more
  unroll<MR>([&](auto i) FJ_LAMBDA {
    unroll<kLastSteps>([&](auto t) FJ_LAMBDA {
      const float* p = A != ASource::kRows ? a_last + (k + t) * g.lda + i : a_last + i * g.lda + k + t;
      const Vec av = broadcast(*p);
      unroll<NV>([&](auto j) FJ_LAMBDA {
        if (t == i) bv[t][j] = load_b(t, j);
        acc[i][j] = fma(av, t <= i ? bv[t][j] : load_b(t, j), acc[i][j]);
      });
    });
    finish(i);
  });
}

// --- packing ---------------------------------------------------------------------------------------------

// dst[k*ldd + i] = src[i*lds + k] for i < rows, k < columns, in blocks of kWidth x kWidth held in registers.
// kSpill, for rows <= kWidth only, stores whole vectors: what one store writes beyond its row the next one
// replaces, so the last row needs kWidth floats of room. Three times as fast as masked stores.
template <bool kSpill = false>
FJ_INLINE void pack_transposed(int64_t rows, int64_t columns, const float* src, int64_t lds, float* dst, int64_t ldd) {
  for (int64_t i0 = 0; i0 < rows; i0 += kWidth) {
    const int64_t height = rows - i0;
    const bool whole_stores = kSpill || height >= kWidth;
    const Mask down = tail_mask(height);
    for (int64_t k = 0; k < columns; k += kWidth) {
      const int64_t width = columns - k;
      const float* s = src + i0 * lds + k;
      float* d = dst + k * ldd + i0;
      Vec block[kWidth];
      if (width >= kWidth) {
        unroll<kWidth>([&](auto i) FJ_LAMBDA { block[i] = i < height ? load(s + i * lds) : zero(); });
      } else {
        const Mask across = tail_mask(width);
        unroll<kWidth>([&](auto i) FJ_LAMBDA { block[i] = i < height ? load_masked(across, s + i * lds) : zero(); });
      }
      transpose(block);
      if (width >= kWidth && whole_stores) {
        unroll<kWidth>([&](auto q) FJ_LAMBDA { store(d + q * ldd, block[q]); });
      } else {
        unroll<kWidth>([&](auto q) FJ_LAMBDA {
          if (q < width) store_masked(d + q * ldd, down, block[q]);
        });
      }
    }
  }
}

// dst[i*ldd + k] = src[i*lds + k] for i < rows, k < columns.
FJ_INLINE void pack_rows(int64_t rows, int64_t columns, const float* src, int64_t lds, float* dst, int64_t ldd) {
  const int64_t whole = columns / kWidth * kWidth;
  const Mask rest = tail_mask(columns - whole);
  for (int64_t i = 0; i < rows; i++, src += lds, dst += ldd) {
    for (int64_t k = 0; k < whole; k += kWidth) store(dst + k, load(src + k));
    if (whole < columns) store_masked(dst + whole, rest, load_masked(rest, src + whole));
  }
}

}  // namespace forja::FJ_ISA
