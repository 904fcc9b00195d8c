// Program and CancelToken of device.h.
#include "../core/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
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
  if (error_.status == FJ_OK) program_->bytes = backend()->program_bytes(program_->program);
}

Napi::Value CreateProgramTask::result(Napi::Env env) {
  Napi::Object object = AddonData::of(env).program_class.New({});
  if (object.IsEmpty()) return object;  // the environment is being terminated
  Program::Unwrap(object)->adopt(env, program_);
  return object;
}

// --- runs --------------------------------------------------------------------------------------------

namespace {
// Arguments are kept for later runs up to this size, bytes, and number.
constexpr size_t kSpareBytes = 1 << 20, kSpares = 8;
// A program whose last run was shorter than this runs on the thread that calls it, which takes less of the event loop's
// time than two ways between threads may, nanoseconds.
constexpr uint64_t kShort = 250'000;
// After so much of it the next run goes to the executor, so that the event loop turns. Nanoseconds.
constexpr uint64_t kTurn = 1'000'000;

size_t aligned(size_t bytes) { return (bytes + FJ_ALIGNMENT - 1) / FJ_ALIGNMENT * FJ_ALIGNMENT; }

size_t input_memory(const fj_program_view& view) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < view.header->input_count; i++) bytes += aligned(view.input_bytes[i]);
  return bytes;
}

uint64_t now() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}
}  // namespace

std::unique_ptr<Arguments> ProgramState::take_arguments() {
  if (!spare_.empty()) {
    std::unique_ptr<Arguments> arguments = std::move(spare_.back());
    spare_.pop_back();
    std::fill(arguments->outputs.begin(), arguments->outputs.end(), nullptr);
    return arguments;
  }
  auto arguments = std::make_unique<Arguments>();
  if (const size_t bytes = input_memory(view)) {
    void* memory = nullptr;
    if (posix_memalign(&memory, FJ_ALIGNMENT, bytes) != 0) return nullptr;
    arguments->memory.reset(static_cast<uint8_t*>(memory));
  }
  size_t offset = 0;
  for (uint32_t i = 0; i < view.header->input_count; i++) {
    arguments->inputs.push_back(arguments->memory.get() + offset);
    offset += aligned(view.input_bytes[i]);
  }
  arguments->outputs.resize(view.header->output_count);
  return arguments;
}

void ProgramState::put_back(std::unique_ptr<Arguments> arguments) {
  if (input_memory(view) <= kSpareBytes && spare_.size() < kSpares) spare_.push_back(std::move(arguments));
}

fj_status ProgramState::run(const Arguments& arguments, const int32_t* cancel, fj_error* error) {
  const uint64_t begin = now();
  const fj_status status =
      device->backend->program_run(program, arguments.inputs.data(), arguments.outputs.data(), cancel, error);
  duration = now() - begin;
  return status;
}

void RunTask::add_output(Napi::ArrayBuffer target) {
  arguments_->outputs[outputs_.size()] = target.Data();
  outputs_.push_back(Napi::Persistent(target));
}

bool RunTask::run() {
  if (cancelled()) {
    set_error(&error_, FJ_ERR_ABORTED, FJ_NO_INSTRUCTION, "the run was cancelled before it began");
    return false;
  }
  const fj_status status = program_->run(*arguments_, cancel_flag(), &error_);
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
  Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(state->bytes));
}

void Program::release(Napi::Env env) {
  if (!state) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<int64_t>(state->bytes));
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

bool Program::copy_inputs(Napi::Env env, const Napi::Array& from, const Arguments& to) {
  for (uint32_t i = 0; i < state->view.header->input_count; i++) {
    const Napi::Value item = from.Get(i);
    const size_t bytes = state->view.input_bytes[i];
    if (!item.IsTypedArray() || item.As<Napi::TypedArray>().ByteLength() != bytes) {
      const std::string message =
          "run: input " + std::to_string(i) + " must be a typed array of " + std::to_string(bytes) + " bytes";
      throw_error(env, "ERR_ARGUMENT", message.c_str());
      return false;
    }
    if (bytes > 0) memcpy(const_cast<void*>(to.inputs[i]), elements_of(item.As<Napi::TypedArray>()), bytes);
  }
  return true;
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
  std::unique_ptr<Arguments> arguments = state->take_arguments();
  if (!arguments) {
    throw_error(env, "ERR_OUT_OF_MEMORY", "run: no memory for a copy of the inputs");
    return env.Undefined();
  }
  if (!copy_inputs(env, info[0].As<Napi::Array>(), *arguments)) return env.Undefined();
  const uint32_t answers = info[2].ToBoolean().Value() ? 0 : view.header->output_count;
  const AddonData& data = AddonData::of(env);
  // With nothing in flight the executor is idle, and no earlier answer is overtaken.
  const uint64_t duration = state->duration;
  const bool is_short = duration > 0 && duration < kShort;
  if (is_short && data.in_flight == 0 && data.here < kTurn && state->device->backend->host_memory) {
    return run_here(env, std::move(arguments), answers);
  }
  auto task = std::make_shared<RunTask>(env, state, std::move(arguments));
  for (uint32_t i = 0; i < answers; i++) {
    const auto target = allocate_result(env, view.values[view.outputs[i]].bytes);
    if (target.IsEmpty()) return env.Undefined();
    task->add_output(target);
  }
  if (info[1].IsObject() && info[1].As<Napi::Object>().InstanceOf(AddonData::of(env).token_class.Value())) {
    CancelToken::Unwrap(info[1].As<Napi::Object>())->task = task;
  }
  return submit(env, *state->device, task);
}

Napi::Value Program::run_here(Napi::Env env, std::unique_ptr<Arguments> arguments, uint32_t answers) {
  const fj_program_view& view = state->view;
  Napi::Array list = Napi::Array::New(env, answers);
  for (uint32_t i = 0; i < answers; i++) {
    auto target = allocate_result(env, view.values[view.outputs[i]].bytes);
    if (target.IsEmpty()) return env.Undefined();
    arguments->outputs[i] = target.Data();
    list.Set(i, target);
  }
  fj_error error{};
  const int32_t never = 0;  // what would cancel it waits for this thread
  state->run(*arguments, &never, &error);
  AddonData::of(env).here += state->duration;
  state->put_back(std::move(arguments));
  if (error.status == FJ_OK) return list;
  napi_throw(env, make_error(env, error));
  return env.Undefined();
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
