// Convolution on tensor cores (gemm_tensorcore.cuh).
#include "conv_products.cuh"

namespace forja::cuda {

template <class E>
void conv_tensorcore(Launcher& to, const ConvGeometry& g, const ConvForwardOf<E>& a, float* scratch) {
  run_direction<true>(to, g, a, scratch);
}
template <class E>
void conv_tensorcore(Launcher& to, const ConvGeometry& g, const ConvGradInputOf<E>& a, float* scratch) {
  run_direction<true>(to, g, a, scratch);
}
template <class E>
void conv_tensorcore(Launcher& to, const ConvGeometry& g, const ConvGradWeightOf<E>& a, float* scratch) {
  run_direction<true>(to, g, a, scratch);
}

template void conv_tensorcore(Launcher&, const ConvGeometry&, const ConvForwardOf<float>&, float*);
template void conv_tensorcore(Launcher&, const ConvGeometry&, const ConvGradInputOf<float>&, float*);
template void conv_tensorcore(Launcher&, const ConvGeometry&, const ConvGradWeightOf<float>&, float*);
template void conv_tensorcore(Launcher&, const ConvGeometry&, const ConvForwardOf<BFloat16>&, float*);
template void conv_tensorcore(Launcher&, const ConvGeometry&, const ConvGradInputOf<BFloat16>&, float*);
template void conv_tensorcore(Launcher&, const ConvGeometry&, const ConvGradWeightOf<BFloat16>&, float*);

}  // namespace forja::cuda
