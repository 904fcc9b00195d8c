// What lanes of a warp tell each other: PTX ISA, "shfl.sync" and "vote.sync".
#include "control.h"
#include "table.h"

namespace forja::ptx {
namespace {

enum class Shuffle : uint8_t { kUp, kDown, kButterfly, kIndex };

// The lane that `lane` reads from, by the operands b and c of the specification; its own where that lies outside of the
// segment, and `inside` is false.
template <Shuffle kMode>
uint32_t source_of(uint32_t lane, uint32_t b, uint32_t c, bool& inside) {
  const int own = static_cast<int>(lane), by = static_cast<int>(b & 31);
  const int clamp = static_cast<int>(c & 31), segment = static_cast<int>(c >> 8 & 31);
  const int last = (own & segment) | (clamp & ~segment), first = own & segment;
  int from = 0;
  if constexpr (kMode == Shuffle::kUp) from = own - by;
  if constexpr (kMode == Shuffle::kDown) from = own + by;
  if constexpr (kMode == Shuffle::kButterfly) from = own ^ by;
  if constexpr (kMode == Shuffle::kIndex) from = first | (by & ~segment);
  inside = kMode == Shuffle::kUp ? from >= last : from <= last;
  return inside ? static_cast<uint32_t>(from) : lane;
}

// Operands: to, whether the source lies inside, a, b, c, the lanes that take part.
template <Shuffle kMode>
void shuffle(Warp& w, const Instruction& in) {
  if (!all_are_here(w, named_lanes(w, in.operands[5]))) return;
  auto* to = lanes_of<uint32_t>(w, in.operands[0]);
  uint32_t& insides = w.predicates[in.operands[1]];
  std::array<uint32_t, kLanes> values;
  std::memcpy(values.data(), lanes_of<uint32_t>(w, in.operands[2]), sizeof values);
  const auto* b = lanes_of<uint32_t>(w, in.operands[3]);
  const auto* c = lanes_of<uint32_t>(w, in.operands[4]);
  each_lane_apart(w.executing, [&](uint32_t lane) {
    bool inside = false;
    const uint32_t from = source_of<kMode>(lane, b[lane], c[lane], inside);
    if (!has(w.executing, from)) {
      fail("shfl.sync: lane %u reads from lane %u, which is not among those here, %08x", lane, from, w.executing);
    }
    to[lane] = values[from];
    insides = (insides & ~(1u << lane)) | uint32_t{inside} << lane;
  });
}

void ballot(Warp& w, const Instruction& in) {
  const uint32_t mask = named_lanes(w, in.operands[2]);
  if (!all_are_here(w, mask)) return;
  auto* to = lanes_of<uint32_t>(w, in.operands[0]);
  const uint32_t votes = w.predicates[in.operands[1]] & w.executing & mask;
  each_lane(w.executing, [&](uint32_t lane) { to[lane] = votes; });
}

}  // namespace

void add_warp_instructions(Table& table) {
  table.add("shfl.sync.up.b32", {shuffle<Shuffle::kUp>, "4p4444"});
  table.add("shfl.sync.down.b32", {shuffle<Shuffle::kDown>, "4p4444"});
  table.add("shfl.sync.bfly.b32", {shuffle<Shuffle::kButterfly>, "4p4444"});
  table.add("shfl.sync.idx.b32", {shuffle<Shuffle::kIndex>, "4p4444"});
  table.add("vote.sync.ballot.b32", {ballot, "4p4"});
}

}  // namespace forja::ptx
