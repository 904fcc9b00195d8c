#include "chunked_sum.h"

#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kGroup = 4;
constexpr int64_t kMostGroups = kMaxChunks / kGroup;

Range group_at(const ChunkedSum& sum, int64_t group) {
  return {group * kGroup, smaller((group + 1) * kGroup, sum.chunks)};
}

// Whether a thread computes all chunks of the group.
bool owns(const ChunkedSum& sum, Range group, int id, int threads) {
  const Range units = split(sum.chunks * sum.units, id, threads);
  return units.begin <= group.begin * sum.units && group.end * sum.units <= units.end;
}

// Of kWidth floats.
FJ_INLINE Vec add_up(const ChunkedSum& sum, Range chunks, int64_t at, Mask lanes) {
  Vec total = load_masked(lanes, sum.partial + chunks.begin * sum.floats + at);
  for (int64_t chunk = chunks.begin + 1; chunk < chunks.end; chunk++) {
    total = total + load_masked(lanes, sum.partial + chunk * sum.floats + at);
  }
  return total;
}

}  // namespace

void sum_chunks(Team& team, const ChunkedSum& sum, float* out) {
  const int64_t groups = ceil_div(sum.chunks, kGroup);
  Range rest[kMostGroups];  // what is left of each to add up
  for (int64_t i = 0; i < groups; i++) {
    const Range group = group_at(sum, i);
    rest[i] = group;
    for (int id = 0; id < team.count; id++) {
      if (!owns(sum, group, id, team.count)) continue;
      rest[i].end = group.begin + 1;
      if (id != team.id || group.end - group.begin == 1) break;
      for (int64_t at = 0; at < sum.floats; at += kWidth) {
        const Mask lanes = tail_mask(sum.floats - at);
        store_masked(sum.partial + group.begin * sum.floats + at, lanes, add_up(sum, group, at, lanes));
      }
    }
  }
  team.barrier();
  const Range mine = split(sum.floats, team, kWidth);
  for (int64_t at = mine.begin; at < mine.end; at += kWidth) {
    const Mask lanes = tail_mask(mine.end - at);
    Vec total = add_up(sum, rest[0], at, lanes);
    for (int64_t i = 1; i < groups; i++) total = total + add_up(sum, rest[i], at, lanes);
    store_masked(out + at, lanes, total);
  }
}

}  // namespace forja::FJ_ISA
