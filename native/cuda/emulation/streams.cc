// Streams, events and launches of the runtime API.
#include "streams.h"

#include <cstdio>

using namespace forja::simt;

namespace {
bool runnable(cudaStream_t s) {
  return !s->queue.empty() && (!s->queue.front().wait || s->queue.front().wait->completed >= s->queue.front().version);
}
void step(cudaStream_t s) {
  Operation o = std::move(s->queue.front());
  s->queue.pop_front();
  if (o.run) o.run();
}
}  // namespace

namespace forja::simt {
cudaStream_t of(cudaStream_t s) { return s ? s : &api().null_stream; }
size_t pick(size_t count) {
  auto& r = api().random;
  r ^= r << 13, r ^= r >> 7, r ^= r << 17;
  return r % count;
}
void drain(const std::function<bool()>& done) {
  while (!done()) {
    std::vector<cudaStream_t> can;
    for (auto s : api().streams)
      if (runnable(s)) can.push_back(s);
    if (can.empty()) return;
    step(can[pick(can.size())]);
  }
}
void drain_all() {
  drain([] {
    for (auto s : api().streams)
      if (!s->queue.empty()) return false;
    return true;
  });
}
void drain_blocking() {
  drain([] {
    for (auto s : api().streams)
      if (s->blocking && !s->queue.empty()) return false;
    return true;
  });
}
cudaError_t submit(cudaStream_t stream, std::function<void()> f) {
  cudaStream_t s = of(stream);
  if (s->capture) {
    static const long refused = planted("SIMT_REFUSE_NODE");
    static long asked = 0;
    if (s->invalid) return fail(cudaErrorStreamCaptureInvalidated);
    if (++asked == refused) return unsupported_in_capture();
    s->last = {s->capture->add(std::move(f), s->last)};
    return cudaSuccess;
  }
  if (!stream) {  // the legacy stream waits for all blocking streams, and they for it
    drain_blocking();
    f();
  } else if (api().lazy) {
    s->queue.push_back({std::move(f)});
  } else {
    f();
  }
  return result();
}
bool any_capture() {
  for (auto s : api().streams)
    if (s->capture && s->capturer == std::this_thread::get_id()) return true;
  return false;
}
cudaError_t unsupported_in_capture() {
  for (auto s : api().streams)
    if (s->capture && s->capturer == std::this_thread::get_id()) s->invalid = true;
  return fail(cudaErrorStreamCaptureUnsupported);
}
void set_lazy_streams(bool on) {
  cudaDeviceSynchronize();
  api().lazy = on;
}
cudaError_t set_func_attribute(const void* kernel, cudaFuncAttribute a, int v) {
  SIMT_LOCK;
  if (any_capture() && !api().loaded.count(kernel)) return unsupported_in_capture();
  api().loaded.insert(kernel);
  if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (v < 0 || v > 227 * 1024) return fail(cudaErrorInvalidValue);
    api().max_shared[kernel] = v;
  }
  return cudaSuccess;
}
cudaError_t get_func_attributes(cudaFuncAttributes* a, const void* kernel) {
  SIMT_LOCK;
  if (any_capture() && !api().loaded.count(kernel)) return unsupported_in_capture();
  api().loaded.insert(kernel);
  *a = {};
  a->maxThreadsPerBlock = 1024;
  a->maxDynamicSharedSizeBytes = 48 * 1024;
  return cudaSuccess;
}
cudaError_t launch(const LaunchInfo& info, std::function<void()> body, cudaStream_t stream) {
  SIMT_LOCK;
  const auto& g = info.grid;
  const auto& b = info.block;
  const uint64_t threads = uint64_t(b.x) * b.y * b.z;
  if (!g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || !threads || threads > 1024 || b.z > 64)
    return fail(cudaErrorInvalidConfiguration);
  const auto it = api().max_shared.find(info.kernel);
  const size_t limit = it == api().max_shared.end() ? 48 * 1024 : size_t(std::max(it->second, 48 * 1024));
  if (info.shared > limit) return fail(cudaErrorInvalidValue);
  static const long refused = planted("SIMT_REFUSE_LAUNCH");
  static long asked = 0;
  if (++asked == refused) return fail(cudaErrorLaunchOutOfResources);
  if (of(stream)->capture && !api().loaded.count(info.kernel)) return unsupported_in_capture();
  api().loaded.insert(info.kernel);
  return submit(stream, [info, body = std::move(body)] { run_launch(info, body); });
}
}  // namespace forja::simt

cudaError_t cudaDeviceSynchronize() {
  SIMT_LOCK;
  if (any_capture()) return unsupported_in_capture();
  drain_all();
  return result();
}

cudaError_t cudaStreamCreate(cudaStream_t* s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  *s = new CUstream_st;
  (*s)->blocking = !(f & cudaStreamNonBlocking);
  api().streams.push_back(*s);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  SIMT_LOCK;
  if (s->capture) return fail(cudaErrorIllegalState);
  drain([&] { return s->queue.empty(); });
  std::erase(api().streams, s);
  delete s;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  if (of(s)->capture) return unsupported_in_capture();
  if (!s)
    drain_blocking();
  else
    drain([&] { return s->queue.empty(); });
  api().waited += std::chrono::milliseconds(planted("SIMT_WAIT_MS"));
  return result();
}
cudaError_t cudaStreamQuery(cudaStream_t s) {
  SIMT_LOCK;
  if (of(s)->capture) return unsupported_in_capture();
  if (runnable(of(s))) step(of(s));
  return of(s)->queue.empty() ? result() : cudaErrorNotReady;
}
cudaError_t cudaEventCreate(cudaEvent_t* e) {
  if (call_fails()) return fail(cudaErrorUnknown);
  *e = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { return cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  SIMT_LOCK;
  if (e->completed < e->recorded) drain([&] { return e->completed >= e->recorded; });
  delete e;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  if (of(s)->capture) {
    e->graph = of(s)->capture;
    e->nodes = of(s)->last;
    return cudaSuccess;
  }
  e->graph = nullptr;
  const auto v = ++e->recorded;
  return submit(s, [e, v] {
    e->completed = v;
    e->time = std::chrono::steady_clock::now() + api().waited;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  if (e->graph) {  // fork: this stream joins the capture
    of(s)->capture = e->graph;
    auto& last = of(s)->last;
    last.insert(last.end(), e->nodes.begin(), e->nodes.end());
    return cudaSuccess;
  }
  if (of(s)->capture) return unsupported_in_capture();
  if (s && api().lazy)
    s->queue.push_back({nullptr, e, e->recorded});
  else
    drain([&] { return e->completed >= e->recorded; });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  if (e->graph) return unsupported_in_capture();
  if (planted("SIMT_TRACE") > 0 && e->completed < e->recorded)
    std::fprintf(stderr, "simt: the host waits, %d graphs are queued\n", api().queued_graphs);
  drain([&] { return e->completed >= e->recorded; });
  return result();
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  SIMT_LOCK;
  if (e->graph) return unsupported_in_capture();
  return e->completed >= e->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t a, cudaEvent_t b) {
  SIMT_LOCK;
  if (!a->recorded || !b->recorded) return fail(cudaErrorInvalidResourceHandle);
  if (a->completed < a->recorded || b->completed < b->recorded) return cudaErrorNotReady;
  *ms = std::chrono::duration<float, std::milli>(b->time - a->time).count();
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void* d) {
  SIMT_LOCK;
  return submit(s, [=] { f(d); });
}
