// Trash and Block of memory.cuh.
#include "memory.cuh"

namespace forja::cuda {

void Trash::add(Item item) {
  if (item.handle == nullptr) return;
  std::lock_guard<std::mutex> lock(mutex_);
  items_.push_back(item);
}

// Errors here are those of earlier work: the next call that can report them does.
void Trash::empty() {
  std::vector<Item> items;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    items.swap(items_);
  }
  for (const Item& item : items) {
    switch (item.kind) {
      case Item::kDevice:
        cudaFree(item.handle);
        break;
      case Item::kPinned:
        cudaFreeHost(item.handle);
        break;
      case Item::kGraph:
        cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(item.handle));
        break;
      case Item::kEvent:
        cudaEventDestroy(static_cast<cudaEvent_t>(item.handle));
        break;
    }
  }
}

Block::~Block() {
  if (pinned_) {
    trash_.add_pinned(data_);
  } else {
    trash_.add_device(data_);
  }
}

cudaError_t Block::allocate(uint64_t bytes) {
  const size_t size = bytes > 0 ? bytes : 1;
  void* memory = nullptr;
  const auto attempt = [&] { return pinned_ ? cudaMallocHost(&memory, size) : cudaMalloc(&memory, size); };
  cudaError_t error = attempt();
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is no error of later calls
    trash_.empty();
    error = attempt();
    if (error == cudaErrorMemoryAllocation) cudaGetLastError();
  }
  if (error == cudaSuccess) {
    data_ = static_cast<uint8_t*>(memory);
    bytes_ = size;
  }
  return error;
}

}  // namespace forja::cuda
