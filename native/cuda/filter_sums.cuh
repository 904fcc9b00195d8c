// Gradients of filters (R, S, C, K) as sums over pixels, where they are no products of matrices: a block to
// neighbouring filters at one (r, s, c) and a part of the pixels; sum_rows adds up the parts in their order.
// Neighbouring threads are neighbouring filters, which read what lies along them together.
#pragma once

#include "device/block.cuh"
#include "kernel.cuh"
#include "reduce.cuh"

namespace forja::cuda {

class FilterSums {
 public:
  static constexpr int kRun = 4;  // pixels of a thread whose loads are under way together

  // places: (r, s, c).
  FilterSums(int64_t places, int64_t filters, int64_t pixels) : places_(places), filters_(filters), pixels_(pixels) {
    while (across_ < kWarp && across_ < filters) across_ *= 2;
    groups_ = ceil_div(filters, across_);
    const int64_t most = kMostBlocks / larger(1, places * groups_);
    parts_ = larger(1, smaller(most, pixels / (kThreads / across_ * kRun * kLeastRuns)));
    per_part_ = ceil_div(pixels, parts_);
  }

  size_t scratch() const {
    if (parts_ == 1) return 0;
    return align_up(sum_rows_scratch(places_ * filters_)) +
           static_cast<size_t>(parts_ * places_ * filters_) * sizeof(float);
  }
  // kernel(this, dw, arguments..), which calls `sum` on the device.
  template <class Kernel, class... Arguments>
  void run(Launcher& to, float* dw, uint8_t* scratch, Kernel kernel, const Arguments&... arguments) const {
    const int64_t weights = places_ * filters_;
    if (weights == 0) return;
    auto* sums = parts_ == 1 ? dw : reinterpret_cast<float*>(scratch + align_up(sum_rows_scratch(weights)));
    const dim3 grid(static_cast<unsigned>(places_ * groups_), static_cast<unsigned>(parts_));
    const dim3 block(static_cast<unsigned>(across_), static_cast<unsigned>(kThreads / across_));
    launch(to, kernel, grid, block, *this, sums, arguments...);
    if (parts_ > 1) sum_rows(to, sums, parts_, weights, dw, scratch);
  }

  // Adds up what own(place, k, first, end, step) gives for the pixels first, first + step, .. below end.
  template <class I, class Own>
  __device__ __forceinline__ void sum(float* dw, const Own& own) const {
    __shared__ float shared[kThreads];
    const int64_t place = blockIdx.x / groups_, k = blockIdx.x % groups_ * blockDim.x + threadIdx.x;
    const int64_t begin = blockIdx.y * per_part_, end = smaller(begin + per_part_, pixels_);
    const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
    shared[at] = 0;
    if (k < filters_) {
      shared[at] = own(place, k, static_cast<I>(begin + threadIdx.y), static_cast<I>(end), static_cast<I>(blockDim.y));
    }
    __syncthreads();
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
      if (threadIdx.y < half) shared[at] += shared[at + half * blockDim.x];
      __syncthreads();
    }
    if (threadIdx.y == 0 && k < filters_) dw[(blockIdx.y * places_ + place) * filters_ + k] = shared[at];
  }

 private:
  static constexpr int64_t kMostBlocks = 1024;  // more than fill a device
  static constexpr int64_t kLeastRuns = 4;      // of a thread, before there is another part

  int across_ = 1;  // threads over filters; kThreads / across_ over pixels
  int64_t places_, filters_, pixels_, groups_, parts_, per_part_;
};

}  // namespace forja::cuda
