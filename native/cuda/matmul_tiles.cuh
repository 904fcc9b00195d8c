// A product in the tiles of gemm.cuh, or of tensor cores, whichever of its operands are transposed.
#pragma once

#include "gemm_tensorcore.cuh"
#include "matmul.cuh"

namespace forja::cuda {

template <class E, bool kTransA, bool kTransB>
struct Product {
  BatchOf<E> batch;
  __device__ __forceinline__ Lines<!kTransA, E> a(int index, int end) const {
    return {batch.a_at(index), kTransA ? batch.m : batch.k, static_cast<int>(batch.m), end};
  }
  __device__ __forceinline__ Lines<kTransB, E> b(int index, int end) const {
    return {batch.b_at(index), kTransB ? batch.k : batch.n, static_cast<int>(batch.n), end};
  }
  __device__ __forceinline__ EpilogueOf<E> epilogue(int index) const { return batch.epilogue(index); }
};

// Rows of pieces of 16 bytes, at addresses that are multiples of that (values begin at multiples of 64).
template <class E>
bool in_pieces(const BatchOf<E>& g) {
  return (g.trans_a ? g.m : g.k) % kPack<E> == 0 && (g.trans_b ? g.k : g.n) % kPack<E> == 0;
}

template <class E, bool kCores, bool kTransA, bool kTransB>
void run_product(Launcher& to, const BatchOf<E>& g, float* scratch) {
  const Product<E, kTransA, kTransB> product{g};
  constexpr int kPiece = kPack<E>;
  if constexpr (kCores) {
    if (in_pieces(g)) return run_core_gemm<E, kPiece, kPiece>(to, product, g.m, g.n, g.k, g.count, scratch);
    run_core_gemm<E, 1, 1>(to, product, g.m, g.n, g.k, g.count, scratch);
  } else {
    if (in_pieces(g)) return run_gemm<kPiece, kPiece>(to, product, g.m, g.n, g.k, g.count, scratch);
    run_gemm<1, 1>(to, product, g.m, g.n, g.k, g.count, scratch);
  }
}

template <bool kCores, class E>
void run_products(Launcher& to, const BatchOf<E>& g, float* scratch) {
  if (g.trans_a && g.trans_b) return run_product<E, kCores, true, true>(to, g, scratch);
  if (g.trans_a) return run_product<E, kCores, true, false>(to, g, scratch);
  if (g.trans_b) return run_product<E, kCores, false, true>(to, g, scratch);
  run_product<E, kCores, false, false>(to, g, scratch);
}

}  // namespace forja::cuda
