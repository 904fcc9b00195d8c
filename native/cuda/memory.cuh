// Memory of a device, and what frees it. cudaFree and its like wait for the device, so whoever lets go of memory on the
// environment's thread only puts it aside; the executor's thread frees it when it next creates a program.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <mutex>
#include <vector>

namespace forja::cuda {

class Trash {
 public:
  ~Trash() { empty(); }
  void add_device(void* memory) { add({memory, Item::kDevice}); }
  void add_pinned(void* memory) { add({memory, Item::kPinned}); }
  void add_graph(cudaGraphExec_t graph) { add({graph, Item::kGraph}); }
  void add_event(cudaEvent_t event) { add({event, Item::kEvent}); }
  void empty();

 private:
  struct Item {
    enum Kind { kDevice, kPinned, kGraph, kEvent };
    void* handle;
    Kind kind;
  };
  void add(Item item);

  std::mutex mutex_;
  std::vector<Item> items_;
};

// A block of device or of pinned host memory, put aside at its end.
class Block {
 public:
  explicit Block(Trash& trash, bool pinned = false) : trash_(trash), pinned_(pinned) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block();

  // At least one byte is allocated, so that data() is never null. Where there is no memory, what was put aside is freed
  // first. Called once.
  cudaError_t allocate(uint64_t bytes);
  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Trash& trash_;
  bool pinned_;
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace forja::cuda
