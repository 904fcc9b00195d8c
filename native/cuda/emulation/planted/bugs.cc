// The kernel of bugs.h. In the checked build this file is instrumented as kernels are.
#include "bugs.h"

#include "../../device/warpgroup.cuh"

namespace forja::simt {
namespace {

constexpr int kWarp = 32;
constexpr int kSlice = 64 * 128;  // bytes of an operand of a warpgroup's product: 64 lines

// What a block of threads has in shared memory.
struct Tile {
  float* values;   // [kPlantedBlock]
  float* scratch;  // [kPlantedBlock], dynamic
};

constexpr bool copies(Bug bug) {
  return bug == Bug::kNoWaitForCopy || bug == Bug::kWaitsForTooFewCopies || bug == Bug::kNoBarrierAfterCopy ||
         bug == Bug::kNoBarrierBeforeCopy;
}

// The tile by way of `scratch`, which copies fill a piece of 16 bytes a thread.
template <Bug kBug>
void load_by_copies(const Tile& tile, const float* x, int n, int t) {
  const int from = static_cast<int>(blockIdx.x) * kPlantedBlock + 4 * t;
  const int valid = max(0, min(16, (n - from) * 4));
  const auto copy = [&] {
    if (t >= kPlantedBlock / 4) return;
    copy_async(&tile.scratch[4 * t], valid > 0 ? &x[from] : x, 16, valid);
    copy_async_commit();
  };
  copy();
  if (kBug != Bug::kNoWaitForCopy) copy_async_wait(kBug == Bug::kWaitsForTooFewCopies ? 1 : 0);
  if (kBug != Bug::kNoBarrierAfterCopy) __syncthreads();
  tile.values[t] = tile.scratch[t];
  if (kBug == Bug::kNoBarrierBeforeCopy) copy();
}

template <Bug kBug>
void load(const Tile& tile, const float* x, int n, int t, int i) {
  if (copies(kBug)) {
    load_by_copies<kBug>(tile, x, n, t);
  } else if (kBug == Bug::kReadsPastTheEnd) {
    tile.values[t] = i <= n ? x[i] : 0.0f;
  } else if (kBug == Bug::kReadsFarPastTheEnd) {
    tile.values[t] = x[i];
  } else if (kBug == Bug::kUnwrittenShared) {
    if (i < n) tile.values[t] = x[i];
  } else {
    tile.values[t] = i < n ? x[i] : 0.0f;
  }
  if (kBug == Bug::kMisalignedVector && i == 0) {
    tile.values[0] += 0.0f * reinterpret_cast<const float4*>(x + 1)->x;
  }
}

constexpr bool multiplies(Bug bug) {
  return bug == Bug::kNoFenceAfterCopies || bug == Bug::kNoFenceBeforeProducts || bug == Bug::kNoWaitForProducts ||
         bug == Bug::kCopiesUnderProducts;
}

// A warpgroup's product of zeros, which copies bring to where `scratch` begins: zero.
template <Bug kBug>
float product_of_zeros(const Tile& tile, int t) {
  namespace ptx = cuda::ptx;
  char* const slices = reinterpret_cast<char*>(tile.scratch);
  const auto copy = [&] {
    for (int at = 16 * t; at < 2 * kSlice; at += 16 * kPlantedBlock) ptx::copy_async<16>(slices + at, slices, false);
    ptx::commit_copies();
  };
  copy();
  ptx::wait_for_copies<0>();
  if (kBug != Bug::kNoFenceAfterCopies) ptx::publish_copies();
  __syncthreads();
  float sums[8][4] = {};
  if (kBug != Bug::kNoFenceBeforeProducts) ptx::begin_products();
  ptx::multiply_async<true, true>(sums, ptx::shared_operand(slices, 0), ptx::shared_operand(slices + kSlice, 0));
  ptx::commit_products();
  if (kBug == Bug::kCopiesUnderProducts) copy();
  if (kBug != Bug::kNoWaitForProducts) ptx::wait_for_products<0>(sums);
  return sums[t % 8][t / 8 % 4];
}

// The sum of the tile, in every lane of the first warp.
template <Bug kBug>
float sum_of(const Tile& tile, int n, int t) {
  float sum = 0.0f;
  for (int j = t; j < kPlantedBlock; j += kWarp) {
    const bool last = kBug == Bug::kStaticSharedIndex && j == kPlantedBlock - 1;
    sum += tile.values[last ? kPlantedBlock + n : j];
  }
  if (kBug == Bug::kNoWarpBarrier) {  // as if the lanes of a warp moved in step
    tile.scratch[t] = sum;
    for (int d = kWarp / 2; d > 0; d /= 2) {
      if (t < d) tile.scratch[t] += tile.scratch[t + d];
    }
    return tile.scratch[0];
  }
  if (kBug == Bug::kLanesNotInMask && t >= kWarp / 2) return sum;
  for (int d = kWarp / 2; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  return sum;
}

template <Bug kBug>
__global__ void planted_kernel(const float* x, float* y, int n) {
  __shared__ float values[kPlantedBlock];
  __shared__ float total;
  const Tile tile{values, static_cast<float*>(dynamic_shared())};
  const int t = static_cast<int>(threadIdx.x), i = static_cast<int>(blockIdx.x) * kPlantedBlock + t;
  if (kBug == Bug::kExitBeforeBarrier && i >= n) return;
  load<kBug>(tile, x, n, t, i);
  if (kBug != Bug::kNoBarrierAfterLoad) __syncthreads();
  if (kBug == Bug::kDivergentBarrier) {
    if (t < kPlantedBlock / 2) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  }
  if (t < kWarp) {
    const float sum = sum_of<kBug>(tile, n, t);
    if (t == 0) total = sum;
  }
  __syncthreads();
  float v = total - values[t];
  if (kBug == Bug::kUnwrittenMatrix && t < kWarp) {  // 32 rows of 16 bytes, of which the first half is written
    if (t < kWarp / 2) reinterpret_cast<float4*>(tile.scratch)[t] = {};
    __syncwarp();
    uint32_t matrices[4];
    cuda::ptx::load_matrices<false>(matrices, reinterpret_cast<float4*>(tile.scratch) + t);
    v += std::bit_cast<float>(matrices[3]);
  }
  if (multiplies(kBug)) v += product_of_zeros<kBug>(tile, t);
  if (kBug == Bug::kNoBarrierBeforeReload) {
    values[(t + 1) % kPlantedBlock] = v;
    __syncthreads();
    v = values[(t + 1) % kPlantedBlock];
  }
  if (kBug == Bug::kDynamicSharedOverrun) tile.scratch[t + 1] = v;
  const int end = kBug == Bug::kWritesPastTheEnd ? n + 1 : kBug == Bug::kUnwrittenOutput ? n - 1 : n;
  if (i >= end) return;
  y[i] = v;
  if (kBug == Bug::kBlocksInOrder && t == 0 && blockIdx.x > 0) y[i] = v + 0.0f * y[i - 1];
}

template <Bug kBug>
cudaError_t launch_planted(const float* x, float* y, int n) {
  const LaunchInfo info{reinterpret_cast<const void*>(&planted_kernel<kBug>),
                        dim3(static_cast<unsigned>((n + kPlantedBlock - 1) / kPlantedBlock)),
                        dim3(kPlantedBlock),
                        multiplies(kBug) ? 2 * kSlice : kPlantedBlock * sizeof(float),
                        __FILE__,
                        __LINE__};
  return launch(
      info, [=] { planted_kernel<kBug>(x, y, n); }, nullptr);
}

}  // namespace

cudaError_t run_planted(Bug bug, const float* x, float* y, int n) {
  switch (bug) {
#define FORJA_PLANTED_CASE(bug) \
  case Bug::bug:                \
    return launch_planted<Bug::bug>(x, y, n);
    FORJA_PLANTED_BUGS(FORJA_PLANTED_CASE)
#undef FORJA_PLANTED_CASE
  }
  return cudaErrorInvalidValue;
}

}  // namespace forja::simt
