// The device: what it can do, its errors, its memory.
#include <cstdlib>
#include <cstring>

#include "runtime.h"

using namespace forja::ptx;

namespace {

constexpr int kMajor = 9, kMinor = 0;
constexpr int kMultiprocessors = 4;                 // so that small products take all tiles, as on the emulated device
constexpr size_t kAlign = 512;                      // of allocations, and what lies unused around them
constexpr size_t kPoisonedUpTo = size_t{64} << 20;  // larger ones are left to the system, page by page

thread_local cudaError_t last_error = cudaSuccess;

size_t rounded_up(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// With room before and behind that no kernel may touch.
void* allocate(size_t bytes) {
  auto* begin = static_cast<unsigned char*>(std::aligned_alloc(kAlign, rounded_up(bytes) + 2 * kAlign));
  if (begin == nullptr) return nullptr;
  std::memset(begin + kAlign, kPoison, bytes <= kPoisonedUpTo ? bytes : 0);
  add_memory(begin + kAlign, bytes);
  return begin + kAlign;
}
bool release(void* memory) {
  if (!remove_memory(memory)) return false;
  std::free(static_cast<unsigned char*>(memory) - kAlign);
  return true;
}

}  // namespace

namespace forja::ptx {

Runtime& runtime() {
  static auto& made = *new Runtime;  // kernels are registered before and unregistered behind other statics
  return made;
}
cudaError_t note(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}
cudaError_t status() {
  const std::lock_guard lock(runtime().mutex);
  return note(runtime().fault.empty() ? cudaSuccess : cudaErrorIllegalAddress);
}

}  // namespace forja::ptx

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
const char* cudaGetErrorName(cudaError_t code) {
  return code == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : "cudaError";
}
const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorIllegalAddress:
      return runtime().fault.c_str();
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDeviceFunction:
      return "no PTX of this kernel: the module is to be compiled with --no-compress";
    default: {
      thread_local std::string text;
      text = "CUDA error " + std::to_string(code);
      return text.c_str();
    }
  }
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return note(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return note(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "PTX run by the CPU");
  properties->totalGlobalMem = kDeviceMemory;
  properties->major = kMajor;
  properties->minor = kMinor;
  properties->multiProcessorCount = kMultiprocessors;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return note(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kMaxShared);
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = kMajor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = kMinor;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = kMultiprocessors;
      return cudaSuccess;
    default:
      return note(cudaErrorInvalidValue);
  }
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = nullptr;
  if (const cudaError_t code = status()) return code;
  if (bytes == 0) return cudaSuccess;
  const std::lock_guard lock(runtime().mutex);
  if (bytes > kDeviceMemory - runtime().memory_in_use) return note(cudaErrorMemoryAllocation);
  *memory = allocate(bytes);
  if (*memory == nullptr) return note(cudaErrorMemoryAllocation);
  runtime().memory_in_use += bytes;
  runtime().allocations[*memory] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  const std::lock_guard lock(runtime().mutex);
  const auto found = runtime().allocations.find(memory);
  if (found == runtime().allocations.end() || !release(memory)) return note(cudaErrorInvalidValue);
  runtime().memory_in_use -= found->second;
  runtime().allocations.erase(found);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = allocate(bytes);
  return note(*memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFreeHost(void* memory) {
  const std::lock_guard lock(runtime().mutex);
  return note(memory == nullptr || release(memory) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(runtime().mutex);
  *total = kDeviceMemory;
  *free = kDeviceMemory - runtime().memory_in_use;
  return cudaSuccess;
}
