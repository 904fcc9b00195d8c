// The CUDA backend: devices, buffers, and the table of functions. Programs are in program.cu.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../core/choices.h"
#include "backend.cuh"
#include "libraries.cuh"

namespace forja::cuda {
namespace {

fj_status lost_error(const fj_device* device, fj_error* error) {
  set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "the CUDA device is lost since an earlier error: %s",
            device->loss);
  return error->status;
}

// Whether later calls can succeed after this error: what was asked for was refused, nothing went wrong on the device.
bool is_harmless(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorNotSupported:
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
      return true;
    default:
      return false;
  }
}

// The least compute capability that this build has code for, as 80 for 8.0.
constexpr int oldest_compute() {
  constexpr int kBuiltFor[] = {__CUDA_ARCH_LIST__};  // as 800
  int oldest = kBuiltFor[0];
  for (const int built : kBuiltFor) oldest = built < oldest ? built : oldest;
  return oldest / 10;
}

}  // namespace

fj_status report(fj_device* device, cudaError_t code, const char* doing, fj_error* error, uint32_t instruction) {
  if (code == cudaErrorMemoryAllocation) {
    set_error(error, FJ_ERR_OUT_OF_MEMORY, instruction, "the CUDA device has no memory left (%s)", doing);
    return error->status;
  }
  if (!is_harmless(code)) {
    std::lock_guard<std::mutex> lock(device->losing);
    if (!device->lost) {
      snprintf(device->loss, sizeof(device->loss), "%s (%s)", cudaGetErrorString(code), cudaGetErrorName(code));
      device->lost = true;
    }
  }
  set_error(error, FJ_ERR_DEVICE, instruction, "%s failed on the CUDA device: %s (%s)", doing, cudaGetErrorString(code),
            cudaGetErrorName(code));
  return error->status;
}

fj_status enter(fj_device* device, fj_error* error) {
  if (device->lost) return lost_error(device, error);
  const cudaError_t code = cudaSetDevice(static_cast<int>(device->index));
  return code == cudaSuccess ? FJ_OK : report(device, code, "choosing the device", error);
}

fj_status no_memory(fj_device* device, cudaError_t code, const char* what, uint64_t bytes, fj_error* error) {
  if (code != cudaErrorMemoryAllocation) return report(device, code, what, error);
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  set_error(error, FJ_ERR_OUT_OF_MEMORY, FJ_NO_INSTRUCTION,
            "no CUDA memory for %s of %llu bytes: %llu of %llu bytes are free", what,
            static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(available),
            static_cast<unsigned long long>(total));
  return error->status;
}

cudaError_t fill_fresh(fj_buffer* buffer) {
  if (!buffer->fresh || buffer->bytes == 0) return cudaSuccess;
  buffer->fresh = false;
  return cudaMemsetAsync(buffer->memory.data(), 0, buffer->bytes, buffer->device->stream);
}

int supports(uint16_t opcode, uint16_t variant) { return kernel_table().has(opcode, variant) ? 1 : 0; }

namespace {

// Measuring is the default where there is something to measure.
#ifdef SIMT_EMULATION
constexpr bool kTune = false;
#else
constexpr bool kTune = true;
#endif

// --- devices -----------------------------------------------------------------------------------------

uint32_t device_count(fj_error* error) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return static_cast<uint32_t>(count);
  cudaGetLastError();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (code == cudaErrorInsufficientDriver && driver == 0) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "no NVIDIA driver (CUDA error %d)", static_cast<int>(code));
  } else if (code == cudaErrorInsufficientDriver) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION,
              "the NVIDIA driver is too old: it supports CUDA %d.%d, this build needs %d.%d", driver / 1000,
              driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  } else if (code == cudaSuccess || code == cudaErrorNoDevice) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "no NVIDIA GPU is visible (CUDA error %d)",
              static_cast<int>(cudaErrorNoDevice));
  } else {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "CUDA does not start: %s (CUDA error %d)",
              cudaGetErrorString(code), static_cast<int>(code));
  }
  return 0;
}

fj_status device_describe(uint32_t index, fj_device_info* out, fj_error* error) {
  const uint32_t count = device_count(error);
  if (count == 0) return error->status;
  if (index >= count) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION,
              "there are %u CUDA devices, numbers from 0; number %u was asked for", count, index);
    return error->status;
  }
  cudaDeviceProp properties;
  const cudaError_t code = cudaGetDeviceProperties(&properties, static_cast<int>(index));
  if (code != cudaSuccess) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "CUDA device %u cannot be described: %s", index,
              cudaGetErrorString(code));
    return error->status;
  }
  if (properties.major * 10 + properties.minor < oldest_compute()) {
    set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION,
              "CUDA device %u (%s) has compute capability %d.%d, this build needs %d.%d", index, properties.name,
              properties.major, properties.minor, oldest_compute() / 10, oldest_compute() % 10);
    return error->status;
  }
  snprintf(out->name, sizeof(out->name), "%.127s", properties.name);
  snprintf(out->isa, sizeof(out->isa), "compute %d.%d", properties.major, properties.minor);
  out->threads = static_cast<uint32_t>(properties.multiProcessorCount);
  out->memory_bytes = properties.totalGlobalMem;
  return FJ_OK;
}

// FORJA_CUDA_GRAPH; false with an error where it is none of its values.
bool read_graphs(fj_device* device, fj_error* error) {
  const char* given = getenv("FORJA_CUDA_GRAPH");
  const std::string value = given == nullptr || *given == '\0' ? "1" : given;
  device->graphs = value != "0";
  device->branches = value == "1";
  if (value == "0" || value == "1" || value == "line") return true;
  set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "FORJA_CUDA_GRAPH must be 0, 1 or line: '%s'", given);
  return false;
}

fj_status device_open(uint32_t index, fj_device** out, fj_error* error) {
  fj_device_info info;
  if (device_describe(index, &info, error) != FJ_OK) return error->status;
  auto device = std::make_unique<fj_device>();
  device->index = index;
  device->multiprocessors = static_cast<int>(info.threads);
  device->machine = std::string(info.name) + info.isa;
  if (!read_graphs(device.get(), error)) return error->status;
  if (!read_tune(kTune, &device->tune, error)) return error->status;
  cudaError_t code = cudaSetDevice(static_cast<int>(index));
  const auto read = [&](cudaDeviceAttr attribute) {
    int value = 0;
    if (code == cudaSuccess) code = cudaDeviceGetAttribute(&value, attribute, static_cast<int>(index));
    return value;
  };
  device->block_memory = static_cast<size_t>(read(cudaDevAttrMaxSharedMemoryPerBlockOptin));
#ifdef FORJA_WARPGROUPS
  device->warpgroups = read(cudaDevAttrComputeCapabilityMajor) == 9;  // there is no 9.x but 9.0
#endif
  if (code == cudaSuccess) code = cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking);
  if (code == cudaSuccess) code = cudaStreamCreateWithFlags(&device->uploads, cudaStreamNonBlocking);
  if (code != cudaSuccess) return report(device.get(), code, "opening a stream", error);
  *out = device.release();
  return FJ_OK;
}

void device_close(fj_device* device) {
  cudaSetDevice(static_cast<int>(device->index));
  cudaStreamSynchronize(device->stream);
  device->handles.close();
  device->trash.empty();
  cudaStreamDestroy(device->uploads);
  cudaStreamDestroy(device->stream);
  delete device;
}

void device_set_threads(fj_device*, uint32_t) {}

// --- buffers -----------------------------------------------------------------------------------------

fj_status buffer_create(fj_device* device, uint64_t bytes, fj_buffer** out, fj_error* error) {
  if (enter(device, error) != FJ_OK) return error->status;
  auto buffer = std::make_unique<fj_buffer>(device);
  const cudaError_t code = buffer->memory.allocate(bytes);
  if (code != cudaSuccess) return no_memory(device, code, "a buffer", bytes, error);
  buffer->bytes = bytes;
  *out = buffer.release();
  return FJ_OK;
}

void buffer_free(fj_buffer* buffer) { delete buffer; }

fj_status buffer_write(fj_buffer* buffer, uint64_t offset, const void* data, uint64_t bytes, fj_error* error) {
  fj_device* device = buffer->device;
  if (enter(device, error) != FJ_OK) return error->status;
  if (bytes == 0) return FJ_OK;
  if (offset == 0 && bytes == buffer->bytes) buffer->fresh = false;
  cudaError_t code = fill_fresh(buffer);
  if (code == cudaSuccess) {
    code = cudaMemcpyAsync(buffer->memory.data() + offset, data, bytes, cudaMemcpyHostToDevice, device->stream);
  }
  if (code == cudaSuccess) code = cudaStreamSynchronize(device->stream);
  return code == cudaSuccess ? FJ_OK : report(device, code, "writing a buffer", error);
}

fj_status buffer_read(fj_buffer* buffer, uint64_t offset, void* data, uint64_t bytes, fj_error* error) {
  fj_device* device = buffer->device;
  if (enter(device, error) != FJ_OK) return error->status;
  if (bytes == 0) return FJ_OK;
  cudaError_t code = fill_fresh(buffer);
  if (code == cudaSuccess) {
    code = cudaMemcpyAsync(data, buffer->memory.data() + offset, bytes, cudaMemcpyDeviceToHost, device->stream);
  }
  if (code == cudaSuccess) code = cudaStreamSynchronize(device->stream);
  return code == cudaSuccess ? FJ_OK : report(device, code, "reading a buffer", error);
}

// Bytes read plus written a second by copies of half a gigabyte: several times the largest second-level cache.
fj_status measure_copy(fj_device* device, double* gbytes, fj_error* error) {
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  uint64_t bytes = 512ull << 20;
  while (bytes > available / 4) bytes /= 2;
  Block from(device->trash), to(device->trash);
  cudaError_t code = from.allocate(bytes);
  if (code == cudaSuccess) code = to.allocate(bytes);
  if (code != cudaSuccess) return no_memory(device, code, "the copy that is timed", bytes, error);
  Launcher launcher = device->launcher();
  launcher.error = cudaMemsetAsync(from.data(), 1, bytes, device->stream);
  const float best = fastest_milliseconds(launcher, [&] {
    if (launcher.error != cudaSuccess) return;
    launcher.error = cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, device->stream);
  });
  if (launcher.error != cudaSuccess) return report(device, launcher.error, "timing a copy", error);
  *gbytes = 2.0 * static_cast<double>(bytes) / best * 1e-6;
  return FJ_OK;
}

fj_status device_ceilings(fj_device* device, uint32_t, double* fma_gflops, double* copy_gbytes, fj_error* error) {
  if (enter(device, error) != FJ_OK) return error->status;
  Launcher launcher = device->launcher();
  *fma_gflops = measure_fma(launcher);
  if (launcher.error != cudaSuccess) return report(device, launcher.error, "timing multiply-adds", error);
  return measure_copy(device, copy_gbytes, error);
}

#ifdef SIMT_EMULATION
constexpr const char* kName = "cuda-emulated";
#else
constexpr const char* kName = "cuda";
#endif

const fj_backend kBackend = {
    FJ_ABI_VERSION,
    kName,
    0,
    device_count,
    device_describe,
    device_open,
    device_close,
    device_set_threads,
    buffer_create,
    buffer_free,
    buffer_write,
    buffer_read,
    supports,
    program_create,
    program_free,
    program_bytes,
    program_run,
    program_finish,
    program_depth,
    program_describe,
    program_profile,
    device_ceilings,
    describe_libraries,
};

}  // namespace

}  // namespace forja::cuda

extern "C" __attribute__((visibility("default"))) const fj_backend* forja_backend_get(uint32_t host_abi_version) {
  return host_abi_version == FJ_ABI_VERSION ? &forja::cuda::kBackend : nullptr;
}
