#include "table.h"

namespace forja::ptx {

const Table& table() {
  static const Table& all = *[] {
    auto* made = new Table;
    for (const auto add : {add_integers, add_floats, add_conversions, add_moves, add_control, add_memory_instructions,
                           add_copies, add_warp_instructions, add_matrices, add_warpgroup}) {
      add(*made);
    }
    return made;
  }();
  return all;
}

}  // namespace forja::ptx
