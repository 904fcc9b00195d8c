// PTX written by hand, to prove that the runner runs it as specified and finds what is wrong.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "../ptx.h"

namespace forja::ptx {

// The body of a kernel of the parameters `in` and `out`, which are in %rd0 and %rd1; %r0 is %tid.x. It may use %p0 to
// 7, %h0 to 15, %r0 to 99, %f0 to 99, %rd0 to 15, %d0 to 15, the module's variables `dynamic` (shared memory of the
// launch, aligned to 1024), `fixed` (64 bytes of shared memory) and `numbers` (.u32 3, 1, 4, 1), and the function
// `twice`.
struct Program {
  std::string name, body;
  uint32_t threads = 32, blocks = 1, dynamic_shared = 0;
  std::string directives = "";   // of the kernel
  uint32_t allowed_dynamic = 0;  // bytes, where more than usual
};

// Global memory of a program, checked to its last byte.
struct Memory {
  explicit Memory(size_t bytes) : data(bytes) { add_memory(data.data(), bytes); }
  ~Memory() { remove_memory(data.data()); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  template <class T>
  T get(size_t index) const {
    T value;
    std::memcpy(&value, &data[index * sizeof value], sizeof value);
    return value;
  }
  template <class T>
  void set(size_t index, T value) {
    std::memcpy(&data[index * sizeof value], &value, sizeof value);
  }

  std::vector<unsigned char> data;
};
// Runs it; a Fault comes through.
void run(const Program&, Memory& in, Memory& out);

// A program with a fault, and what has to be said of it.
struct Planted {
  Program program;
  std::string words;
};
std::vector<Planted> planted_faults();
constexpr size_t kPlantedBytes = 4096;  // of their `in` and `out`

// One line that both kinds have.
struct Outcome {
  std::string name;
  bool right;
  std::string said;
};
// Single instructions on constants, against what the specification gives.
std::vector<Outcome> check_instructions();
// Programs of several warps or of many instructions.
std::vector<Outcome> check_programs();

}  // namespace forja::ptx
