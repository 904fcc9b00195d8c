// Recording a program as CUDA graphs. An instruction waits for those only whose memory it needs, so that the gradient
// of a weight runs beside what leads to the next one: a small network's step is as long as its longest branch, not as
// all of its kernels. A driver that refuses branches gets a line. All of the program is one graph where kernels cannot
// find anything wrong in their data. Where they can, nothing may be committed then: the commit is the body of a
// conditional node, which a kernel behind the pure part opens, so that the host need not look in between and the next
// run can be handed over at once. CUDA before 13, and a driver that refuses conditions, get two
// graphs, and the host looks.
#include <algorithm>

#include "../core/conflict.h"
#include "backend.cuh"

namespace forja::cuda {
namespace {

// Graphs whose nodes and edges are ours to choose while a stream is recorded.
#if defined(SIMT_EMULATION) || CUDART_VERSION >= 13000
#define FORJA_CUDA_EDGES 1
#endif

constexpr cudaStreamCaptureMode kMode = cudaStreamCaptureModeThreadLocal;

cudaError_t first_of(cudaError_t a, cudaError_t b) { return a != cudaSuccess ? a : b; }

// The graph is null where something was refused on the way: the driver frees it then, whether it was ours or not.
cudaError_t end_recording(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  return cudaStreamEndCapture(stream, graph);
}

// Takes the handles of graphs that were made on the way.
struct Recording {
  ~Recording() {
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
};

#ifdef FORJA_CUDA_EDGES
// Of longer programs the search for branches would take too long; they are recorded in a line.
constexpr size_t kMostBranched = 4096;

bool must_wait(const fj_program* program, uint32_t a, uint32_t b) {
  const Call &x = program->calls[a], &y = program->calls[b];
  const uint64_t x_bytes = program->scratch_bytes[a], y_bytes = program->scratch_bytes[b];
  if (x_bytes > 0 && y_bytes > 0 && x.scratch < y.scratch + y_bytes && y.scratch < x.scratch + x_bytes) return true;
  // Of two that find something wrong, the first of the program is reported.
  return (program->choices[a].kernel->faults && program->choices[b].kernel->faults) || conflict(x, y);
}

// For each of the instructions [begin, end) those it has to wait for, by their place in that range; what others of them
// wait for is left out.
std::vector<std::vector<size_t>> find_waits(const fj_program* program, uint32_t begin, uint32_t end) {
  const size_t count = end - begin, words = (count + 63) / 64;
  std::vector<std::vector<size_t>> waits(count);
  std::vector<uint64_t> before(count * words);  // a row of bits each: all that are over when it begins
  for (size_t i = 0; i < count; i++) {
    uint64_t* row = &before[i * words];
    for (size_t j = i; j-- > 0;) {
      if ((row[j / 64] >> j % 64 & 1) != 0) continue;
      if (!must_wait(program, begin + static_cast<uint32_t>(i), begin + static_cast<uint32_t>(j))) continue;
      waits[i].push_back(j);
      row[j / 64] |= uint64_t{1} << j % 64;
      for (size_t w = 0; w < words; w++) row[w] |= before[j * words + w];
    }
  }
  return waits;
}

using Nodes = std::vector<cudaGraphNode_t>;

// What the next node of the stream's recording waits for. A library may have made one that need not end before the next
// begins, which the driver tells only who asks for it; here all waits are for the end.
cudaError_t last_nodes(cudaStream_t stream, Nodes* nodes) {
  cudaStreamCaptureStatus status{};
  const cudaGraphNode_t* last = nullptr;
  const cudaGraphEdgeData* kinds = nullptr;
  size_t count = 0;
  const cudaError_t code = cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, &last, &kinds, &count);
  if (code != cudaSuccess) return code;
  if (status != cudaStreamCaptureStatusActive) return cudaErrorStreamCaptureInvalidated;  // then it tells no nodes
  nodes->assign(last, last + count);
  return cudaSuccess;
}

cudaError_t go_on_from(cudaStream_t stream, Nodes nodes) {
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  cudaGraphNode_t none = nullptr;  // an empty list must lie somewhere, too
  return cudaStreamUpdateCaptureDependencies(stream, nodes.empty() ? &none : nodes.data(), nullptr, nodes.size(),
                                             cudaStreamSetCaptureDependencies);
}

// Launches instructions [begin, end) on the recorded stream, each behind those it has to wait for; those that may find
// something wrong also behind what was recorded before. What comes next waits for all of them.
void record_branches(const fj_program* program, uint32_t begin, uint32_t end, Launcher& launcher) {
  const std::vector<std::vector<size_t>> waits = find_waits(program, begin, end);
  std::vector<Nodes> last(waits.size());  // of each instruction
  std::vector<bool> awaited(waits.size());
  const auto keep = [&](cudaError_t code) { launcher.error = first_of(launcher.error, code); };
  Nodes ends;
  keep(last_nodes(launcher.stream, &ends));
  const Nodes start = ends;
  for (size_t i = 0; i < waits.size() && launcher.error == cudaSuccess; i++) {
    const uint32_t at = begin + static_cast<uint32_t>(i);
    Nodes from = program->choices[at].kernel->faults ? start : Nodes();
    for (const size_t j : waits[i]) {
      from.insert(from.end(), last[j].begin(), last[j].end());
      awaited[j] = true;
    }
    keep(go_on_from(launcher.stream, std::move(from)));
    launch_instructions(program, at, at + 1, launcher);
    keep(last_nodes(launcher.stream, &last[i]));
  }
  for (size_t i = 0; i < waits.size(); i++) {
    if (!awaited[i]) ends.insert(ends.end(), last[i].begin(), last[i].end());
  }
  keep(go_on_from(launcher.stream, std::move(ends)));
}
#endif

// The first of a program begins with a clean fault record.
void record_instructions(const fj_program* program, uint32_t begin, uint32_t end, Launcher& launcher) {
  if (begin == 0 && program->faults) launcher.error = forget_fault(program);
#ifdef FORJA_CUDA_EDGES
  if (program->device->branches && end - begin <= kMostBranched) return record_branches(program, begin, end, launcher);
#endif
  launch_instructions(program, begin, end, launcher);
}

// Instructions [begin, end) as a graph; null for none.
cudaError_t record(fj_program* program, uint32_t begin, uint32_t end, cudaGraphExec_t* out) {
  if (begin == end) return cudaSuccess;
  return record_graph(*program->device, out,
                      [&](Launcher& launcher) { record_instructions(program, begin, end, launcher); });
}

#ifdef FORJA_CUDA_EDGES
// One thread.
__global__ void open_commit_kernel(const Fault* fault, cudaGraphConditionalHandle commit) {
  cudaGraphSetConditional(commit, fault->kind == Fault::kNone ? 1 : 0);
}

// The graph `made`: the pure part, then the commit under the condition that no kernel found a fault.
cudaError_t record_guarded(fj_program* program, Recording& made) {
  const cudaStream_t stream = program->device->stream;
  const fj_program_header& header = *program->view.header;
  Launcher launcher = program->device->launcher();
  // The one kernel that no run has launched yet: code is loaded at first use, which may be refused while recording.
  cudaFuncAttributes loaded;
  cudaError_t code = cudaFuncGetAttributes(&loaded, open_commit_kernel);
  cudaGraphConditionalHandle commit{};
  if (code == cudaSuccess) code = cudaGraphCreate(&made.graph, 0);
  if (code == cudaSuccess) {
    code = cudaGraphConditionalHandleCreate(&commit, made.graph, 0, cudaGraphCondAssignDefault);
  }
  if (code == cudaSuccess) code = cudaStreamBeginCaptureToGraph(stream, made.graph, nullptr, nullptr, 0, kMode);
  if (code != cudaSuccess) return code;
  record_instructions(program, 0, header.commit_index, launcher);
  launch(launcher, open_commit_kernel, 1, dim3(1), reinterpret_cast<const Fault*>(program->fault.data()), commit);
  Nodes last;
  // Where something was refused, the driver may have freed the graph: it gets no node then.
  code = first_of(launcher.error, last_nodes(stream, &last));
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = commit;
  params.conditional.type = cudaGraphCondTypeIf;
  params.conditional.size = 1;
  cudaGraphNode_t node = nullptr;
  if (code == cudaSuccess) code = cudaGraphAddNode(&node, made.graph, last.data(), nullptr, last.size(), &params);
  // The stream goes on from the node, which a recording must know of that ends there.
  if (code == cudaSuccess) code = go_on_from(stream, {node});
  code = first_of(code, end_recording(stream, &made.graph));
  if (code != cudaSuccess) return code;
  cudaGraph_t body = params.conditional.phGraph_out[0];
  code = cudaStreamBeginCaptureToGraph(stream, body, nullptr, nullptr, 0, kMode);
  if (code != cudaSuccess) return code;
  record_instructions(program, header.commit_index, header.instr_count, launcher);
  code = end_recording(stream, &body);
  // A body is freed once more with the graph, by its node: rather none of it is freed.
  if (body == nullptr) made.graph = nullptr;
  return first_of(launcher.error, code);
}
#endif

cudaError_t record_all(fj_program* program) {
  const fj_program_header& header = *program->view.header;
  program->whole = !program->faults || header.commit_index == header.instr_count;
  if (program->whole) return record(program, 0, header.instr_count, &program->graphs[0]);
#ifdef FORJA_CUDA_EDGES
  if (program->device->conditions) {
    program->whole = true;
    Recording made;
    const cudaError_t code = record_guarded(program, made);
    return code == cudaSuccess ? cudaGraphInstantiate(&program->graphs[0], made.graph, 0) : code;
  }
#endif
  const cudaError_t code = record(program, 0, header.commit_index, &program->graphs[0]);
  return first_of(code, record(program, header.commit_index, header.instr_count, &program->graphs[1]));
}

#ifdef FORJA_CUDA_EDGES
// What the driver refused of the program's graphs, for explain(): they run all the same, only slower.
const char* missing_of(const fj_program& program) {
  const bool line = program.device->refused_branches, halves = !program.whole && program.device->refused_conditions;
  if (line && halves) return " (CUDA graphs without branches, without conditions)";
  if (line) return " (CUDA graph without branches)";
  return halves ? " (CUDA graphs without conditions)" : "";
}
#endif

// As record_all; where that fails no graph is left.
cudaError_t try_to_record(fj_program* program) {
  const cudaError_t code = record_all(program);
  if (code == cudaSuccess) return code;
  cudaGetLastError();  // it is no error of later calls
  for (cudaGraphExec_t& graph : program->graphs) {
    if (graph != nullptr) cudaGraphExecDestroy(graph);
    graph = nullptr;
  }
  return code;
}

}  // namespace

cudaError_t record_graph(const fj_device& device, cudaGraphExec_t* out,
                         const std::function<void(Launcher&)>& launches) {
  Recording made;
  if (const cudaError_t code = cudaStreamBeginCapture(device.stream, kMode)) return code;
  Launcher launcher = device.launcher();
  launches(launcher);
  cudaError_t code = first_of(launcher.error, end_recording(device.stream, &made.graph));
  if (code == cudaSuccess) code = cudaGraphInstantiate(out, made.graph, 0);
  return code;
}

void record_graphs(fj_program* program, fj_error* note) {
  cudaError_t code = try_to_record(program);
#ifdef FORJA_CUDA_EDGES
  // What a driver refuses is left out of this and of all later graphs; what fails every way says nothing of it.
  fj_device& device = *program->device;
  const bool branches = device.branches, conditions = device.conditions;
  const auto go_without = [&](bool with_branches, bool with_conditions) {
    if (code == cudaSuccess) return;
    device.branches = with_branches, device.conditions = with_conditions;
    code = try_to_record(program);
  };
  go_without(false, conditions);
  go_without(branches, false);
  go_without(false, false);
  if (code != cudaSuccess) device.branches = branches, device.conditions = conditions;
  device.refused_branches |= branches && !device.branches;
  device.refused_conditions |= conditions && !device.conditions;
  program->recorded = missing_of(*program);
#endif
  if (code == cudaSuccess) return;
  program->eager_only = true;
  program->recorded = " (eager: no CUDA graph)";
  set_error(note, FJ_OK, FJ_NO_INSTRUCTION,
            "CUDA runs a program kernel by kernel, since recording it as a graph failed: %s (%s)",
            cudaGetErrorString(code), cudaGetErrorName(code));
}

}  // namespace forja::cuda
