// Streams and events.
#include <chrono>
#include <cstring>

#include "runtime.h"

using namespace forja::ptx;
using Clock = std::chrono::steady_clock;

struct CUevent_st {
  Clock::time_point at;
};

namespace forja::ptx {

cudaError_t submit(cudaStream_t stream, const Work& work) {
  const std::lock_guard lock(runtime().mutex);
  if (const cudaError_t code = status()) return code;
  if (stream != nullptr && stream->recording != nullptr) {
    stream->last = {add_node(*stream->recording, work)};
    return cudaSuccess;
  }
  try {
    work();
  } catch (const Fault& fault) {
    runtime().fault = fault.text;
  }
  return status();
}

}  // namespace forja::ptx

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return status(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return status(); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  return submit(stream, [=] { std::memcpy(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return submit(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->at = Clock::now();
  return status();
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return status(); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return status();
}
