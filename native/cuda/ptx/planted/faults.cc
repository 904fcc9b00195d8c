// Programs that no GPU runs, or not twice with the same result.
#include "planted.h"

namespace forja::ptx {
namespace {

std::vector<Planted> memory_faults() {
  return {
      {{"GlobalMisaligned", "ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%rd0+4];"}, "misaligned global address"},
      {{"GlobalBehindTheEnd", "ld.global.f32 %f0, [%rd0+4096];"}, "from byte 4096 on of an allocation of 4096 bytes"},
      {{"GlobalMisalignedStore", "st.global.v2.f32 [%rd0+4], {%f0, %f1};"}, "misaligned global address"},
      {{"GlobalBeforeTheBegin", "st.global.u8 [%rd0+-1], %r0;"}, "global address"},
      {{"GlobalNowhere", "mov.u64 %rd2, 64; ld.global.f32 %f0, [%rd2];"}, "no allocation is there"},
      {{"GlobalOneLaneOutside", "mad.wide.u32 %rd2, %r0, 4, %rd0; ld.global.f32 %f0, [%rd2+3972];"},
       "from byte 4096 on"},
      {{"AtomicMisaligned", "atom.global.cas.b32 %r1, [%rd0+2], 0, 1;"}, "misaligned global address"},
      {{"SharedMisaligned", "ld.shared.f64 %d0, [fixed+4];"}, "misaligned shared address"},
      {{"SharedBehindTheEnd", "st.shared.f32 [fixed+64], %f0;"}, "4 bytes where the block has 64"},
      {{"SharedBehindDynamic", "ld.shared.f32 %f0, [dynamic+128];", 32, 1, 128}, "shared address"},
      {{"SharedWithoutDynamic", "ld.shared.f32 %f0, [dynamic];"}, "shared address"},
      {{"LocalBehindTheEnd", ".local .align 8 .b8 stack[16]; mov.u64 %rd2, stack; st.local.f32 [%rd2+16], %f0;"},
       "4 bytes from byte 16 on, where a lane has 16"},
      {{"LocalOfAnotherLane", ".local .align 8 .b8 stack[16]; mov.u64 %rd2, stack; ld.local.f32 %f0, [%rd2+-16];"},
       "local address"},
      {{"LocalMisaligned", ".local .align 8 .b8 stack[16]; mov.u64 %rd2, stack; ld.local.f64 %d0, [%rd2+4];"},
       "misaligned local address"},
      {{"ParameterBehindTheEnd", "ld.param.u64 %rd2, [out+8];"}, "parameter address 16: 8 bytes where there are 16"},
      {{"ParameterMisaligned", "ld.param.u64 %rd2, [in+4];"}, "misaligned parameter address"},
  };
}

// Lanes below 16 in the branch, the others behind it.
std::string in_halves(const std::string& below, const std::string& others) {
  return "setp.ge.u32 %p0, %r0, 16; @%p0 bra others;" + below + "bra end; others:" + others + "end:";
}

std::vector<Planted> warp_faults() {
  return {
      {{"ShuffleFromAbsentLane", in_halves("shfl.sync.idx.b32 %r1, %r0, 20, 31, 0xffff;", "")},
       "reads from lane 20, which is not among those here, 0000ffff"},
      {{"ShuffleFromFinishedLane", "setp.eq.u32 %p0, %r0, 3; @%p0 ret; shfl.sync.idx.b32 %r1, %r0, 3, 31, -1;"},
       "reads from lane 3"},
      {{"ShuffleWithoutItself", "shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0xfffffff0;"},
       "which its mask fffffff0 leaves out"},
      {{"VoteWithoutItself", "vote.sync.ballot.b32 %r1, 1, 0xfffffff0;"}, "which its mask fffffff0 leaves out"},
      {{"MatricesByAPartOfAWarp", "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1, %r2, %r3, %r4}, [%r5];", 20},
       "by lanes 000fffff, which are all that it has"},
      {{"LanesWaitForEachOther", in_halves("bar.warp.sync -1;", "bar.warp.sync -1;")},
       "lanes 0000ffff of ffffffff wait for others"},
      {{"ShuffleAndVoteWaitForEachOther",
        in_halves("shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;", "vote.sync.ballot.b32 %r1, 1, -1;")},
       "wait for others"},
      {{"BarrierInTwoBranches", in_halves("bar.sync 0;", "bar.sync 0;")}, "wait for others"},
      {{"DifferentBarriers",
        "setp.ge.u32 %p0, %r0, 32; @%p0 bra second; bar.sync 0; bra end; second: bar.sync 1; end:", 64},
       "warp 0 waits at barrier 0, warp 1 at barrier 1"},
      {{"Trap", "trap;"}, "trap"},
  };
}

// Each thread copies 16 bytes of `in` to dynamic shared memory, whose place is in %r2 then.
const std::string kCopy = R"(
  mul.lo.u32 %r1, %r0, 16;
  mov.u32 %r2, dynamic;
  add.u32 %r2, %r2, %r1;
  cvt.u64.u32 %rd2, %r1;
  add.u64 %rd2, %rd2, %rd0;
  cp.async.cg.shared.global [%r2], [%rd2], 16, 16;
)";
Planted copy_fault(const char* name, const std::string& behind, const char* words) {
  return {{name, kCopy + behind, 32, 1, 1024}, words};
}

std::vector<Planted> copy_faults() {
  const char* kUnderWay = "a cp.async to it is under way";
  return {
      copy_fault("CopyNotWaitedFor", "cp.async.commit_group;", "32 copies of cp.async were not waited for"),
      copy_fault("CopyNotCommitted", "cp.async.wait_group 0;", "were not waited for"),
      copy_fault("ReadBeforeCopyLanded", "cp.async.commit_group; ld.shared.f32 %f0, [%r2]; cp.async.wait_group 0;",
                 kUnderWay),
      copy_fault("WaitForTooFewCopies", "cp.async.commit_group; cp.async.wait_group 1; ld.shared.f32 %f0, [%r2];",
                 kUnderWay),
      copy_fault("WriteBeforeCopyLanded", "st.shared.f32 [%r2], %f0;", kUnderWay),
      copy_fault("TwoCopiesToOnePlace", kCopy, kUnderWay),
      copy_fault("MatrixBeforeCopyLanded", "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r3, %r4, %r5, %r6}, [%r2];",
                 kUnderWay),
      copy_fault(
          "OtherThreadsWaitOnly",
          "cp.async.commit_group; setp.ne.u32 %p0, %r0, 5; @%p0 cp.async.wait_group 0; ld.shared.f32 %f0, [%r2];",
          kUnderWay),
      copy_fault("CopyToMisaligned", "cp.async.ca.shared.global [dynamic+2], [%rd0], 4, 4;",
                 "misaligned shared address"),
      copy_fault("CopyFromMisaligned", "cp.async.cg.shared.global [dynamic+512], [%rd0+8], 16, 16;",
                 "misaligned global address"),
      copy_fault("CopyOfTooManyBytes", "mov.u32 %r3, 8; cp.async.ca.shared.global [%r2], [%rd2], 4, %r3;",
                 "cp.async of 4 bytes reads 8"),
      copy_fault("CopyFromOutside", "add.u64 %rd2, %rd0, 4096; cp.async.cg.shared.global [%r2+512], [%rd2], 16, 16;",
                 "from byte 4096 on"),
  };
}

const std::string kMultiply =
    "mov.b64 %rd2, 0x4000004000000000; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3, %f4, "
    "%f5, %f6, %f7, %f8, %f9, %f10, %f11, %f12, %f13, %f14, %f15, %f16, %f17, %f18, %f19, %f20, %f21, %f22, %f23, "
    "%f24, %f25, %f26, %f27, %f28, %f29, %f30, %f31}, %rd2, %rd2, 1, 1, 1, 0, 0;";
Planted product_fault(const char* name, const std::string& body, const char* words, uint32_t threads = 128) {
  return {{name, body, threads, 1, 8192}, words};
}

std::vector<Planted> product_faults() {
  const std::string kFence = "wgmma.fence.sync.aligned;", kCommit = "wgmma.commit_group.sync.aligned;",
                    kWait = "wgmma.wait_group.sync.aligned 0;";
  return {
      product_fault("ProductsNotWaitedFor", kFence + kMultiply + kCommit, "products of wgmma were not waited for"),
      product_fault("ProductsNotCommitted", kFence + kMultiply + kWait, "products of wgmma were not waited for"),
      product_fault("NoFenceBeforeProducts", kMultiply + kCommit + kWait, "no wgmma.fence before"),
      product_fault(
          "NoFenceAfterCopies",
          kCopy + "cp.async.commit_group; cp.async.wait_group 0; bar.sync 0;" + kFence + kMultiply + kCommit + kWait,
          "no fence.proxy.async"),
      product_fault("CopiesUnderProducts", kFence + kMultiply + kCommit + kCopy + kWait, "is under way"),
      product_fault("NoWarpgroup", kFence + kMultiply + kCommit + kWait, "a block of 3 warps", 96),
      {{"ProductsOfNoSharedMemory", kFence + kMultiply + kCommit + kWait, 128, 1, 1024}, "where the block has 1024"},
      product_fault("OtherSwizzle",
                    kFence + "mov.b64 %rd2, 0;" + kMultiply.substr(kMultiply.find("wgmma")) + kCommit + kWait,
                    "swizzle of 128 bytes"),
  };
}

std::vector<Planted> launch_faults() {
  return {
      {{"TooManyThreads", "", 128, 1, 0, ".maxntid 64, 1, 1"}, "128 x 1 x 1 threads, where 64 may be"},
      {{"MoreThreadsThanABlockHas", "", 1056}, "1056 x 1 x 1 threads, where 1024 may be"},
      {{"NoThreads", "", 0}, "0 x 1 x 1 threads"},
      {{"NoBlocks", "", 32, 0}, "a grid of 0 x 1 x 1 blocks"},
      {{"TooMuchShared", "mov.u32 %r1, dynamic;", 32, 1, 49156}, "0 + 49156 bytes of shared memory"},
      {{"TooMuchSharedOfAnyBlock", "mov.u32 %r1, dynamic;", 32, 1, 232452, "", 232452}, "no block has 232452 bytes"},
      {{"MoreSharedThanAllowed", "mov.u32 %r1, dynamic;", 32, 1, 100004, "", 100000},
       "0 + 100004 bytes of shared memory"},
      {{"TooMuchSharedTogether", "st.shared.u32 [fixed], %r0; mov.u32 %r1, dynamic;", 32, 1, 49152},
       "64 + 49152 bytes of shared memory"},
  };
}

std::vector<Planted> text_faults() {
  return {
      {{"UnknownInstruction", "frobnicate.s32 %r1, %r0;"}, "no instruction frobnicate.s32"},
      {{"UnknownRegister", "add.s32 %r1, %r0, %r100;"}, "nothing is named %r100"},
      {{"UnknownVariable", "mov.u64 %rd2, nowhere;"}, "nothing is named nowhere"},
      {{"UnknownLabel", "bra nowhere;"}, "no label nowhere"},
      {{"UnknownQualifier", "ld.somewhere.u32 %r1, [%rd0];"}, "no qualifier somewhere"},
      {{"GenericLoad", "ld.u32 %r1, [%rd0];"}, "no instruction ld.u32"},
      {{"TooFewOperands", "add.s32 %r1, %r0;"}, "add.s32 with 2 operands, not 3"},
      {{"RegisterOfAnotherSize", "add.s32 %rd2, %r0, %r0;"}, "register %rd2 is not of the instruction's size"},
      {{"UnknownDirective", "", 32, 1, 0, ".reqnctapercluster 2"}, "no directive .reqnctapercluster"},
  };
}

}  // namespace

std::vector<Planted> planted_faults() {
  std::vector<Planted> all;
  for (const auto& some :
       {memory_faults(), warp_faults(), copy_faults(), product_faults(), launch_faults(), text_faults()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

}  // namespace forja::ptx
