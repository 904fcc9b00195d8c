// Twins of native/cuda/device/ptx.cuh. Copies are queued and land when they are waited for, as late as the program
// allows; matrices are put together from the lanes by the layouts that PTX lays down. All of it is inlined, so that
// what is found names the kernel's line.
#pragma once
#include "cuda_bf16.h"

namespace forja::cuda::ptx {

__forceinline__ void* dynamic_shared() { return simt::dynamic_shared(); }
__forceinline__ void forget(int&) {}
template <class E>
__forceinline__ E* at_step(E* base, int index, int stride) {
  return reinterpret_cast<E*>(reinterpret_cast<uintptr_t>(base) + uintptr_t(int64_t(index) * stride));
}

template <int kBytes>
__forceinline__ void copy_async(void* shared, const void* global, bool inside) {
  static_assert(kBytes == 4 || kBytes == 16);
  simt::copy_async(shared, global, kBytes, inside ? kBytes : 0);
}
__forceinline__ void commit_copies() { simt::copy_async_commit(); }
template <int kGroups>
__forceinline__ void wait_for_copies() {
  simt::copy_async_wait(kGroups);
}

template <bool kTurned>
__forceinline__ void load_matrices(uint32_t (&to)[4], const void* row, simt::Where w = simt::Where::current()) {
  if (reinterpret_cast<uintptr_t>(row) % 16) simt::device_trap("ldmatrix: row address is not 16-byte aligned", w);
  simt::note_access(row, 16, false);
  struct Args {
    uint32_t* to;
    const void* row;
  } mine{to, row};
  simt::warp_collective(
      simt::WarpOp::kMma, 0xffffffffu, &mine,
      +[](void* const* lanes) __attribute__((no_sanitize("thread"))) {  // noted above, each row by its lane
        uint16_t matrix[4][8][8];
        for (int l = 0; l < 32; ++l) std::memcpy(matrix[l / 8][l % 8], static_cast<const Args*>(lanes[l])->row, 16);
        for (int l = 0; l < 32; ++l) {
          const int g = l / 4, t = l % 4;
          for (int q = 0; q < 4; ++q) {
            const auto& m = matrix[q];
            const uint32_t low = kTurned ? m[2 * t][g] : m[g][2 * t],
                           high = kTurned ? m[2 * t + 1][g] : m[g][2 * t + 1];
            static_cast<const Args*>(lanes[l])->to[q] = low | high << 16;
          }
        }
      },
      kTurned, w);
}

// Infinities and NaN keep their exponent.
__forceinline__ uint32_t round_to_tf32(uint32_t bits) {
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return (bits + (finite ? 0x1000u : 0u)) & ~0x1fffu;
}

template <class E>
__forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                              simt::Where w = simt::Where::current()) {
  constexpr bool kHalf = sizeof(E) == 2;
  constexpr int kSteps = kHalf ? 16 : 8;
  if constexpr (!kHalf) {
    if ((a[0] | a[1] | a[2] | a[3]) & 0x1fffu) simt::device_trap("mma: operand a was not rounded to TF32", w);
    if ((b0 | b1) & 0x1fffu) simt::device_trap("mma: operand b was not rounded to TF32", w);
  }
  struct Args {
    float* sums;
    uint32_t a[4], b[2];
  } mine{sums, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  simt::warp_collective(
      simt::WarpOp::kMma, 0xffffffffu, &mine,
      +[](void* const* lanes) {
        // The steps of K in the registers of a lane: of piece p its t-th four bytes.
        const auto spread = [](uint32_t bits, int p, int t, auto&& to) {
          if constexpr (kHalf) {
            to(8 * p + 2 * t) = simt::bf16_to_float(uint16_t(bits));
            to(8 * p + 2 * t + 1) = simt::bf16_to_float(uint16_t(bits >> 16));
          } else {
            to(4 * p + t) = std::bit_cast<float>(bits);
          }
        };
        float rows[16][kSteps], columns[kSteps][8], sums[16][8];
        for (int l = 0; l < 32; ++l) {
          const Args& lane = *static_cast<const Args*>(lanes[l]);
          const int g = l / 4, t = l % 4;
          for (int i = 0; i < 4; ++i) {
            spread(lane.a[i], i / 2, t, [&](int k) -> float& { return rows[g + i % 2 * 8][k]; });
            sums[g + i / 2 * 8][2 * t + i % 2] = lane.sums[i];
          }
          for (int i = 0; i < 2; ++i) spread(lane.b[i], i, t, [&](int k) -> float& { return columns[k][g]; });
        }
        for (int r = 0; r < 16; ++r)
          for (int k = 0; k < kSteps; ++k)
            for (int c = 0; c < 8; ++c) sums[r][c] += rows[r][k] * columns[k][c];
        for (int l = 0; l < 32; ++l)
          for (int i = 0; i < 4; ++i)
            static_cast<const Args*>(lanes[l])->sums[i] = sums[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
      },
      kHalf, w);
}

}  // namespace forja::cuda::ptx
