#include "dylib.h"

#include <dlfcn.h>

namespace forja {

void* open_dylib(const char* const* names) {
  for (; *names != nullptr; names++) {
    if (void* library = dlopen(*names, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) return library;
  }
  return nullptr;
}

void* dylib_symbol(void* library, const char* name) { return dlsym(library, name); }

}  // namespace forja
