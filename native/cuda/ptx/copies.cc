// Copies into shared memory that run while others compute: PTX ISA, "Data Movement and Conversion Instructions:
// Asynchronous copy". A copy lands as late as it may: when its thread waits for its group. Until then nobody may touch
// the bytes that it writes.
#include <algorithm>

#include "memory.h"
#include "table.h"

namespace forja::ptx {
namespace {

void mark(Block& block, const Copy& copy, bool in_flight) {
  for (uint32_t i = 0; i < copy.bytes / 4; i++) block.in_flight[copy.to / 4 + i] = in_flight;
  block.copies_in_flight += in_flight ? 1 : -1;
}

// Operands: to, from, the bytes of the instruction, how many of them are read.
template <uint32_t kBytes>
void begin_copy(Warp& w, const Instruction& in) {
  const auto* to = lanes_of<uint32_t>(w, in.operands[0]);
  const auto* from = lanes_of<uint64_t>(w, in.operands[1]);
  const auto* bytes = lanes_of<uint32_t>(w, in.operands[2]);
  const auto* inside = lanes_of<uint32_t>(w, in.operands[3]);
  each_lane_apart(w.executing, [&](uint32_t lane) {
    if (bytes[lane] != kBytes) fail("cp.async of %u bytes, where there is one of %u", bytes[lane], kBytes);
    if (inside[lane] > kBytes) fail("cp.async of %u bytes reads %u", kBytes, inside[lane]);
    shared_at(*w.block, to[lane], kBytes);
    if (from[lane] % kBytes != 0) fail("misaligned global address %#lx: cp.async of %u bytes", from[lane], kBytes);
    if (inside[lane] > 0) global_at(w, from[lane], kBytes);
    w.copies.push_back({lane, w.copy_groups[lane], to[lane], kBytes, from[lane], inside[lane]});
    mark(*w.block, w.copies.back(), true);
  });
}

void commit(Warp& w, const Instruction&) {
  each_lane(w.executing, [&](uint32_t lane) { w.copy_groups[lane]++; });
}

void land(Warp& w, const Copy& copy) {
  mark(*w.block, copy, false);
  unsigned char* to = shared_at(*w.block, copy.to, copy.bytes);
  std::memset(to, 0, copy.bytes);
  std::memcpy(to, reinterpret_cast<const void*>(copy.from), copy.inside);
  w.unpublished |= 1u << copy.lane;
}

// Until at most the latest groups, as many as the immediate says, are under way.
void wait(Warp& w, const Instruction& in) {
  const auto is_waited_for = [&](const Copy& copy) {
    return has(w.executing, copy.lane) && copy.group + in.immediate < w.copy_groups[copy.lane];
  };
  for (const Copy& copy : w.copies) {
    if (is_waited_for(copy)) land(w, copy);
  }
  std::erase_if(w.copies, is_waited_for);
}

void publish(Warp& w, const Instruction&) { w.unpublished &= ~w.executing; }

}  // namespace

void add_copies(Table& table) {
  table.add("cp.async.ca.shared.global", {begin_copy<4>, "4844"});
  table.add("cp.async.cg.shared.global", {begin_copy<16>, "4844"});
  table.add("cp.async.commit_group", {commit, ""});
  table.add("cp.async.wait_group", {wait, "i"});
  table.add("fence.proxy.async.shared::cta", {publish, ""});
}

}  // namespace forja::ptx
