// Captures and graphs of the runtime API.
#include "streams.h"

using namespace forja::simt;

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
// Nodes run in their order anyway.
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t*, const cudaGraphEdgeData*, size_t,
                                                unsigned) {
  return s && s->capture ? cudaSuccess : fail(cudaErrorIllegalState);
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
