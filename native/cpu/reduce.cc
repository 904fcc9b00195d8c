// Reductions over masked axes.
#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

// One output element at a time, in float64; the fast paths come first in the table.
void run_sum(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_sum_attrs>();
  const fj_value& x = *call.in[0].value;
  int64_t kept = 1, reduced = 1, stride = 1, strides[FJ_MAX_RANK];
  for (int axis = x.rank - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= x.dims[axis];
    (attrs.mask[axis] ? reduced : kept) *= x.dims[axis];
  }
  const Range range = split(kept, team);
  for (int64_t o = range.begin; o < range.end; o++) {
    int64_t base = 0, rest = o;
    for (int axis = x.rank - 1; axis >= 0; axis--) {
      if (attrs.mask[axis]) continue;
      base += rest % x.dims[axis] * strides[axis];
      rest /= x.dims[axis];
    }
    double total = 0;
    for (int64_t r = 0; r < reduced; r++) {
      int64_t at = base, left = r;
      for (int axis = x.rank - 1; axis >= 0; axis--) {
        if (!attrs.mask[axis]) continue;
        at += left % x.dims[axis] * strides[axis];
        left /= x.dims[axis];
      }
      total += x.dtype == FJ_FLOAT32 ? call.in[0].as<const float>()[at] : call.in[0].as<const int32_t>()[at];
    }
    if (x.dtype == FJ_FLOAT32) {
      call.out[0].as<float>()[o] = static_cast<float>(total);
    } else {
      call.out[0].as<int32_t>()[o] = static_cast<int32_t>(total);
    }
  }
}

}  // namespace

void register_reduce(KernelTable& table) { table.add({FJ_OP_SUM, 0, "sum", run_sum, nullptr, nullptr}); }

}  // namespace forja::FJ_ISA
