// What nvcc's host code calls: it hands over each source's fat binary, the kernels in it by their stubs, and launches.
#include <cstring>

#include "runtime.h"

using namespace forja::ptx;

namespace {

// A fat binary as nvcc wraps it, and its entries: PTX as text where it was compiled with --no-compress.
struct Wrapper {
  int magic, version;
  const unsigned char* data;
  void* more;
};
struct Header {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // of all entries
};
struct Entry {
  uint16_t kind, flags;
  uint32_t header_bytes;
  uint64_t bytes;
};
constexpr uint16_t kPtx = 1;

template <class T>
T read(const unsigned char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void add_text(const char* text, size_t bytes) {
  const std::string_view all(text, strnlen(text, bytes));
  if (all.find(".version") != std::string_view::npos) add_module(all);
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

Kernel* kernel_of(const void* stub) {
  const std::lock_guard lock(runtime().mutex);
  const auto found = runtime().kernels.find(stub);
  if (found == runtime().kernels.end()) return nullptr;
  try {
    return find_kernel(found->second);
  } catch (const Fault& fault) {
    if (runtime().fault.empty()) runtime().fault = fault.text;
    return nullptr;
  }
}
cudaError_t no_kernel() {
  const cudaError_t code = status();
  return code == cudaSuccess ? note(cudaErrorInvalidDeviceFunction) : code;
}

Dim dim_of(dim3 d) { return {d.x, d.y, d.z}; }

cudaError_t start(const void* stub, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream) {
  Kernel* kernel = kernel_of(stub);
  if (kernel == nullptr) return no_kernel();
  return submit(stream, [=, parameters = pack_parameters(*kernel, arguments)] {
    launch(*kernel, dim_of(grid), dim_of(block), parameters, static_cast<uint32_t>(shared));
  });
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  const unsigned char* data = static_cast<Wrapper*>(wrapper)->data;
  const auto header = read<Header>(data);
  const unsigned char* at = data + header.header_bytes;
  const unsigned char* end = at + header.bytes;
  while (at < end) {
    const auto entry = read<Entry>(at);
    at += entry.header_bytes;
    if (entry.kind == kPtx) add_text(reinterpret_cast<const char*>(at), entry.bytes);
    at += entry.bytes;
  }
  return static_cast<void**>(wrapper);
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  runtime().kernels[stub] = name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration given = configurations.back();
  configurations.pop_back();
  *grid = given.grid;
  *block = given.block;
  *shared = given.shared;
  *static_cast<cudaStream_t*>(stream) = given.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return start(kernel, grid, block, arguments, shared, stream);
}

}  // extern "C"

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* stub, void** arguments) {
  return start(stub, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream);
}
cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute attribute, int value) {
  Kernel* kernel = kernel_of(stub);
  if (kernel == nullptr) return no_kernel();
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0) return note(cudaErrorInvalidValue);
  return note(allow_dynamic_shared(*kernel, static_cast<uint32_t>(value)) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* stub) {
  const Kernel* kernel = kernel_of(stub);
  if (kernel == nullptr) return no_kernel();
  const Properties properties = properties_of(*kernel);
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(properties.max_threads);
  attributes->sharedSizeBytes = properties.static_shared;
  return cudaSuccess;
}
