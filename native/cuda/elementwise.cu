// Fused elementwise micro-programs (lib/ops/fused.ts has their encoding), full and copy.
//
// A thread makes kElements neighbouring elements of the output. It interprets the micro-program: all threads of a warp
// are at the same step, so decoding costs one branch for 32 * kElements elements, and what is computed in between stays
// in registers and first-level cache. Memory is read and written once, 128 bits at a time where elements have 4 bytes.
//
// The output may be the memory of an input with as many elements: a thread reads its elements before it writes them and
// touches no others.
#include <cstring>

#include "kernel.cuh"
#include "micro_ops.cuh"

namespace forja::cuda {
namespace {

constexpr int kMaxSteps = 64;

enum class Access : uint8_t { kFull, kNumber, kStrided };

// How an input is read along the output's long row.
struct Source {
  const void* data;
  uint8_t dtype;
  Access access;
  BroadcastRuns runs;  // kStrided
};

struct Fused {
  void* out;
  int64_t count;
  uint8_t dtype;
  uint8_t inputs, steps, result;
  Source sources[FJ_FUSED_MAX_INPUTS];
  MicroStep step[kMaxSteps];
};
static_assert(sizeof(Fused) <= 4096, "kernel arguments do not fit");

Source classify(const Operand& operand, const fj_value& y, int64_t count) {
  const fj_value& x = *operand.value;
  Source s{};
  s.data = operand.data;
  s.dtype = x.dtype;
  const int64_t own_count = element_count(x);
  s.access = own_count == count ? Access::kFull : own_count == 1 ? Access::kNumber : Access::kStrided;
  if (s.access == Access::kStrided) s.runs = broadcast_runs(x, y);
  return s;
}

// One element, converted to its lane.
__device__ __forceinline__ uint32_t load_element(const Source& s, int64_t at) {
  switch (s.dtype) {
    case FJ_UINT8:
    case FJ_BOOL:
      return static_cast<const uint8_t*>(s.data)[at];
    case FJ_FLOAT16:
      return bits_of(half_bits_to_float(static_cast<const uint16_t*>(s.data)[at]));
    case FJ_BFLOAT16:
      return bits_of(bfloat16_bits_to_float(static_cast<const uint16_t*>(s.data)[at]));
    default:
      return static_cast<const uint32_t*>(s.data)[at];
  }
}

__device__ __forceinline__ void store_element(void* to, uint8_t dtype, int64_t at, uint32_t bits) {
  switch (dtype) {
    case FJ_UINT8:
    case FJ_BOOL:
      static_cast<uint8_t*>(to)[at] = static_cast<uint8_t>(bits);
      break;
    case FJ_FLOAT16:
      static_cast<uint16_t*>(to)[at] = float_to_half_bits(as_float(bits));
      break;
    case FJ_BFLOAT16:
      static_cast<uint16_t*>(to)[at] = float_to_bfloat16_bits(as_float(bits));
      break;
    default:
      static_cast<uint32_t*>(to)[at] = bits;
  }
}

__device__ __forceinline__ bool is_word(uint8_t dtype) { return dtype == FJ_FLOAT32 || dtype == FJ_INT32; }

// Elements at .. at + n - 1 of the long row; I: uint32_t where the output has less than 2^31 elements.
template <class I>
__device__ __forceinline__ void load_source(const Source& s, I at, int n, uint32_t* r) {
  if (s.access == Access::kNumber) {
    const uint32_t value = load_element(s, 0);
#pragma unroll
    for (int k = 0; k < kElements; k++) r[k] = value;
    return;
  }
  if (s.access == Access::kFull) {
    if (n == kElements && is_word(s.dtype)) {
      const uint4 v = *reinterpret_cast<const uint4*>(static_cast<const uint32_t*>(s.data) + at);
      r[0] = v.x, r[1] = v.y, r[2] = v.z, r[3] = v.w;
      return;
    }
#pragma unroll
    for (int k = 0; k < kElements; k++) r[k] = k < n ? load_element(s, at + k) : 0;
    return;
  }
#pragma unroll
  for (int k = 0; k < kElements; k++) {
    I rest = at + (k < n ? k : 0);
    int64_t offset = 0;
    for (int axis = 0; axis < s.runs.rank; axis++) {
      const I dim = static_cast<I>(s.runs.dims[axis]), quotient = axis + 1 < s.runs.rank ? rest / dim : 0;
      offset += static_cast<int64_t>(rest - quotient * dim) * s.runs.strides[axis];
      rest = quotient;
    }
    r[k] = load_element(s, offset);
  }
}

template <class I, int kRegisters>
__global__ void __launch_bounds__(kThreads) fused_kernel(const __grid_constant__ Fused p) {
  const int64_t first = thread_index() * kElements;
  if (first >= p.count) return;
  const I at = static_cast<I>(first);
  const int n = p.count - first < kElements ? static_cast<int>(p.count - first) : kElements;
  uint32_t registers[kRegisters][kElements];
  for (int i = 0; i < p.inputs; i++) load_source<I>(p.sources[i], at, n, registers[i]);
  for (int i = 0; i < p.steps; i++) run_micro_op(registers, p.step[i]);
  const uint32_t* r = registers[p.result];
  if (n == kElements && is_word(p.dtype)) {
    *reinterpret_cast<uint4*>(static_cast<uint32_t*>(p.out) + at) = make_uint4(r[0], r[1], r[2], r[3]);
    return;
  }
  for (int k = 0; k < n; k++) store_element(p.out, p.dtype, first + k, r[k]);
}

void run_fused(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_fused_attrs>();
  Fused p{};
  p.out = call.out[0].data;
  p.count = element_count(*call.out[0].value);
  p.dtype = call.out[0].value->dtype;
  p.inputs = static_cast<uint8_t>(call.n_in);
  p.result = static_cast<uint8_t>(attrs.result);
  p.steps = static_cast<uint8_t>((call.attr_bytes - sizeof(fj_fused_attrs)) / (4 * FJ_FUSED_WORDS));
  for (int i = 0; i < call.n_in; i++) p.sources[i] = classify(call.in[i], *call.out[0].value, p.count);
  const int32_t* code = call.tail(sizeof(fj_fused_attrs));
  for (int i = 0; i < p.steps; i++, code += FJ_FUSED_WORDS) {
    const uint32_t head = static_cast<uint32_t>(code[0]), r = static_cast<uint32_t>(code[1]);
    p.step[i] = {static_cast<uint16_t>(head),
                 static_cast<uint8_t>(head >> 16),
                 static_cast<uint8_t>(r),
                 static_cast<uint8_t>(r >> 8),
                 static_cast<uint8_t>(r >> 16),
                 static_cast<uint8_t>(r >> 24),
                 0,
                 {static_cast<uint32_t>(code[2]), static_cast<uint32_t>(code[3])}};
  }
  const int64_t blocks = blocks_for(ceil_div(p.count, kElements));
  if (p.count >= INT32_MAX) {
    launch(to, fused_kernel<uint64_t, FJ_FUSED_MAX_REGISTERS>, blocks, kThreads, p);
  } else if (attrs.registers > 8) {
    launch(to, fused_kernel<uint32_t, FJ_FUSED_MAX_REGISTERS>, blocks, kThreads, p);
  } else {
    launch(to, fused_kernel<uint32_t, 8>, blocks, kThreads, p);
  }
}

bool supports_fused(const Call& call) { return all_steps(call, kMaxSteps, has_micro_op); }

void run_copy(const Call& call, Launcher& to) {
  const uint64_t bytes = call.out[0].value->bytes;
  if (bytes == 0 || to.error != cudaSuccess) return;
  to.error = cudaMemcpyAsync(call.out[0].data, call.in[0].data, bytes, cudaMemcpyDeviceToDevice, to.stream);
}

__global__ void full_kernel(void* y, uint8_t dtype, int64_t count, uint32_t bits) {
  const int64_t at = thread_index();
  if (at < count) store_element(y, dtype, at, bits);
}

void run_full(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_full_attrs>();
  const fj_value& y = *call.out[0].value;
  const bool integer = y.dtype == FJ_INT32 || y.dtype == FJ_UINT8 || y.dtype == FJ_BOOL;
  uint32_t bits = static_cast<uint32_t>(attrs.integer);
  if (!integer) memcpy(&bits, &attrs.value, 4);
  const int64_t count = element_count(y);
  launch(to, full_kernel, blocks_for(count), kThreads, call.out[0].data, y.dtype, count, bits);
}

}  // namespace

void register_elementwise(KernelTable& table) {
  table.add({FJ_OP_FUSED, 0, "fused", run_fused, nullptr, supports_fused, false});
  table.add({FJ_OP_COPY, 0, "copy", run_copy, nullptr, nullptr, false});
  table.add({FJ_OP_FULL, 0, "full", run_full, nullptr, nullptr, false});
  for (int op = 0; op < FJ_OP_LIMIT; op++) table.micro_op[op] = has_micro_op(op, 0) || has_micro_op(op, 1);
  table.micro_op[FJ_OP_FULL] = false;         // has a kernel of its own
  table.micro_op[FJ_OP_BROADCAST_TO] = true;  // done while inputs are loaded
}

}  // namespace forja::cuda
