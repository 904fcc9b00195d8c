// Minimal stackful context switch: own assembly for x86-64 and aarch64, ucontext elsewhere
// (or with -DSIMT_FIBER_UCONTEXT). Only callee-saved state moves; the control words of the FPU do not.
#pragma once
#include <cstddef>
#include <cstdint>

#if !defined(SIMT_FIBER_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define SIMT_FIBER_UCONTEXT
#endif

#ifdef SIMT_FIBER_UCONTEXT
#include <ucontext.h>
#endif

namespace forja::simt {

#ifdef SIMT_FIBER_UCONTEXT
struct Context {
  ucontext_t u;
};
inline void switch_context(Context& from, Context& to) { swapcontext(&from.u, &to.u); }
inline void make_context(Context& c, char* base, char* top, void (*entry)()) {
  getcontext(&c.u);
  c.u.uc_stack.ss_sp = base;
  c.u.uc_stack.ss_size = size_t(top - base);
  c.u.uc_link = nullptr;
  makecontext(&c.u, entry, 0);
}
inline constexpr const char* kFiberKind = "ucontext";
#else
struct Context {
  void* sp;
};
extern "C" void forja_simt_switch(void** save, void* load);
inline void switch_context(Context& from, Context& to) { forja_simt_switch(&from.sp, to.sp); }
inline void make_context(Context& c, char*, char* top, void (*entry)()) {
  auto t = reinterpret_cast<uintptr_t>(top) & ~uintptr_t(15);
#if defined(__x86_64__)
  // r15 r14 r13 r12 rbx rbp, return address = entry, then a null return address for entry itself.
  auto* w = reinterpret_cast<uint64_t*>(t - 64);
  for (int i = 0; i < 8; ++i) w[i] = 0;
  w[6] = reinterpret_cast<uint64_t>(entry);
  c.sp = w;
#else
  // x19..x28, x29 (frame), x30 (link = entry), d8..d15: 20 words.
  auto* w = reinterpret_cast<uint64_t*>(t - 160);
  for (int i = 0; i < 20; ++i) w[i] = 0;
  w[11] = reinterpret_cast<uint64_t>(entry);
  c.sp = w;
#endif
}
inline constexpr const char* kFiberKind = "assembly";
#endif

}  // namespace forja::simt
