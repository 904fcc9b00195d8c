// What libraries that are made for the emulation call, those of test/cuda/fakes: they find these functions in the
// module that is loaded, queue their work on its streams and tell which memory it touches.
#include <memory>
#include <vector>

#include "internal.h"

using namespace forja::simt;

namespace {

// Whether the bytes lie in one allocation, and say so if not.
bool is_inside(const void* data, size_t bytes, const char* what) {
  char* start = nullptr;
  const Allocation* found = find_allocation(data, &start);
  const bool inside = found != nullptr && static_cast<const char*>(data) + bytes <= start + found->bytes;
  if (!inside) report(format("%s: a library reaches %zu bytes that lie in no allocation", what, bytes));
  return inside;
}

struct Work {
  void (*run)(const void*);
  std::vector<char> argument;
};

void run_work(void* data) {
  const auto* work = static_cast<const Work*>(data);
  open_memory();
  work->run(work->argument.data());
  close_memory();
}

}  // namespace

#define SIMT_EXPORT extern "C" __attribute__((visibility("default")))

// run(argument) when it is the stream's turn, at every replay where the stream records. `argument` is copied.
SIMT_EXPORT void simt_submit(void* stream, void (*run)(const void*), const void* argument, size_t bytes) {
  const auto* begin = static_cast<const char*>(argument);
  // Graphs may hold it for as long as they live, which nobody tells.
  auto* work = new Work{run, {begin, begin + bytes}};
  cudaLaunchHostFunc(static_cast<cudaStream_t>(stream), run_work, work);
}

// Before a library reads, and after it wrote.
SIMT_EXPORT void simt_read(const void* data, size_t bytes, const char* what) {
  if (!is_inside(data, bytes, what)) return;
  if (const size_t bad = checks_unwritten(data, bytes)) {
    report(format("%s: a library reads %zu of %zu bytes that were never written", what, bad, bytes));
  }
}
SIMT_EXPORT void simt_wrote(void* data, size_t bytes, const char* what) {
  if (is_inside(data, bytes, what)) checks_host_write(data, bytes);
}
