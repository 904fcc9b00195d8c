// Tiles of products whose A lies by rows.
#include "microkernel_table.h"

namespace forja::FJ_ISA {

const TileTables kRowsTiles = make_tables<ASource::kRows, BSource::kPacked, BSource::kInPlace, BSource::kInPlaceWhole,
                                          BSource::kInPlacePacking>();

}  // namespace forja::FJ_ISA
