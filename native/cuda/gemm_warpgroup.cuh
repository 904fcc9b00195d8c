// The products of gemm.cuh on tensor cores that are fed from shared memory: bfloat16, for GPUs with the instructions of
// device/warpgroup.cuh. Beside gemm_core.cuh, where each warp reads fragments for itself, operands pass neither through
// registers nor through warps: by counting about 1.65 times as fast.
//
// Slices of 64 steps of K pass through a ring of kStages in shared memory. Those of one slice are multiplied while the
// block waits for the next one's copies and begins those of the slice kLead ahead, which goes where the last slice but
// one before it lay: whoever is past the barrier has waited for that one's products.
#pragma once

#include "device/warpgroup.cuh"
#include "gemm_core.cuh"

namespace forja::cuda {

// How a slice of A or B lies in shared memory: as device/warpgroup.cuh says.
template <class Source>
struct WarpgroupOperand {
  static constexpr bool kAlongK = Source::kAlongK;
  static constexpr int kRow = ptx::kSwizzledRow / 2, kPiece = kPack<BFloat16>;      // elements
  static constexpr int kApart = kAlongK ? 0 : kSliceBytes / 2 * ptx::kSwizzledRow;  // bytes between 64 lines

  static __device__ __forceinline__ constexpr int place(int row, int at) {
    const int across = at / kRow * (kApart / 2), piece = at % kRow / kPiece;
    return across + row * kRow + (piece ^ (row & 7)) * kPiece + at % kPiece;
  }
  // Bytes from a slice to its line `line`, a multiple of 64, and from a product's steps of K to the next 16.
  static __device__ __forceinline__ constexpr int line_offset(int line) {
    return kAlongK ? line * ptx::kSwizzledRow : line / kRow * kApart;
  }
  static constexpr int kStep = kAlongK ? 16 * 2 : 16 * ptx::kSwizzledRow;
};

// kM x kN of C, 64 rows to a warpgroup; the other numbers are those of CoreTile.
template <int kM_, int kN_, int kStages_, int kBlocks_, int kRate_>
struct WarpgroupTile {
  using E = BFloat16;
  static constexpr int kM = kM_, kN = kN_, kStages = kStages_, kBlocks = kBlocks_, kRate = kRate_;
  static constexpr double kStart = 64, kSumCost = 500, kJoinCost = 4e6;
  static constexpr int kThreads = kM / ptx::kWarpgroupRows * ptx::kWarpgroup, kFeeders = kThreads, kGroups = 1,
                       kDepth = kSliceBytes / static_cast<int>(sizeof(E)), kSteps = kDepth / 16;
  static constexpr int kLead = kStages - 2, kStage = (kM + kN) * kDepth;
  static constexpr size_t kDynamic = kStages * kStage * sizeof(E);
  static_assert(kLead >= 1, "a slice is multiplied, one has just been and one is on its way");

  template <int VA, int VB, class A, class B, class Store>
  static __device__ __forceinline__ void multiply(const A& a, const B& b, const Store& store, int row, int column,
                                                  int begin, int end) {
    if constexpr (!ptx::kHasWarpgroups) {
      __trap();
    } else {
      using InA = WarpgroupOperand<A>;
      using InB = WarpgroupOperand<B>;
      E* const ring = static_cast<E*>(ptx::dynamic_shared());
      Feed<WarpgroupTile, A, kM, VA> feed_a(a, row, static_cast<int>(threadIdx.x));
      Feed<WarpgroupTile, B, kN, VB> feed_b(b, column, static_cast<int>(threadIdx.x));
      const int own_row = static_cast<int>(threadIdx.x) / ptx::kWarpgroup * ptx::kWarpgroupRows;
      const auto operand_a = ptx::shared_operand(ring, InA::kApart).ahead(InA::line_offset(own_row));
      const auto operand_b = ptx::shared_operand(ring + kM * kDepth, InB::kApart);

      // The slice at k into a stage; what lies behind `end` becomes zeros.
      const auto bring = [&](int stage, int k) {
        feed_a.template bring<InA>(a, k, ring + stage, 0, 1);
        feed_b.template bring<InB>(b, k, ring + stage + kM * kDepth, 0, 1);
        ptx::commit_copies();
      };
      const auto next = [](int stage) { return stage == (kStages - 1) * kStage ? 0 : stage + kStage; };
#pragma unroll
      for (int i = 0; i < kLead; i++) bring(i * kStage, begin + i * kDepth);
      float sums[1][kN / 8][4] = {};
      int reading = 0, filling = kLead * kStage;
      for (int k = begin; k < end; k += kDepth, reading = next(reading), filling = next(filling)) {
        ptx::wait_for_copies<kLead - 1>();
        ptx::publish_copies();
        __syncthreads();
        ptx::begin_products();
#pragma unroll
        for (int step = 0; step < kSteps; step++) {
          const uint32_t at = static_cast<uint32_t>(reading) * sizeof(E);
          ptx::multiply_async<A::kAlongK, B::kAlongK>(sums[0], operand_a.ahead(at + step * InA::kStep),
                                                      operand_b.ahead(at + step * InB::kStep));
        }
        ptx::commit_products();
        bring(filling, k + kLead * kDepth);
        ptx::wait_for_products<1>(sums[0]);
      }
      ptx::wait_for_products<0>(sums[0]);
      ptx::wait_for_copies<0>();
      store_fragments(store, row + own_row + static_cast<int>(threadIdx.x) / kWarp % 4 * 16, column, sums);
    }
  }
};

}  // namespace forja::cuda
