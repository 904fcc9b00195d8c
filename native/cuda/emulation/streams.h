// What the parts of the runtime API share: device.cc, streams.cc, copies.cc, graphs.cc. A stream is a queue of
// closures, run at once (default) or only when something waits for them (lazy), interleaved at random between streams.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "internal.h"

struct CUevent_st {
  uint64_t recorded = 0, completed = 0;  // how often
  std::chrono::steady_clock::time_point time;
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

namespace forja::simt {
struct Api {
  std::recursive_mutex lock;
  cudaError_t last = cudaSuccess;
  bool sticky = false, lazy = false;
  uint64_t random = 88172645463325252u;
  std::vector<cudaStream_t> streams;
  CUstream_st null_stream;
  std::unordered_map<const void*, int> max_shared;
  std::unordered_set<const void*> loaded;  // kernels: at first use, but not while a stream records
  std::deque<unsigned> conditions;         // the value of each conditional handle
  int queued_graphs = 0;
};
Api& api();
#define SIMT_LOCK std::lock_guard guard_(api().lock)

// Keeps the error as the last one; returns it.
cudaError_t fail(cudaError_t);
// The error that every call answers with, if there is one.
cudaError_t result();
cudaStream_t of(cudaStream_t);  // the null stream's, where there is none
// Runs queued work, a random stream at a time, until done() holds.
void drain(const std::function<bool()>& done);
void drain_all();
void drain_blocking();
cudaError_t submit(cudaStream_t, std::function<void()>);
// Captures are those of their thread (cudaStreamCaptureModeThreadLocal): what other threads do does not disturb them.
bool any_capture();
cudaError_t unsupported_in_capture();
}  // namespace forja::simt
