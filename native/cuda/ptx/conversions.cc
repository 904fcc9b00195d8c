// Conversions: PTX ISA, "Data Movement and Conversion Instructions: cvt". float16 and bfloat16 lie in 16 bits of a
// register, TF32 in 32 with the lowest 13 bits zero.
#include <cmath>
#include <limits>

#include "../emulation/formats.h"
#include "table.h"

namespace forja::ptx {
namespace {

using simt::bf16_to_float, simt::float_to_bf16, simt::float_to_half, simt::half_to_float;

// To an integer, of a value that is rounded to one: the nearest that D has; 0 of what is not a number, or for 64 bits
// the least, as GPUs give it.
template <class D, class S>
D saturated(S v) {
  using Limits = std::numeric_limits<D>;
  if (std::isnan(v)) return sizeof(D) == 4 ? D{0} : Limits::min();
  if (v < static_cast<S>(Limits::min())) return Limits::min();
  if (v >= -static_cast<S>(Limits::min())) return Limits::max();
  return static_cast<D>(v);
}

template <class D, class S>
void add(Table& table, const char* name) {
  table.add(name, each<D(S)>([](S a) { return static_cast<D>(a); }));
}

void add_integers_to_integers(Table& table) {
  add<int16_t, int8_t>(table, "cvt.s16.s8");
  add<uint16_t, uint8_t>(table, "cvt.u16.u8");
  add<uint16_t, uint32_t>(table, "cvt.u16.u32");
  add<uint16_t, uint64_t>(table, "cvt.u16.u64");
  add<int32_t, int8_t>(table, "cvt.s32.s8");
  add<uint32_t, uint8_t>(table, "cvt.u32.u8");
  add<int32_t, int16_t>(table, "cvt.s32.s16");
  add<uint32_t, uint16_t>(table, "cvt.u32.u16");
  add<int32_t, int64_t>(table, "cvt.s32.s64");
  add<uint32_t, uint64_t>(table, "cvt.u32.u64");
  add<int64_t, int8_t>(table, "cvt.s64.s8");
  add<uint64_t, uint8_t>(table, "cvt.u64.u8");
  add<int64_t, int16_t>(table, "cvt.s64.s16");
  add<uint64_t, uint16_t>(table, "cvt.u64.u16");
  add<int64_t, int32_t>(table, "cvt.s64.s32");
  add<uint64_t, uint32_t>(table, "cvt.u64.u32");
}

template <class D>
void add_to_float(Table& table, const std::string& type) {
  const auto name = [&](const char* from) { return "cvt.rn." + type + "." + from; };
  add<D, int16_t>(table, name("s16").c_str());
  add<D, uint16_t>(table, name("u16").c_str());
  add<D, int32_t>(table, name("s32").c_str());
  add<D, uint32_t>(table, name("u32").c_str());
  add<D, int64_t>(table, name("s64").c_str());
  add<D, uint64_t>(table, name("u64").c_str());
}

// To an integer, and to one that stays a float.
template <class S>
void add_rounded(Table& table, const std::string& type) {
  const auto add = [&](const char* mode, auto round) {
    const std::string begin = std::string("cvt.") + mode;
    using Round = decltype(round);
    table.add(begin + ".s32." + type, each<int32_t(S)>([](S a) { return saturated<int32_t, S>(Round{}(a)); }));
    table.add(begin + ".s64." + type, each<int64_t(S)>([](S a) { return saturated<int64_t, S>(Round{}(a)); }));
    table.add(begin + "." + type + "." + type, each<S(S)>([](S a) { return Round{}(a); }));
  };
  add("rni", [](S a) { return std::nearbyint(a); });
  add("rzi", [](S a) { return std::trunc(a); });
  add("rmi", [](S a) { return std::floor(a); });
  add("rpi", [](S a) { return std::ceil(a); });
}

// To nearest, ties away from zero; what is not finite stays.
uint32_t to_tf32(uint32_t bits) {
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? (bits + 0x1000u) & ~0x1fffu : bits;
}

}  // namespace

void add_conversions(Table& table) {
  add_integers_to_integers(table);
  add_to_float<float>(table, "f32");
  add_to_float<double>(table, "f64");
  add_rounded<float>(table, "f32");
  add_rounded<double>(table, "f64");
  add<double, float>(table, "cvt.f64.f32");
  add<float, double>(table, "cvt.rn.f32.f64");
  table.add("cvt.sat.f32.f32", each<float(float)>([](float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; }));
  table.add("cvt.rna.tf32.f32", each<uint32_t(uint32_t)>([](uint32_t a) { return to_tf32(a); }));
  table.add("cvt.rn.bf16.f32", each<uint16_t(float)>([](float a) { return float_to_bf16(a); }));
  table.add("cvt.f32.bf16", each<float(uint16_t)>([](uint16_t a) { return bf16_to_float(a); }));
  table.add("cvt.rn.f16.f32", each<uint16_t(float)>([](float a) { return float_to_half(a); }));
  // The first one to the upper half.
  table.add("cvt.rn.bf16x2.f32", each<uint32_t(float, float)>([](float a, float b) {
              return uint32_t{float_to_bf16(a)} << 16 | float_to_bf16(b);
            }));
  table.add("cvt.rn.f16x2.f32", each<uint32_t(float, float)>([](float a, float b) {
              return uint32_t{float_to_half(a)} << 16 | float_to_half(b);
            }));
  table.add("cvt.f32.f16", each<float(uint16_t)>([](uint16_t a) { return half_to_float(a); }));
}

}  // namespace forja::ptx
