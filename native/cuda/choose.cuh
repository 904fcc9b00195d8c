// Which kernel runs an instruction. Where a program leaves the variant open, that is the first of forja's own that
// prefers the call. Where NVIDIA's libraries are there and FORJA_TUNE is not 0, theirs are timed beside it, once for
// the shapes of the call, before the program runs; the choice is remembered (../core/choice_file.h): variants
// differ in rounding. With FORJA_TUNE=0 a program gets the same kernels on every machine.
#pragma once

#include "kernel.cuh"

namespace forja::cuda {

struct Choice {
  const Kernel* kernel = nullptr;
  std::unique_ptr<Plan> plan;  // of a library's kernel
  bool measured = false;       // chosen by time

  size_t scratch(const Call& call) const {
    if (plan != nullptr) return plan->scratch;
    return kernel->scratch != nullptr ? kernel->scratch(call) : 0;
  }
};

// A variant of a library that does not take the call gives way to forja's own kernel; one whose library is missing is
// an error. Called by the executor's thread while the device's stream is idle.
fj_status choose_kernel(fj_device& device, const fj_instr& instr, uint32_t index, const Call& call, Choice* choice,
                        fj_error* error);

}  // namespace forja::cuda
