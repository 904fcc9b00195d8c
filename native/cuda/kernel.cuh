// What a CUDA kernel is for the backend: a function of the host that launches what an instruction needs, on one stream,
// with sizes known from the operands' shapes. It is called when a program runs for the first time and once more while
// the program is captured, so it must do the same both times: no allocation, no copy to the host, no waiting.
//
// Kernel files are the twins of native/cpu's: native/cuda/<family>.cu registers in `register_<family>`.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "../abi/backend.h"
#include "../abi/ops.gen.h"
#include "../core/call.h"
#include "launch.cuh"

struct fj_device;

namespace forja::cuda {

// What a kernel found wrong in its data. Read by the host before anything is committed.
struct Fault {
  enum Kind : uint32_t { kNone = 0, kLabel = 1, kIndex = 2, kRegionImage = 3, kRegionPlace = 4 };
  uint32_t kind;
  uint32_t instruction;
  int32_t value;  // of kRegionImage the bits of a float32
  uint32_t unused;
  int64_t at;
  int64_t limit;  // values 0..limit-1 were expected
};

// Handed to kernels that may find something.
struct FaultSink {
  Fault* fault;
  uint32_t instruction;

  // The first thread to come keeps its fault; all others are dropped.
  __device__ void raise(Fault::Kind kind, int64_t at, int32_t value, int64_t limit) const {
    if (atomicCAS(&fault->kind, uint32_t{Fault::kNone}, static_cast<uint32_t>(kind)) != Fault::kNone) return;
    fault->instruction = instruction;
    fault->value = value;
    fault->at = at;
    fault->limit = limit;
  }
};

// What a kernel of a library makes of a call once, when a program is created: descriptions, the algorithm, work space.
struct Plan {
  virtual ~Plan() = default;
  size_t scratch = 0;  // bytes
};

struct Call : Instruction {
  uint8_t* scratch;  // device memory, 256-byte aligned, as large as the kernel's `scratch` asked
  FaultSink sink;
  bool tf32;         // float32 operands of products may be rounded for tensor cores
  const Plan* plan;  // of kernels that make one
};

struct Library;

struct Kernel {
  uint16_t opcode;
  uint16_t variant;  // FJ_<OP>_<VARIANT>, or 0 where the operation has but one kernel
  const char* name;  // shown by explain()
  void (*run)(const Call&, Launcher&);
  size_t (*scratch)(const Call&);  // bytes, or null for none; operands carry no data yet
  bool (*supports)(const Call&);   // null: every call the core lets through
  bool faults;                     // whether it may raise a fault
  // Whether it comes into question where the variant is left open; null: whenever it supports the call.
  bool (*prefers)(const Call&) = nullptr;
  // Of kernels that are a library's: what they make of a call they support, or null with the reason that the library
  // cannot be used, or with none where it does not take the call.
  std::unique_ptr<Plan> (*plan)(const Call&, fj_device&, std::string* missing) = nullptr;
  const Library& (*vendor)() = nullptr;  // the library, of those kernels
};

// Where a program leaves the variant open, the first registered kernel of the opcode that supports and prefers the call
// runs, none of a library: register the fastest first. choose.cuh weighs libraries against it.
struct KernelTable {
  static constexpr int kMaxKernels = 256;
  Kernel kernels[kMaxKernels];
  int count = 0;
  bool micro_op[FJ_OP_LIMIT] = {};  // opcodes that fused micro-programs may hold

  void add(const Kernel& kernel) {
    if (count < kMaxKernels) kernels[count++] = kernel;
  }
  const Kernel* find(uint16_t opcode, uint16_t variant, const Call& call) const;
  bool has(uint16_t opcode, uint16_t variant) const;
  bool is_library(uint16_t opcode, uint16_t variant) const;
};

// The kernels of all families.
const KernelTable& kernel_table();

// Milliseconds of the fastest of many calls of `work`, which puts something on the launcher's stream; errors are kept
// in the launcher.
float fastest_milliseconds(Launcher& to, const std::function<void()>& work);
// Multiply-adds in registers: GFLOP/s reached on the launcher's stream, or an error kept in it.
double measure_fma(Launcher& to);

// To where arguments and parts of scratch begin.
inline uint64_t align_up(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

template <int kDType>
bool input_has_dtype(const Call& call) {
  return call.in[0].value->dtype == kDType;
}

template <int kDType>
bool result_has_dtype(const Call& call) {
  return call.out[0].value->dtype == kDType;
}

}  // namespace forja::cuda
