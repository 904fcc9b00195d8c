// Device memory of the runtime API: allocating, copying and filling it.
#include <cstring>

#include "streams.h"

using namespace forja::simt;

namespace {
cudaError_t check_range(const void* p, size_t n, bool device, const char* what) {
  if (n == 0) return cudaSuccess;
  if (!in_arena(p)) {
    if (!device) return cudaSuccess;
    report(format("%s: a host pointer where a device pointer is needed", what));
    return cudaErrorInvalidValue;
  }
  char* start;
  const Allocation* a = find_allocation(p, &start);
  if (!a) {
    report(format("%s: address not in a live allocation", what));
    return cudaErrorInvalidValue;
  }
  if (!device && !a->host) {
    report(format("%s: a device pointer where a host pointer is needed", what));
    return cudaErrorInvalidValue;
  }
  const size_t at = size_t(static_cast<const char*>(p) - start);
  if (at + n > a->bytes) {
    report(format("%s: %zu bytes at offset %zu exceed an allocation of %zu bytes", what, n, at, a->bytes));
    return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}
cudaError_t copy(void* to, const void* from, size_t n, cudaMemcpyKind kind, cudaStream_t stream, bool sync) {
  if (kind == cudaMemcpyDefault) {
    const bool d = in_arena(to), s = in_arena(from);
    kind = d ? (s ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
             : (s ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
  }
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (auto e = check_range(to, n, to_device, "cudaMemcpy destination")) return fail(e);
  if (auto e = check_range(from, n, from_device, "cudaMemcpy source")) return fail(e);
  if (sync && any_capture()) return unsupported_in_capture();
  auto now = [=](const void* source) {
    open_memory();
    if (to_device && from_device)
      checks_copy(to, source, n);
    else if (to_device)
      checks_host_write(to, n);
    else if (from_device)
      if (const auto bad = checks_unwritten(source, n))
        report(format("cudaMemcpy to the host reads %zu of %zu bytes that were never written", bad, n));
    std::memcpy(to, source, n);
    close_memory();
  };
  const bool pageable_source = !from_device && !in_arena(from), pageable_target = !to_device && !in_arena(to);
  if (of(stream)->capture && (pageable_source || pageable_target)) {
    report("cudaMemcpy: recorded, it reads or writes the caller's memory at every launch of the graph");
    return fail(cudaErrorInvalidValue);
  }
  if (pageable_source && !of(stream)->capture && api().lazy && !sync) {  // staged: the caller may reuse its buffer
    auto staged =
        std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + n);
    return submit(stream, [=] { now(staged->data()); });
  }
  if (auto e = submit(stream, [=] { now(from); })) return e;
  if ((sync || pageable_target) && !of(stream)->capture) drain([&] { return of(stream)->queue.empty(); });
  return result();
}
}  // namespace

cudaError_t cudaMalloc(void** p, size_t n) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorMemoryAllocation);
  if (any_capture()) return unsupported_in_capture();
  return fail(allocate(p, n, false));
}
cudaError_t cudaFree(void* p) {
  SIMT_LOCK;
  if (any_capture()) return unsupported_in_capture();
  drain_all();  // as the driver does
  return fail(release(p));
}
// Allocates at once, frees in stream order. Not supported in a capture (the real one makes memory nodes).
cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t s) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorMemoryAllocation);
  if (of(s)->capture) return unsupported_in_capture();
  return fail(allocate(p, n, false));
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t s) {
  SIMT_LOCK;
  if (of(s)->capture) return unsupported_in_capture();
  return submit(s, [p] { release(p); });
}
cudaError_t cudaMallocHost(void** p, size_t n, unsigned) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorMemoryAllocation);
  if (any_capture()) return unsupported_in_capture();
  return fail(allocate(p, n, true));
}
cudaError_t cudaFreeHost(void* p) { return cudaFree(p); }
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  return copy(d, s, n, k, nullptr, true);
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t st) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  return copy(d, s, n, k, st, false);
}
cudaError_t cudaMemset(void* p, int v, size_t n) { return cudaMemsetAsync(p, v, n, nullptr); }
cudaError_t cudaMemsetAsync(void* p, int v, size_t n, cudaStream_t s) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  if (auto e = check_range(p, n, true, "cudaMemset")) return fail(e);
  return submit(s, [=] {
    open_memory();
    std::memset(p, v, n);
    checks_host_write(p, n);
    close_memory();
  });
}
