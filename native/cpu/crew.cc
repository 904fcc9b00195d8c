// The threads of crew.h.
#include "crew.h"

#include <omp.h>

namespace forja {

void Crew::start(int threads) {
  if (threads == wanted_) return;
  stop();
  wanted_ = threads;
  if (threads == 1) return;
  const uint32_t before = ready_.value, jobs = jobs_.value;
  int patience = kPatience;
  host_ = std::thread([this, threads, jobs] { host(threads - 1, jobs); });
  ready_.wait_while(before, patience);
}

void Crew::stop() {
  if (host_.joinable()) {
    job_ = nullptr;
    jobs_.advance();
    host_.join();
  }
  members_.reset();
  wanted_ = count_ = 1;
}

void Crew::host(int helpers, uint32_t jobs) {
#pragma omp parallel num_threads(helpers)
  {
#pragma omp single
    {
      count_ = omp_get_num_threads() + 1;
      members_ = std::make_unique<Member[]>(static_cast<size_t>(count_));
      for (int id = 0; id < count_; id++) members_[static_cast<size_t>(id)].team = Team{id, count_, &state_};
      ready_.advance();
    }
    serve(members_[static_cast<size_t>(omp_get_thread_num() + 1)].team, jobs);
  }
}

// `jobs`: how many there were before this thread's first.
void Crew::serve(Team& team, uint32_t jobs) {
  int patience = kPatience;
  for (;; jobs++) {
    jobs_.wait_while(jobs, patience);
    if (job_ == nullptr) return;
    job_(context_, team);
    team.barrier();
  }
}

void Crew::run(bool alone, Job job, void* context) {
  if (alone || !members_) {
    Team team{0, 1, &state_};
    job(context, team);
    return;
  }
  job_ = job;
  context_ = context;
  jobs_.advance();
  job(context, members_[0].team);
  members_[0].team.barrier();
}

}  // namespace forja
