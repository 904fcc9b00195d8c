// What the fake libraries share: the emulator's services, a log of calls, and failures that a test asks for.
//   FORJA_FAKE_LOG=file       gets a line for each call
//   FORJA_FAKE_VERSION=n      the version they give
//   FORJA_FAKE_SLOW_MS=n      every piece of work takes so many milliseconds more
//   FORJA_FAKE_FAILS=name     the function of this name answers with an error
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fake {

template <class F>
F* service(const char* name) {
  void* emulator = dlopen(getenv("FORJA_CUDA_EMULATED"), RTLD_NOW | RTLD_NOLOAD);
  return emulator != nullptr ? reinterpret_cast<F*>(dlsym(emulator, name)) : nullptr;
}

inline void submit(void* stream, void (*run)(const void*), const void* argument, size_t bytes) {
  service<void(void*, void (*)(const void*), const void*, size_t)>("simt_submit")(stream, run, argument, bytes);
}
inline void read(const void* data, size_t bytes, const char* what) {
  static auto* run = service<void(const void*, size_t, const char*)>("simt_read");
  run(data, bytes, what);
}
inline void wrote(void* data, size_t bytes, const char* what) {
  static auto* run = service<void(void*, size_t, const char*)>("simt_wrote");
  run(data, bytes, what);
}

template <class... A>
void log(const char* format, A... arguments) {
  const char* path = getenv("FORJA_FAKE_LOG");
  FILE* file = path != nullptr ? fopen(path, "a") : nullptr;
  if (file == nullptr) return;
  fprintf(file, format, arguments...);
  fputc('\n', file);
  fclose(file);
}

inline bool fails(const char* name) {
  const char* wanted = getenv("FORJA_FAKE_FAILS");
  return wanted != nullptr && strcmp(wanted, name) == 0;
}

inline void be_slow() {
  const char* milliseconds = getenv("FORJA_FAKE_SLOW_MS");
  if (milliseconds != nullptr) usleep(1000 * static_cast<useconds_t>(atoi(milliseconds)));
}

inline size_t version(size_t own) {
  const char* given = getenv("FORJA_FAKE_VERSION");
  return given != nullptr ? strtoul(given, nullptr, 10) : own;
}

// An element of 2 bytes (bfloat16) or 4 (float32).
inline float load(const void* data, int64_t at, bool narrow) {
  if (!narrow) return static_cast<const float*>(data)[at];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(data)[at]) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
inline void store(void* data, int64_t at, bool narrow, float value) {
  if (!narrow) {
    static_cast<float*>(data)[at] = value;
    return;
  }
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  static_cast<uint16_t*>(data)[at] = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
// float32 with 10 bits of fraction, as operands of tensor cores have.
inline float to_tf32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  bits = (bits + 0x1000) & ~0x1fffu;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace fake

#define FAKE extern "C" __attribute__((visibility("default")))
