// One thread per device and environment that issues the device's work, first come, first served, and makes the threads
// that help it. While it has nothing to do, the environment's thread may run a short program instead
// (native/napi/program.cc). Where the device works by itself, up to kUnderWay tasks are handed to it before the thread
// waits for the first of them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

namespace forja {

class Task {
 public:
  virtual ~Task() = default;
  // On the executor's thread. True where the device goes on with the work: finish() then waits for its end.
  virtual bool run() = 0;
  // On the executor's thread, in the order in which tasks ran.
  virtual void finish() {}
  // Whether it may run now, while the device is at work on earlier tasks.
  virtual bool may_follow() const { return false; }
  // From any thread: asks a queued or running task to end soon.
  void cancel() { cancelled_.store(1, std::memory_order_relaxed); }
  const int32_t* cancel_flag() const { return reinterpret_cast<const int32_t*>(&cancelled_); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed) != 0; }

 private:
  std::atomic<int32_t> cancelled_{0};
};
static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t), "backends poll the flag as a plain int32_t");

class Executor {
 public:
  static constexpr size_t kUnderWay = 4;

  // `done` is called on the executor's thread with each task that ran, in their order.
  using Done = void (*)(void* context, std::shared_ptr<Task> task);

  Executor(Done done, void* context);
  // Cancels everything, joins. Queued tasks are dropped without being run.
  ~Executor();

  // False once stopped.
  bool submit(std::shared_ptr<Task> task);
  void stop();

 private:
  void loop();

  Done done_;
  void* context_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Task>> queue_;
  std::shared_ptr<Task> running_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything above is ready
};

}  // namespace forja
