// Convolution in tiles of registers (gemm.cuh).
#include "conv_products.cuh"

namespace forja::cuda {

void conv_implicit(Launcher& to, const ConvGeometry& g, const ConvForward& a, float* scratch) {
  run_direction<false>(to, g, a, scratch);
}
void conv_implicit(Launcher& to, const ConvGeometry& g, const ConvGradInput& a, float* scratch) {
  run_direction<false>(to, g, a, scratch);
}
void conv_implicit(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch) {
  run_direction<false>(to, g, a, scratch);
}

}  // namespace forja::cuda
