// Device and Buffer of device.h, and the tasks behind their promises.
#include "device.h"

#include <cstring>

#include "../core/backend_loader.h"
#include "../core/program.h"
#include "addon_data.h"
#include "errors.h"
#include "tasks.h"

namespace forja {

DeviceState::DeviceState(const fj_backend* backend, fj_device* device, AddonData& data)
    : backend(backend), device(device), siblings(data.devices), executor(answer_from_executor, data.answer) {
  siblings->insert(this);
}

void DeviceState::stop() { executor.stop(); }

DeviceState::~DeviceState() {
  stop();
  siblings->erase(this);
  backend->device_close(device);
}

BufferState::~BufferState() {
  if (buffer != nullptr) device->backend->buffer_free(buffer);
}

ProgramState::~ProgramState() {
  if (program != nullptr) device->backend->program_free(program);
}

// --- Device ------------------------------------------------------------------------------------------

Napi::Function Device::define(Napi::Env env) {
  return DefineClass(env, "Device",
                     {
                         InstanceMethod<&Device::create_buffer>("createBuffer"),
                         InstanceMethod<&Device::create_program>("createProgram"),
                         InstanceMethod<&Device::set_threads>("setThreads"),
                         InstanceMethod<&Device::ceilings>("ceilings"),
                         InstanceMethod<&Device::dispose>("dispose"),
                     });
}

Device::Device(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Device>(info) {
  Napi::Env env = info.Env();
  fj_device* device = nullptr;
  fj_error error{};
  error.instruction = FJ_NO_INSTRUCTION;
  const fj_backend* backend = find_backend(info[0].ToString().Utf8Value().c_str(), &error);
  if (backend == nullptr || backend->device_open(info[1].ToNumber().Uint32Value(), &device, &error) != FJ_OK) {
    napi_throw(env, make_error(env, error));
    return;
  }
  state_ = std::make_shared<DeviceState>(backend, device, AddonData::of(env));
}

Device::~Device() = default;

Napi::Value Device::dispose(const Napi::CallbackInfo& info) {
  state_.reset();
  return info.Env().Undefined();
}

static bool check_open(Napi::Env env, const std::shared_ptr<DeviceState>& state) {
  if (!state) throw_error(env, "ERR_DISPOSED", "the device was closed");
  return state != nullptr;
}

Napi::Value Device::create_buffer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_open(env, state_)) return env.Undefined();
  const double bytes = info[0].ToNumber().DoubleValue();
  if (!(bytes >= 0 && bytes < 9e15)) {
    throw_error(env, "ERR_ARGUMENT", "createBuffer: the size must be a number of bytes");
    return env.Undefined();
  }
  auto created = std::make_shared<BufferState>();
  created->device = state_;
  created->bytes = static_cast<uint64_t>(bytes);
  fj_error error{};
  error.instruction = FJ_NO_INSTRUCTION;
  if (state_->backend->buffer_create(state_->device, created->bytes, &created->buffer, &error) != FJ_OK) {
    napi_throw(env, make_error(env, error));
    return env.Undefined();
  }
  Napi::Object object = AddonData::of(env).buffer_class.New({});
  if (object.IsEmpty()) return object;  // the environment is being terminated
  Buffer::Unwrap(object)->state = created;
  Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(created->bytes));
  return object;
}

Napi::Value Device::create_program(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_open(env, state_)) return env.Undefined();
  if (!is_bytes(info[0]) || !info[1].IsArray()) {
    throw_error(env, "ERR_ARGUMENT", "createProgram: (Uint8Array, buffers) were expected");
    return env.Undefined();
  }
  auto created = std::make_shared<ProgramState>();
  created->device = state_;
  const auto bytes = info[0].As<Napi::Uint8Array>();
  created->storage.resize((bytes.ByteLength() + 7) / 8);
  if (bytes.ByteLength() > 0) memcpy(created->storage.data(), bytes.Data(), bytes.ByteLength());
  const auto buffers = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < buffers.Length(); i++) {
    const Napi::Value item = buffers.Get(i);
    const bool is_buffer =
        item.IsObject() && item.As<Napi::Object>().InstanceOf(AddonData::of(env).buffer_class.Value());
    std::shared_ptr<BufferState> buffer = is_buffer ? Buffer::Unwrap(item.As<Napi::Object>())->state : nullptr;
    if (!buffer) {
      throw_error(env, "ERR_DISPOSED", "createProgram: a buffer was disposed or is none");
      return env.Undefined();
    }
    created->buffers.push_back(std::move(buffer));
  }
  return submit(env, *state_, std::make_shared<CreateProgramTask>(env, created, bytes.ByteLength()));
}

Napi::Value Device::set_threads(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_open(env, state_)) return env.Undefined();
  return submit(env, *state_, std::make_shared<SetThreadsTask>(env, state_, info[0].ToNumber().Uint32Value()));
}

Napi::Value Device::ceilings(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_open(env, state_)) return env.Undefined();
  return submit(env, *state_, std::make_shared<CeilingsTask>(env, state_, info[0].ToNumber().Uint32Value()));
}

// --- Buffer ------------------------------------------------------------------------------------------

Napi::Function Buffer::define(Napi::Env env) {
  return DefineClass(env, "Buffer",
                     {
                         InstanceMethod<&Buffer::write>("write"),
                         InstanceMethod<&Buffer::read>("read"),
                         InstanceMethod<&Buffer::dispose>("dispose"),
                     });
}

Buffer::Buffer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Buffer>(info) {}

Buffer::~Buffer() { release(Env()); }

void Buffer::release(Napi::Env env) {
  if (!state) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<int64_t>(state->bytes));
  state.reset();
}

Napi::Value Buffer::dispose(const Napi::CallbackInfo& info) {
  release(info.Env());
  return info.Env().Undefined();
}

// Whether [offset, offset + bytes) lies inside the buffer; throws otherwise.
static bool check_range(Napi::Env env, const std::shared_ptr<BufferState>& state, double offset, double bytes) {
  if (!state) {
    throw_error(env, "ERR_DISPOSED", "the buffer was disposed");
    return false;
  }
  if (!(offset >= 0 && bytes >= 0 && offset + bytes <= static_cast<double>(state->bytes))) {
    throw_error(env, "ERR_ARGUMENT", "the range lies outside the buffer");
    return false;
  }
  return true;
}

Napi::Value Buffer::write(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[1].IsTypedArray()) {
    throw_error(env, "ERR_ARGUMENT", "write: a typed array was expected");
    return env.Undefined();
  }
  const double offset = info[0].ToNumber().DoubleValue();
  const HostBytes data = HostBytes::copy_of(info[1].As<Napi::TypedArray>());
  if (!data.data) {
    throw_error(env, "ERR_OUT_OF_MEMORY", "write: no memory for a copy of the data");
    return env.Undefined();
  }
  if (!check_range(env, state, offset, static_cast<double>(data.size))) return env.Undefined();
  return submit(env, *state->device, std::make_shared<WriteTask>(env, state, static_cast<uint64_t>(offset), data));
}

Napi::Value Buffer::read(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const double offset = info[0].ToNumber().DoubleValue(), bytes = info[1].ToNumber().DoubleValue();
  if (!check_range(env, state, offset, bytes)) return env.Undefined();
  const auto target = allocate_result(env, static_cast<uint64_t>(bytes));
  if (target.IsEmpty()) return env.Undefined();
  return submit(env, *state->device, std::make_shared<ReadTask>(env, state, static_cast<uint64_t>(offset), target));
}

}  // namespace forja
