// What tests use to steer the emulator and to read what it found. Where it is a module of a Node process, they steer it
// by environment variables: SIMT_LAZY=1 as set_lazy_streams(true), SIMT_FAIL_LAUNCH=n plants a fault in the n-th
// launch, SIMT_FAIL_GRAPHS=1 in every instantiation of a graph, SIMT_FAIL_EDGES=1 in every choice of what a
// recording goes on from, SIMT_REFUSE_LAUNCH=n refuses the n-th launch, SIMT_WAIT_MS=n tells events that every wait
// for a stream took so much longer, SIMT_ARENA_MB is the memory of the device, SIMT_COMPUTE=75 its compute capability,
// SIMT_TRACE=1 prints how many graphs are queued when the host waits for an event and how long the ways through a new
// graph are, SIMT_SITES names a file that gets the places of all launches.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace forja::simt {
enum class Order { kAscending, kDescending, kShuffled };
struct Schedule {
  Order order = Order::kShuffled;
  uint64_t seed = 1;
};
void set_schedule(Schedule);
Schedule schedule();

// Runs every launch a second and third time (ascending, descending) from the same memory image and reports any
// allocation whose bytes differ: finds missing barriers with no help from the test.
void set_replay(bool on);
// Launches made while one of these lives may depend on the schedule (float atomics): replay does not compare them.
struct AllowScheduleDependence {
  AllowScheduleDependence();
  ~AllowScheduleDependence();
  AllowScheduleDependence(const AllowScheduleDependence&) = delete;
};
// Streams queue their work and run it, interleaved at random, only when something waits for it.
void set_lazy_streams(bool on);
// Device memory is PROT_NONE outside of kernels and copies, so a host access faults.
void set_protect(bool on);

std::vector<std::string> take_reports();  // what was found since the last call; clears the sticky error as well
void set_echo(bool on);                   // reports go to stderr as well (default)
bool access_checks_built_in();            // linked with the instrumented access hooks

struct Counters {
  uint64_t launches, blocks, threads, switches, barriers, warp_ops, accesses;
};
Counters counters();
double measure_switch_ns(int rounds);
const char* fiber_kind();

// Runs body under ascending, descending and n shuffled schedules; true when what it returns never changes.
bool same_under_all_schedules(const std::function<std::vector<unsigned char>()>& body, int shuffles = 3);
}  // namespace forja::simt
