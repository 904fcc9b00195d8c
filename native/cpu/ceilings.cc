// What this machine can do at best, measured: the denominator of every percentage in the benches.
#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

// Enough independent accumulators to hide a latency of 4 to 5 cycles on two pipes.
constexpr int kChains = 12;

// iterations x kChains x kWidth multiply-adds in registers; the result is returned so that they are not dropped.
float fma_probe(int64_t iterations) {
  Vec sums[kChains];
  unroll<kChains>([&](auto i) FJ_LAMBDA { sums[i] = broadcast(static_cast<float>(i)); });
  const Vec factor = broadcast(0.999f), term = broadcast(0.001f);
  for (int64_t k = 0; k < iterations; k++) {
    unroll<kChains>([&](auto i) FJ_LAMBDA { sums[i] = fma(sums[i], factor, term); });
  }
  Vec total = zero();
  unroll<kChains>([&](auto i) FJ_LAMBDA { total = total + sums[i]; });
  return reduce_add(total);
}

}  // namespace

void register_ceilings(KernelTable& table) {
  table.fma_probe = fma_probe;
  table.fma_probe_flops = 2.0 * kChains * kWidth;
}

}  // namespace forja::FJ_ISA
