// PTX ISA: "Control Flow Instructions", and "Parallel Synchronization and Communication Instructions: bar,
// bar.warp.sync, membar/fence". A block's warps run one after another in one thread, so fences have nothing to do.
#include "control.h"

#include <algorithm>

#include "table.h"

namespace forja::ptx {
namespace {

constexpr uint32_t kNobody = ~0u;  // no lane waits

void put_at(Warp& w, uint32_t lanes, uint32_t pc) {
  each_lane_apart(lanes, [&](uint32_t lane) { w.pcs[lane] = pc; });
}

void find_next_waiting(Warp& w) {
  w.next_waiting = kNobody;
  each_lane_apart(w.live & ~w.active & ~w.parked,
                  [&](uint32_t lane) { w.next_waiting = std::min(w.next_waiting, w.pcs[lane]); });
}

uint32_t lanes_at(const Warp& w, uint32_t among, uint32_t pc) {
  uint32_t found = 0;
  each_lane_apart(among, [&](uint32_t lane) { found |= uint32_t{w.pcs[lane] == pc} << lane; });
  return found;
}

void wait_at_barrier(Warp& w, const Instruction& in) {
  if (!all_are_here(w, ~0u)) return;
  w.barrier = lanes_of<uint32_t>(w, in.operands[0])[std::countr_zero(w.executing)];
  w.exposed = w.unpublished;
  w.state = State::kAtBarrier;
}

void wait_for_lanes(Warp& w, const Instruction& in) { all_are_here(w, named_lanes(w, in.operands[0])); }

}  // namespace

void regroup(Warp& w) {
  if (w.active != 0) {
    put_at(w, w.active, w.pc);
    w.active = 0;
    find_next_waiting(w);
  }
  if (w.live == 0) {
    w.state = State::kDone;
    return;
  }
  if (w.next_waiting == kNobody) {
    const uint32_t pc = w.pcs[static_cast<size_t>(std::countr_zero(w.parked))];
    fail("lanes %08x of %08x wait for others, and these for them, at %s", lanes_at(w, w.parked, pc), w.live,
         place_of(*w.kernel, w.kernel->code[pc]).c_str());
  }
  w.pc = w.next_waiting;
  w.active = lanes_at(w, w.live & ~w.parked, w.pc);
  find_next_waiting(w);
}

bool all_are_here(Warp& w, uint32_t needed) {
  needed &= w.live;
  if (w.executing == w.active && (w.executing & needed) == needed) return true;
  const uint32_t here = w.pc - 1;
  put_at(w, w.active & ~w.executing, w.pc);
  w.active = w.executing;
  const uint32_t together = w.executing | lanes_at(w, w.parked, here);
  const bool complete = (together & needed) == needed;
  if (complete) {
    w.parked &= ~together;
    w.active = w.executing = together;
    find_next_waiting(w);
  } else {
    put_at(w, w.executing, here);
    w.parked |= w.executing;
    w.active = 0;
    find_next_waiting(w);
    regroup(w);
  }
  return complete;
}

bool whole_warp_is_here(Warp& w) {
  if (w.live != ~0u) fail("an instruction of a whole warp by lanes %08x, which are all that it has", w.live);
  return all_are_here(w, ~0u);
}

uint32_t named_lanes(Warp& w, Operand mask) {
  const auto* masks = lanes_of<uint32_t>(w, mask);
  each_lane_apart(w.executing, [&](uint32_t lane) {
    if (!has(masks[lane], lane)) fail("lane %u, which its mask %08x leaves out", lane, masks[lane]);
  });
  return masks[std::countr_zero(w.executing)];
}

void branch(Warp& w, const Instruction& in) {
  const auto target = static_cast<uint32_t>(in.immediate);
  if (w.executing == w.active) {
    w.pc = target;
    return;
  }
  put_at(w, w.executing, target);
  put_at(w, w.active & ~w.executing, w.pc);
  w.active = 0;
  find_next_waiting(w);
  regroup(w);
}

void finish(Warp& w, const Instruction&) {
  w.live &= ~w.executing;
  w.active &= ~w.executing;
  w.parked = 0;  // perhaps these were the last that they waited for: they look again
  find_next_waiting(w);
  if (w.active == 0) regroup(w);
}

void add_control(Table& table) {
  table.add("bra", {branch, ""});
  table.add("ret", {finish, ""});
  table.add("exit", {finish, ""});
  table.add("trap", {[](Warp&, const Instruction&) { fail("trap"); }, ""});
  table.add("bar.sync", {wait_at_barrier, "4"});
  table.add("bar.warp.sync", {wait_for_lanes, "4"});
  const auto nothing = [](Warp&, const Instruction&) {};
  for (const char* name : {"membar.cta", "membar.gl", "membar.sys", "fence.acq_rel.gpu", "fence.sc.gpu"}) {
    table.add(name, {nothing, ""});
  }
}

}  // namespace forja::ptx
