// What one environment (the main thread or a worker) owns: constructors, the error factory, the function through which
// executors answer. No static in native/ holds a JavaScript value.
//
// End of an environment, in this order: the cleanup hook stops every executor (cancel, join), so that no thread calls
// back; then finalizers release handles; then this object goes.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_set>

#include "../core/executor.h"

namespace forja {

struct DeviceState;
using DeviceSet = std::unordered_set<DeviceState*>;

struct AddonData {
  Napi::FunctionReference device_class;
  Napi::FunctionReference buffer_class;
  Napi::FunctionReference program_class;
  Napi::FunctionReference token_class;
  // (code, message, instruction) => Error, given by lib/runtime/addon.ts.
  Napi::FunctionReference make_error;
  // The environment's ArrayBuffer, which throws where there is no memory.
  Napi::FunctionReference array_buffer;
  // (message) => void, given by lib/runtime/addon.ts: what a call that succeeded has to say.
  Napi::FunctionReference notice;

  napi_threadsafe_function answer = nullptr;
  // Tasks whose promise is pending; the event loop is kept alive while there are any.
  int in_flight = 0;
  // Nanoseconds that runs took on this thread since an executor's answer, which the event loop turned for.
  uint64_t here = 0;
  // Shared with the devices, which may be finalized after this object.
  std::shared_ptr<DeviceSet> devices = std::make_shared<DeviceSet>();

  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }
};

// A task whose end settles a promise.
class PromiseTask : public Task {
 public:
  explicit PromiseTask(Napi::Env env) : deferred_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  // On the environment's thread, after run().
  virtual void settle(Napi::Env env) = 0;

 protected:
  Napi::Promise::Deferred deferred_;
};

// Memory for a result; empty where there is none, with ERR_OUT_OF_MEMORY thrown. napi_create_arraybuffer would end the
// process, whatever is asked for.
Napi::ArrayBuffer allocate_result(Napi::Env env, uint64_t bytes);

// Queues the task; its promise, or one rejected with ERR_DISPOSED where the device is closed.
Napi::Value submit(Napi::Env env, DeviceState& device, const std::shared_ptr<PromiseTask>& task);

// Executor::Done: hands a finished PromiseTask to its environment's thread. `context` is the threadsafe function.
void answer_from_executor(void* context, std::shared_ptr<Task> task);

}  // namespace forja
