// Recording a program as CUDA graphs. All of it is one graph where kernels cannot find anything wrong in their data.
// Where they can, nothing may be committed then: the commit is the body of a conditional node, which a kernel behind
// the pure part opens, so that the host need not look in between and the next run can be handed over at once. CUDA
// before 13 gets two graphs, and the host looks.
#include "backend.cuh"

namespace forja::cuda {
namespace {

#if defined(SIMT_EMULATION) || CUDART_VERSION >= 13000
#define FORJA_CUDA_CONDITIONAL 1
#endif

constexpr cudaStreamCaptureMode kMode = cudaStreamCaptureModeThreadLocal;

cudaError_t first_of(cudaError_t a, cudaError_t b) { return a != cudaSuccess ? a : b; }

// Takes the handles of graphs that were made on the way.
struct Recording {
  ~Recording() {
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
};

// Instructions [begin, end) as a graph; null for none.
cudaError_t record(fj_program* program, uint32_t begin, uint32_t end, cudaGraphExec_t* out) {
  if (begin == end) return cudaSuccess;
  const cudaStream_t stream = program->device->stream;
  Recording made;
  if (const cudaError_t code = cudaStreamBeginCapture(stream, kMode)) return code;
  Launcher launcher = program->device->launcher();
  launch_instructions(program, begin, end, launcher);
  cudaError_t code = first_of(launcher.error, cudaStreamEndCapture(stream, &made.graph));
  if (code == cudaSuccess) code = cudaGraphInstantiate(out, made.graph, 0);
  return code;
}

#ifdef FORJA_CUDA_CONDITIONAL
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
  launch_instructions(program, 0, header.commit_index, launcher);
  launch(launcher, open_commit_kernel, 1, dim3(1), reinterpret_cast<const Fault*>(program->fault.data()), commit);
  cudaStreamCaptureStatus status{};
  const cudaGraphNode_t* last = nullptr;
  size_t last_count = 0;
  code = cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, &last, nullptr, &last_count);
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = commit;
  params.conditional.type = cudaGraphCondTypeIf;
  params.conditional.size = 1;
  cudaGraphNode_t node = nullptr;
  if (code == cudaSuccess) code = cudaGraphAddNode(&node, made.graph, last, nullptr, last_count, &params);
  // The stream goes on from the node, which a recording must know of that ends there.
  if (code == cudaSuccess) {
    code = cudaStreamUpdateCaptureDependencies(stream, &node, nullptr, 1, cudaStreamSetCaptureDependencies);
  }
  cudaGraph_t same = nullptr;
  code = first_of(first_of(launcher.error, code), cudaStreamEndCapture(stream, &same));
  if (code != cudaSuccess) return code;
  code = cudaStreamBeginCaptureToGraph(stream, params.conditional.phGraph_out[0], nullptr, nullptr, 0, kMode);
  if (code != cudaSuccess) return code;
  launch_instructions(program, header.commit_index, header.instr_count, launcher);
  return first_of(launcher.error, cudaStreamEndCapture(stream, &same));
}
#endif

cudaError_t record_all(fj_program* program) {
  const fj_program_header& header = *program->view.header;
  if (!program->faults || header.commit_index == header.instr_count) {
    program->whole = true;
    return record(program, 0, header.instr_count, &program->graphs[0]);
  }
#ifdef FORJA_CUDA_CONDITIONAL
  program->whole = true;
  Recording made;
  const cudaError_t code = record_guarded(program, made);
  return code == cudaSuccess ? cudaGraphInstantiate(&program->graphs[0], made.graph, 0) : code;
#else
  const cudaError_t code = record(program, 0, header.commit_index, &program->graphs[0]);
  return first_of(code, record(program, header.commit_index, header.instr_count, &program->graphs[1]));
#endif
}

}  // namespace

void record_graphs(fj_program* program, fj_error* note) {
  const cudaError_t code = record_all(program);
  if (code == cudaSuccess) return;
  cudaGetLastError();  // it is no error of later calls
  program->eager_only = true;
  set_error(note, FJ_OK, FJ_NO_INSTRUCTION,
            "CUDA runs a program kernel by kernel, since recording it as a graph failed: %s (%s)",
            cudaGetErrorString(code), cudaGetErrorName(code));
}

}  // namespace forja::cuda
