// Matrix products in tiles of registers (gemm.cuh).
#include "matmul_tiles.cuh"

namespace forja::cuda {

void matmul_tiled(Launcher& to, const Batch& g, float* scratch) { run_products<false>(to, g, scratch); }

}  // namespace forja::cuda
