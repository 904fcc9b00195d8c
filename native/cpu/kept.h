// What kernels keep of their weights from one run of a program to the next (Kernel::kept): filters packed once serve
// until somebody writes the variable that they were made of.
#pragma once

#include <vector>

#include "kernel.h"
#include "memory.h"

namespace forja {

// Which buffers a program writes.
std::vector<bool> written_buffers(const fj_program_view& view);

// Whether all inputs behind the first lie in buffers that the program does not write.
bool may_keep(const Call& call, const std::vector<bool>& written);

class KeptWeights {
 public:
  // Memory for every call that may keep. `versions`: where each buffer counts its writes. False if there is no memory.
  bool allocate(const std::vector<const Kernel*>& kernels, std::vector<Call>& calls, const std::vector<bool>& written,
                const std::vector<uint64_t*>& versions);
  // Tells each call whether what it keeps still holds.
  void begin(std::vector<Call>& calls);
  // Counts the program's writes. `whole`: every call was made.
  void end(const std::vector<Call>& calls, bool whole);
  uint64_t bytes() const { return memory_.bytes(); }

 private:
  struct Entry {
    size_t call, offset;
    std::vector<const uint64_t*> sources;
    std::vector<uint64_t> versions;  // of the sources, when it was made; none: it does not hold
  };

  std::vector<Entry> entries_;
  std::vector<uint64_t*> written_;
  Memory memory_;
};

}  // namespace forja
