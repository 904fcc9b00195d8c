// What the emulator found, as text, and the switches that tests set.
#include <cstdlib>

#include "internal.h"

namespace forja::simt {

std::string format(const char* f, ...) {
  char b[2048];
  va_list v;
  va_start(v, f);
  std::vsnprintf(b, sizeof b, f, v);
  va_end(v);
  return b;
}
long planted(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::atol(value) : 0;
}
std::string where_text(Where w) {
  const char* f = w.file_name();
  if (const char* s = std::strrchr(f, '/')) f = s + 1;
  return format("%s:%u", f, unsigned(w.line()));
}
std::string thread_text() {
  if (!sched.current) return "host";
  return format("thread (%u,%u,%u) of block (%u,%u,%u)", threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y,
                blockIdx.z);
}
void report(const std::string& text) {
  std::string full = text;
  if (sched.info) {
    const char* f = sched.info->file ? sched.info->file : "?";
    if (const char* s = std::strrchr(f, '/')) f = s + 1;
    full += format(" [kernel launched at %s:%d]", f, sched.info->line);
  }
  if (machine().echo) std::fprintf(stderr, "simt: %s\n", full.c_str());
  machine().reports.push_back(full);
  set_error(cudaErrorLaunchFailure);
}
void abort_block(const std::string& text) {
  report(text);
  sched.aborted = true;
  go_to_scheduler(*sched.current, false);
  std::abort();
}
void device_trap(const char* what, Where w) {
  abort_block(format("%s at %s in %s", what, where_text(w).c_str(), thread_text().c_str()));
}
std::vector<std::string> take_reports() {
  auto r = std::move(machine().reports);
  machine().reports.clear();
  cudaGetLastError();
  return r;
}
void set_echo(bool on) { machine().echo = on; }
void set_schedule(Schedule s) { machine().schedule = s; }
Schedule schedule() { return machine().schedule; }
void set_replay(bool on) { machine().replay = on; }
AllowScheduleDependence::AllowScheduleDependence() { ++machine().allowed; }
AllowScheduleDependence::~AllowScheduleDependence() { --machine().allowed; }
Counters counters() { return count; }
const char* fiber_kind() { return kFiberKind; }

}  // namespace forja::simt
