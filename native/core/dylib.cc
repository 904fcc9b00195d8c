#include "dylib.h"

#include <dlfcn.h>

#include <algorithm>

namespace forja {
namespace {

void* open_one(const char* name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); }

}  // namespace

void* open_dylib(const char* const* names) {
  for (; *names != nullptr; names++) {
    if (void* library = open_one(*names)) return library;
  }
  return nullptr;
}

void* open_dylib_in(const char* folders, const char* const* names) {
  const std::string all = folders != nullptr ? folders : "";
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end + 1) {
    end = std::min(all.find(':', begin), all.size());
    if (end == begin) continue;
    for (const char* const* name = names; *name != nullptr; name++) {
      const std::string path = all.substr(begin, end - begin) + "/" + *name;
      if (void* library = open_one(path.c_str())) return library;
    }
  }
  return nullptr;
}

void* dylib_symbol(void* library, const char* name) { return dlsym(library, name); }

std::string dylib_path(const void* symbol) {
  Dl_info info{};
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace forja
