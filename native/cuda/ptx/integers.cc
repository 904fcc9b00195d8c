// Integers and bits: PTX ISA, "Integer Arithmetic Instructions", "Logic and Shift Instructions" and "Comparison and
// Selection Instructions". Sums and products wrap around; what the specification leaves open (a division by 0) is as
// GPUs have it.
#include <algorithm>

#include "table.h"

namespace forja::ptx {
namespace {

template <class T>
T negated(T a) {
  return static_cast<T>(uint64_t{0} - static_cast<uint64_t>(a));
}
// The division of the least number by -1 among them, which C++ does not define.
template <class T>
bool is_by_minus_one(T b) {
  return std::is_signed_v<T> && b == static_cast<T>(-1);
}

template <class T>
void add_arithmetic(Table& table, const std::string& type) {
  using U = std::make_unsigned_t<T>;
  using Wide = uint64_t;
  table.add("add." + type, each<T(T, T)>([](T a, T b) { return static_cast<T>(Wide{U(a)} + U(b)); }));
  table.add("sub." + type, each<T(T, T)>([](T a, T b) { return static_cast<T>(Wide{U(a)} - U(b)); }));
  table.add("mul.lo." + type, each<T(T, T)>([](T a, T b) { return static_cast<T>(Wide{U(a)} * U(b)); }));
  table.add("mad.lo." + type, each<T(T, T, T)>([](T a, T b, T c) { return static_cast<T>(Wide{U(a)} * U(b) + U(c)); }));
  table.add("div." + type, each<T(T, T)>([](T a, T b) {
              if (b == 0) return static_cast<T>(-1);
              return is_by_minus_one(b) ? negated(a) : static_cast<T>(a / b);
            }));
  table.add("rem." + type, each<T(T, T)>([](T a, T b) {
              if (b == 0) return a;
              return is_by_minus_one(b) ? T{0} : static_cast<T>(a % b);
            }));
  table.add("min." + type, each<T(T, T)>([](T a, T b) { return a < b ? a : b; }));
  table.add("max." + type, each<T(T, T)>([](T a, T b) { return a > b ? a : b; }));
  if constexpr (std::is_signed_v<T>) {
    table.add("neg." + type, each<T(T)>([](T a) { return negated(a); }));
    table.add("abs." + type, each<T(T)>([](T a) { return a < 0 ? negated(a) : a; }));
  }
  // All of a shift that is too far, which of a negative number are signs.
  table.add("shr." + type, each<T(T, uint32_t)>([](T a, uint32_t by) {
              return static_cast<T>(a >> std::min<uint32_t>(by, sizeof(T) * 8 - 1) >> (by >= sizeof(T) * 8 ? 1 : 0));
            }));
  add_order<T>(table, type);
  table.add("setp.ne." + type, compare<T>([](T a, T b) { return a != b; }));
}

template <class T>
void add_bits(Table& table, const std::string& type) {
  table.add("and." + type, each<T(T, T)>([](T a, T b) { return static_cast<T>(a & b); }));
  table.add("or." + type, each<T(T, T)>([](T a, T b) { return static_cast<T>(a | b); }));
  table.add("xor." + type, each<T(T, T)>([](T a, T b) { return static_cast<T>(a ^ b); }));
  table.add("not." + type, each<T(T)>([](T a) { return static_cast<T>(~a); }));
  table.add("shl." + type, each<T(T, uint32_t)>([](T a, uint32_t by) {
              return by >= sizeof(T) * 8 ? T{0} : static_cast<T>(uint64_t{a} << by);
            }));
  table.add("setp.eq." + type, compare<T>([](T a, T b) { return a == b; }));
  table.add("setp.ne." + type, compare<T>([](T a, T b) { return a != b; }));
}

// d has the bits of b, of which `count` from `first` on are the lowest ones of a.
template <class T>
T insert_bits(T a, T b, uint32_t first, uint32_t count) {
  constexpr uint32_t kBits = sizeof(T) * 8;
  first &= 255, count &= 255;
  if (first >= kBits || count == 0) return b;
  const T mask = static_cast<T>(count >= kBits ? ~T{0} : (T{1} << count) - 1) << first;
  return (b & ~mask) | (a << first & mask);
}

// Four bytes of a and b, by a digit each of `selector`: which, and, bit 3, whether only its sign in all bits.
uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t all = a | uint64_t{b} << 32;
  uint32_t result = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t digit = selector >> 4 * i & 15;
    const auto byte = static_cast<uint32_t>(all >> 8 * (digit & 7) & 255);
    const uint32_t signs = byte & 128 ? 255 : 0;
    result |= (digit & 8 ? signs : byte) << 8 * i;
  }
  return result;
}

uint32_t reverse(uint32_t a) {
  uint32_t result = 0;
  for (int i = 0; i < 32; i++) result |= (a >> i & 1) << (31 - i);
  return result;
}

void add_products(Table& table) {
  using S = int32_t;
  using U = uint32_t;
  using Wide = __int128;
  using UnsignedWide = unsigned __int128;
  table.add("mul.hi.s32", each<S(S, S)>([](S a, S b) { return static_cast<S>(int64_t{a} * b >> 32); }));
  table.add("mul.hi.u32", each<U(U, U)>([](U a, U b) { return static_cast<U>(uint64_t{a} * b >> 32); }));
  table.add("mul.hi.s64", each<int64_t(int64_t, int64_t)>(
                              [](int64_t a, int64_t b) { return static_cast<int64_t>(Wide{a} * b >> 64); }));
  table.add("mul.hi.u64", each<uint64_t(uint64_t, uint64_t)>(
                              [](uint64_t a, uint64_t b) { return static_cast<uint64_t>(UnsignedWide{a} * b >> 64); }));
  table.add("mul.wide.s16", each<S(int16_t, int16_t)>([](int16_t a, int16_t b) { return S{a} * b; }));
  table.add("mul.wide.u16", each<U(uint16_t, uint16_t)>([](uint16_t a, uint16_t b) { return U{a} * b; }));
  table.add("mul.wide.s32", each<int64_t(S, S)>([](S a, S b) { return int64_t{a} * b; }));
  table.add("mul.wide.u32", each<uint64_t(U, U)>([](U a, U b) { return uint64_t{a} * b; }));
  table.add("mad.wide.s32", each<uint64_t(S, S, uint64_t)>(
                                [](S a, S b, uint64_t c) { return static_cast<uint64_t>(int64_t{a} * b) + c; }));
  table.add("mad.wide.u32", each<uint64_t(U, U, uint64_t)>([](U a, U b, uint64_t c) { return uint64_t{a} * b + c; }));
}

void add_words(Table& table) {
  using U = uint32_t;
  using L = uint64_t;
  table.add("bfi.b32", each<U(U, U, U, U)>([](U a, U b, U first, U n) { return insert_bits(a, b, first, n); }));
  table.add("bfi.b64", each<L(L, L, U, U)>([](L a, L b, U first, U n) { return insert_bits(a, b, first, n); }));
  table.add("prmt.b32", each<U(U, U, U)>([](U a, U b, U selector) { return permute(a, b, selector); }));
  table.add("brev.b32", each<U(U)>([](U a) { return reverse(a); }));
  table.add("popc.b32", each<U(U)>([](U a) { return static_cast<U>(std::popcount(a)); }));
  table.add("clz.b32", each<U(U)>([](U a) { return static_cast<U>(std::countl_zero(a)); }));
  table.add("bfind.u32", each<U(U)>([](U a) { return a == 0 ? ~0u : 31u - static_cast<U>(std::countl_zero(a)); }));
  table.add("bfind.shiftamt.u32", each<U(U)>([](U a) { return a == 0 ? ~0u : static_cast<U>(std::countl_zero(a)); }));
  table.add("shf.l.wrap.b32", each<U(U, U, U)>([](U a, U b, U by) {
              return static_cast<U>((uint64_t{b} << 32 | a) << (by & 31) >> 32);
            }));
  table.add("shf.r.wrap.b32",
            each<U(U, U, U)>([](U a, U b, U by) { return static_cast<U>((uint64_t{b} << 32 | a) >> (by & 31)); }));
}

}  // namespace

void add_integers(Table& table) {
  add_arithmetic<int16_t>(table, "s16");
  add_arithmetic<uint16_t>(table, "u16");
  add_arithmetic<int32_t>(table, "s32");
  add_arithmetic<uint32_t>(table, "u32");
  add_arithmetic<int64_t>(table, "s64");
  add_arithmetic<uint64_t>(table, "u64");
  add_bits<uint16_t>(table, "b16");
  add_bits<uint32_t>(table, "b32");
  add_bits<uint64_t>(table, "b64");
  add_products(table);
  add_words(table);
}

}  // namespace forja::ptx
