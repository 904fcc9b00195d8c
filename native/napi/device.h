// Device, Buffer and Program as JavaScript classes. The states are shared: a task in flight keeps what it uses alive
// after the JavaScript object was disposed or collected.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../abi/backend.h"
#include "../core/executor.h"
#include "addon_data.h"

namespace forja {

struct DeviceState : std::enable_shared_from_this<DeviceState> {
  DeviceState(const fj_backend* backend, fj_device* device, AddonData& data);
  ~DeviceState();
  void stop();  // executor first, then the device

  const fj_backend* backend;
  fj_device* device;
  std::shared_ptr<DeviceSet> siblings;
  Executor executor;
};

struct BufferState {
  std::shared_ptr<DeviceState> device;
  fj_buffer* buffer = nullptr;
  uint64_t bytes = 0;
  ~BufferState();
};

// What a run reads and writes. The inputs are a copy, since JavaScript may change or detach its own meanwhile.
struct Arguments {
  std::unique_ptr<uint8_t, decltype(&free)> memory{nullptr, free};
  std::vector<const void*> inputs;  // into `memory`, aligned
  std::vector<void*> outputs;
};

struct ProgramState {
  std::shared_ptr<DeviceState> device;
  std::vector<uint64_t> storage;  // the program's bytes, 8-byte aligned
  fj_program_view view{};
  std::vector<std::shared_ptr<BufferState>> buffers;
  fj_program* program = nullptr;
  uint32_t under_way = 0;  // runs that the device goes on with; the executor's thread counts
  uint64_t bytes = 0;      // that it holds
  // Of the last run, nanoseconds; 0 before the first. The executor writes while this environment's thread reads.
  std::atomic<uint64_t> duration{0};
  ~ProgramState();

  // Fills `duration`.
  fj_status run(const Arguments& arguments, const int32_t* cancel, fj_error* error);
  // On the environment's thread. Null where there is no memory.
  std::unique_ptr<Arguments> take_arguments();
  void put_back(std::unique_ptr<Arguments> arguments);

 private:
  std::vector<std::unique_ptr<Arguments>> spare_;  // for later runs
};

inline bool is_bytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

class Device : public Napi::ObjectWrap<Device> {
 public:
  static Napi::Function define(Napi::Env env);
  // new Device(backend, index)
  explicit Device(const Napi::CallbackInfo& info);
  ~Device() override;

 private:
  Napi::Value create_buffer(const Napi::CallbackInfo& info);   // (bytes) => Buffer
  Napi::Value create_program(const Napi::CallbackInfo& info);  // (bytes, buffers) => Promise<Program>
  Napi::Value set_threads(const Napi::CallbackInfo& info);     // (threads) => Promise<void>
  Napi::Value ceilings(const Napi::CallbackInfo& info);        // (threads) => Promise<{ fmaGflops, copyGbytes }>
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<DeviceState> state_;
};

class Buffer : public Napi::ObjectWrap<Buffer> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Buffer(const Napi::CallbackInfo& info);
  ~Buffer() override;
  std::shared_ptr<BufferState> state;

 private:
  Napi::Value write(const Napi::CallbackInfo& info);  // (offset, typed array) => Promise<void>
  Napi::Value read(const Napi::CallbackInfo& info);   // (offset, bytes) => Promise<ArrayBuffer>
  Napi::Value dispose(const Napi::CallbackInfo& info);
  void release(Napi::Env env);
};

class Program : public Napi::ObjectWrap<Program> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Program(const Napi::CallbackInfo& info);
  ~Program() override;
  std::shared_ptr<ProgramState> state;
  void adopt(Napi::Env env, std::shared_ptr<ProgramState> created);

 private:
  // (typed arrays, token?, without outputs?) => ArrayBuffer[], or a promise of it where the run takes longer
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value describe(const Napi::CallbackInfo& info);  // () => string
  Napi::Value profile(const Napi::CallbackInfo& info);   // (enable) => Promise<Float64Array> of the last run, ns
  Napi::Value dispose(const Napi::CallbackInfo& info);
  void release(Napi::Env env);
  bool copy_inputs(Napi::Env env, const Napi::Array& from, const Arguments& to);
  Napi::Value run_here(Napi::Env env, std::unique_ptr<Arguments> arguments, uint32_t answers);
};

// new CancelToken(); token.cancel() asks the run that was given it to stop.
class CancelToken : public Napi::ObjectWrap<CancelToken> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit CancelToken(const Napi::CallbackInfo& info);
  std::weak_ptr<Task> task;

 private:
  Napi::Value cancel(const Napi::CallbackInfo& info);
};

}  // namespace forja
