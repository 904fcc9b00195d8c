// What runs: instructions as they were read, a block's warps, their lanes.
//
// Registers lie lane by lane, 32 of 4 or 8 bytes; narrower types take 4. A predicate is a word with a bit for each
// lane.
#pragma once
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ptx.h"

namespace forja::ptx {

struct Warp;
struct Instruction;
struct Module;
using Execute = void (*)(Warp&, const Instruction&);

// Bytes from the begin of a warp's registers, or, lowest bit set, of the kernel's constants; the number of a predicate.
using Operand = uint32_t;
constexpr Operand kOfConstants = 1;
constexpr Operand kFalse = 0, kTrue = 1;  // predicates that every kernel has

struct Instruction {
  Execute execute = nullptr;
  std::vector<Operand> operands;
  // Of a load or store the bytes added to its address, of a branch where to, of a wait the groups left.
  int64_t immediate = 0;
  int guard = -1;  // the predicate of lanes that execute it
  bool guard_negated = false;
  size_t at = 0;  // in the module's text
};

struct Parameter {
  uint32_t offset, bytes;
};

// A register that holds something from the begin.
struct Special {
  enum class What : uint8_t { kTid, kNtid, kCtaid, kNctaid, kLane, kWarp, kLanemaskLt, kLocal };
  Operand at;
  What what;
  uint32_t detail;  // 0, 1, 2 of x, y, z; of a local variable its offset
};

struct Kernel {
  std::string name;
  const Module* module = nullptr;
  std::vector<Instruction> code;
  std::vector<unsigned char> constants;
  std::vector<Special> specials;
  std::vector<Parameter> parameters;
  uint32_t register_bytes = 0, predicates = 2, parameter_bytes = 0, local_bytes = 0;  // the last of a lane
  uint32_t static_shared = 0, dynamic_begin = 0;
  uint32_t max_threads = kMaxThreads;
  uint32_t allowed_dynamic = 0;  // bytes of shared memory, where more than usual
  uint64_t launches = 0;
};

// A cp.async under way.
struct Copy {
  uint32_t lane, group;  // of the lane's groups
  uint32_t to;           // in shared memory
  uint32_t bytes;
  uint64_t from;
  uint32_t inside;  // bytes that are read; zeros behind them
};

// A wgmma.mma_async under way.
struct Product {
  const Instruction* instruction;
  uint64_t a, b;  // descriptors
};

enum class State : uint8_t { kRuns, kAtBarrier, kDone };

struct Block;
struct Warp {
  const Kernel* kernel;
  Block* block;
  uint32_t index;
  unsigned char* registers;
  uint32_t* predicates;
  unsigned char* local;  // of the first lane

  State state;
  uint32_t barrier;  // the one that it waits at
  // Lanes as bits. All live ones are active, at pc, or wait: for their turn, at pcs, or parked there for others that
  // the instruction names.
  uint32_t live, active, parked;
  uint32_t executing;  // those of the active ones that the guard lets through
  uint32_t pc;
  uint32_t next_waiting;  // the least pc of lanes that wait for their turn
  std::array<uint32_t, kLanes> pcs;

  std::vector<Copy> copies;
  std::array<uint32_t, kLanes> copy_groups;  // committed by each lane
  uint32_t unpublished, exposed;  // lanes whose copies have landed with no fence.proxy.async since; at a barrier
  std::vector<Product> open_products;
  std::deque<std::vector<Product>> product_groups;
  // Of products under way, by their first register; the registers are poison.
  std::map<Operand, std::vector<float>> sums;
  bool products_begun;  // wgmma.fence has come

  const unsigned char *memory_begin = nullptr, *memory_end = nullptr;  // device memory that it has touched last
};

struct Block {
  const Kernel* kernel;
  Dim grid, size, id;
  std::string_view parameters;
  std::vector<Warp> warps;
  std::vector<unsigned char> shared_storage;
  unsigned char* shared;
  uint32_t shared_bytes;
  std::vector<uint8_t> in_flight;  // of each 4 bytes of shared memory: a copy is on its way there
  uint32_t copies_in_flight;
};

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Where an instruction stands: kernel, line of the PTX and of the source that it came from, text.
std::string place_of(const Kernel&, const Instruction&);

}  // namespace forja::ptx
