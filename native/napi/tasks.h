// The tasks behind the promises of device.h: run on the executor's thread, settled on the environment's.
#pragma once

#include <napi.h>

#include <cstring>
#include <memory>
#include <vector>

#include "addon_data.h"
#include "device.h"
#include "errors.h"

namespace forja {

// Not through ArrayBuffer(): the array may lie over a SharedArrayBuffer.
inline const void* elements_of(const Napi::TypedArray& array) {
  void* elements = nullptr;
  napi_get_typedarray_info(array.Env(), array, nullptr, nullptr, &elements, nullptr, nullptr);
  return elements;
}

// A private copy of a typed array's bytes: JavaScript may change or detach its own meanwhile.
struct HostBytes {
  std::shared_ptr<uint8_t> data;
  size_t size = 0;

  static HostBytes copy_of(const Napi::TypedArray& array) {
    HostBytes bytes;
    bytes.size = array.ByteLength();
    void* memory = nullptr;
    if (posix_memalign(&memory, FJ_ALIGNMENT, bytes.size + FJ_ALIGNMENT) != 0) return HostBytes{};
    bytes.data.reset(static_cast<uint8_t*>(memory), free);
    if (bytes.size > 0) memcpy(memory, elements_of(array), bytes.size);
    return bytes;
  }
};

// A task of one device whose work fills `error_` or succeeds.
class DeviceTask : public PromiseTask {
 public:
  DeviceTask(Napi::Env env, std::shared_ptr<DeviceState> device) : PromiseTask(env), device_(std::move(device)) {
    error_.status = FJ_OK;
    error_.instruction = FJ_NO_INSTRUCTION;
    error_.message[0] = '\0';
  }
  void settle(Napi::Env env) override {
    release();
    if (error_.status == FJ_OK) {
      const auto& notice = AddonData::of(env).notice;
      if (error_.message[0] != '\0' && !notice.IsEmpty()) notice.Call({Napi::String::New(env, error_.message)});
      deferred_.Resolve(result(env));
    } else {
      deferred_.Reject(make_error(env, error_));
    }
  }

 protected:
  virtual Napi::Value result(Napi::Env env) { return env.Undefined(); }
  // What the run needed and the answer does not.
  virtual void release() {}
  const fj_backend* backend() const { return device_->backend; }

  std::shared_ptr<DeviceState> device_;
  fj_error error_;
};

class WriteTask : public DeviceTask {
 public:
  WriteTask(Napi::Env env, const std::shared_ptr<BufferState>& buffer, uint64_t offset, HostBytes data)
      : DeviceTask(env, buffer->device), buffer_(buffer), offset_(offset), data_(std::move(data)) {}
  bool run() override {
    backend()->buffer_write(buffer_->buffer, offset_, data_.data.get(), data_.size, &error_);
    return false;
  }

 private:
  std::shared_ptr<BufferState> buffer_;
  uint64_t offset_;
  HostBytes data_;
};

class ReadTask : public DeviceTask {
 public:
  ReadTask(Napi::Env env, const std::shared_ptr<BufferState>& buffer, uint64_t offset, Napi::ArrayBuffer target)
      : DeviceTask(env, buffer->device),
        buffer_(buffer),
        offset_(offset),
        data_(target.Data()),
        bytes_(target.ByteLength()),
        target_(Napi::Persistent(target)) {}
  bool run() override {
    backend()->buffer_read(buffer_->buffer, offset_, data_, bytes_, &error_);
    return false;
  }

 protected:
  Napi::Value result(Napi::Env) override { return target_.Value(); }

 private:
  std::shared_ptr<BufferState> buffer_;
  uint64_t offset_;
  void* data_;
  size_t bytes_;
  Napi::Reference<Napi::ArrayBuffer> target_;
};

class SetThreadsTask : public DeviceTask {
 public:
  SetThreadsTask(Napi::Env env, const std::shared_ptr<DeviceState>& device, uint32_t threads)
      : DeviceTask(env, device), threads_(threads) {}
  bool run() override {
    backend()->device_set_threads(device_->device, threads_);
    return false;
  }

 private:
  uint32_t threads_;
};

class CeilingsTask : public DeviceTask {
 public:
  CeilingsTask(Napi::Env env, const std::shared_ptr<DeviceState>& device, uint32_t threads)
      : DeviceTask(env, device), threads_(threads) {}
  bool run() override {
    backend()->device_ceilings(device_->device, threads_, &fma_gflops_, &copy_gbytes_, &error_);
    return false;
  }

 protected:
  Napi::Value result(Napi::Env env) override {
    Napi::Object object = Napi::Object::New(env);
    object.Set("fmaGflops", fma_gflops_);
    object.Set("copyGbytes", copy_gbytes_);
    return object;
  }

 private:
  uint32_t threads_;
  double fma_gflops_ = 0, copy_gbytes_ = 0;
};

class CreateProgramTask : public DeviceTask {
 public:
  CreateProgramTask(Napi::Env env, const std::shared_ptr<ProgramState>& program, size_t bytes)
      : DeviceTask(env, program->device), program_(program), bytes_(bytes) {}
  bool run() override;

 protected:
  Napi::Value result(Napi::Env env) override;

 private:
  void create();

  std::shared_ptr<ProgramState> program_;
  size_t bytes_;
};

class RunTask : public DeviceTask {
 public:
  RunTask(Napi::Env env, const std::shared_ptr<ProgramState>& program, std::unique_ptr<Arguments> arguments)
      : DeviceTask(env, program->device), program_(program), arguments_(std::move(arguments)) {}
  void add_output(Napi::ArrayBuffer target);
  bool run() override;
  void finish() override;
  bool may_follow() const override;

 protected:
  Napi::Value result(Napi::Env env) override;
  void release() override { program_->put_back(std::move(arguments_)); }

 private:
  std::shared_ptr<ProgramState> program_;
  std::unique_ptr<Arguments> arguments_;
  std::vector<Napi::Reference<Napi::ArrayBuffer>> outputs_;
  bool goes_on_ = false;
};

class ProfileTask : public DeviceTask {
 public:
  ProfileTask(Napi::Env env, const std::shared_ptr<ProgramState>& program, bool enable)
      : DeviceTask(env, program->device),
        program_(program),
        enable_(enable),
        nanoseconds_(program->view.header->instr_count) {}
  bool run() override;

 protected:
  Napi::Value result(Napi::Env env) override;

 private:
  std::shared_ptr<ProgramState> program_;
  bool enable_;
  std::vector<uint64_t> nanoseconds_;
};

}  // namespace forja
