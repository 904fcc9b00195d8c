// Shared libraries that forja uses where a machine has them and never needs: opened at run time, by names.
#pragma once

#include <string>

namespace forja {

// The first of `names` (a null ends them) that can be opened, or null. It stays open until the process ends: such
// libraries own threads, under which they cannot be unloaded.
void* open_dylib(const char* const* names);

// As open_dylib, of files in `folders`, which colons separate; null for no folder.
void* open_dylib_in(const char* folders, const char* const* names);

// What an open library calls `name`, or null.
void* dylib_symbol(void* library, const char* name);

// The file that `symbol` was loaded from.
std::string dylib_path(const void* symbol);

template <class Function>
Function* dylib_function(void* library, const char* name) {
  return reinterpret_cast<Function*>(dylib_symbol(library, name));
}

}  // namespace forja
