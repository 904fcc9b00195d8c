// Instructions on constants, and the bits that the PTX ISA gives for them.
#include <cstdio>

#include "planted.h"

namespace forja::ptx {
namespace {

// `code` leaves the bits in the register, whose prefix gives their number.
struct Case {
  const char *code, *result;
  uint64_t bits;
};

constexpr Case kIntegers[] = {
    {"add.s32 %r1, 0x7fffffff, 1;", "%r1", 0x80000000},
    {"sub.u32 %r1, 0, 1;", "%r1", 0xffffffff},
    {"add.s16 %h1, 0x7fff, 1;", "%h1", 0x8000},
    {"add.s64 %rd2, 0xffffffff, 1;", "%rd2", 0x100000000},
    {"mul.lo.s32 %r1, 0x12345678, 0x1000;", "%r1", 0x45678000},
    {"mul.lo.s64 %rd2, -3, 5;", "%rd2", 0xfffffffffffffff1},
    {"mul.hi.s32 %r1, -1, 2;", "%r1", 0xffffffff},
    {"mul.hi.u32 %r1, 0xffffffff, 2;", "%r1", 1},
    {"mul.hi.s64 %rd2, -1, 2;", "%rd2", 0xffffffffffffffff},
    {"mul.hi.u64 %rd2, 0xffffffffffffffff, 0xffffffffffffffff;", "%rd2", 0xfffffffffffffffe},
    {"mul.wide.s32 %rd2, -2, 3;", "%rd2", 0xfffffffffffffffa},
    {"mul.wide.u32 %rd2, 0xffffffff, 0xffffffff;", "%rd2", 0xfffffffe00000001},
    {"mul.wide.s16 %r1, -2, 3;", "%r1", 0xfffffffa},
    {"mul.wide.u16 %r1, 0xffff, 0xffff;", "%r1", 0xfffe0001},
    {"mad.lo.s32 %r1, 7, -3, 1;", "%r1", 0xffffffec},
    {"mad.wide.s32 %rd2, -1, 4, 2;", "%rd2", 0xfffffffffffffffe},
    {"mad.wide.u32 %rd2, 0xffffffff, 2, 3;", "%rd2", 0x200000001},
    {"div.s32 %r1, -7, 2;", "%r1", 0xfffffffd},
    {"div.u32 %r1, -7, 2;", "%r1", 0x7ffffffc},
    {"div.s32 %r1, 0x80000000, -1;", "%r1", 0x80000000},
    {"div.u32 %r1, 5, 0;", "%r1", 0xffffffff},
    {"rem.s32 %r1, -7, 2;", "%r1", 0xffffffff},
    {"rem.s32 %r1, 0x80000000, -1;", "%r1", 0},
    {"rem.s64 %rd2, 7, -4;", "%rd2", 3},
    {"div.s64 %rd2, 0x8000000000000000, -1;", "%rd2", 0x8000000000000000},
    {"min.s32 %r1, -1, 1;", "%r1", 0xffffffff},
    {"min.u32 %r1, -1, 1;", "%r1", 1},
    {"max.s64 %rd2, -1, 1;", "%rd2", 1},
    {"max.u16 %h1, 0xffff, 1;", "%h1", 0xffff},
    {"neg.s32 %r1, 0x80000000;", "%r1", 0x80000000},
    {"neg.s64 %rd2, 1;", "%rd2", 0xffffffffffffffff},
    {"abs.s32 %r1, 0x80000000;", "%r1", 0x80000000},
    {"abs.s32 %r1, -5;", "%r1", 5},
};

constexpr Case kBits[] = {
    {"and.b32 %r1, 0xff00ff00, 0x0ff00ff0;", "%r1", 0x0f000f00},
    {"or.b64 %rd2, 0xf0, 0x0f;", "%rd2", 0xff},
    {"xor.b16 %h1, 0xffff, 0x0f0f;", "%h1", 0xf0f0},
    {"not.b32 %r1, 0;", "%r1", 0xffffffff},
    {"not.b64 %rd2, 0;", "%rd2", 0xffffffffffffffff},
    {"shl.b32 %r1, 1, 31;", "%r1", 0x80000000},
    {"shl.b32 %r1, 1, 32;", "%r1", 0},
    {"shl.b64 %rd2, 1, 63;", "%rd2", 0x8000000000000000},
    {"shl.b64 %rd2, 1, 64;", "%rd2", 0},
    {"shr.u32 %r1, 0x80000000, 31;", "%r1", 1},
    {"shr.u32 %r1, 0x80000000, 32;", "%r1", 0},
    {"shr.s32 %r1, 0x80000000, 31;", "%r1", 0xffffffff},
    {"shr.s32 %r1, 0x80000000, 100;", "%r1", 0xffffffff},
    {"shr.s32 %r1, 0x7fffffff, 100;", "%r1", 0},
    {"shr.u16 %h1, 0x8000, 15;", "%h1", 1},
    {"shr.u16 %h1, 0x8000, 16;", "%h1", 0},
    {"shr.s64 %rd2, 0x8000000000000000, 64;", "%rd2", 0xffffffffffffffff},
    {"bfi.b32 %r1, 0xab, 0xffffffff, 8, 8;", "%r1", 0xffffabff},
    {"bfi.b32 %r1, 0xab, 0, 28, 8;", "%r1", 0xb0000000},
    {"bfi.b32 %r1, 0xab, 7, 32, 8;", "%r1", 7},
    {"bfi.b32 %r1, 0xab, 7, 4, 0;", "%r1", 7},
    {"bfi.b32 %r1, 0x12345678, 7, 0, 32;", "%r1", 0x12345678},
    {"bfi.b64 %rd2, 0xab, 0, 60, 8;", "%rd2", 0xb000000000000000},
    {"prmt.b32 %r1, 0x33221100, 0x77665544, 0x3210;", "%r1", 0x33221100},
    {"prmt.b32 %r1, 0x33221100, 0x77665544, 0x7654;", "%r1", 0x77665544},
    {"prmt.b32 %r1, 0x33221180, 0, 0x8088;", "%r1", 0xff80ffff},
    {"prmt.b32 %r1, 0x33221100, 0, 0xb123;", "%r1", 0x00112233},
    {"brev.b32 %r1, 0x80000001;", "%r1", 0x80000001},
    {"brev.b32 %r1, 0x00000003;", "%r1", 0xc0000000},
    {"popc.b32 %r1, 0xf0f0f0f0;", "%r1", 16},
    {"clz.b32 %r1, 0;", "%r1", 32},
    {"clz.b32 %r1, 1;", "%r1", 31},
    {"bfind.u32 %r1, 0;", "%r1", 0xffffffff},
    {"bfind.u32 %r1, 0x00010000;", "%r1", 16},
    {"bfind.shiftamt.u32 %r1, 0x00010000;", "%r1", 15},
    {"shf.l.wrap.b32 %r1, 0xabcdef01, 0x12345678, 36;", "%r1", 0x2345678a},
    {"shf.r.wrap.b32 %r1, 0xabcdef01, 0x12345678, 36;", "%r1", 0x8abcdef0},
    {"mov.b32 %r1, {0x1234, 0x5678};", "%r1", 0x56781234},
    {"mov.b32 %r1, 0x56781234; mov.b32 {%h1, %h2}, %r1;", "%h2", 0x5678},
    {"mov.b64 %rd2, {1, 2};", "%rd2", 0x200000001},
    {"mov.b64 %rd2, 0x200000001; mov.b64 {%r1, _}, %rd2;", "%r1", 1},
    {"mov.b64 %rd2, 0x200000001; mov.b64 {_, %r1}, %rd2;", "%r1", 2},
};

constexpr Case kComparisons[] = {
    {"setp.lt.s32 %p1, -1, 0;", "%p1", 1},
    {"setp.lt.u32 %p1, -1, 0;", "%p1", 0},
    {"setp.ge.s64 %p1, -1, 0;", "%p1", 0},
    {"setp.gt.u16 %p1, 0xffff, 1;", "%p1", 1},
    {"setp.ne.s16 %p1, 0x10001, 1;", "%p1", 0},
    {"setp.eq.f32 %p1, 0f00000000, 0f80000000;", "%p1", 1},
    {"setp.eq.f32 %p1, 0f7fc00000, 0f7fc00000;", "%p1", 0},
    {"setp.ne.f32 %p1, 0f7fc00000, 0f3f800000;", "%p1", 0},
    {"setp.neu.f32 %p1, 0f7fc00000, 0f3f800000;", "%p1", 1},
    {"setp.equ.f32 %p1, 0f7fc00000, 0f3f800000;", "%p1", 1},
    {"setp.lt.f32 %p1, 0f7fc00000, 0f3f800000;", "%p1", 0},
    {"setp.ltu.f32 %p1, 0f7fc00000, 0f3f800000;", "%p1", 1},
    {"setp.ltu.f32 %p1, 0f3f800000, 0f3f800000;", "%p1", 0},
    {"setp.geu.f64 %p1, 0d7ff8000000000000, 0d0000000000000000;", "%p1", 1},
    {"setp.leu.f32 %p1, 0f40000000, 0f3f800000;", "%p1", 0},
    {"setp.gtu.f32 %p1, 0f40000000, 0f3f800000;", "%p1", 1},
    {"setp.num.f32 %p1, 0f40000000, 0f3f800000;", "%p1", 1},
    {"setp.num.f32 %p1, 0f40000000, 0f7fc00000;", "%p1", 0},
    {"setp.nan.f32 %p1, 0f40000000, 0f7fc00000;", "%p1", 1},
    {"setp.eq.s32 %p1, 0, 0; not.pred %p2, %p1;", "%p2", 0},
    {"setp.eq.s32 %p1, 0, 0; xor.pred %p2, %p1, 1;", "%p2", 0},
    {"setp.eq.s32 %p1, 0, 0; and.pred %p2, %p1, 0;", "%p2", 0},
    {"setp.eq.s32 %p1, 0, 1; or.pred %p2, %p1, 1;", "%p2", 1},
    {"setp.eq.s32 %p1, 0, 1; selp.b32 %r1, 5, 6, %p1;", "%r1", 6},
    {"setp.eq.s32 %p1, 0, 0; selp.f64 %d1, 0d3ff0000000000000, 0d0000000000000000, %p1;", "%d1", 0x3ff0000000000000},
    {"mov.u32 %r1, 1; setp.eq.s32 %p1, 0, 1; @%p1 mov.u32 %r1, 2;", "%r1", 1},
    {"mov.u32 %r1, 1; setp.eq.s32 %p1, 0, 1; @!%p1 mov.u32 %r1, 2;", "%r1", 2},
};

// 0f3f800001 is the number behind 1, 0f33800000 half of its distance from 1.
constexpr Case kFloats[] = {
    {"add.f32 %f1, 0f3f800000, 0f33800000;", "%f1", 0x3f800000},  // a tie, to even
    {"add.f32 %f1, 0f3f800001, 0f33800000;", "%f1", 0x3f800002},
    {"add.rn.f32 %f1, 0f3f800000, 0f33800001;", "%f1", 0x3f800001},
    {"add.rz.f32 %f1, 0f3f800001, 0f33800000;", "%f1", 0x3f800001},
    {"add.rz.f32 %f1, 0fbf800001, 0fb3800000;", "%f1", 0xbf800001},
    {"add.rz.f32 %f1, 0f3f800000, 0f80000001;", "%f1", 0x3f7fffff},  // less than 1 by almost nothing
    {"add.rz.f32 %f1, 0f7f7fffff, 0f7f7fffff;", "%f1", 0x7f7fffff},
    {"add.rz.f32 %f1, 0f3f800000, 0fbf800000;", "%f1", 0},
    {"add.rz.f64 %d1, 0d3ff0000000000001, 0d3ca0000000000000;", "%d1", 0x3ff0000000000001},
    {"add.rz.f64 %d1, 0d3ff0000000000000, 0d8000000000000001;", "%d1", 0x3fefffffffffffff},
    {"add.rz.f64 %d1, 0d7fefffffffffffff, 0d7fefffffffffffff;", "%d1", 0x7fefffffffffffff},
    {"add.f32 %f1, 0f7f800000, 0fff800000; setp.nan.f32 %p1, %f1, %f1;", "%p1", 1},
    {"mul.f32 %f1, 0f00800000, 0f3f000000;", "%f1", 0x00400000},  // subnormals stay
    // (1 + 2^-23)^2 - 1 - 2^-22 = 2^-46, which a product that is rounded first loses.
    {"fma.rn.f32 %f1, 0f3f800001, 0f3f800001, 0fbf800002;", "%f1", 0x28800000},
    {"mul.f32 %f1, 0f3f800001, 0f3f800001; sub.f32 %f1, %f1, 0f3f800002;", "%f1", 0},
    {"fma.rn.f64 %d1, 0d3ff0000000000001, 0d3ff0000000000001, 0dbff0000000000002;", "%d1", 0x3970000000000000},
    {"fma.rm.f32 %f1, 0f3f800001, 0f3f800001, 0f00000000;", "%f1", 0x3f800002},
    {"fma.rm.f32 %f1, 0fbf800001, 0f3f800001, 0f00000000;", "%f1", 0xbf800003},
    {"fma.rm.f32 %f1, 0f3f800000, 0f3f800000, 0f80000001;", "%f1", 0x3f7fffff},
    {"fma.rm.f32 %f1, 0f3f800000, 0f3f800000, 0fbf800000;", "%f1", 0x80000000},  // -0
    {"fma.rm.f32 %f1, 0f00000000, 0f3f800000, 0f00000000;", "%f1", 0},
    {"fma.rm.f32 %f1, 0f7f7fffff, 0f40000000, 0f00000000;", "%f1", 0x7f7fffff},
    {"fma.rm.f32 %f1, 0fff7fffff, 0f40000000, 0f00000000;", "%f1", 0xff800000},
    {"fma.rm.f32 %f1, 0f80000001, 0f00000001, 0f00000000;", "%f1", 0x80000001},
    {"div.rn.f32 %f1, 0f3f800000, 0f40400000;", "%f1", 0x3eaaaaab},
    {"div.rn.f64 %d1, 0d3ff0000000000000, 0d4008000000000000;", "%d1", 0x3fd5555555555555},
    {"div.rn.f32 %f1, 0fbf800000, 0f00000000;", "%f1", 0xff800000},
    {"rcp.rn.f32 %f1, 0f40400000;", "%f1", 0x3eaaaaab},
    {"sqrt.rn.f32 %f1, 0f40000000;", "%f1", 0x3fb504f3},
    {"neg.f32 %f1, 0f00000000;", "%f1", 0x80000000},
    {"abs.f32 %f1, 0fbf800000;", "%f1", 0x3f800000},
    {"copysign.f32 %f1, 0f80000000, 0f40000000;", "%f1", 0xc0000000},
    {"min.f32 %f1, 0f7fc00000, 0f40000000;", "%f1", 0x40000000},
    {"max.f32 %f1, 0f40000000, 0f7fc00000;", "%f1", 0x40000000},
    {"min.f32 %f1, 0f00000000, 0f80000000;", "%f1", 0x80000000},
    {"max.f32 %f1, 0f80000000, 0f00000000;", "%f1", 0},
    {"max.f64 %d1, 0d3ff0000000000000, 0d4000000000000000;", "%d1", 0x4000000000000000},
    {"ex2.approx.f32 %f1, 0f40400000;", "%f1", 0x41000000},
    {"ex2.approx.ftz.f32 %f1, 0fc3020000;", "%f1", 0},  // 2^-130
    {"ex2.approx.f32 %f1, 0fc3020000;", "%f1", 0x00080000},
    {"rcp.approx.ftz.f32 %f1, 0f40000000;", "%f1", 0x3f000000},
    {"rcp.approx.ftz.f32 %f1, 0f80000001;", "%f1", 0xff800000},  // of a subnormal, which is -0
    {"lg2.approx.f32 %f1, 0f41000000;", "%f1", 0x40400000},
};

constexpr Case kConversions[] = {
    {"cvt.s64.s32 %rd2, -1;", "%rd2", 0xffffffffffffffff},
    {"cvt.u64.u32 %rd2, -1;", "%rd2", 0xffffffff},
    {"mov.b64 %rd3, 0x1122334455667788; cvt.u32.u64 %r1, %rd3;", "%r1", 0x55667788},
    {"mov.b64 %rd3, 0x11223344556677f8; cvt.s64.s8 %rd2, %rd3;", "%rd2", 0xfffffffffffffff8},
    {"cvt.s32.s8 %r1, 0x80;", "%r1", 0xffffff80},
    {"cvt.u32.u8 %r1, 0x180;", "%r1", 0x80},
    {"cvt.u32.u16 %r1, 0x18000;", "%r1", 0x8000},
    {"cvt.s32.s16 %r1, 0x8000;", "%r1", 0xffff8000},
    {"cvt.u16.u32 %h1, 0x12345;", "%h1", 0x2345},
    {"cvt.rn.f32.s32 %f1, 0x01000001;", "%f1", 0x4b800000},  // 2^24 + 1, a tie
    {"cvt.rn.f32.s32 %f1, 0x01000003;", "%f1", 0x4b800002},
    {"cvt.rn.f32.u64 %f1, 0xffffffffffffffff;", "%f1", 0x5f800000},
    {"cvt.rn.f32.s64 %f1, -1;", "%f1", 0xbf800000},
    {"cvt.rn.f64.u32 %d1, 0xffffffff;", "%d1", 0x41efffffffe00000},
    {"cvt.rn.f32.f64 %f1, 0d3ff0000010000000;", "%f1", 0x3f800000},
    {"cvt.f64.f32 %d1, 0f3f800001;", "%d1", 0x3ff0000020000000},
    {"cvt.rzi.s32.f32 %r1, 0fbfe00000;", "%r1", 0xffffffff},  // -1.75
    {"cvt.rni.s32.f32 %r1, 0f40200000;", "%r1", 2},           // 2.5
    {"cvt.rni.s32.f32 %r1, 0f40600000;", "%r1", 4},           // 3.5
    {"cvt.rmi.s32.f32 %r1, 0fbfa00000;", "%r1", 0xfffffffe},  // -1.25
    {"cvt.rpi.s32.f32 %r1, 0f3fa00000;", "%r1", 2},
    {"cvt.rzi.s32.f32 %r1, 0f7fc00000;", "%r1", 0},
    {"cvt.rzi.s32.f32 %r1, 0f7f800000;", "%r1", 0x7fffffff},
    {"cvt.rzi.s32.f32 %r1, 0fff800000;", "%r1", 0x80000000},
    {"cvt.rzi.s64.f64 %rd2, 0d43e0000000000000;", "%rd2", 0x7fffffffffffffff},  // 2^63
    {"cvt.rni.f32.f32 %f1, 0fbf000000;", "%f1", 0x80000000},                    // -0.5
    {"cvt.rzi.f64.f64 %d1, 0dbff8000000000000;", "%d1", 0xbff0000000000000},
    {"cvt.sat.f32.f32 %f1, 0f40000000;", "%f1", 0x3f800000},
    {"cvt.sat.f32.f32 %f1, 0fbf800000;", "%f1", 0},
    {"cvt.sat.f32.f32 %f1, 0f7fc00000;", "%f1", 0},
    {"cvt.rna.tf32.f32 %r1, 0x3f801000;", "%r1", 0x3f802000},  // a tie, away from zero
    {"cvt.rna.tf32.f32 %r1, 0xbf801000;", "%r1", 0xbf802000},
    {"cvt.rna.tf32.f32 %r1, 0x3f800fff;", "%r1", 0x3f800000},
    {"cvt.rna.tf32.f32 %r1, 0x7f800000;", "%r1", 0x7f800000},
    {"cvt.rn.bf16.f32 %h1, 0f3f808000;", "%h1", 0x3f80},  // a tie, to even
    {"cvt.rn.bf16.f32 %h1, 0f3f818000;", "%h1", 0x3f82},
    {"cvt.rn.bf16.f32 %h1, 0f7f7fffff;", "%h1", 0x7f80},
    {"cvt.rn.bf16.f32 %h1, 0fffc00001;", "%h1", 0x7fff},
    {"cvt.rn.bf16x2.f32 %r1, 0f3f800000, 0fc0400000;", "%r1", 0x3f80c040},
    {"cvt.rn.f16x2.f32 %r1, 0f3f800000, 0fc0400000;", "%r1", 0x3c00c200},
    {"mov.b16 %h1, 0xc040; cvt.f32.bf16 %f1, %h1;", "%f1", 0xc0400000},
    {"cvt.rn.f16.f32 %h1, 0f477fe000;", "%h1", 0x7bff},  // 65504
    {"cvt.rn.f16.f32 %h1, 0f477ff000;", "%h1", 0x7c00},  // halfway to 65536
    {"cvt.rn.f16.f32 %h1, 0f33800000;", "%h1", 1},       // 2^-24
    {"cvt.rn.f16.f32 %h1, 0f33000000;", "%h1", 0},       // half of that
    {"mov.b16 %h1, 0x8001; cvt.f32.f16 %f1, %h1;", "%f1", 0xb3800000},
    {"mov.b16 %h1, 0x7c00; cvt.f32.f16 %f1, %h1;", "%f1", 0x7f800000},
};

// Stores the register's bits as 8 bytes.
std::string store(const std::string& name) {
  if (name.starts_with("%rd")) return "st.global.u64 [%rd1], " + name + ";";
  if (name.starts_with("%d")) return "st.global.f64 [%rd1], " + name + ";";
  if (name.starts_with("%f")) return "st.global.f32 [%rd1], " + name + ";";
  if (name.starts_with("%h")) return "st.global.u16 [%rd1], " + name + ";";
  if (name.starts_with("%p")) return "selp.u32 %r99, 1, 0, " + name + "; st.global.u32 [%rd1], %r99;";
  return "st.global.u32 [%rd1], " + name + ";";
}

Outcome check(const Case& one) {
  Memory in(8), out(8);
  try {
    run({one.code, one.code + store(one.result)}, in, out);
  } catch (const Fault& fault) {
    return {one.code, false, fault.text};
  }
  char text[100];
  std::snprintf(text, sizeof text, "%#lx, expected %#lx", out.get<uint64_t>(0), one.bits);
  return {one.code, out.get<uint64_t>(0) == one.bits, text};
}

}  // namespace

std::vector<Outcome> check_instructions() {
  std::vector<Outcome> all;
  for (const Case& one : kIntegers) all.push_back(check(one));
  for (const Case& one : kBits) all.push_back(check(one));
  for (const Case& one : kComparisons) all.push_back(check(one));
  for (const Case& one : kFloats) all.push_back(check(one));
  for (const Case& one : kConversions) all.push_back(check(one));
  return all;
}

}  // namespace forja::ptx
