// Addresses. One of global or local memory is that of the host; of shared memory and of parameters it counts from the
// begin of the block's. An access lies in one allocation and at a multiple of its size.
#pragma once
#include "machine.h"

namespace forja::ptx {

// The bytes there, `bytes` of them; a fault where a kernel may not touch them.
unsigned char* global_at(Warp&, uint64_t address, uint32_t bytes);
unsigned char* shared_at(const Block&, uint64_t address, uint32_t bytes);
unsigned char* local_at(const Warp&, uint32_t lane, uint64_t address, uint32_t bytes);
const unsigned char* parameter_at(const Block&, uint64_t address, uint32_t bytes);

// A load or a store of `count` times `type`, as u8 or f64, of `space`; null where there is none. Registers have 4 or 8
// bytes, those of addresses too.
struct MemoryForm {
  bool is_store;
  std::string_view space, type;
  uint32_t count;
  bool wide_registers, wide_address;
};
Execute find_memory_instruction(const MemoryForm&);

}  // namespace forja::ptx
