// What the recurrent kernels share: recurrent.cu (forward) and recurrent_grad.cu (backward). Sizes and cells are those
// of core/geometry.h; G is r.x_gates, the blocks of H rows in a weight, 1, 3 or 4.
#pragma once

#include "gemm.cuh"

namespace forja::cuda {

using Recurrent = RecurrentGeometry;

// A product of matrices as a problem of run_gemm.
template <class A, class B>
struct OneProduct {
  A left;
  B right;
  Epilogue into;
  __device__ __forceinline__ A a(int, int end) const {
    A operand = left;
    operand.end = end;
    return operand;
  }
  __device__ __forceinline__ B b(int, int end) const {
    B operand = right;
    operand.end = end;
    return operand;
  }
  __device__ __forceinline__ Epilogue epilogue(int) const { return into; }
};

template <class A, class B>
OneProduct(A, B, Epilogue) -> OneProduct<A, B>;

template <int V, class A, class B>
void multiply(Launcher& to, const OneProduct<A, B>& product, int64_t k, float* scratch) {
  run_gemm<V, V>(to, product, product.left.count, product.right.count, k, 1, scratch);
}

// Whether rows of inputs and of hidden units are pieces of 16 bytes.
inline bool in_pieces(const Recurrent& r) { return r.i % 4 == 0 && r.h % 4 == 0; }

// Kernels count rows and columns in 32 bits.
inline bool fits(const Recurrent& r) { return r.t * r.n < kMaxSize && r.rows() < kMaxSize; }

__device__ __forceinline__ float logistic(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

}  // namespace forja::cuda
