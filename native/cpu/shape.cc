// Operations that only move elements.
#include <cstring>

#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

FJ_INLINE size_t element_size(const fj_value& value) {
  const uint8_t kSizes[FJ_DTYPE_COUNT] = {4, 4, 1, 1, 2, 2, 8};
  return kSizes[value.dtype];
}

// y[i0, i1, ..] = x[..] with axis perm[k] of x running along axis k of y.
void run_transpose(const Call& call, Team& team) {
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  const int32_t* perm = call.tail(0);
  const size_t size = element_size(x);
  int64_t count = 1, stride = 1, strides[FJ_MAX_RANK];
  for (int axis = x.rank - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= x.dims[axis];
    count *= x.dims[axis];
  }
  const Range range = split(count, team, 16);
  for (int64_t o = range.begin; o < range.end; o++) {
    int64_t from = 0, rest = o;
    for (int axis = y.rank - 1; axis >= 0; axis--) {
      from += rest % y.dims[axis] * strides[perm[axis]];
      rest /= y.dims[axis];
    }
    memcpy(call.out[0].as<uint8_t>() + o * size, call.in[0].as<const uint8_t>() + from * size, size);
  }
}

}  // namespace

void register_shape(KernelTable& table) {
  table.add({FJ_OP_TRANSPOSE, 0, "transpose", run_transpose, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
