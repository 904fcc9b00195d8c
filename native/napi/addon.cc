// The addon's entry point: what lib/runtime/addon.ts sees.
#include <napi.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../core/backend_loader.h"
#include "../core/program.h"
#include "addon_data.h"
#include "device.h"
#include "errors.h"

namespace forja {
namespace {

// One message per finished task, on the environment's thread; env is null while the environment goes down.
void deliver(napi_env raw_env, napi_value, void*, void* payload) {
  auto* task = static_cast<std::shared_ptr<Task>*>(payload);
  if (raw_env != nullptr) {
    Napi::Env env(raw_env);
    Napi::HandleScope scope(env);
    AddonData& data = AddonData::of(env);
    data.here = 0;
    if (--data.in_flight == 0) napi_unref_threadsafe_function(raw_env, data.answer);
    static_cast<PromiseTask*>(task->get())->settle(env);
  }
  delete task;
}

void cleanup(void* payload) {
  auto* data = static_cast<AddonData*>(payload);
  // Held until all are stopped: a queued task that stop() drops may be the last to hold its device.
  std::vector<std::shared_ptr<DeviceState>> held;
  for (DeviceState* device : *data->devices) held.push_back(device->shared_from_this());
  for (const auto& device : held) device->stop();
  // No thread calls it any more. Answers still in its queue are dropped by deliver().
  napi_release_threadsafe_function(data->answer, napi_tsfn_abort);
}

// (backend) => { devices, reason }: what it can run on; the reason is empty unless that is nothing.
Napi::Value devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  fj_error error{};
  const fj_backend* backend = find_backend(info[0].ToString().Utf8Value().c_str(), &error);
  const uint32_t count = backend != nullptr ? backend->device_count(&error) : 0;
  Napi::Array list = Napi::Array::New(env);
  for (uint32_t i = 0; i < count; i++) {
    fj_device_info description{};
    if (backend->device_describe(i, &description, &error) != FJ_OK) continue;
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("index", i);
    entry.Set("name", description.name);
    entry.Set("isa", description.isa);
    entry.Set("threads", description.threads);
    entry.Set("memoryBytes", static_cast<double>(description.memory_bytes));
    list.Set(list.Length(), entry);
  }
  Napi::Object answer = Napi::Object::New(env);
  answer.Set("devices", list);
  answer.Set("reason", list.Length() > 0 ? "" : error.message);
  return answer;
}

// (backend, opcode, variant) => boolean
Napi::Value supports(const Napi::CallbackInfo& info) {
  fj_error error{};
  const fj_backend* backend = find_backend(info[0].ToString().Utf8Value().c_str(), &error);
  const auto opcode = static_cast<uint16_t>(info[1].ToNumber().Uint32Value());
  const auto variant = static_cast<uint16_t>(info[2].ToNumber().Uint32Value());
  return Napi::Boolean::New(info.Env(), backend != nullptr && backend->supports(opcode, variant) != 0);
}

// (backend) => string: describe_libraries of backend.h; '' for a backend without any.
Napi::Value libraries(const Napi::CallbackInfo& info) {
  fj_error error{};
  const fj_backend* backend = find_backend(info[0].ToString().Utf8Value().c_str(), &error);
  std::string text;
  if (backend != nullptr && backend->describe_libraries != nullptr) {
    text.resize(backend->describe_libraries(nullptr, 0));
    // Room for the '\0', which a string has behind its end.
    if (!text.empty()) backend->describe_libraries(text.data(), text.size() + 1);
  }
  return Napi::String::New(info.Env(), text);
}

// (bytes) => void; throws what decoding says
Napi::Value check_program(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!is_bytes(info[0])) {
    throw_error(env, "ERR_ARGUMENT", "checkProgram: a Uint8Array was expected");
    return env.Undefined();
  }
  const auto array = info[0].As<Napi::Uint8Array>();
  std::vector<uint64_t> aligned((array.ByteLength() + 7) / 8);
  if (array.ByteLength() > 0) memcpy(aligned.data(), array.Data(), array.ByteLength());
  fj_program_view view{};
  fj_error error{};
  if (!decode_program(reinterpret_cast<const uint8_t*>(aligned.data()), array.ByteLength(), &view, &error)) {
    napi_throw(env, make_error(env, error));
  }
  return env.Undefined();
}

// () => bytes that buffers and programs hold outside the JavaScript heap, as V8 was told (with what others told it)
Napi::Value external_memory(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           static_cast<double>(Napi::MemoryManagement::AdjustExternalMemory(info.Env(), 0)));
}

Napi::Value set_error_factory(const Napi::CallbackInfo& info) {
  AddonData::of(info.Env()).make_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value set_notice_handler(const Napi::CallbackInfo& info) {
  AddonData::of(info.Env()).notice = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData();
  env.SetInstanceData(data);
  data->array_buffer = Napi::Persistent(env.Global().Get("ArrayBuffer").As<Napi::Function>());
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "forja"), 0, 1, nullptr, nullptr,
                                  nullptr, deliver, &data->answer);
  napi_unref_threadsafe_function(env, data->answer);
  napi_add_env_cleanup_hook(env, cleanup, data);

  const auto add_class = [&](const char* name, Napi::FunctionReference& slot, Napi::Function constructor) {
    slot = Napi::Persistent(constructor);
    exports.Set(name, constructor);
  };
  add_class("Device", data->device_class, Device::define(env));
  add_class("Buffer", data->buffer_class, Buffer::define(env));
  add_class("Program", data->program_class, Program::define(env));
  add_class("CancelToken", data->token_class, CancelToken::define(env));
  exports.Set("devices", Napi::Function::New(env, devices, "devices"));
  exports.Set("supports", Napi::Function::New(env, supports, "supports"));
  exports.Set("libraries", Napi::Function::New(env, libraries, "libraries"));
  exports.Set("checkProgram", Napi::Function::New(env, check_program, "checkProgram"));
  exports.Set("externalMemory", Napi::Function::New(env, external_memory, "externalMemory"));
  exports.Set("setErrorFactory", Napi::Function::New(env, set_error_factory, "setErrorFactory"));
  exports.Set("setNoticeHandler", Napi::Function::New(env, set_notice_handler, "setNoticeHandler"));
  exports.Set("abiVersion", Napi::Number::New(env, FJ_ABI_VERSION));
  return exports;
}

}  // namespace

Napi::ArrayBuffer allocate_result(Napi::Env env, uint64_t bytes) {
  // The constructor takes a microsecond more; a process that has no memory for less than this is at its end.
  if (bytes < (1 << 20)) return Napi::ArrayBuffer::New(env, static_cast<size_t>(bytes));
  const auto made = AddonData::of(env).array_buffer.New({Napi::Number::New(env, static_cast<double>(bytes))});
  if (!made.IsEmpty()) return made.As<Napi::ArrayBuffer>();
  env.GetAndClearPendingException();
  const std::string message = "no memory for a result of " + std::to_string(bytes) + " bytes";
  throw_error(env, "ERR_OUT_OF_MEMORY", message.c_str());
  return {};
}

Napi::Value submit(Napi::Env env, DeviceState& device, const std::shared_ptr<PromiseTask>& task) {
  Napi::Promise promise = task->promise();
  AddonData& data = AddonData::of(env);
  if (!device.executor.submit(task)) {
    auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(make_error(env, "ERR_DISPOSED", "the device was closed"));
    return deferred.Promise();
  }
  if (data.in_flight++ == 0) napi_ref_threadsafe_function(env, data.answer);
  return promise;
}

void answer_from_executor(void* context, std::shared_ptr<Task> task) {
  auto* payload = new std::shared_ptr<Task>(std::move(task));
  const auto answer = static_cast<napi_threadsafe_function>(context);
  // Refused only while the environment goes down: the task's references must not be touched here, so it is left.
  napi_call_threadsafe_function(answer, payload, napi_tsfn_nonblocking);
}

}  // namespace forja

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return forja::init(env, exports); }
NODE_API_MODULE(forja, init_addon)
