// Fused elementwise micro-programs (see lib/ops/fused.ts for their encoding), full and copy.
//
// The output is walked in blocks of kBlock elements of its last dimension; every register holds one block, so all
// intermediate results of a chain stay in the first-level cache and memory is read and written once.
#include <cmath>
#include <cstring>

#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kBlock = 256;

union Lane {
  float f[kBlock];
  int32_t i[kBlock];
};

FJ_INLINE void load_block(const Operand& x, int64_t offset, bool splat, int n, Lane& out) {
  const int64_t step = splat ? 0 : 1;
  switch (x.value->dtype) {
    case FJ_FLOAT32:
    case FJ_INT32:
      for (int k = 0; k < n; k++) out.i[k] = x.as<const int32_t>()[offset + k * step];
      break;
    case FJ_UINT8:
    case FJ_BOOL:
      for (int k = 0; k < n; k++) out.i[k] = x.as<const uint8_t>()[offset + k * step];
      break;
    default:
      break;
  }
}

FJ_INLINE void store_block(const Operand& y, int64_t offset, int n, const Lane& in) {
  switch (y.value->dtype) {
    case FJ_FLOAT32:
    case FJ_INT32:
      memcpy(y.as<int32_t>() + offset, in.i, static_cast<size_t>(n) * 4);
      break;
    case FJ_UINT8:
    case FJ_BOOL:
      for (int k = 0; k < n; k++) y.as<uint8_t>()[offset + k] = static_cast<uint8_t>(in.i[k]);
      break;
    default:
      break;
  }
}

#define FJ_EACH(expression)     \
  for (int k = 0; k < n; k++) { \
    expression;                 \
  }

void execute(const int32_t* word, Lane* r, int n) {
  const uint32_t head = static_cast<uint32_t>(word[0]), registers = static_cast<uint32_t>(word[1]);
  Lane& d = r[registers & 255];
  const Lane &a = r[(registers >> 8) & 255], &b = r[(registers >> 16) & 255];
  const bool integer = (head >> 16) == 1;
  switch (head & 0xffff) {
    case FJ_OP_FULL:
      FJ_EACH(d.i[k] = word[2])
      break;
    case FJ_OP_ADD:
      if (integer) {
        FJ_EACH(d.i[k] = a.i[k] + b.i[k])
      } else {
        FJ_EACH(d.f[k] = a.f[k] + b.f[k])
      }
      break;
    case FJ_OP_SUB:
      if (integer) {
        FJ_EACH(d.i[k] = a.i[k] - b.i[k])
      } else {
        FJ_EACH(d.f[k] = a.f[k] - b.f[k])
      }
      break;
    case FJ_OP_MUL:
      if (integer) {
        FJ_EACH(d.i[k] = a.i[k] * b.i[k])
      } else {
        FJ_EACH(d.f[k] = a.f[k] * b.f[k])
      }
      break;
    case FJ_OP_DIV:
      FJ_EACH(d.f[k] = a.f[k] / b.f[k])
      break;
    case FJ_OP_NEG:
      FJ_EACH(d.f[k] = -a.f[k])
      break;
    case FJ_OP_RELU:
      FJ_EACH(d.f[k] = a.f[k] > 0 ? a.f[k] : 0)
      break;
    case FJ_OP_RELU_GRAD:
      FJ_EACH(d.f[k] = b.f[k] > 0 ? a.f[k] : 0)
      break;
    default:
      break;
  }
}

// Element offset of row `row` of an input broadcast to the output's shape (rows: all but the last dimension).
FJ_INLINE int64_t row_offset(const fj_value& x, const fj_value& y, int64_t row) {
  int64_t offset = 0, stride = x.rank > 0 ? x.dims[x.rank - 1] : 1;
  for (int axis = y.rank - 2, from = x.rank - 2; axis >= 0; axis--, from--) {
    const int64_t index = row % y.dims[axis];
    row /= y.dims[axis];
    if (from < 0) continue;
    if (x.dims[from] != 1) offset += index * stride;
    stride *= x.dims[from];
  }
  return offset;
}

void run_fused(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_fused_attrs>();
  const fj_value& y = *call.out[0].value;
  const int32_t* code = call.tail(sizeof(fj_fused_attrs));
  const int instructions = static_cast<int>((call.attr_bytes - sizeof(fj_fused_attrs)) / (4 * FJ_FUSED_WORDS));
  const int64_t columns = y.rank > 0 ? y.dims[y.rank - 1] : 1;
  if (y.bytes == 0) return;
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < y.rank; axis++) rows *= y.dims[axis];
  const int64_t blocks = (columns + kBlock - 1) / kBlock;
  const Range range = split(rows * blocks, team);
  Lane registers[FJ_FUSED_MAX_REGISTERS];
  for (int64_t item = range.begin; item < range.end; item++) {
    const int64_t row = item / blocks, column = item % blocks * kBlock;
    const int n = static_cast<int>(columns - column < kBlock ? columns - column : kBlock);
    for (int i = 0; i < call.n_in; i++) {
      const fj_value& x = *call.in[i].value;
      const bool splat = x.rank == 0 || x.dims[x.rank - 1] == 1;
      load_block(call.in[i], row_offset(x, y, row) + (splat ? 0 : column), splat, n, registers[i]);
    }
    for (int i = 0; i < instructions; i++) execute(code + i * FJ_FUSED_WORDS, registers, n);
    store_block(call.out[0], row * columns + column, n, registers[attrs.result]);
  }
}

void run_copy(const Call& call, Team& team) {
  const Range range = split(static_cast<int64_t>(call.out[0].value->bytes), team, FJ_ALIGNMENT);
  memcpy(call.out[0].as<uint8_t>() + range.begin, call.in[0].as<const uint8_t>() + range.begin,
         static_cast<size_t>(range.end - range.begin));
}

void run_full(const Call& call, Team& team) {
  const float value = call.attrs<fj_full_attrs>().value;
  const Operand& y = call.out[0];
  int64_t count = 1;
  for (int axis = 0; axis < y.value->rank; axis++) count *= y.value->dims[axis];
  const Range range = split(count, team, 16);
  for (int64_t k = range.begin; k < range.end; k++) {
    switch (y.value->dtype) {
      case FJ_FLOAT32:
        y.as<float>()[k] = value;
        break;
      case FJ_INT32:
        y.as<int32_t>()[k] = static_cast<int32_t>(value);
        break;
      default:
        y.as<uint8_t>()[k] = static_cast<uint8_t>(value);
        break;
    }
  }
}

}  // namespace

void register_elementwise(KernelTable& table) {
  table.add({FJ_OP_FUSED, 0, "fused", run_fused, nullptr, nullptr});
  table.add({FJ_OP_COPY, 0, "copy", run_copy, nullptr, nullptr});
  table.add({FJ_OP_FULL, 0, "full", run_full, nullptr, nullptr});
  const int kMicroOps[] = {FJ_OP_ADD, FJ_OP_SUB,  FJ_OP_MUL,       FJ_OP_DIV,
                           FJ_OP_NEG, FJ_OP_RELU, FJ_OP_RELU_GRAD, FJ_OP_BROADCAST_TO};
  for (int op : kMicroOps) table.micro_op[op] = true;
}

}  // namespace forja::FJ_ISA
