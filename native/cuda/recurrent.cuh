// What the recurrent kernels share: recurrent.cu (forward) and recurrent_grad.cu (backward). Sizes, gates and the rows
// of `steps` are those of core/geometry.h.
//
// All weights lie side by side in scratch, (gates*H, K), zero where a gate does not read: a step is one product with a
// row of `steps` for all gates and biases, and one kernel for the cells' formula.
#pragma once

#include "gemm.cuh"

namespace forja::cuda {

using Recurrent = RecurrentGeometry;

struct RecurrentWeights {
  const float *ih, *hh;            // (G*H, I), (G*H, H)
  const float *bias_ih, *bias_hh;  // (G*H)
};

// packed (gates*H, K): row `gate * H + unit` is [W_i, b_i, W_h, b_h] of that gate.
void pack_weights(Launcher& to, const Recurrent& r, const RecurrentWeights& w, float* packed);

// A product of matrices as a problem of run_gemm.
template <class A, class B, class Into>
struct OneProduct {
  A left;
  B right;
  Into into;
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
  __device__ __forceinline__ Into epilogue(int) const { return into; }
};

template <class A, class B, class Into>
void multiply(Launcher& to, const A& a, const B& b, const Into& into, int64_t k, float* scratch) {
  run_gemm<1, 1>(to, OneProduct<A, B, Into>{a, b, into}, a.count, b.count, k, 1, scratch);
}

__device__ __forceinline__ float logistic(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

inline int64_t round_floats(int64_t floats) { return ceil_div(floats, 64) * 64; }

}  // namespace forja::cuda
