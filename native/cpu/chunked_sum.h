// A sum over many images, as weight gradients are: images are cut into chunks by geometry alone, each of which has its
// own sum, and the sums are added in an order that does not depend on who computed them. So results do not depend on
// the number of threads.
//
// The order is that of groups: the chunks of a group one after the other, then the groups. A thread that has computed a
// whole group adds it up before it waits for the others: of what lies in another core's cache every line costs time.
#pragma once

#include "kernel.h"

namespace forja::FJ_ISA {

constexpr int64_t kMaxChunks = 16;

struct ChunkedSum {
  float* partial;  // (chunks, floats)
  int64_t chunks, floats;
  int64_t units = 1;  // of work in a chunk: threads share out chunks * units by `split`
};

// After this thread's units: out = the sum over chunks, of which each thread writes its share, kWidth floats at a time.
// `out` may be `partial`. A barrier must follow before others read it.
void sum_chunks(Team& team, const ChunkedSum& sum, float* out);

}  // namespace forja::FJ_ISA
