// What the device can do at best: multiply-adds in registers.
#include <algorithm>

#include "kernel.cuh"

namespace forja::cuda {
namespace {

constexpr int kChains = 16;  // independent sums of a thread, enough to hide the latency of one

__global__ void fma_probe_kernel(float* sink, float factor, int iterations) {
  float sums[kChains];
#pragma unroll
  for (int i = 0; i < kChains; i++) sums[i] = static_cast<float>(threadIdx.x + i);
  for (int k = 0; k < iterations; k++) {
#pragma unroll
    for (int i = 0; i < kChains; i++) sums[i] = sums[i] * factor + factor;
  }
  float total = 0;
#pragma unroll
  for (int i = 0; i < kChains; i++) total += sums[i];
  // Never true: keeps the compiler from leaving the sums out.
  if (total == 12345.0f) *sink = total;
}

}  // namespace

float fastest_milliseconds(Launcher& to, const std::function<void()>& work) {
#ifdef SIMT_EMULATION
  constexpr float kSettle = 0;
  constexpr int kCallsOfTurn = 1;
#else
  constexpr float kSettle = 100;   // milliseconds of work, in which an idle device raises its clocks
  constexpr int kCallsOfTurn = 8;  // the first is launched while the device waits for it
#endif
  constexpr int kLeastTurns = 4;
  cudaEvent_t begin = nullptr, end = nullptr;
  const auto keep = [&](cudaError_t code) {
    if (to.error == cudaSuccess) to.error = code;
  };
  keep(cudaEventCreate(&begin));
  keep(cudaEventCreate(&end));
  float best = 1e30f, total = 0;
  for (int turn = 0; (turn < kLeastTurns || total < kSettle) && to.error == cudaSuccess; turn++) {
    float milliseconds = 0;
    keep(cudaEventRecord(begin, to.stream));
    for (int call = 0; call < kCallsOfTurn; call++) work();
    keep(cudaEventRecord(end, to.stream));
    keep(cudaEventSynchronize(end));
    keep(cudaEventElapsedTime(&milliseconds, begin, end));
    total += milliseconds;
    best = std::min(best, milliseconds / kCallsOfTurn);
  }
  if (begin != nullptr) cudaEventDestroy(begin);
  if (end != nullptr) cudaEventDestroy(end);
  return best;
}

double measure_fma(Launcher& to) {
#ifdef SIMT_EMULATION
  constexpr int kIterations = 16, kBlocks = 1;
#else
  constexpr int kIterations = 4096, kBlocks = 8;
#endif
  const int64_t blocks = static_cast<int64_t>(to.multiprocessors) * kBlocks;
  const float best = fastest_milliseconds(
      to, [&] { launch(to, fma_probe_kernel, blocks, kThreads, static_cast<float*>(nullptr), 0.999f, kIterations); });
  return 2.0 * kChains * kIterations * static_cast<double>(blocks) * kThreads / best * 1e-6;
}

}  // namespace forja::cuda
