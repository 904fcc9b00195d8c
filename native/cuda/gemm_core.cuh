// The products of gemm.cuh on tensor cores: tiles of C of 128 x 128 where there are enough of them, else of 64 x 64.
// Operands are bfloat16, or float32 rounded to TF32 (10 bits of fraction); sums are float32.
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

// How an operand lies in shared memory, as it does in memory: lines along K, or steps of K, a line every kStride
// elements.
template <class Source, int kLines, int kDepth>
struct CoreOperand {
  using E = typename Source::Element;
  static constexpr bool kAlongK = Source::kAlongK;
  // Rows begin in different banks and at multiples of 16 bytes, tiles of 16 x 16 at multiples of 32.
  static constexpr int kStride = kAlongK ? kDepth + 16 / static_cast<int>(sizeof(E)) : kLines + 8;
  static constexpr int kSize = kStride * (kAlongK ? kLines : kDepth);
  static __device__ __forceinline__ constexpr int place(int line, int k) {
    return kAlongK ? line * kStride + k : k * kStride + line;
  }
};

// kSide x kSide of C; each warp computes kSide/2 x 32 of it.
template <class E, int kSide>
struct CoreTile {
  static constexpr int kM = kSide, kN = kSide, kDepth = 64 / static_cast<int>(sizeof(E)), kThreads = 2 * kSide;

  template <int VA, int VB, class A, class B, class Store>
  static __device__ __forceinline__ void multiply(const A& a, const B& b, const Store& store, int row, int column,
                                                  int begin, int end) {
    using Cores = TensorCores<E>;
    using Precision = typename Cores::Precision;
    using InA = CoreOperand<A, kM, kDepth>;
    using InB = CoreOperand<B, kN, kDepth>;
    using LayoutA = std::conditional_t<A::kAlongK, wmma::row_major, wmma::col_major>;
    using LayoutB = std::conditional_t<B::kAlongK, wmma::col_major, wmma::row_major>;
    constexpr int kTile = 16, kWarpM = kM / 2, kWarpN = 32, kDown = kWarpM / kTile, kAcross = kWarpN / kTile;
    __shared__ __align__(32) E shared_a[2][InA::kSize];
    __shared__ __align__(32) E shared_b[2][InB::kSize];
    __shared__ __align__(32) float tiles[kThreads / 32][kTile * kTile];  // one of each warp on its way to C
    Feed<CoreTile, A, kM, VA> feed_a(a, row);
    Feed<CoreTile, B, kN, VB> feed_b(b, column);
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int warp_row = warp % 2 * kWarpM, warp_column = warp / 2 * kWarpN;
    wmma::fragment<wmma::accumulator, kTile, kTile, Cores::kSteps, float> sums[kDown][kAcross];
    for (auto& line : sums) {
      for (auto& sum : line) wmma::fill_fragment(sum, 0.0f);
    }
    feed_a.fetch(a, begin);
    feed_b.fetch(b, begin);
    feed_a.template keep<InA::kStride>(shared_a[0]);
    feed_b.template keep<InB::kStride>(shared_b[0]);
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
        wmma::fragment<wmma::matrix_b, kTile, kTile, Cores::kSteps, Precision, LayoutB> y[kAcross];
#pragma unroll
        for (int j = 0; j < kAcross; j++) {
          wmma::load_matrix_sync(y[j], &shared_b[half][InB::place(warp_column + kTile * j, d)], InB::kStride);
          Cores::round(y[j]);
        }
#pragma unroll
        for (int i = 0; i < kDown; i++) {
          wmma::fragment<wmma::matrix_a, kTile, kTile, Cores::kSteps, Precision, LayoutA> x;
          wmma::load_matrix_sync(x, &shared_a[half][InA::place(warp_row + kTile * i, d)], InA::kStride);
          Cores::round(x);
#pragma unroll
          for (int j = 0; j < kAcross; j++) wmma::mma_sync(sums[i][j], x, y[j], sums[i][j]);
        }
      }
      if (more) {
        feed_a.template keep<InA::kStride>(shared_a[half ^ 1]);
        feed_b.template keep<InB::kStride>(shared_b[half ^ 1]);
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kDown; i++) {
#pragma unroll
      for (int j = 0; j < kAcross; j++) {
        wmma::store_matrix_sync(tiles[warp], sums[i][j], kTile, wmma::mem_row_major);
        __syncwarp();
        for (int at = 4 * lane; at < kTile * kTile; at += 4 * 32) {
          store.put(row + warp_row + kTile * i + at / kTile, column + warp_column + kTile * j + at % kTile,
                    &tiles[warp][at]);
        }
        __syncwarp();
      }
    }
  }
};

// As run_gemm; operands of `problem` are E.
template <class E, int VA, int VB, class Problem>
void run_core_gemm(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products,
                   float* scratch) {
  if (m == 0 || n == 0 || products == 0) return;
  // Operands that are read one by one take too many registers for the large tile.
  if constexpr (VA == 4 && VB == 4) {
    if (ceil_div(m, 128) * ceil_div(n, 128) * products >= to.multiprocessors && m > 64 && n > 64) {
      return run_tiles<CoreTile<E, 128>, VA, VB>(to, problem, m, n, k, products, scratch);
    }
  }
  run_tiles<CoreTile<E, 64>, VA, VB>(to, problem, m, n, k, products, scratch);
}

}  // namespace forja::cuda
