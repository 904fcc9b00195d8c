// What a matmul instruction asks for, for kernels and for NVIDIA's library; matmul.cu has the formula.
#pragma once

#include "gemm.cuh"

namespace forja::cuda {

template <class E>
struct BatchOf {
  const E *a, *b;
  const float* bias;
  E* c;
  int64_t m, n, k, count;
  bool trans_a, trans_b, relu;
  // Which matrix of a and of b belongs to product i of y, innermost dimension first; steps are 0 where broadcast.
  int rank;
  int64_t dims[FJ_MAX_RANK], steps_a[FJ_MAX_RANK], steps_b[FJ_MAX_RANK];

  __device__ __forceinline__ int64_t matrix_of(const int64_t* steps, int64_t index) const {
    int64_t matrix = 0;
    for (int i = 0; i < rank; i++) {
      matrix += index % dims[i] * steps[i];
      index /= dims[i];
    }
    return matrix;
  }
  __device__ __forceinline__ const E* a_at(int64_t index) const { return a + matrix_of(steps_a, index) * m * k; }
  __device__ __forceinline__ const E* b_at(int64_t index) const { return b + matrix_of(steps_b, index) * k * n; }
  __device__ __forceinline__ EpilogueOf<E> epilogue(int index) const { return {c + index * m * n, n, bias, relu}; }
  __device__ __forceinline__ E a_element(const E* from, int64_t i, int64_t j) const {
    return from[trans_a ? j * m + i : i * k + j];
  }
  __device__ __forceinline__ E b_element(const E* from, int64_t i, int64_t j) const {
    return from[trans_b ? j * k + i : i * n + j];
  }
};

using Batch = BatchOf<float>;

template <class E = float>
inline BatchOf<E> describe(const Call& call) {
  const auto& attrs = call.attrs<fj_matmul_attrs>();
  const fj_value &a = *call.in[0].value, &b = *call.in[1].value, &y = *call.out[0].value;
  BatchOf<E> g{};
  g.m = y.dims[y.rank - 2];
  g.n = y.dims[y.rank - 1];
  g.k = a.dims[a.rank - (attrs.transpose_a ? 2 : 1)];
  g.a = call.in[0].as<const E>();
  g.b = call.in[1].as<const E>();
  g.c = call.out[0].as<E>();
  g.trans_a = attrs.transpose_a != 0;
  g.trans_b = attrs.transpose_b != 0;
  g.bias = call.n_in == 3 ? call.in[2].as<const float>() : nullptr;
  g.relu = attrs.activation == FJ_ACTIVATION_RELU;
  g.count = element_count(y, 0, y.rank - 2);
  if (!g.trans_a && element_count(b, 0, b.rank - 2) == 1 && element_count(a, 0, a.rank - 2) == g.count) {
    g.m *= g.count;  // where b is one matrix for all of an untransposed a, the batch is only more rows
    g.count = 1;
    return g;
  }
  int64_t step_a = 1, step_b = 1;
  for (int axis = y.rank - 3; axis >= 0; axis--) {
    const int own_a = axis - (y.rank - a.rank), own_b = axis - (y.rank - b.rank);
    const int64_t dim_a = own_a < 0 ? 1 : a.dims[own_a], dim_b = own_b < 0 ? 1 : b.dims[own_b];
    g.dims[g.rank] = y.dims[axis];
    g.steps_a[g.rank] = dim_a == 1 ? 0 : step_a;
    g.steps_b[g.rank] = dim_b == 1 ? 0 : step_b;
    g.rank++;
    step_a *= dim_a, step_b *= dim_b;
  }
  return g;
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

}  // namespace forja::cuda
