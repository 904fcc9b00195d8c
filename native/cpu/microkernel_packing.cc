// Tiles of products whose A lies by columns and is packed on the way.
#include "microkernel_table.h"

namespace forja::FJ_ISA {

const TileTables kColumnsPackingTiles = make_tables<ASource::kColumnsPacking, BSource::kPacked, BSource::kInPlace>();

}  // namespace forja::FJ_ISA
