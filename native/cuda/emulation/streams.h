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
  cudaGraph_t graph = nullptr;         // recorded during the capture of this graph
  std::vector<cudaGraphNode_t> nodes;  // then: those that a stream which waits for it goes on from
};
struct Operation {
  std::function<void()> run;
  cudaEvent_t wait = nullptr;
  uint64_t version = 0;
};
struct CUgraphNode_st {
  size_t at;  // of its graph's nodes
  std::function<void()> run;
  std::vector<cudaGraphNode_t> after;  // nodes of this graph that it waits for
  CUgraph_st* body = nullptr;          // of a conditional node
  unsigned long long handle = 0;
};
struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  bool borrowed = false;                        // captured into: its owner destroys it
  bool freed = false;                           // by a capture that was invalidated, although it was borrowed
  std::vector<std::function<void()>> defaults;  // of conditions, at every launch
  std::vector<std::unique_ptr<CUgraph_st>> bodies;
  std::vector<std::unique_ptr<cudaGraph_t>> body_handles;  // what the parameters of conditional nodes point to

  cudaGraphNode_t add(std::function<void()> run, std::vector<cudaGraphNode_t> after);
};
// What a launch runs, all of it copied from graphs that may be gone by then.
struct CUgraphExec_st {
  struct Node {
    std::function<void()> run;
    std::vector<size_t> after;
  };
  std::vector<Node> nodes;
  std::vector<std::function<void()>> defaults;
};
struct CUstream_st {
  bool blocking = true;
  std::deque<Operation> queue;
  cudaGraph_t capture = nullptr;
  std::vector<cudaGraphNode_t> last;  // of a capture: what the next node waits for
  bool origin = false, invalid = false;
  std::thread::id capturer;
};

namespace forja::simt {
struct Api {
  std::recursive_mutex lock;
  std::chrono::milliseconds waited{0};  // what events are told that the host needed to find out that a stream had ended
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
// A random number below `count`.
size_t pick(size_t count);
// Runs queued work, a random stream at a time, until done() holds.
void drain(const std::function<bool()>& done);
void drain_all();
void drain_blocking();
cudaError_t submit(cudaStream_t, std::function<void()>);
// Captures are those of their thread (cudaStreamCaptureModeThreadLocal): what other threads do does not disturb them.
bool any_capture();
cudaError_t unsupported_in_capture();
}  // namespace forja::simt
