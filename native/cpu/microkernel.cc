// The kernel of a register tile.
#include "microkernel_table.h"

namespace forja::FJ_ISA {

TileKernel tile_kernel(ASource a, BSource b, int mr, int nv) {
  static constexpr const TileTables* kTables[] = {&kRowsTiles, &kColumnsTiles, &kColumnsPackingTiles};
  return kTables[static_cast<int>(a)]->kernels[static_cast<int>(b)][nv - 1][mr - 1];
}

}  // namespace forja::FJ_ISA
