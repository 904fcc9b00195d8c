// Which tensor-core tile makes a product: those of gemm_warpgroup.cuh where the GPU has its instructions, else those of
// gemm_core.cuh.
#pragma once

#include "gemm_warpgroup.cuh"

namespace forja::cuda {

template <class T>
struct Named {
  using Tile = T;
};

// Products that a multiprocessor could make in the time that it takes to write and read again a sum of a part.
constexpr double kJoinCost = 500;

// What a multiprocessor has to do with tiles T, in products; of memory only the parts' way to scratch and back counts.
// A tile takes as long to start and to end as 64 more steps of K. An estimate: these numbers, kJoinCost and kRate come
// from counting instructions and bytes, not from a clock.
template <class T>
double core_cost(const Launcher& to, int64_t m, int64_t n, int64_t k, int64_t products) {
  const Partition p = partition<T>(m, n, k, products, to.multiprocessors);
  const int64_t blocks = static_cast<int64_t>(p.down) * p.across * p.parts * products;
  const auto rounds = static_cast<double>(ceil_div(blocks, to.multiprocessors));
  const double joins = p.parts == 1 ? 0 : kJoinCost * static_cast<double>(p.parts * m * n * products);
  return rounds * T::kM * T::kN * (p.per_part + 64) * 100 / T::kRate + joins / to.multiprocessors;
}

// As run_gemm, with the tile that is done first; operands of `problem` are E.
template <class E, int VA, int VB, class Problem>
void run_core_gemm(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products,
                   float* scratch) {
  if (m == 0 || n == 0 || products == 0) return;
  Partition (*run)(Launcher&, const Problem&, int64_t, int64_t, int64_t, int64_t, float*) = nullptr;
  if constexpr (VA == 1 || VB == 1) {  // what is read one by one takes many registers
    run = run_tiles<CoreTile<E, 64, 64, 2, 4, 1, 45>, VA, VB, Problem>;
  } else {
    using Large = CoreTile<E, 256, 128, 4, 2, 1, 100>;
    using Square = CoreTile<E, 128, 128, 2, 2, 2, 90>;
    using Narrow = CoreTile<E, 128, 64, 2, 2, 3, 65>;
    using Small = CoreTile<E, 64, 64, 2, 2, 4, 45>;
    double least = 0;
    const auto weigh = [&](auto tile) {
      using T = typename decltype(tile)::Tile;
      const double cost = core_cost<T>(to, m, n, k, products);
      if (T::kDynamic > to.block_memory || (run != nullptr && cost >= least)) return;
      run = run_tiles<T, VA, VB, Problem>, least = cost;
    };
    weigh(Named<Large>{});
    weigh(Named<Square>{});
    weigh(Named<Narrow>{});
    weigh(Named<Small>{});
    if constexpr (std::is_same_v<E, BFloat16>) {
      if (to.warpgroups) {
        weigh(Named<WarpgroupTile<128, 256, 4, 1, 165>>{});
        weigh(Named<WarpgroupTile<128, 128, 3, 2, 140>>{});
        weigh(Named<WarpgroupTile<128, 64, 3, 3, 95>>{});
      }
    }
  }
  join_parts(to, problem, run(to, problem, m, n, k, products, scratch), products, scratch);
}

}  // namespace forja::cuda
