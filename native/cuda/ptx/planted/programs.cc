// Programs that are right: warps that part and meet, what lanes tell each other, and products of matrices, whose
// fragments and layouts are written here once more from the PTX ISA.
#include <array>
#include <cmath>
#include <functional>

#include "../../emulation/formats.h"
#include "planted.h"

namespace forja::ptx {
namespace {

// Where thread t's word of `out` is: in %rd2.
const std::string kOwnOut = "mad.wide.u32 %rd2, %r0, 4, %rd1;";
const std::string kOwnIn = "mad.wide.u32 %rd3, %r0, 4, %rd0;";
const std::string kStore = kOwnOut + "st.global.u32 [%rd2], %r1;";

Outcome judge(const std::string& name, const std::function<std::string()>& check) {
  try {
    const std::string wrong = check();
    return {name, wrong.empty(), wrong};
  } catch (const Fault& fault) {
    return {name, false, fault.text};
  }
}

// The program leaves in %r1 of each thread what `expected` says.
Outcome check_words(Program program, const std::function<uint32_t(uint32_t)>& expected) {
  program.body += kStore;
  return judge(program.name, [&] {
    Memory in(4096), out(4 * program.threads);
    for (uint32_t i = 0; i < 1024; i++) in.set(i, i * i);
    run(program, in, out);
    for (uint32_t t = 0; t < program.threads; t++) {
      if (out.get<uint32_t>(t) == expected(t)) continue;
      return "thread " + std::to_string(t) + " has " + std::to_string(out.get<uint32_t>(t)) + ", not " +
             std::to_string(expected(t));
    }
    return std::string();
  });
}

// ---- control
// ---------------------------------------------------------------------------------------------------------
std::vector<Outcome> check_control() {
  return {
      // Both branches, then all lanes together again.
      check_words({"Branches meet", R"(
        and.b32 %r2, %r0, 1; setp.eq.u32 %p0, %r2, 0; @%p0 bra even;
        mul.lo.u32 %r1, %r0, 3; bra join;
        even: add.u32 %r1, %r0, 100;
        join: shfl.sync.bfly.b32 %r1, %r1, 1, 31, -1;)"},
                  [](uint32_t t) { return (t ^ 1) % 2 == 0 ? (t ^ 1) + 100 : (t ^ 1) * 3; }),
      // Lane t goes through the loop t + 1 times; then its sum is another lane's.
      check_words({"Loops of different lengths meet", R"(
        mov.u32 %r1, 0; mov.u32 %r2, 0;
        again: add.u32 %r1, %r1, %r2; add.u32 %r2, %r2, 1; setp.le.u32 %p0, %r2, %r0; @%p0 bra again;
        shfl.sync.idx.b32 %r1, %r1, 31, 31, -1;)"},
                  [](uint32_t) { return 31 * 32 / 2; }),
      check_words({"A branch inside of a branch", R"(
        mov.u32 %r1, 0; setp.lt.u32 %p0, %r0, 8; @%p0 bra end;
        mov.u32 %r1, 1; setp.lt.u32 %p0, %r0, 16; @%p0 bra end;
        mov.u32 %r1, 2; end: bar.warp.sync -1;)"},
                  [](uint32_t t) { return t / 8 < 2 ? t / 8 : 2; }),
      check_words({"A part of a warp's lanes by themselves", R"(
        mov.u32 %r1, 7; setp.ge.u32 %p0, %r0, 16; @%p0 bra end;
        shfl.sync.bfly.b32 %r1, %r0, 8, 31, 0xffff; end:)"},
                  [](uint32_t t) { return t < 16 ? t ^ 8 : 7; }),
      check_words({"A function that is called twice", R"(
        { .param .b32 given; .param .b32 got; sub.s32 %r2, %r0, 4; st.param.b32 [given+0], %r2;
          call.uni (got), twice, (given); ld.param.b32 %r1, [got+0]; }
        { .param .b32 given; .param .b32 got; st.param.b32 [given+0], %r1;
          call.uni (got), twice, (given); ld.param.b32 %r1, [got+0]; })"},
                  [](uint32_t t) { return t < 4 ? 0 : (t - 4) * 4; }),
      // What another warp wrote before the barrier; a warp that has ended holds nobody up.
      check_words({"Barriers", R"(
        mov.u32 %r3, dynamic; mad.lo.u32 %r4, %r0, 4, %r3; st.shared.u32 [%r4], %r0;
        setp.ge.u32 %p0, %r0, 96; mov.u32 %r1, 5; @%p0 bra end;
        bar.sync 0;
        xor.b32 %r2, %r0, 32; mad.lo.u32 %r4, %r2, 4, %r3; ld.shared.u32 %r1, [%r4];
        bar.sync 0; st.shared.u32 [%r4], %r1; end:)",
                   128, 1, 512},
                  [](uint32_t t) { return t < 64    ? t ^ 32
                                          : t >= 96 ? 5
                                                    : t ^ 32; }),
      check_words({"Lanes that end early", R"(
        mov.u32 %r1, 0; setp.lt.u32 %p0, %r0, 20; @%p0 bra on;)" +
                                               kStore + R"(ret;
        on: bar.warp.sync -1; vote.sync.ballot.b32 %r1, 1, 0xfffff;)"},
                  [](uint32_t t) { return t < 20 ? 0xfffff : 0; }),
      check_words({"A last warp that is not full", "vote.sync.ballot.b32 %r1, 1, -1;", 40},
                  [](uint32_t t) { return t < 32 ? 0xffffffff : 0xff; }),
  };
}

// ---- lanes
// ----------------------------------------------------------------------------------------------------------- A shuffle
// of the lanes' numbers: the value, and 100 more where the source lies outside.
Outcome check_shuffle(const char* mode, const char* operands, const std::function<uint32_t(uint32_t)>& expected) {
  const std::string line = std::string("shfl.sync.") + mode + ".b32 %r1|%p1, %r0, " + operands + ", -1;";
  return check_words({line, line + "@!%p1 add.u32 %r1, %r1, 100;"}, expected);
}

std::vector<Outcome> check_lanes() {
  return {
      check_shuffle("bfly", "5, 31", [](uint32_t t) { return t ^ 5; }),
      check_shuffle("down", "3, 31", [](uint32_t t) { return t + 3 < 32 ? t + 3 : t + 100; }),
      check_shuffle("up", "3, 0", [](uint32_t t) { return t >= 3 ? t - 3 : t + 100; }),
      check_shuffle("idx", "9, 31", [](uint32_t) { return 9u; }),
      // Segments of 8 lanes.
      check_shuffle("idx", "2, 0x181f", [](uint32_t t) { return t / 8 * 8 + 2; }),
      check_shuffle("down", "3, 0x181f", [](uint32_t t) { return t % 8 + 3 < 8 ? t + 3 : t + 100; }),
      check_shuffle("up", "3, 0x1800", [](uint32_t t) { return t % 8 >= 3 ? t - 3 : t + 100; }),
      check_words({"A vote", "and.b32 %r2, %r0, 1; setp.eq.u32 %p0, %r2, 1; vote.sync.ballot.b32 %r1, %p0, -1;"},
                  [](uint32_t) { return 0xaaaaaaaau; }),
  };
}

// ---- memory
// ----------------------------------------------------------------------------------------------------------
std::vector<Outcome> check_memory() {
  return {
      check_words({"Global loads", kOwnIn + "ld.global.u32 %r1, [%rd3+8];"},
                  [](uint32_t t) { return (t + 2) * (t + 2); }),
      check_words({"Loads of vectors",
                   "mad.wide.u32 %rd3, %r0, 16, %rd0; ld.global.v4.u32 {%r2, %r3, %r4, %r1}, [%rd3]; sub.u32 %r1, %r1, "
                   "%r2;"},
                  [](uint32_t t) { return (4 * t + 3) * (4 * t + 3) - 16 * t * t; }),
      check_words({"Bytes with and without a sign", R"(
        st.global.u8 [%rd0], 0x90; ld.global.s8 %r1, [%rd0]; ld.global.u8 %r2, [%rd0]; add.u32 %r1, %r1, %r2;)"},
                  [](uint32_t) { return 0xffffff90u + 0x90; }),
      check_words({"Variables with values",
                   "and.b32 %r2, %r0, 3; mov.u64 %rd4, numbers; mad.wide.u32 %rd3, %r2, 4, %rd4; ld.global.u32 %r1, "
                   "[%rd3];"},
                  [](uint32_t t) {
                    return std::array{3u, 1u, 4u, 1u}[t % 4];
                  }),
      check_words({"Local memory of each lane", R"(
        .local .align 8 .b8 stack[32]; .reg .b64 %SP; mov.u64 %SP, stack; and.b32 %r2, %r0, 7;
        mad.wide.u32 %rd3, %r2, 4, %SP; st.local.u32 [%rd3], %r0; bar.warp.sync -1; ld.local.u32 %r1, [%rd3];)"},
                  [](uint32_t t) { return t; }),
      check_words({"A generic address of shared memory", R"(
        mov.u64 %rd3, fixed; cvta.shared.u64 %rd4, %rd3; cvta.to.shared.u64 %rd5, %rd4; mov.u32 %r2, 9;
        st.shared.u32 [%rd5+4], %r2; ld.shared.u32 %r1, [fixed+4];)"},
                  [](uint32_t) { return 9u; }),
      check_words(
          {"All shared memory of a block", "st.shared.u32 [dynamic+232444], %r0; ld.shared.u32 %r1, [dynamic+232444];",
           1, 1, 232448, "", 232448},
          [](uint32_t) { return 0u; }),
      // Swapped where it is 9: the old word of each thread, and 100 more of the new one is 7.
      check_words({"Compare and swap", kOwnIn + R"(
        atom.global.cas.b32 %r1, [%rd3], 9, 7; ld.global.u32 %r2, [%rd3]; setp.eq.u32 %p0, %r2, 7;
        @%p0 add.u32 %r1, %r1, 100;)"},
                  [](uint32_t t) { return t == 3 ? 109 : t * t; }),
      // 16 bytes, of which 4 threads read 4 t.
      check_words({"Copies", R"(
        mul.lo.u32 %r2, %r0, 16; mov.u32 %r3, dynamic; add.u32 %r3, %r3, %r2; cvt.u64.u32 %rd3, %r2;
        add.u64 %rd3, %rd3, %rd0; and.b32 %r4, %r0, 3; mul.lo.u32 %r4, %r4, 4;
        cp.async.cg.shared.global [%r3], [%rd3], 16, %r4; cp.async.commit_group; cp.async.commit_group;
        cp.async.wait_group 1; ld.shared.v4.u32 {%r5, %r6, %r7, %r1}, [%r3];
        add.u32 %r1, %r1, %r5; add.u32 %r1, %r1, %r6; add.u32 %r1, %r1, %r7;)",
                   32, 1, 512},
                  [](uint32_t t) {
                    uint32_t sum = 0;
                    for (uint32_t i = 4 * t; i < 4 * t + t % 4; i++) sum += i * i;
                    return sum;
                  }),
  };
}

Outcome check_blocks() {
  return judge("Blocks", [] {
    Memory in(8), out(3 * 40 * 4);
    const Program program{"",
                          R"(mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %nctaid.x;
      mad.lo.u32 %r0, %r2, %r3, %r0; mad.lo.u32 %r1, %r0, 10, %r4;)" +
                              kStore,
                          40, 3};
    run(program, in, out);
    for (uint32_t i = 0; i < 120; i++) {
      if (out.get<uint32_t>(i) != i * 10 + 3) return "thread " + std::to_string(i) + " is another one";
    }
    return std::string();
  });
}

// ---- matrices
// -------------------------------------------------------------------------------------------------------- Small
// numbers, whose products and sums are exact.
float number(uint32_t row, uint32_t column) { return static_cast<float>((row * 7 + column * 3) % 11) - 5; }
uint16_t narrow(float value) { return simt::float_to_bf16(value); }

std::string compare_all(uint32_t rows, uint32_t columns, uint32_t steps,
                        const std::function<float(uint32_t, uint32_t)>& found) {
  for (uint32_t row = 0; row < rows; row++) {
    for (uint32_t column = 0; column < columns; column++) {
      float expected = 0;
      for (uint32_t k = 0; k < steps; k++) expected += number(row, k) * number(k + 20, column);
      if (found(row, column) == expected) continue;
      return "row " + std::to_string(row) + ", column " + std::to_string(column) + ": " +
             std::to_string(found(row, column)) + ", not " + std::to_string(expected);
    }
  }
  return {};
}

std::string registers(const std::string& prefix, uint32_t count, uint32_t first = 0) {
  std::string text = "{";
  for (uint32_t i = 0; i < count; i++) text += (i ? ", " : "") + prefix + std::to_string(first + i);
  return text + "}";
}
std::string zeros(uint32_t count) {
  std::string text;
  for (uint32_t i = 0; i < count; i++) text += "mov.f32 %f" + std::to_string(i) + ", 0f00000000;";
  return text;
}
// `count` words of each thread, %f0 and on, to its place of `out`.
std::string store_sums(uint32_t count) {
  const std::string bytes = std::to_string(count * 4);
  std::string text = "mad.wide.u32 %rd2, %r0, " + bytes + ", %rd1;";
  for (uint32_t i = 0; i < count; i++) {
    text += "st.global.f32 [%rd2+" + std::to_string(i * 4) + "], %f" + std::to_string(i) + ";";
  }
  return text;
}

// "Matrix Fragments for mma.m16n8k16" of two bfloat16 a register, and "for mma.m16n8k8" of one TF32.
Outcome check_mma(bool bfloat16) {
  const uint32_t steps = bfloat16 ? 16 : 8;
  const std::string shape = bfloat16 ? "m16n8k16.row.col.f32.bf16.bf16.f32" : "m16n8k8.row.col.f32.tf32.tf32.f32";
  return judge("mma." + shape, [=] {
    Memory in(32 * 24), out(32 * 16);
    for (uint32_t lane = 0; lane < 32; lane++) {
      const uint32_t group = lane >> 2, in_group = lane & 3;
      for (uint32_t i = 0; bfloat16 && i < 8; i++) {
        const uint32_t row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        const uint32_t k = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        in.set(lane * 12 + i, narrow(number(row, k)));
      }
      for (uint32_t i = 0; bfloat16 && i < 4; i++) {
        in.set(lane * 12 + 8 + i, narrow(number(in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0) + 20, group)));
      }
      for (uint32_t i = 0; !bfloat16 && i < 4; i++) {
        in.set(lane * 6 + i, number(i == 0 || i == 2 ? group : group + 8, i < 2 ? in_group : in_group + 4));
      }
      for (uint32_t i = 0; !bfloat16 && i < 2; i++) in.set(lane * 6 + 4 + i, number(in_group + 4 * i + 20, group));
    }
    run({"", zeros(4) + R"(mad.wide.u32 %rd3, %r0, 24, %rd0; ld.global.v2.u32 {%r1, %r2}, [%rd3];
        ld.global.v2.u32 {%r3, %r4}, [%rd3+8]; ld.global.v2.u32 {%r5, %r6}, [%rd3+16]; mma.sync.aligned.)" +
                 shape + " {%f0, %f1, %f2, %f3}, {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%f0, %f1, %f2, %f3};" +
                 store_sums(4)},
        in, out);
    return compare_all(16, 8, steps, [&](uint32_t row, uint32_t column) {
      const uint32_t lane = row % 8 * 4 + column / 2;
      return out.get<float>(lane * 4 + row / 8 * 2 + column % 2);
    });
  });
}

// The words of `in` are shared memory from `dynamic` on.
const std::string kToShared = R"(
  mov.u32 %r10, dynamic; mov.u32 %r11, %ntid.x; mov.u32 %r12, %r0;
  more: mad.wide.u32 %rd4, %r12, 4, %rd0; ld.global.u32 %r13, [%rd4]; mad.lo.u32 %r14, %r12, 4, %r10;
  st.shared.u32 [%r14], %r13; add.u32 %r12, %r12, %r11; setp.lt.u32 %p7, %r12, words; @%p7 bra more; bar.sync 0;)";
std::string to_shared(size_t bytes) {
  std::string text = kToShared;
  return text.replace(text.find("words"), 5, std::to_string(bytes / 4));
}

// Element (row, column) of matrix m is 64 m + 8 row + column.
Outcome check_ldmatrix(bool turned) {
  const std::string name = std::string("ldmatrix.sync.aligned.m8n8.x4") + (turned ? ".trans" : "") + ".shared.b16";
  return judge(name, [=] {
    Memory in(512), out(512);
    for (uint16_t i = 0; i < 256; i++) in.set(i, i);
    run({"", to_shared(512) + "mad.lo.u32 %r14, %r0, 16, %r10;" + name + R"( {%r1, %r2, %r3, %r4}, [%r14];
        mad.wide.u32 %rd2, %r0, 16, %rd1; st.global.v4.u32 [%rd2], {%r1, %r2, %r3, %r4};)",
         32, 1, 512},
        in, out);
    for (uint32_t i = 0; i < 256; i++) {
      const uint32_t lane = i / 8, m = i / 2 % 4, first = lane / 4, second = lane % 4 * 2 + i % 2;
      const uint32_t expected = 64 * m + (turned ? second * 8 + first : first * 8 + second);
      if (out.get<uint16_t>(i) != expected) return "lane " + std::to_string(lane) + ", matrix " + std::to_string(m);
    }
    return std::string();
  });
}

// "Matrix Descriptor Format" and "Strides", a swizzle of 128 bytes: rows of 128 bytes, along K or turned, whose piece p
// of 16 bytes lies at p ^ row % 8; eight rows after 1024 bytes, further lines `apart` bytes behind.
constexpr uint32_t kSteps = 16, kApart = 2048;
uint32_t place_of_element(uint32_t line, uint32_t k, bool turned) {
  const uint32_t row = turned ? k : line, in_row = turned ? line % 64 : k;
  return (turned ? line / 64 * kApart : 0) + row * 128 + ((in_row / 8) ^ (row % 8)) * 16 + in_row % 8 * 2;
}
uint64_t descriptor(uint64_t start) {
  return start >> 4 | uint64_t{kApart} >> 4 << 16 | uint64_t{1024} >> 4 << 32 | uint64_t{1} << 62;
}

Outcome check_wgmma(uint32_t columns, bool a_turned, bool b_turned) {
  const std::string line = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(columns) + "k16.f32.bf16.bf16";
  const std::string turns = std::string(a_turned ? "1" : "0") + ", " + (b_turned ? "1" : "0");
  return judge(line + " " + turns, [=] {
    constexpr uint32_t kB = 8192;
    const uint32_t bytes = kB + columns * 128, count = columns / 2;
    Memory in(bytes), out(size_t{128} * count * 4);
    for (uint32_t k = 0; k < kSteps; k++) {
      for (uint32_t m = 0; m < 64; m++) in.set(place_of_element(m, k, a_turned) / 2, narrow(number(m, k)));
      for (uint32_t n = 0; n < columns; n++) {
        in.set((kB + place_of_element(n, k, b_turned)) / 2, narrow(number(k + 20, n)));
      }
    }
    run({"",
         zeros(count) + to_shared(bytes) + "mov.b64 %rd5, " + std::to_string(descriptor(0)) + "; mov.b64 %rd6, " +
             std::to_string(descriptor(kB)) + "; wgmma.fence.sync.aligned;" + line + " " + registers("%f", count) +
             ", %rd5, %rd6, 1, 1, 1, " + turns + "; wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" +
             store_sums(count),
         128, 1, bytes},
        in, out);
    return compare_all(64, columns, kSteps, [&](uint32_t row, uint32_t column) {
      const uint32_t thread = row / 16 * 32 + row % 8 * 4 + column % 8 / 2;
      return out.get<float>(thread * count + column / 8 * 4 + row % 16 / 8 * 2 + column % 2);
    });
  });
}

// Sums of products under way are not there before they are waited for.
Outcome check_early_sums() {
  return judge("Sums under way", [] {
    Memory in(8192), out(128 * 4);
    run({"",
         zeros(32) + to_shared(8192) + "mov.b64 %rd5, " + std::to_string(descriptor(0)) +
             "; wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " + registers("%f", 32) +
             ", %rd5, %rd5, 1, 1, 1, 0, 0; wgmma.commit_group.sync.aligned;" + store_sums(1) +
             "wgmma.wait_group.sync.aligned 0;",
         128, 1, 8192},
        in, out);
    return std::string(std::isnan(out.get<float>(0)) ? "" : "a sum was read that is under way");
  });
}

}  // namespace

std::vector<Outcome> check_programs() {
  std::vector<Outcome> all = check_control();
  for (const auto& some : {check_lanes(), check_memory()}) all.insert(all.end(), some.begin(), some.end());
  all.push_back(check_blocks());
  for (const bool bfloat16 : {true, false}) all.push_back(check_mma(bfloat16));
  for (const bool turned : {false, true}) all.push_back(check_ldmatrix(turned));
  for (const uint32_t columns : {64u, 128u}) {
    for (const bool a_turned : {false, true}) {
      for (const bool b_turned : {false, true}) all.push_back(check_wgmma(columns, a_turned, b_turned));
    }
  }
  all.push_back(check_early_sums());
  return all;
}

}  // namespace forja::ptx
