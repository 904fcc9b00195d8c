// Addresses. One of global or local memory is that of the host; of shared memory and of parameters it counts from the
// begin of the block's. An access lies in one allocation and at a multiple of its size.
#pragma once
#include "machine.h"

namespace forja::ptx {

// The same as below, where it is not simple: finds the allocation, or says what is wrong.
unsigned char* find_global(Warp&, uint64_t address, uint32_t bytes);
unsigned char* find_shared(const Block&, uint64_t address, uint32_t bytes);

// The bytes there, `bytes` of them; a fault where a kernel may not touch them.
inline unsigned char* global_at(Warp& w, uint64_t address, uint32_t bytes) {
  auto* at = reinterpret_cast<unsigned char*>(address);
  const bool is_known = at >= w.memory_begin && at < w.memory_end && bytes <= static_cast<uint64_t>(w.memory_end - at);
  return is_known && address % bytes == 0 ? at : find_global(w, address, bytes);
}
inline unsigned char* shared_at(const Block& block, uint64_t address, uint32_t bytes) {
  const bool is_inside = address < block.shared_bytes && bytes <= block.shared_bytes - address;
  const bool is_simple = is_inside && block.copies_in_flight == 0 && address % bytes == 0;
  return is_simple ? block.shared + address : find_shared(block, address, bytes);
}
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
