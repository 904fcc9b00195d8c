// Instructions that each lane executes by itself.
#pragma once
#include <bit>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "machine.h"

namespace forja::ptx {

// What a lane of a register of type T is stored as.
template <class T>
using Cell = std::conditional_t<sizeof(T) <= 4, uint32_t, uint64_t>;

template <class T>
T from_cell(Cell<T> cell) {
  if constexpr (sizeof(T) < 4) {
    return static_cast<T>(cell);
  } else {
    return std::bit_cast<T>(cell);
  }
}
template <class T>
Cell<T> to_cell(T value) {
  if constexpr (sizeof(T) < 4) {
    return static_cast<std::make_unsigned_t<T>>(value);
  } else {
    return std::bit_cast<Cell<T>>(value);
  }
}

template <class C>
C* lanes_of(Warp& w, Operand operand) {
  auto* begin = operand & kOfConstants ? const_cast<unsigned char*>(w.kernel->constants.data()) : w.registers;
  return reinterpret_cast<C*>(begin + (operand & ~kOfConstants));
}

// f(lane) for each of `lanes`, in ascending order.
template <class F>
void each_lane_apart(uint32_t lanes, F f) {
  for (; lanes != 0; lanes &= lanes - 1) f(static_cast<uint32_t>(std::countr_zero(lanes)));
}
// The same where no f needs another one's effect: of a full warp a loop that compilers vectorise.
template <class F>
void each_lane(uint32_t lanes, F f) {
  if (lanes != ~0u) return each_lane_apart(lanes, f);
#pragma GCC ivdep
  for (uint32_t lane = 0; lane < kLanes; lane++) f(lane);
}

inline bool has(uint32_t lanes, uint32_t lane) { return lanes >> lane & 1; }

// An instruction and what its operands are: p a predicate, 4 or 8 bytes a lane, i a number in the text.
struct Form {
  Execute execute;
  std::string operands;
};

template <class T>
constexpr char kind_of() {
  return sizeof(T) <= 4 ? '4' : '8';
}

template <class F, class D, class... A>
struct LaneWise {
  template <size_t... I>
  static void run(Warp& w, const Instruction& in, std::index_sequence<I...>) {
    auto* to = lanes_of<Cell<D>>(w, in.operands[0]);
    const std::tuple from{lanes_of<const Cell<A>>(w, in.operands[I + 1])...};
    each_lane(w.executing, [&](uint32_t i) { to[i] = to_cell<D>(F{}(from_cell<A>(std::get<I>(from)[i])...)); });
  }
  static void execute(Warp& w, const Instruction& in) { run(w, in, std::index_sequence_for<A...>{}); }
};

// each<D(A..)>(f): d = f(a..) in every lane.
template <class Signature>
struct Each;
template <class D, class... A>
struct Each<D(A...)> {
  template <class F>
  static Form of(F) {
    return {LaneWise<F, D, A...>::execute, {kind_of<D>(), kind_of<A>()...}};
  }
};
template <class Signature, class F>
Form each(F f) {
  return Each<Signature>::of(f);
}

template <class F, class T>
void execute_compare(Warp& w, const Instruction& in) {
  const auto* a = lanes_of<const Cell<T>>(w, in.operands[1]);
  const auto* b = lanes_of<const Cell<T>>(w, in.operands[2]);
  uint32_t bits = 0;
  for (uint32_t i = 0; i < kLanes; i++) bits |= uint32_t{F{}(from_cell<T>(a[i]), from_cell<T>(b[i]))} << i;
  uint32_t& to = w.predicates[in.operands[0]];
  to = (to & ~w.executing) | (bits & w.executing);
}
// p = f(a, b) in every lane.
template <class T, class F>
Form compare(F) {
  return {execute_compare<F, T>, {'p', kind_of<T>(), kind_of<T>()}};
}

}  // namespace forja::ptx
