// What a CPU kernel is: a function that every thread of a team calls with the same Call. Kernel files
// (native/cpu/<family>.cc) are compiled once per instruction set with FJ_ISA set to baseline, avx2,
// avx512 or neon, put everything in namespace forja::FJ_ISA and register in `register_<family>`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../abi/backend.h"
#include "../abi/ops.gen.h"
#include "../core/call.h"
#include "team.h"

namespace forja {

// The first error a kernel met in its data (a label out of range). Set by any thread; the run stops
// at the next barrier and, being before commit_index, changes no variable.
struct Fault {
  std::atomic<int> set{0};
  fj_error error;

  void raise(fj_status status, const char* format, ...) __attribute__((format(printf, 3, 4)));
};

struct Call : Instruction {
  uint8_t* scratch;  // shared by the team, 64-byte aligned, as large as the kernel's `scratch` asked
  Fault* fault;
  // What the kernel makes of its weights alone, in memory of its own (Kernel::kept); null: in the scratch, at every
  // run.
  uint8_t* kept = nullptr;
  bool is_kept = false;  // made by an earlier run
};

// What a call reads and writes.
FJ_INLINE uint64_t bytes_moved(const Call& call) {
  uint64_t bytes = 0;
  for (int i = 0; i < call.n_in; i++) bytes += call.in[i].value->bytes;
  for (int i = 0; i < call.n_out; i++) bytes += call.out[i].value->bytes;
  return bytes;
}

// Of what a call moves. With more, the last-level cache keeps too little of a result for who reads it next; measured
// with 32 MB of it.
constexpr uint64_t kCachedBytes = 48 << 20;

// Whether the kernel should write an output past the caches (stream of simd/vec.h), so that its lines are not read
// first. Over an input it should not: those lines have been read.
FJ_INLINE bool outgrows_caches(const Call& call, int output) {
  const auto bytes_of = [](const Operand& operand) { return operand.value->bytes; };
  const auto* begin = call.out[output].as<const uint8_t>();
  if (reinterpret_cast<uintptr_t>(begin) % FJ_ALIGNMENT != 0) return false;
  for (int i = 0; i < call.n_in; i++) {
    const auto* x = call.in[i].as<const uint8_t>();
    if (x < begin + bytes_of(call.out[output]) && begin < x + bytes_of(call.in[i])) return false;
  }
  return bytes_moved(call) > kCachedBytes;
}

struct Kernel {
  uint16_t opcode;
  uint16_t variant;  // FJ_<OP>_<VARIANT>, or 0 where the operation has but one kernel
  const char* name;  // shown by explain(): "gemm avx512 14x32"
  void (*run)(const Call&, Team&);
  size_t (*scratch)(const Call&, int threads);  // bytes, or null for none; operands carry no data yet
  bool (*supports)(const Call&);                // null: every call the core lets through
  // Asked where the program leaves the variant open: is this the kernel for a call of these sizes? null: yes.
  bool (*prefers)(const Call&) = nullptr;
  // Why this machine cannot run it, or null; asked of variants that a program names.
  const char* (*missing)() = nullptr;
  // Bytes that depend on the inputs behind the first alone. Where these are variables that the program does not write,
  // the kernel fills Call::kept in one run, and finds it in all later ones until one of them is written.
  size_t (*kept)(const Call&) = nullptr;
};

// Kernels of one instruction set. Where a program leaves the variant open, the first registered kernel
// of the opcode that supports and prefers the call runs: register the fastest first. A variant that a program asks for
// but that does not support the call (a Winograd convolution of other than 3 x 3) counts as left open.
struct KernelTable {
  static constexpr int kMaxKernels = 512;
  Kernel kernels[kMaxKernels];
  int count = 0;
  // Opcodes that fused micro-programs may hold.
  bool micro_op[FJ_OP_LIMIT] = {};
  // Multiply-adds in registers only, and how many floating-point operations one iteration makes.
  float (*fma_probe)(int64_t iterations) = nullptr;
  double fma_probe_flops = 0;

  void add(const Kernel& kernel);
  const Kernel* find(uint16_t opcode, uint16_t variant, const Call& call) const;
  bool has(uint16_t opcode, uint16_t variant) const;
};

}  // namespace forja
