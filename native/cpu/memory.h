// Aligned host memory for arenas, scratch and buffers; large blocks ask for huge pages.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forja {

class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { reset(); }

  // A block of zeros; large ones are zeroed by whoever touches them first. False if there is no memory; the old block
  // is freed first.
  bool allocate(uint64_t bytes);
  void reset();
  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t mapped_ = 0;  // bytes of the mapping that data_ begins; 0: data_ is from the heap
};

}  // namespace forja
