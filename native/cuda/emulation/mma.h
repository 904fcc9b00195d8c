// nvcuda::wmma of the emulation. Element i of lane l is entry i*32+l of the tile, permuted per row, so that
// code which assumes a particular register layout fails here as it may on the next GPU.
#pragma once
#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace nvcuda::wmma {
struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32;
}

namespace detail {
template <class T>
struct Storage {
  using type = T;
};
template <>
struct Storage<precision::tf32> {
  using type = float;
};
template <class Use, int M, int N, int K>
struct Shape;
template <int M, int N, int K>
struct Shape<matrix_a, M, N, K> {
  static constexpr int rows = M, cols = K;
};
template <int M, int N, int K>
struct Shape<matrix_b, M, N, K> {
  static constexpr int rows = K, cols = N;
};
template <int M, int N, int K>
struct Shape<accumulator, M, N, K> {
  static constexpr int rows = M, cols = N;
};
// Linear tile entry held by (lane, i); a bijection.
constexpr int entry(int lane, int i) { return i * 32 + ((lane * 5 + i * 7) & 31); }
template <class T>
constexpr bool supported(int m, int n, int k) {
  if (std::is_same_v<T, precision::tf32>) return m == 16 && n == 16 && k == 8;
  return k == 16 && ((m == 16 && n == 16) || (m == 32 && n == 8) || (m == 8 && n == 32));
}
}  // namespace detail

template <class Use, int M, int N, int K, class T, class Layout = void>
class fragment {
 public:
  using shape = detail::Shape<Use, M, N, K>;
  using storage_element_type = typename detail::Storage<T>::type;
  static constexpr int num_elements = shape::rows * shape::cols / 32;
  storage_element_type x[num_elements];
};

namespace detail {
template <class F>
void check(unsigned bytes, const void* p, unsigned ldm, forja::simt::Where w) {
  (void)sizeof(F);
  if (reinterpret_cast<uintptr_t>(p) % 32) forja::simt::device_trap("wmma: tile address is not 32-byte aligned", w);
  if (ldm * bytes % 16) forja::simt::device_trap("wmma: leading dimension is not a multiple of 16 bytes", w);
  forja::simt::warp_exchange(forja::simt::WarpOp::kMma, 0xffffffffu, 0, 0, 32, w);
}
}  // namespace detail

template <class Use, int M, int N, int K, class T, class L, class V>
void fill_fragment(fragment<Use, M, N, K, T, L>& f, const V& v) {
  for (auto& e : f.x) e = v;
}
template <class Use, int M, int N, int K, class T, class L, class S>
void load_matrix_sync(fragment<Use, M, N, K, T, L>& f, const S* p, unsigned ldm,
                      forja::simt::Where w = forja::simt::Where::current()) {
  using F = fragment<Use, M, N, K, T, L>;
  detail::check<F>(sizeof(S), p, ldm, w);
  constexpr bool row = std::is_same_v<L, row_major>;
  for (int i = 0; i < F::num_elements; ++i) {
    const int e = detail::entry(int(forja::simt::lane()), i), r = e / F::shape::cols, c = e % F::shape::cols;
    f.x[i] = row ? p[size_t(r) * ldm + c] : p[size_t(c) * ldm + r];
  }
}
template <int M, int N, int K, class T, class S>
void load_matrix_sync(fragment<accumulator, M, N, K, T>& f, const S* p, unsigned ldm, layout_t l,
                      forja::simt::Where w = forja::simt::Where::current()) {
  using F = fragment<accumulator, M, N, K, T>;
  detail::check<F>(sizeof(S), p, ldm, w);
  for (int i = 0; i < F::num_elements; ++i) {
    const int e = detail::entry(int(forja::simt::lane()), i), r = e / N, c = e % N;
    f.x[i] = l == mem_row_major ? p[size_t(r) * ldm + c] : p[size_t(c) * ldm + r];
  }
}
template <int M, int N, int K, class T, class S>
void store_matrix_sync(S* p, const fragment<accumulator, M, N, K, T>& f, unsigned ldm, layout_t l,
                       forja::simt::Where w = forja::simt::Where::current()) {
  using F = fragment<accumulator, M, N, K, T>;
  detail::check<F>(sizeof(S), p, ldm, w);
  for (int i = 0; i < F::num_elements; ++i) {
    const int e = detail::entry(int(forja::simt::lane()), i), r = e / N, c = e % N;
    (l == mem_row_major ? p[size_t(r) * ldm + c] : p[size_t(c) * ldm + r]) = f.x[i];
  }
}
inline float __float_to_tf32(float f) {  // nearest, ties away from zero, as cvt.rna.tf32
  return std::bit_cast<float>((std::bit_cast<uint32_t>(f) + 0x1000u) & ~0x1fffu);
}
template <int M, int N, int K, class TA, class LA, class TB, class LB, class TC>
void mma_sync(fragment<accumulator, M, N, K, TC>& d, const fragment<matrix_a, M, N, K, TA, LA>& a,
              const fragment<matrix_b, M, N, K, TB, LB>& b, const fragment<accumulator, M, N, K, TC>& c,
              forja::simt::Where w = forja::simt::Where::current()) {
  static_assert(detail::supported<TA>(M, N, K), "no such wmma shape");
  if constexpr (std::is_same_v<TA, precision::tf32>) {
    for (float v : a.x)
      if (std::bit_cast<uint32_t>(v) & 0x1fffu)
        forja::simt::device_trap("wmma: operand a was not rounded with __float_to_tf32", w);
    for (float v : b.x)
      if (std::bit_cast<uint32_t>(v) & 0x1fffu)
        forja::simt::device_trap("wmma: operand b was not rounded with __float_to_tf32", w);
  }
  struct Args {
    fragment<accumulator, M, N, K, TC>* d;
    const fragment<matrix_a, M, N, K, TA, LA>* a;
    const fragment<matrix_b, M, N, K, TB, LB>* b;
    const fragment<accumulator, M, N, K, TC>* c;
  } mine{&d, &a, &b, &c};
  forja::simt::warp_collective(
      forja::simt::WarpOp::kMma, 0xffffffffu, &mine,
      +[](void* const* lanes) {
        float ta[M][K], tb[K][N], tc[M][N];
        for (int l = 0; l < 32; ++l) {
          const Args& g = *static_cast<const Args*>(lanes[l]);
          for (int i = 0; i < M * K / 32; ++i) {
            const int e = detail::entry(l, i);
            ta[e / K][e % K] = float(g.a->x[i]);
          }
          for (int i = 0; i < K * N / 32; ++i) {
            const int e = detail::entry(l, i);
            tb[e / N][e % N] = float(g.b->x[i]);
          }
          for (int i = 0; i < M * N / 32; ++i) {
            const int e = detail::entry(l, i);
            tc[e / N][e % N] = float(g.c->x[i]);
          }
        }
        for (int r = 0; r < M; ++r)
          for (int k = 0; k < K; ++k)
            for (int n = 0; n < N; ++n) tc[r][n] += ta[r][k] * tb[k][n];
        for (int l = 0; l < 32; ++l) {
          const Args& g = *static_cast<const Args*>(lanes[l]);
          for (int i = 0; i < M * N / 32; ++i) {
            const int e = detail::entry(l, i);
            g.d->x[i] = TC(tc[e / N][e % N]);
          }
        }
      },
      0, w);
}
}  // namespace nvcuda::wmma
