// The threads of a CPU device. OpenMP starts them once (so that its settings, such as OMP_PROC_BIND, hold); then they
// wait for programs. A region per program would cost some microseconds, more than a small program takes, and would
// belong to the thread that opens it: here whoever calls run() is the first thread of the team.
#pragma once

#include <memory>
#include <thread>

#include "team.h"

namespace forja {

class Crew {
 public:
  using Job = void (*)(void* context, Team& team);

  ~Crew() { stop(); }
  // Threads in all, the caller of run() among them; OpenMP may grant fewer. They take over the priority of the thread
  // that calls this. Free where there are as many already.
  void start(int threads);
  // Runs `job` on every thread, or on the caller's alone; returns when all are done. From one thread at a time.
  void run(bool alone, Job job, void* context);

 private:
  struct alignas(64) Member {
    Team team;
  };

  void stop();
  void host(int helpers, uint32_t jobs);  // opens the region of the helpers and is the first of them
  void serve(Team& team, uint32_t jobs);

  int wanted_ = 1;
  int count_ = 1;
  std::unique_ptr<Member[]> members_;  // count_ of them, or none where the caller works alone
  std::thread host_;
  Signal ready_;
  Signal jobs_;  // how many there were
  Job job_ = nullptr;
  void* context_ = nullptr;
  TeamState state_;
};

}  // namespace forja
