// Tiles of products whose A lies by columns, or is packed.
#include "microkernel_table.h"

namespace forja::FJ_ISA {

const TileTables kColumnsTiles = make_tables<ASource::kColumns, BSource::kPacked, BSource::kInPlace,
                                             BSource::kInPlaceWhole, BSource::kInPlacePacking>();

}  // namespace forja::FJ_ISA
