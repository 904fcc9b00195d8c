// Runs PTX without a GPU: what nvcc made of the kernels, as the PTX ISA 9.0 specifies it for sm_90a, of which it has
// what our kernels use. A warp's 32 lanes take an instruction together. What no GPU would run, or what gives another
// result from run to run, is a Fault that names the place: access outside of an allocation or not aligned, shared
// memory that a copy has not reached, lanes that wait for each other, copies and products that nobody waits for.
//
// PTX_SEED=n, an environment variable, other than 0: runs blocks, and warps a few instructions at a time, in an order
// drawn at random from n.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace forja::ptx {

struct Fault {
  std::string text;
};

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

constexpr uint32_t kLanes = 32;               // of a warp
constexpr uint32_t kMaxThreads = 1024;        // of a block
constexpr uint32_t kUsualShared = 48 * 1024;  // bytes that a block may have without being asked
constexpr uint32_t kMaxShared = 227 * 1024;   // bytes that it may ask for
constexpr unsigned char kPoison = 0xff;       // of fresh memory: NaN in every float format, -1 in every integer

struct Kernel;
// What a launch has to know of a kernel.
struct Properties {
  uint32_t max_threads;
  uint32_t static_shared;  // bytes
};

// Takes the kernels of a module; `text` has to stay where it is.
void add_module(std::string_view text);
// The kernel of this name, read at the first call, or null where no module has it.
Kernel* find_kernel(const std::string& name);
Properties properties_of(const Kernel&);
// A launch may ask for so many bytes of shared memory beside the static ones; false where no block can have that.
bool allow_dynamic_shared(Kernel&, uint32_t bytes);

// The kernel's parameters as the bytes that it reads.
std::string pack_parameters(const Kernel&, const void* const* arguments);
// Runs all blocks.
void launch(Kernel&, Dim grid, Dim block, std::string_view parameters, uint32_t dynamic_shared);

// Device memory: kernels may touch what was added and not removed.
void add_memory(const void* begin, size_t bytes);
bool remove_memory(const void* begin);  // whether it was there

// What cudaGraphSetConditional does when a kernel calls it.
void on_set_conditional(std::function<void(uint64_t handle, uint32_t value)>);

void set_seed(uint32_t);

}  // namespace forja::ptx
