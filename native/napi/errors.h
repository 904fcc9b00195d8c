// From status codes to the errors that lib/errors.ts defines.
#pragma once

#include <napi.h>

#include "../abi/backend.h"

namespace forja {

const char* error_code(fj_status status);
Napi::Value make_error(Napi::Env env, const fj_error& error);
Napi::Value make_error(Napi::Env env, const char* code, const char* message);
void throw_error(Napi::Env env, const char* code, const char* message);

}  // namespace forja
