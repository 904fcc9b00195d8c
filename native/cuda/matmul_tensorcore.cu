// Matrix products on tensor cores (gemm_tensorcore.cuh).
#include "matmul_tiles.cuh"

namespace forja::cuda {

template <class E>
void matmul_tensorcore(Launcher& to, const BatchOf<E>& g, float* scratch) {
  run_products<true>(to, g, scratch);
}

template void matmul_tensorcore(Launcher&, const BatchOf<float>&, float*);
template void matmul_tensorcore(Launcher&, const BatchOf<BFloat16>&, float*);

}  // namespace forja::cuda
