// Moves, selections, predicates, packs and addresses: PTX ISA, "mov, selp, cvta" and "Logic and Shift Instructions" of
// predicates. Entries that no PTX names are what the reader makes of a mov's form or of a call.
#include <chrono>

#include "table.h"

namespace forja::ptx {
namespace {

std::function<void(uint64_t, uint32_t)>& conditional_setter() {
  static auto& setter = *new std::function<void(uint64_t, uint32_t)>;
  return setter;
}

template <class C>
void select(Warp& w, const Instruction& in) {
  auto* to = lanes_of<C>(w, in.operands[0]);
  const auto* a = lanes_of<C>(w, in.operands[1]);
  const auto* b = lanes_of<C>(w, in.operands[2]);
  const uint32_t takes_a = w.predicates[in.operands[3]];
  each_lane(w.executing, [&](uint32_t lane) { to[lane] = has(takes_a, lane) ? a[lane] : b[lane]; });
}

// F of one or two predicates, whose bits are lanes.
template <class F>
void combine(Warp& w, const Instruction& in) {
  const uint32_t a = w.predicates[in.operands[1]], b = w.predicates[in.operands.back()];
  uint32_t& to = w.predicates[in.operands[0]];
  to = (to & ~w.executing) | (F{}(a, b) & w.executing);
}
template <class F>
Form of_predicates(F, const char* operands) {
  return {combine<F>, operands};
}

// The halves of a word.
template <class C>
void unpack(Warp& w, const Instruction& in) {
  constexpr int kHalf = sizeof(C) * 4;  // bits
  auto* low = lanes_of<uint32_t>(w, in.operands[0]);
  auto* high = lanes_of<uint32_t>(w, in.operands[1]);
  const auto* from = lanes_of<C>(w, in.operands[2]);
  each_lane(w.executing, [&](uint32_t lane) {
    const C both = from[lane];
    low[lane] = static_cast<uint32_t>(both & ((C{1} << kHalf) - 1));
    high[lane] = static_cast<uint32_t>(both >> kHalf);
  });
}

// `sign` times where the block's shared memory lies is added.
template <int kSign>
void move_shared_address(Warp& w, const Instruction& in) {
  auto* to = lanes_of<uint64_t>(w, in.operands[0]);
  const auto* from = lanes_of<uint64_t>(w, in.operands[1]);
  const auto shared = reinterpret_cast<uint64_t>(w.block->shared);
  each_lane(w.executing, [&](uint32_t lane) { to[lane] = kSign > 0 ? from[lane] + shared : from[lane] - shared; });
}

void read_clock(Warp& w, const Instruction& in) {
  auto* to = lanes_of<uint64_t>(w, in.operands[0]);
  const auto now = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  each_lane(w.executing, [&](uint32_t lane) { to[lane] = now; });
}

void set_conditional(Warp& w, const Instruction& in) {
  const auto* handles = lanes_of<uint64_t>(w, in.operands[0]);
  const auto* values = lanes_of<uint32_t>(w, in.operands[1]);
  each_lane_apart(w.executing, [&](uint32_t lane) { conditional_setter()(handles[lane], values[lane]); });
}

}  // namespace

void on_set_conditional(std::function<void(uint64_t, uint32_t)> setter) { conditional_setter() = std::move(setter); }

void add_moves(Table& table) {
  const Form move4 = each<uint32_t(uint32_t)>([](uint32_t a) { return a; });
  const Form move8 = each<uint64_t(uint64_t)>([](uint64_t a) { return a; });
  for (const std::string type : {"b16", "u16", "s16", "b32", "u32", "s32", "f32"}) {
    table.add("mov." + type, move4);
    table.add("selp." + type, {select<uint32_t>, "444p"});
  }
  for (const std::string type : {"b64", "u64", "s64", "f64"}) {
    table.add("mov." + type, move8);
    table.add("selp." + type, {select<uint64_t>, "888p"});
  }
  table.add("pack.b32", each<uint32_t(uint32_t, uint32_t)>(
                            [](uint32_t low, uint32_t high) { return (low & 0xffff) | high << 16; }));
  table.add("pack.b64",
            each<uint64_t(uint32_t, uint32_t)>([](uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }));
  table.add("unpack.b32", {unpack<uint32_t>, "444"});
  table.add("unpack.b64", {unpack<uint64_t>, "448"});

  table.add("mov.pred", of_predicates([](uint32_t a, uint32_t) { return a; }, "pp"));
  table.add("not.pred", of_predicates([](uint32_t a, uint32_t) { return ~a; }, "pp"));
  table.add("and.pred", of_predicates([](uint32_t a, uint32_t b) { return a & b; }, "ppp"));
  table.add("or.pred", of_predicates([](uint32_t a, uint32_t b) { return a | b; }, "ppp"));
  table.add("xor.pred", of_predicates([](uint32_t a, uint32_t b) { return a ^ b; }, "ppp"));

  for (const char* name : {"cvta.global.u64", "cvta.to.global.u64", "cvta.local.u64", "cvta.to.local.u64"}) {
    table.add(name, move8);
  }
  table.add("cvta.shared.u64", {move_shared_address<1>, "88"});
  table.add("cvta.to.shared.u64", {move_shared_address<-1>, "88"});
  table.add("%clock64", {read_clock, "8"});
  table.add("cudaGraphSetConditional", {set_conditional, "84"});
}

}  // namespace forja::ptx
