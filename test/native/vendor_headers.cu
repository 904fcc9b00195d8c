// Compares native/cuda/libraries.cuh with the headers of NVIDIA's libraries, while it is compiled: CHECK_CUBLASLT and
// CHECK_CUDNN say with whose.
#include "cuda/libraries.cuh"

using namespace forja::cuda;

namespace {

// Whether the two are passed alike: pointers, numbers of the same size, and an enum as an int.
template <class Theirs, class Ours>
constexpr bool kAlike = sizeof(Theirs) == sizeof(Ours) && std::is_pointer_v<Theirs> == std::is_pointer_v<Ours> &&
                        (std::is_pointer_v<Theirs> || std::is_same_v<Theirs, Ours> ||
                         (std::is_enum_v<Theirs> && std::is_same_v<Ours, int>));

template <bool kSameCount>
struct Parameters {
  template <class... Theirs, class... Ours>
  static constexpr bool alike(void (*)(Theirs...), void (*)(Ours...)) {
    return (kAlike<Theirs, Ours> && ...);
  }
};
template <>
struct Parameters<false> {
  template <class Theirs, class Ours>
  static constexpr bool alike(Theirs, Ours) {
    return false;
  }
};

template <class A, class... Theirs, class B, class... Ours>
constexpr bool alike(A (*)(Theirs...), B (*)(Ours...)) {
  constexpr bool kSameCount = sizeof...(Theirs) == sizeof...(Ours);
  return kAlike<A, B> && Parameters<kSameCount>::alike(static_cast<void (*)(Theirs...)>(nullptr),
                                                       static_cast<void (*)(Ours...)>(nullptr));
}

}  // namespace

#define CHECK_FUNCTION(theirs, ours) \
  static_assert(alike(static_cast<decltype(&theirs)>(nullptr), static_cast<decltype(ours)>(nullptr)), #theirs)
#define CHECK_NUMBER(theirs, ours) static_assert(static_cast<int>(theirs) == static_cast<int>(ours), #theirs)
#define CHECK_SIZE(theirs, ours) static_assert(sizeof(theirs) == sizeof(ours), #theirs)
#define CHECK_FIELD(theirs, their_field, ours, field) \
  static_assert(offsetof(theirs, their_field) == offsetof(ours, field), #theirs "." #their_field)

#ifdef CHECK_CUBLASLT
#include <cublasLt.h>

CHECK_NUMBER(CUBLAS_STATUS_SUCCESS, 0);
CHECK_NUMBER(CUDA_R_32F, kCudaFloat32);
CHECK_NUMBER(CUDA_R_16BF, kCudaBFloat16);
CHECK_NUMBER(CUBLAS_COMPUTE_32F, kComputeFloat32);
CHECK_NUMBER(CUBLAS_COMPUTE_32F_FAST_TF32, kComputeFloat32Tf32);
CHECK_NUMBER(CUBLAS_OP_N, false);
CHECK_NUMBER(CUBLAS_OP_T, true);
CHECK_NUMBER(CUBLASLT_EPILOGUE_DEFAULT, kEpilogueNone);
CHECK_NUMBER(CUBLASLT_EPILOGUE_RELU, kEpilogueRelu);
CHECK_NUMBER(CUBLASLT_EPILOGUE_BIAS, kEpilogueBias);
CHECK_NUMBER(CUBLASLT_EPILOGUE_RELU_BIAS, kEpilogueBiasRelu);
CHECK_NUMBER(CUBLASLT_MATMUL_DESC_TRANSA, kDescTransA);
CHECK_NUMBER(CUBLASLT_MATMUL_DESC_TRANSB, kDescTransB);
CHECK_NUMBER(CUBLASLT_MATMUL_DESC_EPILOGUE, kDescEpilogue);
CHECK_NUMBER(CUBLASLT_MATMUL_DESC_BIAS_POINTER, kDescBias);
CHECK_NUMBER(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, kLayoutBatchCount);
CHECK_NUMBER(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, kLayoutBatchStride);
CHECK_NUMBER(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kPreferenceWorkspace);
CHECK_NUMBER(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, kPreferenceReduction);
CHECK_NUMBER(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, kReductionComputeType);
CHECK_NUMBER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kPreferenceAlignmentA);
CHECK_NUMBER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kPreferenceAlignmentA + 1);
CHECK_NUMBER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kPreferenceAlignmentA + 2);
CHECK_NUMBER(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kPreferenceAlignmentA + 3);

CHECK_SIZE(cublasLtMatmulAlgo_t, CublasLtAlgorithm);
CHECK_SIZE(cublasLtMatmulHeuristicResult_t, CublasLtHeuristic);
CHECK_FIELD(cublasLtMatmulHeuristicResult_t, workspaceSize, CublasLtHeuristic, workspace);
CHECK_FIELD(cublasLtMatmulHeuristicResult_t, state, CublasLtHeuristic, status);
CHECK_FIELD(cublasLtMatmulHeuristicResult_t, wavesCount, CublasLtHeuristic, waves);

CHECK_FUNCTION(cublasLtCreate, CublasLt::create);
CHECK_FUNCTION(cublasLtDestroy, CublasLt::destroy);
CHECK_FUNCTION(cublasLtGetVersion, CublasLt::get_version);
CHECK_FUNCTION(cublasLtGetStatusString, CublasLt::status_text);
CHECK_FUNCTION(cublasLtMatmulDescCreate, CublasLt::desc_create);
CHECK_FUNCTION(cublasLtMatmulDescDestroy, CublasLt::desc_destroy);
CHECK_FUNCTION(cublasLtMatmulDescSetAttribute, CublasLt::desc_set);
CHECK_FUNCTION(cublasLtMatrixLayoutCreate, CublasLt::layout_create);
CHECK_FUNCTION(cublasLtMatrixLayoutDestroy, CublasLt::layout_destroy);
CHECK_FUNCTION(cublasLtMatrixLayoutSetAttribute, CublasLt::layout_set);
CHECK_FUNCTION(cublasLtMatmulPreferenceCreate, CublasLt::preference_create);
CHECK_FUNCTION(cublasLtMatmulPreferenceDestroy, CublasLt::preference_destroy);
CHECK_FUNCTION(cublasLtMatmulPreferenceSetAttribute, CublasLt::preference_set);
CHECK_FUNCTION(cublasLtMatmulAlgoGetHeuristic, CublasLt::heuristic);
CHECK_FUNCTION(cublasLtMatmul, CublasLt::matmul);
#endif

#ifdef CHECK_CUDNN
#include <cudnn.h>

CHECK_NUMBER(CUDNN_STATUS_SUCCESS, 0);
CHECK_NUMBER(CUDNN_TENSOR_NHWC, kCudnnNhwc);
CHECK_NUMBER(CUDNN_CROSS_CORRELATION, kCudnnCrossCorrelation);
CHECK_NUMBER(CUDNN_DETERMINISTIC, kCudnnDeterministic);
CHECK_NUMBER(CUDNN_DATA_FLOAT, kCudnnFloat32);
CHECK_NUMBER(CUDNN_DATA_BFLOAT16, kCudnnBFloat16);
CHECK_NUMBER(CUDNN_DEFAULT_MATH, kCudnnDefaultMath);
CHECK_NUMBER(CUDNN_TENSOR_OP_MATH, kCudnnTensorCores);
CHECK_NUMBER(CUDNN_FMA_MATH, kCudnnFloat32Math);

#define CHECK_ALGORITHM(theirs)                                  \
  CHECK_SIZE(theirs, CudnnAlgorithm);                            \
  CHECK_FIELD(theirs, algo, CudnnAlgorithm, algorithm);          \
  CHECK_FIELD(theirs, status, CudnnAlgorithm, status);           \
  CHECK_FIELD(theirs, time, CudnnAlgorithm, time);               \
  CHECK_FIELD(theirs, memory, CudnnAlgorithm, memory);           \
  CHECK_FIELD(theirs, determinism, CudnnAlgorithm, determinism); \
  CHECK_FIELD(theirs, mathType, CudnnAlgorithm, math)
CHECK_ALGORITHM(cudnnConvolutionFwdAlgoPerf_t);
CHECK_ALGORITHM(cudnnConvolutionBwdDataAlgoPerf_t);
CHECK_ALGORITHM(cudnnConvolutionBwdFilterAlgoPerf_t);

CHECK_FUNCTION(cudnnCreate, Cudnn::create);
CHECK_FUNCTION(cudnnDestroy, Cudnn::destroy);
CHECK_FUNCTION(cudnnSetStream, Cudnn::set_stream);
CHECK_FUNCTION(cudnnGetVersion, Cudnn::get_version);
CHECK_FUNCTION(cudnnGetErrorString, Cudnn::status_text);
CHECK_FUNCTION(cudnnCreateTensorDescriptor, Cudnn::tensor_create);
CHECK_FUNCTION(cudnnDestroyTensorDescriptor, Cudnn::tensor_destroy);
CHECK_FUNCTION(cudnnSetTensor4dDescriptor, Cudnn::tensor_set);
CHECK_FUNCTION(cudnnCreateFilterDescriptor, Cudnn::filter_create);
CHECK_FUNCTION(cudnnDestroyFilterDescriptor, Cudnn::filter_destroy);
CHECK_FUNCTION(cudnnSetFilter4dDescriptor, Cudnn::filter_set);
CHECK_FUNCTION(cudnnCreateConvolutionDescriptor, Cudnn::convolution_create);
CHECK_FUNCTION(cudnnDestroyConvolutionDescriptor, Cudnn::convolution_destroy);
CHECK_FUNCTION(cudnnSetConvolution2dDescriptor, Cudnn::convolution_set);
CHECK_FUNCTION(cudnnSetConvolutionGroupCount, Cudnn::convolution_groups);
CHECK_FUNCTION(cudnnSetConvolutionMathType, Cudnn::convolution_math);
CHECK_FUNCTION(cudnnGetConvolutionForwardAlgorithm_v7, Cudnn::Direction::algorithms);
CHECK_FUNCTION(cudnnGetConvolutionBackwardDataAlgorithm_v7, Cudnn::Direction::algorithms);
CHECK_FUNCTION(cudnnGetConvolutionBackwardFilterAlgorithm_v7, Cudnn::Direction::algorithms);
CHECK_FUNCTION(cudnnGetConvolutionForwardWorkspaceSize, Cudnn::Direction::workspace);
CHECK_FUNCTION(cudnnGetConvolutionBackwardDataWorkspaceSize, Cudnn::Direction::workspace);
CHECK_FUNCTION(cudnnGetConvolutionBackwardFilterWorkspaceSize, Cudnn::Direction::workspace);
CHECK_FUNCTION(cudnnConvolutionForward, Cudnn::Direction::run);
CHECK_FUNCTION(cudnnConvolutionBackwardData, Cudnn::Direction::run);
CHECK_FUNCTION(cudnnConvolutionBackwardFilter, Cudnn::Direction::run);
#endif
