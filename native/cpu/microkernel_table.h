// Every height and width of the register tile of simd/microkernel.h, found by tables: 280 kernels with AVX-512. A file
// for each source of A compiles its own, since one for all takes a compiler minutes and gigabytes.
#pragma once

#include "simd/microkernel.h"

namespace forja::FJ_ISA {

// By the source of B, vectors of columns and rows; null where no kernel is wanted.
struct TileTables {
  TileKernel kernels[4][kTileVectors][kTileRows];
};

extern const TileTables kRowsTiles, kColumnsTiles, kColumnsPackingTiles;

template <ASource A, BSource B, int NV, int... I>
constexpr void fill_heights(TileTables& tables, std::integer_sequence<int, I...>) {
  ((tables.kernels[static_cast<int>(B)][NV - 1][I] = &tile<I + 1, NV, A, B>), ...);
}

template <ASource A, BSource B, int... J>
constexpr void fill_widths(TileTables& tables, std::integer_sequence<int, J...>) {
  (fill_heights<A, B, J + 1>(tables, std::make_integer_sequence<int, kTileRows>{}), ...);
}

template <ASource A, BSource... B>
constexpr TileTables make_tables() {
  TileTables tables{};
  (fill_widths<A, B>(tables, std::make_integer_sequence<int, kTileVectors>{}), ...);
  return tables;
}

}  // namespace forja::FJ_ISA
