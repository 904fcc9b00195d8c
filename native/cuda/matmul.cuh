// What a matmul instruction asks for, for kernels and for NVIDIA's library; matmul.cu has the formula.
#pragma once

#include "gemm.cuh"

namespace forja::cuda {

template <class E>
struct BatchOf : MatmulGeometry {
  const E *a, *b;
  const float* bias;
  E* c;
  bool relu;
  const E* mask;  // like c, or null

  __device__ __forceinline__ const E* a_at(int64_t index) const { return a + a_offset(index); }
  __device__ __forceinline__ const E* b_at(int64_t index) const { return b + b_offset(index); }
  __device__ __forceinline__ EpilogueOf<E> epilogue(int index) const {
    const int64_t offset = index * m * n;
    return {c + offset, n, bias, relu, mask != nullptr ? mask + offset : nullptr};
  }
  __device__ __forceinline__ E a_element(const E* from, int64_t i, int64_t j) const {
    return from[trans_a ? j * m + i : i * k + j];
  }
  __device__ __forceinline__ E b_element(const E* from, int64_t i, int64_t j) const {
    return from[trans_b ? j * k + i : i * n + j];
  }
};

using Batch = BatchOf<float>;

// Whether the third operand is no bias but the result of a ReLU whose gradient y is.
inline bool is_masked(const Call& call) { return call.attrs<fj_matmul_attrs>().activation == FJ_ACTIVATION_RELU_GRAD; }

template <class E = float>
inline BatchOf<E> describe(const Call& call) {
  const auto& attrs = call.attrs<fj_matmul_attrs>();
  const bool masked = is_masked(call);
  return {matmul_geometry(call.in[0], call.in[1], call.out[0], attrs),
          call.in[0].as<const E>(),
          call.in[1].as<const E>(),
          call.n_in == 3 && !masked ? call.in[2].as<const float>() : nullptr,
          call.out[0].as<E>(),
          attrs.activation == FJ_ACTIVATION_RELU,
          masked ? call.in[2].as<const E>() : nullptr};
}

// Kernels count rows, columns and products in 32 bits.
inline bool fits(const Call& call) {
  const Batch g = describe(call);
  return g.m < kMaxSize && g.n < kMaxSize && g.k < kMaxSize && g.count < INT32_MAX;
}

// Whether operands are E.
template <class E>
bool takes(const Call& call) {
  return call.in[0].value->dtype == (sizeof(E) == 2 ? FJ_BFLOAT16 : FJ_FLOAT32) && fits(call);
}

// matmul_tiled.cu and matmul_tensorcore.cu, apart since each takes a compiler minutes; E: float, rounded to TF32, or
// BFloat16.
void matmul_tiled(Launcher& to, const Batch& g, float* scratch);
template <class E>
void matmul_tensorcore(Launcher& to, const BatchOf<E>& g, float* scratch);

}  // namespace forja::cuda
