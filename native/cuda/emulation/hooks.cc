// The compiler's -fsanitize=thread calls these around every memory access of the .cu files. Linking this file
// instead of libtsan turns the instrumentation into our own access checker.
#include "internal.h"

extern "C" {
int forja_simt_hooks_linked = 1;
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define SIMT_HOOK(n)                                                                                           \
  void __tsan_read##n(void* p) { forja::simt::check_access(p, n, false, false, __builtin_return_address(0)); } \
  void __tsan_write##n(void* p) { forja::simt::check_access(p, n, true, false, __builtin_return_address(0)); } \
  void __tsan_volatile_read##n(void* p) {                                                                      \
    forja::simt::check_access(p, n, false, false, __builtin_return_address(0));                                \
  }                                                                                                            \
  void __tsan_volatile_write##n(void* p) {                                                                     \
    forja::simt::check_access(p, n, true, false, __builtin_return_address(0));                                 \
  }                                                                                                            \
  void __tsan_unaligned_read##n(void* p) {                                                                     \
    forja::simt::check_access(p, n, false, false, __builtin_return_address(0));                                \
  }                                                                                                            \
  void __tsan_unaligned_write##n(void* p) { forja::simt::check_access(p, n, true, false, __builtin_return_address(0)); }
SIMT_HOOK(1)
SIMT_HOOK(2)
SIMT_HOOK(4)
SIMT_HOOK(8)
SIMT_HOOK(16)
void __tsan_read_range(void* p, size_t n) {
  forja::simt::check_access(p, int(n), false, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t n) {
  forja::simt::check_access(p, int(n), true, false, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
// Host code of the same files (guards of local statics, shared_ptr counts) may use these.
unsigned char __tsan_atomic8_load(const volatile unsigned char* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
void __tsan_atomic8_store(volatile unsigned char* p, unsigned char v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_load(const volatile int* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
long __tsan_atomic64_load(const volatile long* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
void __tsan_atomic32_store(volatile int* p, int v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
void __tsan_atomic64_store(volatile long* p, long v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_fetch_add(volatile int* p, int v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
long __tsan_atomic64_fetch_add(volatile long* p, long v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }

// -fsanitize=alignment,bounds in the .cu files ends here instead of in libubsan.
struct UbsanPlace {
  const char* file;
  unsigned line, column;
};
static void report_ubsan(const UbsanPlace* p, const std::string& what) {
  const char* f = p->file;
  if (const char* s = std::strrchr(f, '/')) f = s + 1;
  const std::string text =
      what + forja::simt::format(" at %s:%u by %s", f, p->line, forja::simt::thread_text().c_str());
  if (forja::simt::sched.current) forja::simt::abort_block(text);
  forja::simt::report(text);
}
void __ubsan_handle_type_mismatch_v1(void* data, void* address) {
  report_ubsan(static_cast<const UbsanPlace*>(data), forja::simt::format("misaligned access of %p", address));
}
void __ubsan_handle_out_of_bounds(void* data, void* index) {
  report_ubsan(static_cast<const UbsanPlace*>(data), forja::simt::format("array index %ld out of bounds", long(index)));
}
}
