// What kernels call: barriers, votes, warp operations, cp.async.
#include <chrono>
#include <cstdlib>

#include "internal.h"

namespace forja::simt {

unsigned lane() { return sched.current->lane; }
void* dynamic_shared() { return sched.shared; }
long long clock_now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
void yield() {
  auto& s = machine();
  Fiber& self = *sched.current;
  if (s.head == s.ready.size()) return;  // nobody else can run
  s.ready.push_back(self.linear);
  if (s.head > 65536) {  // a long spin: drop the part of the queue that has run
    s.ready.erase(s.ready.begin(), s.ready.begin() + long(s.head));
    s.head = 0;
  }
  block_current(State::kReady);
}
void block_barrier(Where w) { block_vote(0, 0, w); }
int block_vote(int predicate, int how, Where w) {
  auto& s = machine();
  Fiber& self = *sched.current;
  self.where = w;
  self.operand = how;
  self.exposed = self.unpublished;
  s.votes += predicate != 0;
  s.vote_and &= predicate != 0;
  s.vote_or |= predicate != 0;
  ++sched.at_barrier;
  block_current(State::kAtBarrier);
  return int(self.result);
}

namespace {
// Waits until all lanes of the mask are here; the last one runs finish() and the others become ready.
template <class F>
void warp_meet(WarpOp op, unsigned mask, int width, Where w, F&& finish) {
  Fiber& self = *sched.current;
  Warp& warp = sched.warps[self.warp];
  ++count.warp_ops;
  self.op = op;
  self.mask = mask;
  self.width = width;
  self.where = w;
  if (!(mask >> self.lane & 1))
    abort_block(format("warp operation at %s: the mask %08x does not name the calling lane, %s", where_text(w).c_str(),
                       mask, thread_text().c_str()));
  warp.arrived |= 1u << self.lane;
  if ((warp.arrived & mask) != mask) {
    // A lane that has exited or does not exist will never come.
    for (unsigned l = 0; l < 32; ++l)
      if (mask >> l & 1) {
        const unsigned t = self.warp * 32 + l;
        if (t >= sched.threads || sched.fibers[t].state == State::kDone)
          abort_block(format("warp operation at %s: mask %08x names lane %u, which %s, %s", where_text(w).c_str(), mask,
                             l, t >= sched.threads ? "does not exist" : "has exited", thread_text().c_str()));
      }
    block_current(State::kAtWarp);
    return;
  }
  Fiber* const lanes = &sched.fibers[self.warp * 32];
  for (unsigned l = 0; l < 32; ++l)
    if (mask >> l & 1 && &lanes[l] != &self) {
      const Fiber& f = lanes[l];
      if (f.mask != mask || f.op != op || f.width != width || f.where.line() != w.line() ||
          f.where.column() != w.column())
        abort_block(format("warp divergence: lane %u is at %s with mask %08x, lane %u at %s with mask %08x, %s",
                           self.lane, where_text(w).c_str(), mask, l, where_text(f.where).c_str(), f.mask,
                           thread_text().c_str()));
    }
  warp.arrived &= ~mask;
  ++warp.epoch;
  finish(lanes);
  auto& s = machine();
  const size_t from = s.ready.size();
  for (unsigned l = 0; l < 32; ++l)
    if (mask >> l & 1 && &lanes[l] != &self) {
      lanes[l].state = State::kReady;
      s.ready.push_back(lanes[l].linear);
    }
  arrange(s.ready, from);
}
}  // namespace

uint64_t warp_exchange(WarpOp op, unsigned mask, uint64_t value, int operand, int width, Where w) {
  Fiber& self = *sched.current;
  self.value = value;
  self.operand = operand;
  warp_meet(op, mask, width, w, [&](Fiber* lanes) {
    unsigned ballot = 0;
    for (unsigned l = 0; l < 32; ++l)
      if (mask >> l & 1 && lanes[l].value) ballot |= 1u << l;
    for (int l = 0; l < 32; ++l) {
      if (!(mask >> l & 1)) continue;
      Fiber& f = lanes[l];
      const int base = l & ~(width - 1), in = l & (width - 1);
      int from = l;
      switch (op) {
        case WarpOp::kShuffle:
          from = base | (f.operand & (width - 1));
          break;
        case WarpOp::kShuffleUp:
          from = in - f.operand >= 0 ? l - f.operand : l;
          break;
        case WarpOp::kShuffleDown:
          from = in + f.operand < width ? l + f.operand : l;
          break;
        case WarpOp::kShuffleXor:
          from = (l ^ f.operand) < base + width ? l ^ f.operand : l;
          break;
        case WarpOp::kBallot:
          f.result = ballot;
          continue;
        case WarpOp::kAny:
          f.result = ballot != 0;
          continue;
        case WarpOp::kAll:
          f.result = ballot == mask;
          continue;
        default:
          f.result = 0;
          continue;
      }
      // A source lane outside of the mask: the value is undefined, so give kPoison.
      f.result = mask >> from & 1 ? lanes[from].value : ~uint64_t(0);
    }
  });
  return self.result;
}

void warp_collective(WarpOp op, unsigned mask, void* mine, void (*body)(void* const*), int tag, Where w) {
  sched.current->mine = mine;
  warp_meet(op, mask, tag, w, [&](Fiber* lanes) {
    void* p[32] = {};
    for (unsigned l = 0; l < 32; ++l)
      if (mask >> l & 1) p[l] = lanes[l].mine;
    body(p);
  });
}

// The copy happens as late as the program allows; until then the destination holds kPoison.
void copy_async(void* shared, const void* global, int bytes, int valid) {
  Fiber& f = *sched.current;
  if (reinterpret_cast<uintptr_t>(shared) % unsigned(bytes) || reinterpret_cast<uintptr_t>(global) % unsigned(bytes))
    abort_block("cp.async: address not aligned to the copy size, " + thread_text());
  if (f.copies.empty()) f.copies.emplace_back();
  if (checks_on()) {
    const void* caller = __builtin_return_address(0);
    check_access(shared, bytes, true, false, caller);
    if (valid) check_access(global, valid, false, false, caller);
  }
  std::memset(shared, kPoison, size_t(bytes));
  f.copies.back().push_back({shared, global, bytes, valid});
}
void copy_async_commit() {
  Fiber& f = *sched.current;
  if (f.copies.empty()) f.copies.emplace_back();
  f.copies.emplace_back();
}
void copy_async_wait(int groups_left) {
  auto& c = sched.current->copies;
  while (int(c.size()) - 1 > groups_left) {  // the last entry is the open group
    for (auto& p : c.front()) {
      if (checks_on()) check_access(p.to, p.bytes, true, false, __builtin_return_address(0));
      std::memset(p.to, 0, size_t(p.bytes));
      std::memcpy(p.to, p.from, size_t(p.valid));
      sched.current->unpublished = true;
    }
    c.erase(c.begin());
  }
}

}  // namespace forja::simt
