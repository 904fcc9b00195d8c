// The products of gemm.cuh on tensor cores: 64 x 64 tiles of C, each warp a quarter of one. Operands are bfloat16, or
// float32 rounded to TF32 (10 bits of fraction); sums are float32.
#pragma once

#include <mma.h>

#include "gemm.cuh"

namespace forja::cuda {

namespace wmma = nvcuda::wmma;

template <class E>
struct TensorCores;

template <>
struct TensorCores<BFloat16> {
  using Precision = BFloat16;
  static constexpr int kSteps = 16;  // of K, in one instruction
  template <class Fragment>
  static __device__ __forceinline__ void round(Fragment&) {}
};

template <>
struct TensorCores<float> {
  using Precision = wmma::precision::tf32;
  static constexpr int kSteps = 8;
  template <class Fragment>
  static __device__ __forceinline__ void round(Fragment& fragment) {
#pragma unroll
    for (int i = 0; i < fragment.num_elements; i++) fragment.x[i] = wmma::__float_to_tf32(fragment.x[i]);
  }
};

template <class E>
struct CoreTile {
  static constexpr int kM = 64, kN = 64, kDepth = 64 / static_cast<int>(sizeof(E)), kThreads = 128;

  template <int VA, int VB, class A, class B, class Store>
  static __device__ __forceinline__ void multiply(const A& a, const B& b, const Store& store, int row, int column,
                                                  int begin, int end) {
    using Cores = TensorCores<E>;
    constexpr int kSide = 16, kWarpSide = kM / 2, kCount = kWarpSide / kSide;
    constexpr int kStride = kM + 8;  // rows stay 16-byte aligned and begin in different banks
    __shared__ __align__(32) E shared_a[2][kDepth * kStride];
    __shared__ __align__(32) E shared_b[2][kDepth * kStride];
    __shared__ __align__(32) float tile[kM * kStride];
    Feed<CoreTile, A, kM, VA> feed_a(a, row);
    Feed<CoreTile, B, kN, VB> feed_b(b, column);
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int warp_row = warp / 2 * kWarpSide, warp_column = warp % 2 * kWarpSide;
    wmma::fragment<wmma::accumulator, kSide, kSide, Cores::kSteps, float> sums[kCount][kCount];
    for (auto& line : sums) {
      for (auto& sum : line) wmma::fill_fragment(sum, 0.0f);
    }
    feed_a.fetch(a, begin);
    feed_b.fetch(b, begin);
    feed_a.template stash<kStride>(shared_a[0]);
    feed_b.template stash<kStride>(shared_b[0]);
    __syncthreads();
    int half = 0;
    for (int k = begin; k < end; k += kDepth, half ^= 1) {
      const bool more = k + kDepth < end;
      if (more) {
        feed_a.fetch(a, k + kDepth);
        feed_b.fetch(b, k + kDepth);
      }
#pragma unroll
      for (int d = 0; d < kDepth; d += Cores::kSteps) {
        wmma::fragment<wmma::matrix_a, kSide, kSide, Cores::kSteps, typename Cores::Precision, wmma::col_major>
            x[kCount];
        wmma::fragment<wmma::matrix_b, kSide, kSide, Cores::kSteps, typename Cores::Precision, wmma::row_major>
            y[kCount];
#pragma unroll
        for (int i = 0; i < kCount; i++) {
          wmma::load_matrix_sync(x[i], &shared_a[half][d * kStride + warp_row + kSide * i], kStride);
          wmma::load_matrix_sync(y[i], &shared_b[half][d * kStride + warp_column + kSide * i], kStride);
          Cores::round(x[i]);
          Cores::round(y[i]);
        }
#pragma unroll
        for (int i = 0; i < kCount; i++) {
#pragma unroll
          for (int j = 0; j < kCount; j++) wmma::mma_sync(sums[i][j], x[i], y[j], sums[i][j]);
        }
      }
      if (more) {
        feed_a.template stash<kStride>(shared_a[half ^ 1]);
        feed_b.template stash<kStride>(shared_b[half ^ 1]);
      }
      __syncthreads();
    }
    for (int i = 0; i < kCount; i++) {
      for (int j = 0; j < kCount; j++) {
        wmma::store_matrix_sync(&tile[(warp_row + kSide * i) * kStride + warp_column + kSide * j], sums[i][j], kStride,
                                wmma::mem_row_major);
      }
    }
    __syncthreads();
    for (int i = 4 * static_cast<int>(threadIdx.x); i < kM * kN; i += 4 * kThreads) {
      store.put(row + i / kN, column + i % kN, &tile[i / kN * kStride + i % kN]);
    }
  }
};

// As run_gemm; operands of `problem` are E.
template <class E, int VA, int VB, class Problem>
void run_core_gemm(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products,
                   float* scratch) {
  if (m == 0 || n == 0 || products == 0) return;
  run_tiles<CoreTile<E>, VA, VB>(to, problem, m, n, k, products, scratch);
}

}  // namespace forja::cuda
