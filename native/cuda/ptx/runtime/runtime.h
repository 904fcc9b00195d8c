// The part of the CUDA runtime API that forja_cuda calls, on PTX that the CPU runs: linked in place of NVIDIA's. A
// stream does what it is given at once, or records it; so waiting has nothing to do. Declared by NVIDIA's headers,
// CUDA 13.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../ptx.h"

#if CUDART_VERSION < 13000
#error "The runtime that runs PTX has the functions of CUDA 13"
#endif

using Work = std::function<void()>;

struct CUgraph_st {
  std::vector<Work> nodes;                                                // in the order of recording
  std::vector<std::pair<cudaGraphConditionalHandle, unsigned>> defaults;  // of conditions, at every launch
};
struct CUgraphExec_st {
  CUgraph_st graph;
};
struct CUstream_st {
  CUgraph_st* recording = nullptr;
  std::vector<cudaGraphNode_t> last;  // what the next node comes after
};

namespace forja::ptx {

constexpr size_t kDeviceMemory = size_t{6} << 30;

struct Runtime {
  std::recursive_mutex mutex;                            // one kernel or copy at a time
  std::unordered_map<const void*, std::string> kernels;  // names, by the host's stubs
  std::unordered_map<cudaGraphConditionalHandle, unsigned> conditions;
  std::unordered_map<void*, size_t> allocations;
  size_t memory_in_use = 0;
  std::string fault;  // the first one: the device is lost
};
Runtime& runtime();

// The error as the calling thread's last one.
cudaError_t note(cudaError_t);
// Success, or that the device is lost.
cudaError_t status();
// Does it, or records it.
cudaError_t submit(cudaStream_t, const Work&);
// Nodes of a graph are numbers.
cudaGraphNode_t add_node(CUgraph_st&, Work);

}  // namespace forja::ptx
