// Every height and width of the register tile of simd/microkernel.h, compiled once and found by a table.
// 10 pairs of sources x kTileRows x kTileVectors kernels: 280 with AVX-512.
#include "simd/microkernel.h"

namespace forja::FJ_ISA {
namespace {

struct TileTable {
  TileKernel kernels[kTileVectors][kTileRows];
};

template <int NV, ASource A, BSource B, int... I>
constexpr void fill_heights(TileTable& table, std::integer_sequence<int, I...>) {
  ((table.kernels[NV - 1][I] = &tile<I + 1, NV, A, B>), ...);
}

template <ASource A, BSource B, int... J>
constexpr TileTable make_table(std::integer_sequence<int, J...>) {
  TileTable table{};
  (fill_heights<J + 1, A, B>(table, std::make_integer_sequence<int, kTileRows>{}), ...);
  return table;
}

template <ASource A, BSource B>
constexpr TileTable kTable = make_table<A, B>(std::make_integer_sequence<int, kTileVectors>{});

}  // namespace

TileKernel tile_kernel(ASource a, BSource b, int mr, int nv) {
  static constexpr const TileTable* tables[3][4] = {
      {&kTable<ASource::kRows, BSource::kPacked>, &kTable<ASource::kRows, BSource::kInPlace>,
       &kTable<ASource::kRows, BSource::kInPlaceWhole>, &kTable<ASource::kRows, BSource::kInPlacePacking>},
      {&kTable<ASource::kColumns, BSource::kPacked>, &kTable<ASource::kColumns, BSource::kInPlace>,
       &kTable<ASource::kColumns, BSource::kInPlaceWhole>, &kTable<ASource::kColumns, BSource::kInPlacePacking>},
      {&kTable<ASource::kColumnsPacking, BSource::kPacked>, &kTable<ASource::kColumnsPacking, BSource::kInPlace>,
       nullptr, nullptr},
  };
  return tables[static_cast<int>(a)][static_cast<int>(b)]->kernels[nv - 1][mr - 1];
}

}  // namespace forja::FJ_ISA
