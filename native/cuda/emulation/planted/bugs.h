// One kernel with one bug at a time: what the emulator is there to find.
#pragma once
#include "../cuda_runtime.h"

namespace forja::simt {

#define FORJA_PLANTED_BUGS(X) \
  X(kNone)                    \
  X(kNoBarrierAfterLoad)      \
  X(kNoBarrierBeforeReload)   \
  X(kWritesPastTheEnd)        \
  X(kReadsPastTheEnd)         \
  X(kReadsFarPastTheEnd)      \
  X(kUnwrittenOutput)         \
  X(kUnwrittenShared)         \
  X(kDivergentBarrier)        \
  X(kExitBeforeBarrier)       \
  X(kNoWarpBarrier)           \
  X(kLanesNotInMask)          \
  X(kDynamicSharedOverrun)    \
  X(kStaticSharedIndex)       \
  X(kNoWaitForCopy)           \
  X(kWaitsForTooFewCopies)    \
  X(kNoBarrierAfterCopy)      \
  X(kNoBarrierBeforeCopy)     \
  X(kUnwrittenMatrix)         \
  X(kNoFenceAfterCopies)      \
  X(kNoFenceBeforeProducts)   \
  X(kNoWaitForProducts)       \
  X(kCopiesUnderProducts)     \
  X(kBlocksInOrder)           \
  X(kMisalignedVector)

enum class Bug {
#define FORJA_PLANTED_NAME(bug) bug,
  FORJA_PLANTED_BUGS(FORJA_PLANTED_NAME)
#undef FORJA_PLANTED_NAME
};

constexpr int kPlantedBlock = 128;

// y[i] = the sum of x over the block of kPlantedBlock elements that holds i, without x[i]; n elements each.
cudaError_t run_planted(Bug bug, const float* x, float* y, int n);

}  // namespace forja::simt
