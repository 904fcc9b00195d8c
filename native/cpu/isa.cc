// active_isa of isa.h: CPUID says what the processor has, XGETBV whether the system saves those registers.
#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace forja {

#define FJ_DECLARE_ISA(isa)            \
  namespace isa {                      \
  void register_kernels(KernelTable&); \
  }
#ifdef FORJA_HAS_avx512
FJ_DECLARE_ISA(avx512)
#endif
#ifdef FORJA_HAS_avx2
FJ_DECLARE_ISA(avx2)
#endif
#ifdef FORJA_HAS_neon
FJ_DECLARE_ISA(neon)
#endif
#ifdef FORJA_HAS_baseline
FJ_DECLARE_ISA(baseline)
#endif

namespace {

// Best first. __builtin_cpu_supports checks XGETBV too.
struct Candidate {
  Isa isa;
  bool (*usable)();
};

const Candidate kCandidates[] = {
#ifdef FORJA_HAS_avx512
    {{"avx512", avx512::register_kernels},
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
     }},
#endif
#ifdef FORJA_HAS_avx2
    {{"avx2", avx2::register_kernels}, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
#ifdef FORJA_HAS_neon
    {{"neon", neon::register_kernels}, [] { return true; }},
#endif
#ifdef FORJA_HAS_baseline
    {{"baseline", baseline::register_kernels}, [] { return true; }},
#endif
};

struct Choice {
  const Isa* isa = nullptr;
  const char* problem = nullptr;
};

Choice choose() {
  const char* wanted = getenv("FORJA_ISA");
  Choice choice;
  for (const Candidate& candidate : kCandidates) {
    if (!candidate.usable()) continue;
    if (choice.isa == nullptr) choice.isa = &candidate.isa;
    if (wanted != nullptr && strcmp(wanted, candidate.isa.name) == 0) {
      choice.isa = &candidate.isa;
      return choice;
    }
  }
  if (wanted != nullptr && *wanted != '\0') {
    choice.problem = "FORJA_ISA names an instruction set that this machine or this build does not have";
  }
  return choice;
}

}  // namespace

const Isa& active_isa(const char** problem) {
  static const Choice choice = choose();
  if (problem != nullptr) *problem = choice.problem;
  return *choice.isa;
}

}  // namespace forja
