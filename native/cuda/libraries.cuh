// NVIDIA's libraries that forja uses where a machine has them and never needs: cuBLASLt for products of matrices
// (matmul_cublas.cu), cuDNN for convolutions (conv_cudnn.cu). They are opened at run time, when a program first asks
// for them: in the folders that FORJA_CUDA_LIB_DIR names, separated by colons, then wherever the system looks, then in
// the toolkit's usual folder. The types and numbers below are those of their interfaces; no header of theirs is part of
// the build.
#pragma once

#include <string>

#include "launch.cuh"

struct fj_device;

namespace forja::cuda {

struct Library {
  std::string problem;        // why it cannot be used; empty where it can
  std::string version, path;  // where it can
};

// Numbers of the data types that both the runtime and cuBLAS use.
enum : int { kCudaFloat32 = 0, kCudaBFloat16 = 14 };

// --- cuBLASLt ----------------------------------------------------------------------------------------------
// Matrices of the library lie in columns. Every function answers 0, or a number that `status_text` explains.

enum : int {
  kComputeFloat32 = 68,      // sums and products in float32
  kComputeFloat32Tf32 = 77,  // operands rounded to TF32
};
enum : int { kEpilogueNone = 1, kEpilogueRelu = 2, kEpilogueBias = 4, kEpilogueBiasRelu = 6 };
enum : int { kDescTransA = 3, kDescTransB = 4, kDescEpilogue = 7, kDescBias = 8 };
enum : int { kLayoutBatchCount = 5, kLayoutBatchStride = 6 };
// Alignments of B, C and D: the next three.
enum : int { kPreferenceWorkspace = 1, kPreferenceReduction = 3, kPreferenceAlignmentA = 5 };
constexpr uint32_t kReductionComputeType = 2;  // parts of a sum are kept, and joined, in the type they are computed in

struct CublasLtAlgorithm {
  uint64_t data[8];
};
struct CublasLtHeuristic {
  CublasLtAlgorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(CublasLtHeuristic) == 96 && offsetof(CublasLtHeuristic, workspace) == 64 &&
              offsetof(CublasLtHeuristic, status) == 72);

struct CublasLt : Library {
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  size_t (*get_version)();
  const char* (*status_text)(int status);
  int (*desc_create)(void** desc, int compute, int scale_type);
  int (*desc_destroy)(void* desc);
  int (*desc_set)(void* desc, int attribute, const void* value, size_t bytes);
  int (*layout_create)(void** layout, int type, uint64_t rows, uint64_t columns, int64_t stride);
  int (*layout_destroy)(void* layout);
  int (*layout_set)(void* layout, int attribute, const void* value, size_t bytes);
  int (*preference_create)(void** preference);
  int (*preference_destroy)(void* preference);
  int (*preference_set)(void* preference, int attribute, const void* value, size_t bytes);
  int (*heuristic)(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted,
                   CublasLtHeuristic* found, int* count);
  int (*matmul)(void* handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b,
                void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                const CublasLtAlgorithm* algorithm, void* workspace, size_t workspace_bytes, cudaStream_t stream);
};

// --- cuDNN -------------------------------------------------------------------------------------------------

enum : int { kCudnnNhwc = 1, kCudnnCrossCorrelation = 1, kCudnnDeterministic = 1 };
enum : int { kCudnnFloat32 = 0, kCudnnBFloat16 = 9 };
enum : int { kCudnnDefaultMath = 0, kCudnnTensorCores = 1, kCudnnFloat32Math = 3 };

// What the library thinks of an algorithm, the best first.
struct CudnnAlgorithm {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math;
  int reserved[3];
};
static_assert(sizeof(CudnnAlgorithm) == 48 && offsetof(CudnnAlgorithm, memory) == 16 &&
              offsetof(CudnnAlgorithm, determinism) == 24);

struct Cudnn : Library {
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  int (*set_stream)(void* handle, cudaStream_t stream);
  size_t (*get_version)();
  const char* (*status_text)(int status);
  int (*tensor_create)(void** tensor);
  int (*tensor_destroy)(void* tensor);
  int (*tensor_set)(void* tensor, int format, int type, int n, int c, int h, int w);
  int (*filter_create)(void** filter);
  int (*filter_destroy)(void* filter);
  int (*filter_set)(void* filter, int type, int format, int k, int c, int r, int s);
  int (*convolution_create)(void** convolution);
  int (*convolution_destroy)(void* convolution);
  int (*convolution_set)(void* convolution, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,
                         int dilation_w, int mode, int compute_type);
  int (*convolution_groups)(void* convolution, int groups);
  int (*convolution_math)(void* convolution, int math);
  // Of y = x * w, dx = dy * w and dw = x * dy: what may compute it, the work space of an algorithm, and computing it.
  // The first two operands and the result are named in the order of the calls.
  struct Direction {
    int (*algorithms)(void* handle, void* first, void* second, void* convolution, void* result, int wanted, int* count,
                      CudnnAlgorithm* found);
    int (*workspace)(void* handle, void* first, void* second, void* convolution, void* result, int algorithm,
                     size_t* bytes);
    int (*run)(void* handle, const void* alpha, void* first_desc, const void* first, void* second_desc,
               const void* second, void* convolution, int algorithm, void* workspace, size_t workspace_bytes,
               const void* beta, void* result_desc, void* result);
  };
  Direction forward, grad_input, grad_weight;
};

// Opened at first use.
const CublasLt& cublas_lt();
const Cudnn& cudnn();

// The handle of a device, made at first use, or null with the reason in `problem`. Called by the executor's thread,
// never while a stream records.
void* cublas_lt_handle(fj_device& device, std::string* problem);
void* cudnn_handle(fj_device& device, std::string* problem);

// A line for each library, "name\tversion\tpath" or "name\t\twhy not", as program_describe writes text.
size_t describe_libraries(char* text, size_t size);

// Work space that a library may ask for, of one call.
constexpr size_t kMostWorkspace = size_t{32} << 20;

}  // namespace forja::cuda
