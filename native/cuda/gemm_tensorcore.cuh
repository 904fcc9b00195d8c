// Which tensor-core tile makes a product: those of gemm_warpgroup.cuh where the GPU has its instructions, else those of
// gemm_core.cuh.
#pragma once

#include "gemm_warpgroup.cuh"

namespace forja::cuda {

// As run_gemm, with the tile that is done first; operands of `problem` are E.
template <class E, int VA, int VB, class Problem>
void run_core_gemm(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products,
                   float* scratch) {
  if (m == 0 || n == 0 || products == 0) return;
  FastestTile<VA, VB, Problem> tile(to, m, n, k, products);
  if constexpr (VA == 1 || VB == 1) {  // what is read one by one takes many registers
    tile.template weigh<CoreTile<E, 64, 64, 2, 4, 1, 45>>();
  } else {
    tile.template weigh<CoreTile<E, 256, 128, 4, 2, 1, 100>>();
    tile.template weigh<CoreTile<E, 128, 128, 2, 2, 2, 90>>();
    tile.template weigh<CoreTile<E, 128, 64, 2, 2, 3, 65>>();
    tile.template weigh<CoreTile<E, 64, 64, 2, 2, 4, 45>>();
    if constexpr (std::is_same_v<E, BFloat16>) {
      if (to.warpgroups) {
        tile.template weigh<WarpgroupTile<128, 256, 4, 1, 165>>();
        tile.template weigh<WarpgroupTile<128, 128, 3, 2, 140>>();
        tile.template weigh<WarpgroupTile<128, 64, 3, 3, 95>>();
      }
    }
  }
  join_parts(to, problem, tile.run(problem, scratch), products, scratch);
}

}  // namespace forja::cuda
