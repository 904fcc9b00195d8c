// Executor of executor.h.
#include "executor.h"

namespace forja {

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
  for (;;) {
    std::shared_ptr<Task> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      task = std::move(queue_.front());
      queue_.pop_front();
      running_ = task;
    }
    task->run();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_.reset();
    }
    // A task may hold JavaScript references: from here on only `done` (and so its environment) may drop it.
    done_(context_, std::move(task));
  }
}

}  // namespace forja
