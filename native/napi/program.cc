// Program and CancelToken of device.h.
#include "../core/program.h"

#include <string>

#include "addon_data.h"
#include "device.h"
#include "errors.h"
#include "tasks.h"

namespace forja {

bool CreateProgramTask::run() {
  create();
  return false;
}

void CreateProgramTask::create() {
  const auto* bytes = reinterpret_cast<const uint8_t*>(program_->storage.data());
  if (!decode_program(bytes, bytes_, &program_->view, &error_)) return;
  const fj_program_header& header = *program_->view.header;
  if (header.buffer_count != program_->buffers.size()) {
    set_error(&error_, FJ_ERR_INVALID_PROGRAM, FJ_NO_INSTRUCTION, "the program binds %u buffers, %zu were given",
              header.buffer_count, program_->buffers.size());
    return;
  }
  std::vector<fj_buffer*> buffers;
  for (uint32_t i = 0; i < header.buffer_count; i++) {
    if (program_->buffers[i]->bytes < program_->view.buffer_bytes[i] || program_->buffers[i]->device != device_) {
      set_error(&error_, FJ_ERR_INVALID_PROGRAM, FJ_NO_INSTRUCTION, "buffer %u is too small or of another device", i);
      return;
    }
    buffers.push_back(program_->buffers[i]->buffer);
  }
  backend()->program_create(device_->device, &program_->view, buffers.data(), &program_->program, &error_);
}

Napi::Value CreateProgramTask::result(Napi::Env env) {
  Napi::Object object = AddonData::of(env).program_class.New({});
  if (object.IsEmpty()) return object;  // the environment is being terminated
  Program::Unwrap(object)->adopt(env, program_);
  return object;
}

void RunTask::add_input(HostBytes bytes) {
  input_pointers_.push_back(bytes.data.get());
  inputs_.push_back(std::move(bytes));
}

void RunTask::add_output(Napi::ArrayBuffer target) {
  output_pointers_.push_back(target.Data());
  outputs_.push_back(Napi::Persistent(target));
}

bool RunTask::run() {
  if (cancelled()) {
    set_error(&error_, FJ_ERR_ABORTED, FJ_NO_INSTRUCTION, "the run was cancelled before it began");
    return false;
  }
  const fj_status status = backend()->program_run(program_->program, input_pointers_.data(), output_pointers_.data(),
                                                  cancel_flag(), &error_);
  goes_on_ = status == FJ_OK && backend()->program_finish != nullptr;
  if (goes_on_) program_->under_way++;
  return goes_on_;
}

void RunTask::finish() {
  if (!goes_on_) return;
  program_->under_way--;
  backend()->program_finish(program_->program, &error_);
}

bool RunTask::may_follow() const {
  return backend()->program_finish != nullptr && program_->under_way < backend()->program_depth(program_->program);
}

Napi::Value RunTask::result(Napi::Env env) {
  Napi::Array list = Napi::Array::New(env, outputs_.size());
  for (size_t i = 0; i < outputs_.size(); i++) list.Set(static_cast<uint32_t>(i), outputs_[i].Value());
  return list;
}

bool ProfileTask::run() {
  backend()->program_profile(program_->program, enable_ ? 1 : 0, nanoseconds_.data(),
                             static_cast<uint32_t>(nanoseconds_.size()), &error_);
  return false;
}

Napi::Value ProfileTask::result(Napi::Env env) {
  Napi::Float64Array list = Napi::Float64Array::New(env, nanoseconds_.size());
  for (size_t i = 0; i < nanoseconds_.size(); i++) list[i] = static_cast<double>(nanoseconds_[i]);
  return list;
}

// --- Program -----------------------------------------------------------------------------------------

Napi::Function Program::define(Napi::Env env) {
  return DefineClass(env, "Program",
                     {
                         InstanceMethod<&Program::run>("run"),
                         InstanceMethod<&Program::describe>("describe"),
                         InstanceMethod<&Program::profile>("profile"),
                         InstanceMethod<&Program::dispose>("dispose"),
                     });
}

Program::Program(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Program>(info) {}

Program::~Program() { release(Env()); }

void Program::adopt(Napi::Env env, std::shared_ptr<ProgramState> created) {
  state = std::move(created);
  if (state->device->backend->host_memory) {
    Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(state->view.header->arena_bytes));
  }
}

void Program::release(Napi::Env env) {
  if (!state) return;
  if (state->device->backend->host_memory) {
    Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<int64_t>(state->view.header->arena_bytes));
  }
  state.reset();
}

Napi::Value Program::dispose(const Napi::CallbackInfo& info) {
  release(info.Env());
  return info.Env().Undefined();
}

static bool check_alive(Napi::Env env, const std::shared_ptr<ProgramState>& state) {
  if (!state) throw_error(env, "ERR_DISPOSED", "the program was disposed");
  return state != nullptr;
}

Napi::Value Program::run(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_alive(env, state)) return env.Undefined();
  const fj_program_view& view = state->view;
  const bool is_array = info[0].IsArray();
  if (!is_array || info[0].As<Napi::Array>().Length() != view.header->input_count) {
    throw_error(env, "ERR_ARGUMENT", "run: wrong number of inputs");
    return env.Undefined();
  }
  auto task = std::make_shared<RunTask>(env, state);
  const auto inputs = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < inputs.Length(); i++) {
    const Napi::Value item = inputs.Get(i);
    if (!item.IsTypedArray() || item.As<Napi::TypedArray>().ByteLength() != view.input_bytes[i]) {
      const std::string message = "run: input " + std::to_string(i) + " must be a typed array of " +
                                  std::to_string(view.input_bytes[i]) + " bytes";
      throw_error(env, "ERR_ARGUMENT", message.c_str());
      return env.Undefined();
    }
    HostBytes copy = HostBytes::copy_of(item.As<Napi::TypedArray>());
    if (!copy.data) {
      throw_error(env, "ERR_OUT_OF_MEMORY", "run: no memory for a copy of the inputs");
      return env.Undefined();
    }
    task->add_input(std::move(copy));
  }
  for (uint32_t i = 0; i < view.header->output_count; i++) {
    task->add_output(Napi::ArrayBuffer::New(env, static_cast<size_t>(view.values[view.outputs[i]].bytes)));
  }
  if (info[1].IsObject() && info[1].As<Napi::Object>().InstanceOf(AddonData::of(env).token_class.Value())) {
    CancelToken::Unwrap(info[1].As<Napi::Object>())->task = task;
  }
  return submit(env, *state->device, task);
}

Napi::Value Program::describe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_alive(env, state)) return env.Undefined();
  const fj_backend* backend = state->device->backend;
  std::string text(backend->program_describe(state->program, nullptr, 0) + 1, '\0');
  backend->program_describe(state->program, text.data(), text.size());
  text.pop_back();
  return Napi::String::New(env, text);
}

Napi::Value Program::profile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!check_alive(env, state)) return env.Undefined();
  return submit(env, *state->device, std::make_shared<ProfileTask>(env, state, info[0].ToBoolean().Value()));
}

// --- CancelToken -------------------------------------------------------------------------------------

Napi::Function CancelToken::define(Napi::Env env) {
  return DefineClass(env, "CancelToken", {InstanceMethod<&CancelToken::cancel>("cancel")});
}

CancelToken::CancelToken(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CancelToken>(info) {}

Napi::Value CancelToken::cancel(const Napi::CallbackInfo& info) {
  if (auto running = task.lock()) running->cancel();
  return info.Env().Undefined();
}

}  // namespace forja
