// Executor of executor.h.
#include "executor.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace forja {
namespace {

#if defined(__linux__)
// The event loop's thread is to be served at once even where this thread and the team it makes, which inherits its
// priority, keep every core busy: its timers then fire within milliseconds. Where no other process wants the cores it
// costs nothing. Linux's niceness and slice are a thread's own.
constexpr int kNicer = 3;
// Who wakes up takes the core at once from a thread that asked for a longer slice than its own (1.4 .. 3 ms), and may
// wait for the next tick of the clock otherwise, 4 ms. Nanoseconds; kernels before 6.12 keep their own.
constexpr uint64_t kSlice = 20'000'000;

// The first version of the kernel's struct sched_attr, which glibc has had since 2.41 only.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
#endif

// What the kernel refuses is left as it is.
void give_way() {
#if defined(__linux__)
  const auto thread = static_cast<id_t>(syscall(SYS_gettid));
  SchedAttr attr{};
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) != 0 || attr.policy != SCHED_OTHER) return;
  attr.nice = getpriority(PRIO_PROCESS, thread) + kNicer;
  attr.runtime = kSlice;
  syscall(SYS_sched_setattr, 0, &attr, 0);
#endif
}

}  // namespace

Executor::Executor(Done done, void* context) : done_(done), context_(context), thread_([this] { loop(); }) {}

Executor::~Executor() { stop(); }

bool Executor::submit(std::shared_ptr<Task> task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return false;
  queue_.push_back(std::move(task));
  wake_.notify_one();
  return true;
}

void Executor::stop() {
  // Destroyed after the lock is gone: a task may hold the last reference to what owns this executor.
  std::deque<std::shared_ptr<Task>> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    if (running_) running_->cancel();
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Executor::loop() {
  give_way();
  std::deque<std::shared_ptr<Task>> under_way;  // oldest first
  // A task may hold JavaScript references: once it ran only `done` (and so its environment) may drop it.
  const auto finish_oldest = [&] {
    std::shared_ptr<Task> task = std::move(under_way.front());
    under_way.pop_front();
    task->finish();
    done_(context_, std::move(task));
  };
  for (;;) {
    std::shared_ptr<Task> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (under_way.empty()) wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      const bool next = !stopping_ && !queue_.empty() && under_way.size() < kUnderWay;
      if (next && (under_way.empty() || queue_.front()->may_follow())) {
        task = std::move(queue_.front());
        queue_.pop_front();
        running_ = task;
      }
    }
    if (!task) {
      if (under_way.empty()) return;  // stopping
      finish_oldest();
      continue;
    }
    const bool goes_on = task->run();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_.reset();
    }
    // Behind tasks that are under way, one that has ended waits for its turn.
    under_way.push_back(std::move(task));
    if (!goes_on && under_way.size() == 1) finish_oldest();
  }
}

}  // namespace forja
