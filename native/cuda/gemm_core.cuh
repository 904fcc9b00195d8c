// The products of gemm.cuh on tensor cores. Operands are bfloat16, or float32 that is rounded to TF32 (10 bits of
// fraction) when it is read; sums are float32.
//
// Slices of 128 bytes along K pass through a ring of kStages in shared memory. While one is multiplied, copies of the
// next ones are under way, none of which passes through registers: a slice has kStages - 1 slices' time to arrive, and
// there is one barrier a slice. Only operands of less than 4 bytes that are read one by one take the way through
// registers. A warp reads 16 bytes a lane by ldmatrix, the fragments of the next step while it multiplies this one.
//
// Pieces of 16 bytes lie in shared memory as in device memory, along lines or steps of K, but those of a row are
// permuted by its number, so that neither copies nor reads of eight rows meet in a bank.
#pragma once

#include "device/block.cuh"
#include "device/ptx.cuh"
#include "gemm.cuh"

namespace forja::cuda {

constexpr int kSliceBytes = 128;  // of a line, along K

// How a slice of kLines lines of A or B lies in shared memory, and how a warp reads it.
template <class Source, int kLines, bool kIsB>
struct CoreOperand {
  using E = typename Source::Element;
  static constexpr bool kAlongK = Source::kAlongK;
  static constexpr int kPiece = kPack<E>, kDepth = kSliceBytes / static_cast<int>(sizeof(E));
  static constexpr int kRow = kAlongK ? kDepth : kLines;  // elements; rows are lines, or steps of K

  // Of four-byte elements across lines, a read takes the same eight lines of four rows, two pieces of each.
  static __device__ __forceinline__ constexpr int permuted(int row, int piece) {
    return piece ^ (!kAlongK && sizeof(E) == 4 ? (row & 3) * 2 : row & 7);
  }
  static __device__ __forceinline__ constexpr int place(int row, int at) {
    return row * kRow + permuted(row, at / kPiece) * kPiece + (at & (kPiece - 1));
  }

  // Where a lane reads in a slice, in bytes, for a warp whose lines begin at `line`: with ldmatrix a row of a matrix,
  // else the first of its elements.
  static __device__ __forceinline__ int lane_base(int line) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    // Of the four matrices of a fragment, which lane gives: whether the upper lines, the second piece.
    const int upper = kIsB ? lane / 16 : lane / 8 % 2, second = kIsB ? lane / 8 % 2 : lane / 16;
    if constexpr (kAlongK) return bytes(place(line + lane % 8 + upper * 8, second * kPiece));
    if constexpr (sizeof(E) == 2) return bytes(place(lane % 8 + second * 8, line + upper * 8));
    return bytes(place(lane % 4, line + lane / 4));
  }
  // So many rows and pieces further: the low bits of the piece are flipped, since the lane's row permutes them.
  static __device__ __forceinline__ constexpr int moved(int base, int rows, int pieces) {
    return (base ^ pieces % 8 * 16) + bytes(rows * kRow) + pieces / 8 * 128;
  }
  static __device__ __forceinline__ constexpr int bytes(int elements) { return elements * static_cast<int>(sizeof(E)); }

  // The warp's unit-th fragment of 16 lines and two pieces of K, the step-th of a slice; of B two fragments of 8 lines.
  // `from` is lane_base in a stage of the ring.
  static __device__ __forceinline__ void read_fragment(uint32_t (&to)[4], const char* ring, int from, int unit,
                                                       int step) {
    if constexpr (kAlongK) {
      ptx::load_matrices<false>(to, ring + moved(from, 16 * unit, 2 * step));
    } else if constexpr (sizeof(E) == 2) {
      ptx::load_matrices<true>(to, ring + moved(from, 16 * step, 2 * unit));
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int upper = kIsB ? i / 2 : i % 2, second = kIsB ? i % 2 : i / 2;
        const int at = moved(from, 8 * step + second * 4, 4 * unit + upper * 2);
        to[i] = __float_as_uint(*reinterpret_cast<const float*>(ring + at));
      }
    }
    if constexpr (sizeof(E) == 4) {
#pragma unroll
      for (int i = 0; i < 4; i++) to[i] = ptx::round_to_tf32(to[i]);
    }
  }
};

// A warp's sums, fragments of 16 rows and 8 columns as ptx.cuh has them, into C from (row, column) on. Neighbouring
// lanes exchange pairs first, so that each holds four neighbours of a row: two lanes fill a sector of 32 bytes in
// bfloat16, and half as many stores do. Shared memory on the way would make longer lines of them, for two more barriers
// and twice the bytes of a tile through it.
template <class Store, int kUnitsM, int kUnitsN>
__device__ __forceinline__ void store_fragments(const Store& store, int row, int column,
                                                float (&sums)[kUnitsM][kUnitsN][4]) {
  static_assert(kUnitsN % 2 == 0, "fragments are exchanged in pairs");
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool odd = lane % 2 != 0;  // such a lane keeps the second fragment of two
#pragma unroll
  for (int i = 0; i < kUnitsM; i++) {
#pragma unroll
    for (int j = 0; j < kUnitsN; j += 2) {
#pragma unroll
      for (int at = 0; at < 4; at++) {
        float &first = sums[i][j][at], &second = sums[i][j + 1][at];
        const float got = __shfl_xor_sync(kAllLanes, odd ? first : second, 1);
        first = odd ? got : first, second = odd ? second : got;
      }
    }
  }
  store.template each<4>([&](const auto& columns) {
#pragma unroll
    for (int j = 0; j < kUnitsN; j += 2) {
      const auto put = columns(column + 8 * (j + odd) + lane % 4 / 2 * 4);
#pragma unroll
      for (int i = 0; i < 2 * kUnitsM; i++) {
        const float *first = &sums[i / 2][j][i % 2 * 2], *second = &sums[i / 2][j + 1][i % 2 * 2];
        const float quad[4] = {first[0], first[1], second[0], second[1]};
        put(row + 8 * i + lane / 4, quad);
      }
    }
  });
}

// kM x kN of C by kDown x kAcross warps; kBlocks blocks fit on a multiprocessor of sm_90. The other numbers are for
// tile_cost.
template <class E, int kM_, int kN_, int kDown, int kAcross, int kBlocks_, int kRate_>
struct CoreTile {
  static constexpr int kM = kM_, kN = kN_, kBlocks = kBlocks_, kRate = kRate_;
  static constexpr double kStart = 64, kSumCost = 500, kJoinCost = 4e6;
  static constexpr int kThreads = kWarp * kDown * kAcross, kFeeders = kThreads, kGroups = 1,
                       kDepth = kSliceBytes / static_cast<int>(sizeof(E));
  static constexpr int kStages = 3, kStage = (kM + kN) * kDepth;
  static constexpr size_t kDynamic = kStages * kStage * sizeof(E);
  static constexpr int kSteps = kDepth / (2 * kPack<E>);  // of a slice, an instruction each
  static constexpr int kParts = kSteps - 1;  // of a slice on its way, one brought in each but the last step
  static constexpr int kUnitsM = kM / kDown / 16, kUnitsN = kN / kAcross / 16;  // fragments of a warp

  template <int VA, int VB, class A, class B, class Store>
  static __device__ __forceinline__ void multiply(const A& a, const B& b, const Store& store, int row, int column,
                                                  int begin, int end) {
    using InA = CoreOperand<A, kM, false>;
    using InB = CoreOperand<B, kN, true>;
    E* const ring = static_cast<E*>(ptx::dynamic_shared());
    Feed<CoreTile, A, kM, VA> feed_a(a, row, static_cast<int>(threadIdx.x));
    Feed<CoreTile, B, kN, VB> feed_b(b, column, static_cast<int>(threadIdx.x));
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int warp_row = warp % kDown * 16 * kUnitsM, warp_column = warp / kDown * 16 * kUnitsN;

    // One of so many parts of the slice at k into a stage; what lies behind `end` becomes zeros.
    const auto bring = [&](int stage, int k, int part, int parts) {
      feed_a.template bring<InA>(a, k, ring + stage, part, parts);
      feed_b.template bring<InB>(b, k, ring + stage + kM * kDepth, part, parts);
    };
    const auto settle = [&](int stage, int part, int parts) {
      feed_a.template settle<InA>(ring + stage, part, parts);
      feed_b.template settle<InB>(ring + stage + kM * kDepth, part, parts);
    };
    // Fragments of A are replaced by those of the next step one by one, as they are done with; B has two sets.
    uint32_t x[kUnitsM][4], y[2][kUnitsN][4];
    const int base_a = InA::lane_base(warp_row), base_b = InB::lane_base(warp_column) + InA::bytes(kM * kDepth);
    const auto read_a = [&](int stage, int step, int unit) {
      InA::read_fragment(x[unit], reinterpret_cast<const char*>(ring), InA::bytes(stage) + base_a, unit, step);
    };
    const auto read_b = [&](int stage, int step) {
#pragma unroll
      for (int j = 0; j < kUnitsN; j++) {
        InB::read_fragment(y[step % 2][j], reinterpret_cast<const char*>(ring), InB::bytes(stage) + base_b, j, step);
      }
    };
    static_assert(kSteps % 2 == 0, "B's first fragments of a slice go where those of the last step do not lie");

#pragma unroll
    for (int i = 0; i < kStages - 1; i++) {
#pragma unroll
      for (int part = 0; part < kParts; part++) {
        bring(i * kStage, begin + i * kDepth, part, kParts);
        settle(i * kStage, part, kParts);
      }
      ptx::commit_copies();
    }
    ptx::wait_for_copies<kStages - 2>();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kUnitsM; i++) read_a(0, 0, i);
    read_b(0, 0);
    float sums[kUnitsM][2 * kUnitsN][4] = {};
    int reading = 0, filling = (kStages - 1) * kStage;
    const auto next = [](int stage) { return stage == (kStages - 1) * kStage ? 0 : stage + kStage; };
    for (int k = begin; k < end; k += kDepth) {
#pragma unroll
      for (int step = 0; step < kSteps; step++) {
        if (step == kSteps - 1) {
          // The next slice is there, and nobody reads the one before this any more.
          ptx::wait_for_copies<kStages - 2>();
          __syncthreads();
          reading = next(reading);
        }
        read_b(reading, (step + 1) % kSteps);
        if (step < kParts) bring(filling, k + (kStages - 1) * kDepth, step, kParts);
#pragma unroll
        for (int i = 0; i < kUnitsM; i++) {
#pragma unroll
          for (int j = 0; j < 2 * kUnitsN; j++) {
            const uint32_t* columns = &y[step % 2][j / 2][j % 2 * 2];
            ptx::multiply<E>(sums[i][j], x[i], columns[0], columns[1]);
          }
          read_a(reading, (step + 1) % kSteps, i);
        }
        if (step < kParts) settle(filling, step, kParts);
        if (step == kParts - 1) {
          ptx::commit_copies();
          filling = next(filling);
        }
      }
    }
    ptx::wait_for_copies<0>();
    store_fragments(store, row + warp_row, column + warp_column, sums);
  }
};

}  // namespace forja::cuda
