#include "blas.h"

#include <cstdio>
#include <cstdlib>
#include <type_traits>

#include "../core/dylib.h"

namespace forja {
namespace {

const char* const kNames[] = {"libopenblas.so.0", "libopenblas.so",    "libmkl_rt.so.2", "libmkl_rt.so.1",
                              "libmkl_rt.so",     "libopenblas.dylib", nullptr};

Blas unusable(const char* format, const char* name) {
  static char problem[320];
  snprintf(problem, sizeof(problem), format, name);
  return {nullptr, false, problem};
}

Blas open_blas() {
  const char* given = getenv("FORJA_BLAS_LIB");
  if (given != nullptr && *given == '\0') given = nullptr;
  const char* const only[] = {given, nullptr};
  void* library = open_dylib(given != nullptr ? only : kNames);
  if (library == nullptr) {
    return given != nullptr ? unusable("FORJA_BLAS_LIB=%s cannot be opened", given)
                            : unusable("no OpenBLAS or MKL was found (%s, ...); FORJA_BLAS_LIB names one", kNames[0]);
  }
  Blas found{};
  found.sgemm = dylib_function<std::remove_pointer_t<decltype(found.sgemm)>>(library, "cblas_sgemm");
  if (found.sgemm == nullptr) return unusable("%s has no cblas_sgemm", given != nullptr ? given : "the library found");
  // One thread a call: the team's threads call it side by side, each for its part of the result.
  auto* set_threads = dylib_function<void(int)>(library, "openblas_set_num_threads");
  if (set_threads == nullptr) set_threads = dylib_function<void(int)>(library, "MKL_Set_Num_Threads");
  if (set_threads != nullptr) {
    set_threads(1);
    // 0: built for one thread, without the locks that callers side by side need.
    auto* parallel = dylib_function<int()>(library, "openblas_get_parallel");
    found.concurrent = parallel == nullptr || parallel() != 0;
  }
  return found;
}

}  // namespace

const Blas& blas() {
  static const Blas kBlas = open_blas();
  return kBlas;
}

}  // namespace forja
