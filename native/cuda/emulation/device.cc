// The device of the runtime API: its state, its errors, what it can do.
#include <cstring>

#include "streams.h"

using namespace forja::simt;

namespace forja::simt {
Api& api() {
  static Api& a = *[] {
    auto* made = new Api;
    made->lazy = planted("SIMT_LAZY") > 0;
    return made;
  }();
  return a;
}
bool call_fails() {
  static const long bad = planted("SIMT_FAIL_CALL");
  static long calls = 0;
  return bad > 0 && ++calls == bad;
}
cudaError_t fail(cudaError_t e) {
  if (e != cudaSuccess && !api().sticky) api().last = e;
  return e;
}
cudaError_t result() { return api().sticky ? api().last : cudaSuccess; }
// Also called by the device thread, while the launching thread holds the lock and waits: takes no lock itself.
void set_error(cudaError_t e) {
  if (!api().sticky) api().last = e;
  api().sticky = true;
}
}  // namespace forja::simt

const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorLaunchOutOfResources:
      return "cudaErrorLaunchOutOfResources";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorLossyQuery:
      return "cudaErrorLossyQuery";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    default:
      return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t e) {
  const auto& found = machine().reports;
  return e == cudaErrorLaunchFailure && !found.empty() ? found.back().c_str() : cudaGetErrorName(e);
}
cudaError_t cudaPeekAtLastError() { return api().last; }
cudaError_t cudaGetLastError() {
  SIMT_LOCK;  // unlike a real device, the emulated one recovers: tests go on after a planted bug
  const auto e = api().last;
  api().last = cudaSuccess;
  api().sticky = false;
  return e;
}
cudaError_t cudaGetDeviceCount(int* n) {
  *n = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* d) {
  *d = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int d) { return d == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice); }
cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int d) {
  if (d) return fail(cudaErrorInvalidDevice);
  *p = {};
  std::strcpy(p->name, "emulated on the CPU");
  p->totalGlobalMem = arena_bytes();
  p->sharedMemPerBlock = 48 * 1024;
  p->sharedMemPerMultiprocessor = 228 * 1024;
  p->sharedMemPerBlockOptin = 227 * 1024;
  const long compute = planted("SIMT_COMPUTE");
  p->major = compute ? int(compute / 10) : 9;
  p->minor = int(compute % 10);
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->regsPerBlock = 65536;
  p->l2CacheSize = 1 << 20;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 0x7fffffff;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int d) {
  cudaDeviceProp p;
  if (auto e = cudaGetDeviceProperties(&p, d)) return e;
  switch (a) {
    case cudaDevAttrMaxThreadsPerBlock:
      *v = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *v = int(p.sharedMemPerBlock);
      break;
    case cudaDevAttrMultiProcessorCount:
      *v = p.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *v = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *v = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *v = int(p.sharedMemPerBlockOptin);
      break;
  }
  return cudaSuccess;
}
