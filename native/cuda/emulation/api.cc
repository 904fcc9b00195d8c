// The runtime API: errors, copies, streams, events, graphs. A stream is a queue of closures, run at once (default)
// or only when something waits for them (lazy), interleaved at random between streams.
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "internal.h"

using namespace forja::simt;
using Clock = std::chrono::steady_clock;

struct CUevent_st {
  uint64_t recorded = 0, completed = 0;  // how often
  Clock::time_point time;
  cudaGraph_t graph = nullptr;  // recorded during the capture of this graph
};
struct Operation {
  std::function<void()> run;
  cudaEvent_t wait = nullptr;
  uint64_t version = 0;
};
// Nodes run in the order in which they were added, whatever they depend on.
struct CUgraph_st {
  std::vector<std::function<void()>> nodes;
  bool borrowed = false;  // captured into: its owner destroys it
  struct Conditional {
    size_t at;  // of nodes
    unsigned long long handle;
    CUgraph_st* body;
  };
  std::vector<Conditional> conditional_nodes;
  std::vector<std::unique_ptr<CUgraph_st>> bodies;
  std::vector<std::unique_ptr<cudaGraph_t>> body_handles;  // what the parameters of conditional nodes point to
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> nodes;
};
struct CUstream_st {
  bool blocking = true;
  std::deque<Operation> queue;
  cudaGraph_t capture = nullptr;
  bool origin = false, invalid = false;
  std::thread::id capturer;
};

namespace {
struct Api {
  std::recursive_mutex lock;
  cudaError_t last = cudaSuccess;
  bool sticky = false, lazy = false;
  uint64_t random = 88172645463325252u;
  std::vector<cudaStream_t> streams;
  CUstream_st null_stream;
  std::unordered_map<const void*, int> max_shared;
  std::deque<unsigned> conditions;  // the value of each conditional handle
  int queued_graphs = 0;
};
Api& api() {
  static Api& a = *[] {
    auto* made = new Api;
    made->lazy = planted("SIMT_LAZY") > 0;
    return made;
  }();
  return a;
}
#define SIMT_LOCK std::lock_guard guard_(api().lock)

cudaError_t fail(cudaError_t e) {
  if (e != cudaSuccess && !api().sticky) api().last = e;
  return e;
}
cudaStream_t of(cudaStream_t s) { return s ? s : &api().null_stream; }
bool runnable(cudaStream_t s) {
  return !s->queue.empty() && (!s->queue.front().wait || s->queue.front().wait->completed >= s->queue.front().version);
}
void step(cudaStream_t s) {
  Operation o = std::move(s->queue.front());
  s->queue.pop_front();
  if (o.run) o.run();
}
// Runs queued work, a random stream at a time, until done() holds.
template <class F>
void drain(F done) {
  auto& a = api();
  while (!done()) {
    std::vector<cudaStream_t> can;
    for (auto s : a.streams)
      if (runnable(s)) can.push_back(s);
    if (can.empty()) return;
    a.random ^= a.random << 13, a.random ^= a.random >> 7, a.random ^= a.random << 17;
    step(can[a.random % can.size()]);
  }
}
cudaError_t result() { return api().sticky ? api().last : cudaSuccess; }
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
    s->capture->nodes.push_back(std::move(f));
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
// Captures are those of their thread (cudaStreamCaptureModeThreadLocal): what other threads do does not disturb them.
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

namespace forja::simt {
// Also called by the device thread, while the launching thread holds the lock and waits: takes no lock itself.
void set_error(cudaError_t e) {
  if (!api().sticky) api().last = e;
  api().sticky = true;
}
void set_lazy_streams(bool on) {
  cudaDeviceSynchronize();
  api().lazy = on;
}
cudaError_t set_func_attribute(const void* kernel, cudaFuncAttribute a, int v) {
  SIMT_LOCK;
  if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (v < 0 || v > 227 * 1024) return fail(cudaErrorInvalidValue);
    api().max_shared[kernel] = v;
  }
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
  return submit(stream, [info, body = std::move(body)] { run_launch(info, body); });
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
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
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
  p->major = 9;
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
cudaError_t cudaDeviceSynchronize() {
  SIMT_LOCK;
  if (any_capture()) return unsupported_in_capture();
  drain([] {
    for (auto s : api().streams)
      if (!s->queue.empty()) return false;
    return true;
  });
  return result();
}

cudaError_t cudaMalloc(void** p, size_t n) {
  SIMT_LOCK;
  if (any_capture()) return unsupported_in_capture();
  return fail(allocate(p, n, false));
}
cudaError_t cudaFree(void* p) {
  SIMT_LOCK;
  if (any_capture()) return unsupported_in_capture();
  drain([] {
    for (auto s : api().streams)
      if (!s->queue.empty()) return false;
    return true;
  });  // as the driver does
  return fail(release(p));
}
// Allocates at once, frees in stream order. Not supported in a capture (the real one makes memory nodes).
cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t s) {
  SIMT_LOCK;
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
  return fail(allocate(p, n, true));
}
cudaError_t cudaFreeHost(void* p) { return cudaFree(p); }
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  SIMT_LOCK;
  return copy(d, s, n, k, nullptr, true);
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t st) {
  SIMT_LOCK;
  return copy(d, s, n, k, st, false);
}
cudaError_t cudaMemset(void* p, int v, size_t n) { return cudaMemsetAsync(p, v, n, nullptr); }
cudaError_t cudaMemsetAsync(void* p, int v, size_t n, cudaStream_t s) {
  SIMT_LOCK;
  if (auto e = check_range(p, n, true, "cudaMemset")) return fail(e);
  return submit(s, [=] {
    open_memory();
    std::memset(p, v, n);
    checks_host_write(p, n);
    close_memory();
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) {
  SIMT_LOCK;
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
  if (of(s)->capture) return unsupported_in_capture();
  if (!s)
    drain_blocking();
  else
    drain([&] { return s->queue.empty(); });
  return result();
}
cudaError_t cudaStreamQuery(cudaStream_t s) {
  SIMT_LOCK;
  if (of(s)->capture) return unsupported_in_capture();
  if (runnable(of(s))) step(of(s));
  return of(s)->queue.empty() ? result() : cudaErrorNotReady;
}
cudaError_t cudaEventCreate(cudaEvent_t* e) {
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
  if (of(s)->capture) {
    e->graph = of(s)->capture;
    return cudaSuccess;
  }
  e->graph = nullptr;
  const auto v = ++e->recorded;
  return submit(s, [e, v] {
    e->completed = v;
    e->time = Clock::now();
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  SIMT_LOCK;
  if (e->graph) {  // fork: this stream joins the capture (nodes are kept in the order of submission)
    of(s)->capture = e->graph;
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
  if (e->graph) return unsupported_in_capture();
  if (planted("SIMT_TRACE") > 0 && e->completed < e->recorded)
    std::fprintf(stderr, "simt: the host waits, %d graphs are queued\n", api().queued_graphs);
  drain([&] { return e->completed >= e->recorded; });
  return result();
}
cudaError_t cudaEventQuery(cudaEvent_t e) { return e->completed >= e->recorded ? cudaSuccess : cudaErrorNotReady; }
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

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  SIMT_LOCK;
  if (!s || s->capture) return fail(s ? cudaErrorIllegalState : cudaErrorStreamCaptureUnsupported);
  s->capture = new CUgraph_st;
  s->origin = true;
  s->capturer = std::this_thread::get_id();
  s->invalid = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  SIMT_LOCK;
  *g = nullptr;
  if (!s || !s->capture || !s->origin) return fail(cudaErrorIllegalState);
  bool invalid = s->invalid;
  cudaGraph_t made = s->capture;
  for (auto t : api().streams)
    if (t->capture == made) {
      invalid = invalid || t->invalid;
      t->capture = nullptr;
      t->origin = t->invalid = false;
    }
  if (invalid) {
    if (!made->borrowed) delete made;
    return fail(cudaErrorStreamCaptureInvalidated);
  }
  *g = made;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* c) {
  *c = !of(s)->capture  ? cudaStreamCaptureStatusNone
       : of(s)->invalid ? cudaStreamCaptureStatusInvalidated
                        : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t*, size_t* n) {
  *n = g->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t*,
                                          const cudaGraphEdgeData*, size_t, cudaStreamCaptureMode) {
  SIMT_LOCK;
  if (!s || s->capture) return fail(s ? cudaErrorIllegalState : cudaErrorStreamCaptureUnsupported);
  g->borrowed = true;
  s->capture = g;
  s->origin = true;
  s->capturer = std::this_thread::get_id();
  s->invalid = false;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* status, unsigned long long*, cudaGraph_t*,
                                     const cudaGraphNode_t** dependencies, const cudaGraphEdgeData**, size_t* count) {
  *dependencies = nullptr;
  *count = 0;
  return cudaStreamIsCapturing(s, status);
}
cudaError_t cudaGraphCreate(cudaGraph_t* g, unsigned) {
  *g = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t g, unsigned value,
                                             unsigned flags) {
  SIMT_LOCK;
  auto& all = api().conditions;
  const auto index = all.size();
  *handle = index;
  all.push_back(value);
  if (flags & cudaGraphCondAssignDefault) g->nodes.push_back([index, value] { api().conditions[index] = value; });
  return cudaSuccess;
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t g, const cudaGraphNode_t*, const cudaGraphEdgeData*,
                             size_t, cudaGraphNodeParams* params) {
  SIMT_LOCK;
  auto& conditional = params->conditional;
  if (params->type != cudaGraphNodeTypeConditional || conditional.type != cudaGraphCondTypeIf ||
      conditional.size != 1 || conditional.handle >= api().conditions.size())
    return fail(cudaErrorInvalidValue);
  *node = nullptr;
  g->bodies.push_back(std::make_unique<CUgraph_st>());
  g->body_handles.push_back(std::make_unique<cudaGraph_t>(g->bodies.back().get()));
  conditional.phGraph_out = g->body_handles.back().get();
  // The body is filled later; graphs that were made of this one keep what it holds then.
  g->conditional_nodes.push_back({g->nodes.size(), conditional.handle, g->bodies.back().get()});
  g->nodes.push_back({});
  return cudaSuccess;
}
// By a kernel, whose launch holds the lock.
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) { api().conditions[handle] = value; }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long) {
  SIMT_LOCK;
  *e = nullptr;
  if (planted("SIMT_FAIL_GRAPHS") > 0) return fail(cudaErrorNotSupported);
  for (const auto& [at, handle, body] : g->conditional_nodes)
    g->nodes[at] = [handle = handle, nodes = body->nodes] {
      if (api().conditions[handle] != 0)
        for (auto& n : nodes) n();
    };
  *e = new CUgraphExec_st{g->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
  SIMT_LOCK;
  auto nodes = e->nodes;  // the graph may be destroyed while queued
  ++api().queued_graphs;
  return submit(s, [nodes = std::move(nodes)] {
    --api().queued_graphs;
    for (auto& n : nodes) n();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  delete g;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
  delete e;
  return cudaSuccess;
}
