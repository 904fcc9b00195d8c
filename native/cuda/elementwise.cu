// Fused elementwise micro-programs (lib/ops/fused.ts has their encoding), full and copy.
//
// A thread makes kGroups groups of kGroup neighbouring elements of the output, kMostGroups where such threads fill the
// device; neighbouring threads have neighbouring groups, so that a warp's accesses are whole lines: 128 bits a thread
// where elements have 4 bytes, 64 where they have 2. Inputs are asked for two at a time before anything is done with
// them. Bound by memory, a multiprocessor needs about 32 KB under way; 1024 threads with 32 bytes of each of one or two
// bfloat16 inputs have that.
//
// All threads of a warp are at the same step of the micro-program, so what a dtype or an operation asks for is decided
// once for all of a warp's elements. These decisions are most of what a short chain of bfloat16 executes, which is why
// few threads with many groups are better. What a step has made stays in registers for the next one; what is used later
// goes to a slot, 16 bytes a group in shared memory. Registers of the micro-program cannot be a thread's own, whose
// numbers are fixed in code.
//
// The output may be the memory of an input with as many elements: a thread reads its elements before it writes them and
// touches no others.
#include <cstring>

#include "device/ptx.cuh"
#include "groups.cuh"
#include "kernel.cuh"
#include "micro_ops.cuh"

namespace forja::cuda {
namespace {

constexpr int kMaxSteps = 64;
constexpr int kGroups = 2;          // of a thread; kMostGroups where those threads fill the device
constexpr int kFullThreads = 1024;  // of fused_kernel that a multiprocessor has at once
constexpr int kAhead = 2;  // inputs whose loads are under way together, the first of which is kept in registers

// Where an operand comes from, or a result goes to, when it is no slot.
constexpr uint8_t kHeld = 255;  // the registers, as the step before has left it there
constexpr uint8_t kNone = 254;

struct MicroProgram {
  uint8_t dtype;  // of the result
  uint8_t inputs, steps, result;
  uint8_t slot[FJ_FUSED_MAX_INPUTS];  // of each input
  MicroStep step[kMaxSteps];
};

// One result. I: int, or int64_t where it has 2^31 elements or more.
template <class I>
struct Fused {
  MicroProgram program;
  void* out;
  I count;
  GroupSource<I> sources[FJ_FUSED_MAX_INPUTS];
};
static_assert(sizeof(Fused<int64_t>) <= 4096, "kernel arguments do not fit");

// Many results of less than 2^31 elements, of inputs of the result's size or of one element. Of each a row of `words`:
// its first block, its number of elements, where it lies, and where its inputs do (+ 1: one element for all).
struct Joined {
  static constexpr int kWords = 360, kInputsAt = 3;
  MicroProgram program;
  uint8_t dtypes[FJ_FUSED_MAX_INPUTS];
  int results;
  uint64_t words[kWords];

  __host__ __device__ int row() const { return kInputsAt + program.inputs; }
};
static_assert(sizeof(Joined) <= 4096, "kernel arguments do not fit");

// A group's place in the memory of slots: neighbouring threads in neighbouring 16 bytes.
template <int G>
__device__ __forceinline__ uint4* place_of(uint8_t slot, int group) {
  return static_cast<uint4*>(ptx::dynamic_shared()) + (slot * G + group) * blockDim.x + threadIdx.x;
}
// Both do nothing for kHeld and kNone.
template <int G>
__device__ __forceinline__ void load_slot(uint8_t slot, uint32_t* r) {
  if (slot >= kNone) return;
#pragma unroll
  for (int g = 0; g < G; g++) {
    const uint4 v = *place_of<G>(slot, g);
    r[g * kGroup] = v.x, r[g * kGroup + 1] = v.y, r[g * kGroup + 2] = v.z, r[g * kGroup + 3] = v.w;
  }
}
template <int G>
__device__ __forceinline__ void store_slot(uint8_t slot, const uint32_t* r) {
  if (slot >= kNone) return;
#pragma unroll
  for (int g = 0; g < G; g++) {
    *place_of<G>(slot, g) = make_uint4(r[g * kGroup], r[g * kGroup + 1], r[g * kGroup + 2], r[g * kGroup + 3]);
  }
}

// This thread's groups of a result, in the block-th of its blocks. source_of(i): where input i comes from.
template <int G, class I, class SourceOf>
__device__ __forceinline__ void run_program(const MicroProgram& p, const SourceOf& source_of, I block, void* out,
                                            I count) {
  constexpr int kElements = G * kGroup;
  const I per_block = static_cast<I>(blockDim.x * kElements);
  const I first = block * per_block + static_cast<I>(threadIdx.x * kGroup);
  if (first >= count) return;
  const Groups<I, G> groups(first, static_cast<I>(blockDim.x * kGroup), count);
  uint32_t r[kElements] = {};  // what a step has made, and before the first one the held input
  for (int i = 0; i < p.inputs; i += kAhead) {
    const bool two = i + 1 < p.inputs;
    uint32_t next[kElements];
    fetch(source_of(i), groups, r);
    if (two) {
      fetch(source_of(i + 1), groups, next);
      unpack<G>(source_of(i + 1).dtype, next);
      store_slot<G>(p.slot[i + 1], next);
    }
    unpack<G>(source_of(i).dtype, r);
    store_slot<G>(p.slot[i], r);
  }
  for (int i = 0; i < p.steps; i++) {
    const MicroStep& step = p.step[i];
    uint32_t b[kElements] = {};
    if (step.b == kHeld) {
#pragma unroll
      for (int k = 0; k < kElements; k++) b[k] = r[k];
    } else {
      load_slot<G>(step.b, b);
    }
    load_slot<G>(step.a, r);
    run_micro_op<kElements>(
        r, b, [&](uint32_t* c) { load_slot<G>(step.c, c); }, step);
    store_slot<G>(step.d, r);
  }
  load_slot<G>(p.result, r);
  store(out, p.dtype, groups, r);
}

template <int G, class I>
__global__ void __launch_bounds__(kThreads, 4) fused_kernel(const __grid_constant__ Fused<I> p) {
  run_program<G, I>(
      p.program, [&](int i) -> const GroupSource<I>& { return p.sources[i]; }, blockIdx.x, p.out, p.count);
}

__global__ void __launch_bounds__(kThreads, 4) joined_kernel(const __grid_constant__ Joined p) {
  const int row = p.row();
  int low = 0, high = p.results;  // the last result that begins at or before this block
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (p.words[middle * row] <= blockIdx.x ? low : high) = middle;
  }
  const uint64_t* own = p.words + low * row;
  const auto count = static_cast<int>(own[1]);
  const auto source = [&](int i) {
    const uint64_t word = own[Joined::kInputsAt + i];
    return PlainSource{reinterpret_cast<const void*>(word & ~uint64_t{1}), p.dtypes[i],
                       (word & 1) != 0 ? Access::kSame : Access::kWhole};
  };
  run_program<kGroups, int>(p.program, source, static_cast<int>(blockIdx.x - own[0]), reinterpret_cast<void*>(own[2]),
                            count);
}

// A micro-program's registers as slots. Only what is not held when it is used has one.
struct Slots {
  const MicroStep* step;  // with the numbers of registers
  int steps, result;
  uint8_t of[FJ_FUSED_MAX_REGISTERS];
  int count = 0;

  Slots(const MicroStep* step, int steps, int result) : step(step), steps(steps), result(result) {
    for (uint8_t& slot : of) slot = kNone;
  }
  // The slot of what a register holds before step `next`, where that is looked for in one; `held`: step `next` finds it
  // in the thread's registers as well, but for a third operand.
  uint8_t keep(int reg, int next, bool held) {
    if (!is_used(reg, next, held)) return kNone;
    if (of[reg] == kNone) of[reg] = static_cast<uint8_t>(count++);
    return of[reg];
  }

 private:
  bool is_used(int reg, int next, bool held) const {
    for (int i = next; i < steps; i++) {
      const int arity = fj_micro_arity(step[i].opcode);
      const bool is_there = held && i == next;
      if (arity > 0 && step[i].a == reg && !is_there) return true;
      if (arity > 1 && step[i].b == reg && !is_there) return true;
      if (arity > 2 && step[i].c == reg) return true;
      if (step[i].d == reg) return false;
    }
    return result == reg && !(held && next == steps);
  }
};

// Whether a step only makes a float one of this dtype.
bool rounds_to(const MicroStep& step, uint32_t dtype) {
  return step.opcode == FJ_OP_CAST && step.lane == 0 && step.words[0] == dtype &&
         (dtype == FJ_FLOAT32 || dtype == FJ_FLOAT16 || dtype == FJ_BFLOAT16);
}

// Places the program's registers in slots: how many there are.
int decode(const Call& call, MicroProgram& p) {
  const auto& attrs = call.attrs<fj_fused_attrs>();
  p.dtype = call.out[0].value->dtype;
  p.inputs = static_cast<uint8_t>(call.n_in / call.n_out);
  p.steps = static_cast<uint8_t>((call.attr_bytes - sizeof(fj_fused_attrs)) / (4 * FJ_FUSED_WORDS));
  const int32_t* code = call.tail(sizeof(fj_fused_attrs));
  MicroStep step[kMaxSteps];
  for (int i = 0; i < p.steps; i++, code += FJ_FUSED_WORDS) {
    const uint32_t head = static_cast<uint32_t>(code[0]), r = static_cast<uint32_t>(code[1]);
    step[i] = {static_cast<uint16_t>(head),
               static_cast<uint8_t>(head >> 16),
               static_cast<uint8_t>(r),
               static_cast<uint8_t>(r >> 8),
               static_cast<uint8_t>(r >> 16),
               static_cast<uint8_t>(r >> 24),
               0,
               {static_cast<uint32_t>(code[2]), static_cast<uint32_t>(code[3])}};
  }
  int result = attrs.result;
  // Memory rounds by itself what the last step would.
  if (p.steps > 0 && rounds_to(step[p.steps - 1], p.dtype) && step[p.steps - 1].d == result) {
    result = step[--p.steps].a;
  }
  Slots slots(step, p.steps, result);
  int held = p.inputs == 0 ? -1 : (p.inputs - 1) / kAhead * kAhead;
  for (int i = 0; i < p.inputs; i++) p.slot[i] = slots.keep(i, 0, i == held);
  const auto place = [&](uint8_t reg) { return reg == held ? kHeld : slots.of[reg]; };
  for (int i = 0; i < p.steps; i++) {
    const int arity = fj_micro_arity(step[i].opcode);
    MicroStep& s = p.step[i] = step[i];
    s.a = arity > 0 ? place(step[i].a) : kNone;
    s.b = arity > 1 ? place(step[i].b) : kNone;
    s.c = arity > 2 ? slots.of[step[i].c] : kNone;
    s.d = slots.keep(step[i].d, i + 1, true);
    held = step[i].d;
  }
  p.result = place(static_cast<uint8_t>(result));
  return slots.count;
}

// Threads of a block with slots within what every block may have; with 64 threads all of them fit.
Threads threads_for(int slots, int groups) {
  const auto bytes = [&](int threads) { return sizeof(uint32_t) * groups * kGroup * threads * slots; };
  int threads = kThreads;
  while (bytes(threads) > kPlainShared) threads /= 2;
  return Threads(threads, bytes(threads));
}

template <int G, class I>
void launch_fused(const Call& call, Launcher& to) {
  Fused<I> p{};
  p.out = call.out[0].data;
  p.count = static_cast<I>(element_count(*call.out[0].value));
  if (p.count == 0) return;
  const Threads threads = threads_for(decode(call, p.program), G);
  for (int i = 0; i < call.n_in; i++) p.sources[i] = source_of<I>(call.in[i], *call.out[0].value);
  launch(to, fused_kernel<G, I>, ceil_div(p.count, threads.size.x * G * kGroup), threads, p);
}

void run_one(const Call& call, Launcher& to) {
  const int64_t count = element_count(*call.out[0].value);
  const int64_t full = int64_t{kFullThreads} * to.multiprocessors * kMostGroups * kGroup;
  if (count >= kIntCount) return launch_fused<kGroups, int64_t>(call, to);
  if (count >= full) return launch_fused<kMostGroups, int>(call, to);
  launch_fused<kGroups, int>(call, to);
}

// As many results at a time as a kernel's arguments hold; the largest, whose elements have larger numbers, alone.
void run_joined(const Call& call, Launcher& to) {
  Joined p{};
  const Threads threads = threads_for(decode(call, p.program), kGroups);
  const int row = p.row();
  int64_t blocks = 0;
  const auto flush = [&] {
    launch(to, joined_kernel, blocks, threads, p);
    p.results = 0;
    blocks = 0;
  };
  Call each = call;
  each.n_in = call.n_in / call.n_out;
  each.n_out = 1;
  for (int i = 0; i < each.n_in; i++) p.dtypes[i] = call.in[i].value->dtype;
  for (int k = 0; k < call.n_out; k++, each.in += each.n_in, each.out++) {
    const int64_t count = element_count(*each.out->value);
    if (count == 0) continue;
    if (count >= kIntCount) {
      run_one(each, to);
      continue;
    }
    uint64_t* own = p.words + p.results++ * row;
    *own++ = static_cast<uint64_t>(blocks);
    *own++ = static_cast<uint64_t>(count);
    *own++ = reinterpret_cast<uint64_t>(each.out->data);
    for (int i = 0; i < each.n_in; i++) {
      const bool same = element_count(*each.in[i].value) == 1;
      *own++ = reinterpret_cast<uint64_t>(each.in[i].data) | uint64_t{same};
    }
    blocks += ceil_div(count, threads.size.x * kGroups * kGroup);
    if ((p.results + 1) * row > Joined::kWords) flush();
  }
  if (p.results > 0) flush();
}

void run_fused(const Call& call, Launcher& to) {
  if (call.n_out == 1) return run_one(call, to);
  run_joined(call, to);
}

bool supports_fused(const Call& call) { return all_steps(call, kMaxSteps, has_micro_op); }

void run_copy(const Call& call, Launcher& to) {
  const uint64_t bytes = call.out[0].value->bytes;
  if (bytes == 0 || to.error != cudaSuccess) return;
  to.error = cudaMemcpyAsync(call.out[0].data, call.in[0].data, bytes, cudaMemcpyDeviceToDevice, to.stream);
}

// y = `bits` everywhere, a group to each thread.
__global__ void full_kernel(void* y, uint8_t dtype, int64_t count, uint32_t bits) {
  const int64_t at = thread_index() * kGroup;
  const uint32_t group[kGroup] = {bits, bits, bits, bits};
  if (at < count) store(y, dtype, Groups<int64_t, 1>(at, 0, count), group);
}

void run_full(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_full_attrs>();
  const fj_value& y = *call.out[0].value;
  const bool integer = y.dtype == FJ_INT32 || y.dtype == FJ_UINT8 || y.dtype == FJ_BOOL;
  uint32_t bits = static_cast<uint32_t>(attrs.integer);
  if (!integer) memcpy(&bits, &attrs.value, 4);
  const int64_t count = element_count(y);
  launch(to, full_kernel, blocks_for(ceil_div(count, kGroup)), kThreads, call.out[0].data, y.dtype, count, bits);
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
