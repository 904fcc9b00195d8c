// Fused elementwise micro-programs (lib/ops/fused.ts has their encoding), full and copy.
//
// The output, read as one long row, is walked in blocks; a register holds one block, so all intermediate results of a
// chain stay in the first-level cache and memory is read and written once. Every instruction is one call per block on
// whole vectors (micro_ops.cc). What an instruction reads and writes need not be a register:
//
//   full      an input with as many elements as the output: its own memory, if its elements need no conversion
//   number    an input of one element, or an immediate: a register filled once
//   periodic  an input that repeats after P elements (a bias (P) added to (N, P)): P + one block of it are laid out
//             once, and blocks read from the place where their period stands
//   strided   any other broadcast: each block is put together from runs of the input; where one run covers the
//             block, it is read in place
//
// and the last instruction writes straight to the output. That may be the memory of a `full` input: within an
// instruction every element is read before it is written, and no other element is touched.
#include <cstring>

#include "kernel.h"
#include "micro_ops.h"
#include "simd/half.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kSlack = 16;                 // floats behind a register: runs are written in whole vectors
constexpr int kStorage = 24 * (256 + 16);  // floats of all registers
constexpr int kMaxPeriod = 256;
constexpr int kPatterns = 12 * (kMaxPeriod + 512 + kSlack);
constexpr int64_t kGrain = 1024;  // elements: threads share nothing smaller

static_assert(kStorage >= FJ_FUSED_MAX_REGISTERS * (256 + kSlack), "registers do not fit");

typedef int32_t Word __attribute__((may_alias));

// Longer blocks where there are few registers: 6 x 1024, 12 x 512 or 24 x 256 floats.
int block_length(int registers) { return registers <= 6 ? 1024 : registers <= 12 ? 512 : 256; }

bool is_word(uint8_t dtype) { return dtype == FJ_FLOAT32 || dtype == FJ_INT32; }

// n elements from `offset` on, converted to their lane; writes whole vectors. Nothing is loaded over itself.
void load_elements(const Operand& x, int64_t offset, int n, float* __restrict d) {
  switch (x.value->dtype) {
    case FJ_UINT8:
    case FJ_BOOL: {
      Word* __restrict integers = reinterpret_cast<Word*>(d);
      const uint8_t* from = x.as<const uint8_t>() + offset;
      for (int k = 0; k < n; k++) integers[k] = from[k];
      break;
    }
    case FJ_FLOAT16: {
      const uint16_t* from = x.as<const uint16_t>() + offset;
      for (int k = 0; k < n; k++) d[k] = float_from_half(from[k]);
      break;
    }
    case FJ_BFLOAT16: {
      const uint16_t* from = x.as<const uint16_t>() + offset;
      for (int k = 0; k < n; k++) d[k] = float_from_bfloat16(from[k]);
      break;
    }
    default: {
      const float* from = x.as<const float>() + offset;
      int k = 0;
      for (; k + kWidth <= n; k += kWidth) store(d + k, load(from + k));
      if (k < n) store(d + k, load_masked(tail_mask(n - k), from + k));
    }
  }
}

void store_elements(const Operand& y, int64_t offset, int n, const float* __restrict from) {
  switch (y.value->dtype) {
    case FJ_UINT8:
    case FJ_BOOL: {
      const Word* __restrict integers = reinterpret_cast<const Word*>(from);
      uint8_t* __restrict to = y.as<uint8_t>() + offset;
      for (int k = 0; k < n; k++) to[k] = static_cast<uint8_t>(integers[k]);
      break;
    }
    case FJ_FLOAT16: {
      uint16_t* __restrict to = y.as<uint16_t>() + offset;
      for (int k = 0; k < n; k++) to[k] = half_from_float(from[k]);
      break;
    }
    case FJ_BFLOAT16: {
      uint16_t* __restrict to = y.as<uint16_t>() + offset;
      for (int k = 0; k < n; k++) to[k] = bfloat16_from_float(from[k]);
      break;
    }
    default:
      memmove(y.as<float>() + offset, from, static_cast<size_t>(n) * 4);
  }
}

// n copies of *value, in whole vectors.
FJ_INLINE void splat(const float* value, int n, float* d) {
  const Vec v = broadcast(*value);
  for (int k = 0; k < n; k += kWidth) store(d + k, v);
}

enum class Access { kFull, kNumber, kPeriodic, kStrided };

// How an input is read along the output's long row.
struct Source {
  Access access;
  int64_t period;  // kPeriodic: elements
  const float* pattern;
  BroadcastRuns runs;  // kPeriodic, kStrided
};

Source classify(const fj_value& x, const fj_value& y, int64_t count) {
  Source s;
  s.period = element_count(x);
  s.pattern = nullptr;
  s.access = s.period == count ? Access::kFull : s.period == 1 ? Access::kNumber : Access::kStrided;
  if (s.access != Access::kStrided) return s;
  s.runs = broadcast_runs(x, y);
  if (s.runs.rank == 2 && s.runs.strides[0] == 1 && s.period <= kMaxPeriod) s.access = Access::kPeriodic;
  return s;
}

// Elements [at, at + n) of the long row, into d or, where they lie together in memory as they are, in place.
const float* gather(const Operand& x, const BroadcastRuns& r, int64_t at, int n, bool exact, float* d) {
  int64_t index[FJ_MAX_RANK], offset = 0, rest = at;
  for (int axis = 0; axis < r.rank; axis++) {
    index[axis] = rest % r.dims[axis];
    rest /= r.dims[axis];
    offset += index[axis] * r.strides[axis];
  }
  const bool word = is_word(x.value->dtype), runs = r.strides[0] != 0;
  if (runs && word && exact && r.dims[0] - index[0] >= n) return x.as<const float>() + offset;
  for (int done = 0; done < n;) {
    const int64_t left = r.dims[0] - index[0];
    const int length = left < n - done ? static_cast<int>(left) : n - done;
    if (runs) {
      load_elements(x, offset, length, d + done);
    } else if (word) {
      splat(x.as<const float>() + offset, length, d + done);
    } else {
      float value[kSlack];
      load_elements(x, offset, 1, value);
      splat(value, length, d + done);
    }
    done += length;
    // The next run: on to the next index of the first outer dimension that has one.
    offset -= index[0] * r.strides[0];
    index[0] = 0;
    for (int axis = 1; axis < r.rank; axis++) {
      offset += r.strides[axis];
      if (++index[axis] < r.dims[axis]) break;
      offset -= r.dims[axis] * r.strides[axis];
      index[axis] = 0;
    }
  }
  return d;
}

struct Step {
  MicroOp run;
  uint8_t d, a, b, c;
  const int32_t* words;
};

// Decodes the instructions. A number that heads the program and whose register nothing else writes is set here once.
int prepare(const int32_t* code, int instructions, int fill, float* const* registers, Step* steps) {
  int writes[FJ_FUSED_MAX_REGISTERS] = {};
  for (int i = 0; i < instructions; i++) writes[code[i * FJ_FUSED_WORDS + 1] & 255]++;
  int count = 0;
  for (int i = 0; i < instructions; i++) {
    const int32_t* word = code + i * FJ_FUSED_WORDS;
    const uint32_t head = static_cast<uint32_t>(word[0]), r = static_cast<uint32_t>(word[1]);
    const MicroOp run = find_micro_op(head & 0xffff, head >> 16);
    const Step step = {run, uint8_t(r), uint8_t(r >> 8), uint8_t(r >> 16), uint8_t(r >> 24), word + 2};
    if ((head & 0xffff) == FJ_OP_FULL && count == 0 && writes[step.d] == 1) {
      run(registers[step.d], nullptr, nullptr, nullptr, fill, step.words);
    } else {
      steps[count++] = step;
    }
  }
  return count;
}

constexpr int kMaxSteps = 64;

// This thread's share, `range`, of one result.
void run_program(const Call& call, Range range) {
  const auto& attrs = call.attrs<fj_fused_attrs>();
  const Operand& out = call.out[0];
  const int64_t count = element_count(*out.value);
  const int block = block_length(attrs.registers);
  const int fill = static_cast<int>(smaller((range.end - range.begin + kWidth - 1) / kWidth * kWidth, block));

  alignas(64) float storage[kStorage];
  alignas(64) float patterns[kPatterns];
  float* registers[FJ_FUSED_MAX_REGISTERS];
  for (int i = 0; i < attrs.registers; i++) registers[i] = storage + i * (block + kSlack);
  const float* place[FJ_FUSED_MAX_REGISTERS];  // where a register's block is read
  for (int i = 0; i < FJ_FUSED_MAX_REGISTERS; i++) place[i] = registers[i < attrs.registers ? i : 0];

  Source sources[FJ_FUSED_MAX_INPUTS];
  float* free_pattern = patterns;
  for (int i = 0; i < call.n_in; i++) {
    Source& s = sources[i];
    s = classify(*call.in[i].value, *out.value, count);
    if (s.access == Access::kNumber) {
      load_elements(call.in[i], 0, 1, registers[i]);
      splat(registers[i], fill, registers[i]);
    } else if (s.access == Access::kPeriodic) {
      s.pattern = free_pattern;
      const int period = static_cast<int>(s.period), length = period + fill;
      load_elements(call.in[i], 0, period, free_pattern);
      for (int k = period; k < length; k++) free_pattern[k] = free_pattern[k - period];
      free_pattern += kMaxPeriod + block + kSlack;
    }
  }

  Step steps[kMaxSteps];
  const int instructions = static_cast<int>((call.attr_bytes - sizeof(fj_fused_attrs)) / (4 * FJ_FUSED_WORDS));
  const int step_count = prepare(call.tail(sizeof(fj_fused_attrs)), instructions, fill, registers, steps);
  const bool direct = is_word(out.value->dtype) && step_count > 0 && steps[step_count - 1].d == attrs.result;

  for (int64_t at = range.begin; at < range.end; at += block) {
    const int n = static_cast<int>(smaller(block, range.end - at));
    const int padded = (n + kWidth - 1) / kWidth * kWidth;
    const bool exact = n == padded;
    for (int i = 0; i < call.n_in; i++) {
      const Operand& x = call.in[i];
      switch (sources[i].access) {
        case Access::kFull:
          if (exact && is_word(x.value->dtype)) {
            place[i] = x.as<const float>() + at;
          } else {
            load_elements(x, at, n, registers[i]);
            place[i] = registers[i];
          }
          break;
        case Access::kPeriodic:
          place[i] = sources[i].pattern + at % sources[i].period;
          break;
        case Access::kStrided:
          place[i] = gather(x, sources[i].runs, at, n, exact, registers[i]);
          break;
        default:
          break;
      }
    }
    const int inside = direct && exact ? step_count - 1 : step_count;
    for (int i = 0; i < inside; i++) {
      const Step& s = steps[i];
      s.run(registers[s.d], place[s.a], place[s.b], place[s.c], padded, s.words);
    }
    if (inside < step_count) {
      const Step& s = steps[inside];
      s.run(out.as<float>() + at, place[s.a], place[s.b], place[s.c], padded, s.words);
    } else {
      store_elements(out, at, n, place[attrs.result]);
    }
  }
}

// Results that one thread would make alone are taken in turns.
void run_fused(const Call& call, Team& team) {
  Call each = call;
  each.n_in = call.n_in / call.n_out;
  each.n_out = 1;
  for (int k = 0; k < call.n_out; k++, each.in += each.n_in, each.out++) {
    const int64_t count = element_count(*each.out->value);
    Range range = split(count, team, kGrain);
    if (count <= kGrain) range = k % team.count == team.id ? Range{0, count} : Range{0, 0};
    if (range.begin < range.end) run_program(each, range);
  }
}

bool supports_fused(const Call& call) {
  return all_steps(call, kMaxSteps,
                   [](uint32_t opcode, uint32_t lane) { return find_micro_op(opcode, lane) != nullptr; });
}

void run_copy(const Call& call, Team& team) {
  const Range range = split(static_cast<int64_t>(call.out[0].value->bytes), team, FJ_ALIGNMENT);
  if (range.begin >= range.end) return;
  memmove(call.out[0].as<uint8_t>() + range.begin, call.in[0].as<const uint8_t>() + range.begin,
          static_cast<size_t>(range.end - range.begin));
}

void run_full(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_full_attrs>();
  const Operand& y = call.out[0];
  const Range range = split(element_count(*y.value), team, kGrain);
  if (range.begin >= range.end) return;
  alignas(64) float block[kGrain];
  const int fill = static_cast<int>(smaller(kGrain, range.end - range.begin));
  const bool integer = y.value->dtype == FJ_INT32 || y.value->dtype == FJ_UINT8 || y.value->dtype == FJ_BOOL;
  float value = attrs.value;
  if (integer) memcpy(&value, &attrs.integer, 4);
  for (int k = 0; k < fill; k++) block[k] = value;
  for (int64_t at = range.begin; at < range.end; at += kGrain) {
    store_elements(y, at, static_cast<int>(smaller(kGrain, range.end - at)), block);
  }
}

}  // namespace

void register_elementwise(KernelTable& table) {
  table.add({FJ_OP_FUSED, 0, "fused", run_fused, nullptr, supports_fused});
  table.add({FJ_OP_COPY, 0, "copy", run_copy, nullptr, nullptr});
  table.add({FJ_OP_FULL, 0, "full", run_full, nullptr, nullptr});
  for (int op = 0; op < FJ_OP_LIMIT; op++) {
    table.micro_op[op] = find_micro_op(op, 0) != nullptr || find_micro_op(op, 1) != nullptr;
  }
  table.micro_op[FJ_OP_FULL] = false;         // has a kernel of its own
  table.micro_op[FJ_OP_BROADCAST_TO] = true;  // done while inputs are loaded
}

}  // namespace forja::FJ_ISA
