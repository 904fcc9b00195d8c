// Recordings and graphs. A graph's nodes run in the order in which they were recorded; that they depend on no other
// order the emulation finds (native/cuda/emulation/graphs.cc).
#include "runtime.h"

using namespace forja::ptx;

namespace {

void run_nodes(const CUgraph_st& graph) {
  for (const Work& node : graph.nodes) node();
}

cudaError_t begin_recording(cudaStream_t stream, CUgraph_st* graph) {
  stream->recording = graph;
  stream->last.clear();
  return cudaSuccess;
}

void set_condition(uint64_t handle, uint32_t value) { runtime().conditions[handle] = value; }

}  // namespace

namespace forja::ptx {

cudaGraphNode_t add_node(CUgraph_st& graph, Work work) {
  graph.nodes.push_back(std::move(work));
  return reinterpret_cast<cudaGraphNode_t>(graph.nodes.size());
}

}  // namespace forja::ptx

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return begin_recording(stream, new CUgraph_st);
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t*,
                                          const cudaGraphEdgeData*, size_t, cudaStreamCaptureMode) {
  return begin_recording(stream, graph);
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->recording, nullptr);
  return note(*graph == nullptr ? cudaErrorIllegalState : cudaSuccess);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long*,
                                     cudaGraph_t*, const cudaGraphNode_t** last, const cudaGraphEdgeData** kinds,
                                     size_t* count) {
  *status = stream->recording == nullptr ? cudaStreamCaptureStatusNone : cudaStreamCaptureStatusActive;
  *last = stream->last.data();
  *count = stream->last.size();
  if (kinds != nullptr) *kinds = nullptr;  // full edges
  return cudaSuccess;
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* nodes, const cudaGraphEdgeData*,
                                                size_t count, unsigned) {
  stream->last.assign(nodes, nodes + count);
  return cudaSuccess;
}

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph, unsigned value,
                                             unsigned flags) {
  const std::lock_guard lock(runtime().mutex);
  on_set_conditional(set_condition);
  *handle = runtime().conditions.size() + 1;
  runtime().conditions[*handle] = value;
  if (flags & cudaGraphCondAssignDefault) graph->defaults.emplace_back(*handle, value);
  return cudaSuccess;
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t*, const cudaGraphEdgeData*,
                             size_t, cudaGraphNodeParams* parameters) {
  auto& conditional = parameters->conditional;
  if (parameters->type != cudaGraphNodeTypeConditional || conditional.type != cudaGraphCondTypeIf) {
    return note(cudaErrorNotSupported);
  }
  const auto body = std::make_shared<CUgraph_st>();
  *node = add_node(*graph, [body, handle = conditional.handle] {
    if (runtime().conditions[handle] != 0) run_nodes(*body);
  });
  thread_local cudaGraph_t handed_out;
  handed_out = body.get();
  conditional.phGraph_out = &handed_out;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = new CUgraphExec_st{*graph};
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t launched, cudaStream_t stream) {
  return submit(stream, [&graph = launched->graph] {
    for (const auto& [handle, value] : graph.defaults) set_condition(handle, value);
    run_nodes(graph);
  });
}
