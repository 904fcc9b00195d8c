// PTX ISA: "State Spaces", "Memory Consistency Model: Vector Data-types, Packed Data-types", "ld, st, atom".
#include "memory.h"

#include <map>
#include <mutex>
#include <shared_mutex>

#include "table.h"

namespace forja::ptx {
namespace {

struct DeviceMemory {
  std::shared_mutex mutex;
  std::map<const unsigned char*, const unsigned char*> ends;  // of allocations, by where they begin
};
DeviceMemory& device_memory() {
  static auto& memory = *new DeviceMemory;  // kernels may run while statics go
  return memory;
}

void check_aligned(const char* space, uint64_t address, uint32_t bytes) {
  if (address % bytes != 0) fail("misaligned %s address %#lx: %u bytes at once", space, address, bytes);
}

enum class Space : uint8_t { kGlobal, kShared, kLocal, kParameter };

template <Space kSpace>
auto bytes_at(Warp& w, uint32_t lane, uint64_t address, uint32_t bytes) {
  if constexpr (kSpace == Space::kGlobal) {
    return global_at(w, address, bytes);
  } else if constexpr (kSpace == Space::kShared) {
    return shared_at(*w.block, address, bytes);
  } else if constexpr (kSpace == Space::kLocal) {
    return local_at(w, lane, address, bytes);
  } else {
    return parameter_at(*w.block, address, bytes);
  }
}

// Operands: kCount registers of type R, then the address, of type A.
template <class T, class R, Space kSpace, class A, uint32_t kCount>
struct Access {
  static uint64_t address(Warp& w, const Instruction& in, uint32_t lane) {
    return static_cast<A>(lanes_of<A>(w, in.operands[kCount])[lane] + static_cast<A>(in.immediate));
  }
  static void load(Warp& w, const Instruction& in) {
    // Signs go to the end of the register, as the specification has it.
    using Extended = std::conditional_t<std::is_signed_v<T>, std::make_signed_t<R>, R>;
    each_lane_apart(w.executing, [&](uint32_t lane) {
      T values[kCount];
      std::memcpy(values, bytes_at<kSpace>(w, lane, address(w, in, lane), sizeof values), sizeof values);
      for (uint32_t i = 0; i < kCount; i++) {
        lanes_of<R>(w, in.operands[i])[lane] = static_cast<R>(static_cast<Extended>(values[i]));
      }
    });
  }
  static void store(Warp& w, const Instruction& in) {
    each_lane_apart(w.executing, [&](uint32_t lane) {
      T values[kCount];
      for (uint32_t i = 0; i < kCount; i++) values[i] = static_cast<T>(lanes_of<R>(w, in.operands[i])[lane]);
      std::memcpy(bytes_at<kSpace>(w, lane, address(w, in, lane), sizeof values), values, sizeof values);
    });
  }
};

// The instruction that a form names, one choice after the other.
template <class T, class R, Space kSpace, class A, uint32_t kCount>
Execute of_count(const MemoryForm& form) {
  if constexpr (kSpace == Space::kParameter) {
    return form.is_store ? nullptr : Access<T, R, kSpace, A, kCount>::load;
  } else {
    return form.is_store ? Access<T, R, kSpace, A, kCount>::store : Access<T, R, kSpace, A, kCount>::load;
  }
}
template <class T, class R, Space kSpace, class A>
Execute of_address(const MemoryForm& form) {
  if (form.count == 1) return of_count<T, R, kSpace, A, 1>(form);
  if (form.count == 2) return of_count<T, R, kSpace, A, 2>(form);
  if constexpr (sizeof(T) <= 4) {
    if (form.count == 4) return of_count<T, R, kSpace, A, 4>(form);
  }
  return nullptr;
}
template <class T, class R>
Execute of_registers(const MemoryForm& form) {
  if (form.space == "shared") {
    return form.wide_address ? of_address<T, R, Space::kShared, uint64_t>(form)
                             : of_address<T, R, Space::kShared, uint32_t>(form);
  }
  if (!form.wide_address) return nullptr;
  if (form.space == "global") return of_address<T, R, Space::kGlobal, uint64_t>(form);
  if (form.space == "local") return of_address<T, R, Space::kLocal, uint64_t>(form);
  if (form.space == "param") return of_address<T, R, Space::kParameter, uint64_t>(form);
  return nullptr;
}
template <class T>
Execute of_type(const MemoryForm& form) {
  if (form.wide_registers) return of_registers<T, uint64_t>(form);
  if constexpr (sizeof(T) <= 4) return of_registers<T, uint32_t>(form);
  return nullptr;
}

void compare_and_swap(Warp& w, const Instruction& in) {
  auto* to = lanes_of<uint32_t>(w, in.operands[0]);
  const auto* addresses = lanes_of<uint64_t>(w, in.operands[1]);
  const auto* expected = lanes_of<uint32_t>(w, in.operands[2]);
  const auto* wanted = lanes_of<uint32_t>(w, in.operands[3]);
  each_lane_apart(w.executing, [&](uint32_t lane) {
    unsigned char* at = global_at(w, addresses[lane], 4);
    const uint32_t given = wanted[lane];
    uint32_t found;
    std::memcpy(&found, at, sizeof found);
    if (found == expected[lane]) std::memcpy(at, &given, sizeof given);
    to[lane] = found;
  });
}

}  // namespace

void add_memory(const void* begin, size_t bytes) {
  DeviceMemory& all = device_memory();
  const auto* first = static_cast<const unsigned char*>(begin);
  const std::unique_lock lock(all.mutex);
  all.ends[first] = first + bytes;
}
bool remove_memory(const void* begin) {
  DeviceMemory& all = device_memory();
  const std::unique_lock lock(all.mutex);
  return all.ends.erase(static_cast<const unsigned char*>(begin)) > 0;
}

unsigned char* find_global(Warp& w, uint64_t address, uint32_t bytes) {
  check_aligned("global", address, bytes);
  auto* at = reinterpret_cast<unsigned char*>(address);
  DeviceMemory& all = device_memory();
  const std::shared_lock lock(all.mutex);
  const auto next = all.ends.upper_bound(at);
  if (next == all.ends.begin()) fail("global address %#lx: no allocation is there or before", address);
  const auto [begin, end] = *std::prev(next);
  if (at + bytes > end) {
    fail("global address %#lx: %u bytes from byte %ld on of an allocation of %ld bytes", address, bytes, at - begin,
         end - begin);
  }
  w.memory_begin = begin;
  w.memory_end = end;
  return at;
}

unsigned char* find_shared(const Block& block, uint64_t address, uint32_t bytes) {
  check_aligned("shared", address, bytes);
  if (address + bytes > block.shared_bytes || address + bytes < address) {
    fail("shared address %#lx: %u bytes where the block has %u", address, bytes, block.shared_bytes);
  }
  for (uint64_t i = address / 4; i <= (address + bytes - 1) / 4; i++) {
    if (block.in_flight[i]) fail("shared address %#lx: a cp.async to it is under way", address);
  }
  return block.shared + address;
}

unsigned char* local_at(const Warp& w, uint32_t lane, uint64_t address, uint32_t bytes) {
  check_aligned("local", address, bytes);
  const uint32_t all = w.kernel->local_bytes;
  const auto begin = reinterpret_cast<uint64_t>(w.local) + uint64_t{lane} * all;
  if (address < begin || address + bytes > begin + all) {
    fail("local address: %u bytes from byte %ld on, where a lane has %u", bytes, static_cast<long>(address - begin),
         all);
  }
  return reinterpret_cast<unsigned char*>(address);
}

const unsigned char* parameter_at(const Block& block, uint64_t address, uint32_t bytes) {
  check_aligned("parameter", address, bytes);
  const size_t all = block.parameters.size();
  if (address > all || bytes > all - address) {
    fail("parameter address %lu: %u bytes where there are %zu", address, bytes, all);
  }
  return reinterpret_cast<const unsigned char*>(block.parameters.data()) + address;
}

Execute find_memory_instruction(const MemoryForm& form) {
  const std::string_view type = form.type;
  if (type == "u8" || type == "b8") return of_type<uint8_t>(form);
  if (type == "s8") return of_type<int8_t>(form);
  if (type == "u16" || type == "b16") return of_type<uint16_t>(form);
  if (type == "s16") return of_type<int16_t>(form);
  if (type == "u32" || type == "b32" || type == "f32") return of_type<uint32_t>(form);
  if (type == "s32") return of_type<int32_t>(form);
  if (type == "u64" || type == "b64" || type == "s64" || type == "f64") return of_type<uint64_t>(form);
  return nullptr;
}

void add_memory_instructions(Table& table) { table.add("atom.global.cas.b32", {compare_and_swap, "4844"}); }

}  // namespace forja::ptx
