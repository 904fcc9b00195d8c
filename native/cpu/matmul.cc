// The matmul operation on top of gemm.h: batches, bias, activation; variants naive, blocked, simd.
#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

// y (M, N) = op(a) op(b), one row of y at a time.
void run_naive(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_matmul_attrs>();
  const fj_value &a = *call.in[0].value, &y = *call.out[0].value;
  const int64_t m = y.dims[y.rank - 2], n = y.dims[y.rank - 1];
  const int64_t k = a.dims[a.rank - (attrs.transpose_a ? 2 : 1)];
  const float* pa = call.in[0].as<const float>();
  const float* pb = call.in[1].as<const float>();
  const float* bias = call.n_in == 3 ? call.in[2].as<const float>() : nullptr;
  const Range rows = split(m, team);
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t j = 0; j < n; j++) {
      float total = bias ? bias[j] : 0;
      for (int64_t p = 0; p < k; p++) {
        total +=
            (attrs.transpose_a ? pa[p * m + i] : pa[i * k + p]) * (attrs.transpose_b ? pb[j * k + p] : pb[p * n + j]);
      }
      call.out[0].as<float>()[i * n + j] = attrs.activation == FJ_ACTIVATION_RELU && total < 0 ? 0 : total;
    }
  }
}

bool is_single(const Call& call) { return call.out[0].value->rank == 2; }

}  // namespace

void register_matmul(KernelTable& table) {
  table.add({FJ_OP_MATMUL, FJ_MATMUL_NAIVE, "matmul naive", run_naive, nullptr, is_single});
}

}  // namespace forja::FJ_ISA
