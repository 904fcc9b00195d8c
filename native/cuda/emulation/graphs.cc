// Captures and graphs of the runtime API. A launch of a graph runs its nodes one by one in an order drawn at random
// from those that their dependencies allow, another one each time: a dependency that was forgotten shows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "streams.h"

using namespace forja::simt;

namespace {
using Nodes = std::vector<CUgraphExec_st::Node>;
constexpr size_t kRubbish = 0x5a5a5a5a5a5a5a5a;

void run_nodes(const Nodes& nodes) {
  std::vector<size_t> missing(nodes.size());
  std::vector<std::vector<size_t>> waiting(nodes.size());
  std::vector<size_t> ready;
  for (size_t i = 0; i < nodes.size(); ++i) {
    missing[i] = nodes[i].after.size();
    for (auto before : nodes[i].after) waiting[before].push_back(i);
    if (!missing[i]) ready.push_back(i);
  }
  while (!ready.empty()) {
    std::swap(ready[pick(ready.size())], ready.back());
    const auto at = ready.back();
    ready.pop_back();
    nodes[at].run();
    for (auto next : waiting[at])
      if (--missing[next] == 0) ready.push_back(next);
  }
}
// Nodes of the longest way through a graph, the bodies of conditions left out.
size_t longest(const Nodes& nodes) {
  size_t most = 0;
  std::vector<size_t> length(nodes.size(), 1);
  for (size_t i = 0; i < nodes.size(); ++i) {  // what a node waits for was added before it
    for (auto before : nodes[i].after) length[i] = std::max(length[i], length[before] + 1);
    most = std::max(most, length[i]);
  }
  return most;
}
Nodes copy_of(const CUgraph_st& g) {
  Nodes nodes;
  for (auto& n : g.nodes) {
    nodes.push_back({n->run, {}});
    if (n->body)
      nodes.back().run = [handle = n->handle, body = copy_of(*n->body)] {
        if (api().conditions[handle] != 0) run_nodes(body);
      };
    for (auto before : n->after) nodes.back().after.push_back(before->at);
  }
  return nodes;
}
// Nodes of another graph, or of none, are no dependencies.
bool owns(const CUgraph_st& g, const cudaGraphNode_t* nodes, size_t count) {
  return std::all_of(nodes, nodes + count,
                     [&](cudaGraphNode_t n) { return n && n->at < g.nodes.size() && g.nodes[n->at].get() == n; });
}
// A driver may free the graph of a capture as soon as that is invalidated, and crashes then.
void check_alive(cudaGraph_t g, const char* what) {
  const bool invalid =
      std::any_of(api().streams.begin(), api().streams.end(), [&](auto s) { return s->capture == g && s->invalid; });
  if (!g->freed && !invalid) return;
  std::fprintf(stderr, "simt: a graph %s that an invalidated capture has freed\n", what);
  std::abort();
}
cudaError_t begin_capture(cudaStream_t s, cudaGraph_t g) {
  s->capture = g;
  s->last.clear();
  s->origin = true;
  s->capturer = std::this_thread::get_id();
  s->invalid = false;
  return cudaSuccess;
}
}  // namespace

cudaGraphNode_t CUgraph_st::add(std::function<void()> run, std::vector<cudaGraphNode_t> after) {
  nodes.push_back(std::make_unique<CUgraphNode_st>(nodes.size(), std::move(run), std::move(after)));
  return nodes.back().get();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  if (!s || s->capture) return fail(s ? cudaErrorIllegalState : cudaErrorStreamCaptureUnsupported);
  return begin_capture(s, new CUgraph_st);
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  SIMT_LOCK;
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
    if (made->borrowed)
      made->freed = true;
    else
      delete made;
    return fail(cudaErrorStreamCaptureInvalidated);  // *g is said to be null then: who relies on it may be wrong
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
  return begin_capture(s, g);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* status, unsigned long long*, cudaGraph_t*,
                                     const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges,
                                     size_t* count) {
  if (of(s)->invalid) {  // what it answers beside the status is rubbish then
    *dependencies = reinterpret_cast<const cudaGraphNode_t*>(kRubbish);
    *count = kRubbish;
    return cudaStreamIsCapturing(s, status);
  }
  // A real one says so only where a library launched with programmatic edges.
  if (!edges && !of(s)->last.empty()) return fail(cudaErrorLossyQuery);
  static const std::vector<cudaGraphEdgeData> kinds(1024);  // of full edges
  if (edges) *edges = kinds.data();
  *dependencies = of(s)->last.data();
  *count = of(s)->last.size();
  return cudaStreamIsCapturing(s, status);
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t* nodes, const cudaGraphEdgeData*,
                                                size_t count, unsigned flags) {
  SIMT_LOCK;
  if (!s || !s->capture) return fail(cudaErrorIllegalState);
  if (s->invalid) return fail(cudaErrorStreamCaptureInvalidated);
  if (planted("SIMT_FAIL_EDGES") > 0) return fail(cudaErrorNotSupported);
  // Only of the graph APIs it is documented that an empty list may be null.
  if (!nodes || !owns(*s->capture, nodes, count)) return fail(cudaErrorInvalidValue);
  std::vector<cudaGraphNode_t> given(nodes, nodes + count);
  if (!(flags & cudaStreamSetCaptureDependencies)) given.insert(given.end(), s->last.begin(), s->last.end());
  s->last = std::move(given);
  return cudaSuccess;
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
  if (flags & cudaGraphCondAssignDefault) g->defaults.push_back([index, value] { api().conditions[index] = value; });
  return cudaSuccess;
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t g, const cudaGraphNode_t* after,
                             const cudaGraphEdgeData*, size_t count, cudaGraphNodeParams* params) {
  SIMT_LOCK;
  check_alive(g, "gets a node");
  auto& conditional = params->conditional;
  if (params->type != cudaGraphNodeTypeConditional || conditional.type != cudaGraphCondTypeIf ||
      conditional.size != 1 || conditional.handle >= api().conditions.size() || !owns(*g, after, count))
    return fail(cudaErrorInvalidValue);
  if (planted("SIMT_FAIL_CONDITIONS") > 0) return fail(cudaErrorNotSupported);
  g->bodies.push_back(std::make_unique<CUgraph_st>());
  g->body_handles.push_back(std::make_unique<cudaGraph_t>(g->bodies.back().get()));
  conditional.phGraph_out = g->body_handles.back().get();
  *node = g->add({}, {after, after + count});
  (*node)->body = g->bodies.back().get();
  (*node)->handle = conditional.handle;
  return cudaSuccess;
}
// By a kernel, whose launch holds the lock.
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) { api().conditions[handle] = value; }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  *e = nullptr;
  if (planted("SIMT_FAIL_GRAPHS") > 0) return fail(cudaErrorNotSupported);
  *e = new CUgraphExec_st{copy_of(*g), g->defaults};
  if (planted("SIMT_TRACE") > 0)
    std::fprintf(stderr, "simt: a graph of %zu nodes, %zu on its longest way\n", (*e)->nodes.size(),
                 longest((*e)->nodes));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
  SIMT_LOCK;
  if (call_fails()) return fail(cudaErrorUnknown);
  ++api().queued_graphs;
  return submit(s, [graph = *e] {  // which may be destroyed while queued
    --api().queued_graphs;
    for (auto& assign : graph.defaults) assign();
    run_nodes(graph.nodes);
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  SIMT_LOCK;
  check_alive(g, "is destroyed");
  for (auto& body : g->bodies) check_alive(body.get(), "is destroyed");
  delete g;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
  SIMT_LOCK;
  if (any_capture()) return unsupported_in_capture();
  delete e;
  return cudaSuccess;
}
