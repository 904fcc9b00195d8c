// find_backend of backend_loader.h.
#include "backend_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "error.h"

namespace forja {
namespace {

// A module that was asked for: its table, or why there is none.
struct Module {
  bool tried = false;
  const fj_backend* backend = nullptr;
  std::string problem;
};

std::string beside_addon(const char* file) {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&find_backend), &self) == 0 || self.dli_fname == nullptr) return file;
  const std::string path = self.dli_fname;
  return path.substr(0, path.rfind('/') + 1) + file;
}

void open_module(Module& module, const std::string& path) {
  module.tried = true;
  if (access(path.c_str(), F_OK) != 0) {
    module.problem = "this build has no CUDA module (" + path + ")";
    return;
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    module.problem = std::string("the CUDA module does not load: ") + dlerror();
    return;
  }
  const auto get = reinterpret_cast<fj_backend_get_fn>(dlsym(handle, FJ_BACKEND_ENTRY));
  module.backend = get == nullptr ? nullptr : get(FJ_ABI_VERSION);
  if (module.backend == nullptr) module.problem = path + " was built for another version of the native core";
}

}  // namespace

const fj_backend* find_backend(const char* name, fj_error* error) {
  if (strcmp(name, "cpu") == 0) return forja_cpu_backend(FJ_ABI_VERSION);
  static std::mutex mutex;
  static Module cuda, emulated;
  std::lock_guard<std::mutex> lock(mutex);
  Module* module = nullptr;
  if (strcmp(name, "cuda") == 0) {
    module = &cuda;
    if (!module->tried) open_module(*module, beside_addon("forja_cuda.so"));
  } else if (strcmp(name, "cuda-emulated") == 0) {
    module = &emulated;
    const char* path = getenv("FORJA_CUDA_EMULATED");
    if (path == nullptr || *path == '\0') {
      set_error(error, FJ_ERR_BACKEND_UNAVAILABLE, FJ_NO_INSTRUCTION,
                "FORJA_CUDA_EMULATED does not name the module of device 'cuda-emulated'");
      return nullptr;
    }
    if (!module->tried) open_module(*module, path);
  } else {
    set_error(error, FJ_ERR_BACKEND_UNAVAILABLE, FJ_NO_INSTRUCTION, "there is no backend '%s'", name);
    return nullptr;
  }
  if (module->backend == nullptr) {
    set_error(error, FJ_ERR_BACKEND_UNAVAILABLE, FJ_NO_INSTRUCTION, "%s", module->problem.c_str());
  }
  return module->backend;
}

}  // namespace forja
