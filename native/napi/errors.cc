// Error construction of errors.h.
#include "errors.h"

#include "addon_data.h"

namespace forja {

const char* error_code(fj_status status) {
  switch (status) {
    case FJ_OK:
      return "OK";
    case FJ_ERR_ARGUMENT:
      return "ERR_ARGUMENT";
    case FJ_ERR_INVALID_PROGRAM:
      return "ERR_INTERNAL";
    case FJ_ERR_UNSUPPORTED_OP:
      return "ERR_UNSUPPORTED_OP";
    case FJ_ERR_OUT_OF_MEMORY:
      return "ERR_OUT_OF_MEMORY";
    case FJ_ERR_DEVICE:
      return "ERR_DEVICE";
    case FJ_ERR_BACKEND_UNAVAILABLE:
      return "ERR_BACKEND_UNAVAILABLE";
    case FJ_ERR_ABORTED:
      return "ABORT_ERR";
    case FJ_ERR_INTERNAL:
      break;
  }
  return "ERR_INTERNAL";
}

static Napi::Value build(Napi::Env env, const char* code, const char* message, int64_t instruction) {
  auto& factory = AddonData::of(env).make_error;
  if (!factory.IsEmpty()) {
    const auto made = factory.Call({Napi::String::New(env, code), Napi::String::New(env, message),
                                    Napi::Number::New(env, static_cast<double>(instruction))});
    if (!made.IsEmpty()) return made;
  }
  Napi::Error plain = Napi::Error::New(env, message);
  plain.Set("code", Napi::String::New(env, code));
  return plain.Value();
}

Napi::Value make_error(Napi::Env env, const fj_error& error) {
  const int64_t instruction = error.instruction == FJ_NO_INSTRUCTION ? -1 : static_cast<int64_t>(error.instruction);
  return build(env, error_code(error.status), error.message, instruction);
}

Napi::Value make_error(Napi::Env env, const char* code, const char* message) { return build(env, code, message, -1); }

void throw_error(Napi::Env env, const char* code, const char* message) {
  napi_throw(env, make_error(env, code, message));
}

}  // namespace forja
