// Random numbers by counter: Philox4x32-10, element i of the output from word i of the stream. lib/ops/random.ts says
// what the counters are and how words become numbers. A thread makes the four elements of one counter.
#include "kernel.cuh"

namespace forja::cuda {
namespace {

// state: seed low, seed high, draw, domain.
__device__ __forceinline__ uint4 philox(uint32_t counter, uint32_t stream, const uint32_t* state) {
  uint4 c = make_uint4(counter, stream, state[2], state[3]);
  uint32_t k0 = state[0], k1 = state[1];
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint32_t high0 = __umulhi(0xd2511f53u, c.x), low0 = 0xd2511f53u * c.x;
    const uint32_t high1 = __umulhi(0xcd9e8d57u, c.z), low1 = 0xcd9e8d57u * c.z;
    c = make_uint4(high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0);
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return c;
}

__device__ __forceinline__ float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// Box-Muller. u is a multiple of 2^-24, so 1 - u, 4 u and what 4 u lacks to a whole quarter turn are exact.
__device__ __forceinline__ float2 normal_pair(uint32_t first, uint32_t second) {
  const float radius = sqrtf(-2.0f * logf(1.0f - unit(first)));
  const float turns = 4.0f * unit(second), quarter = rintf(turns);
  const float angle = (turns - quarter) * 1.57079633f;
  const float c = cosf(angle), s = sinf(angle);
  switch (static_cast<int>(quarter) & 3) {
    case 0:
      return make_float2(radius * c, radius * s);
    case 1:
      return make_float2(radius * -s, radius * c);
    case 2:
      return make_float2(radius * -c, radius * -s);
    default:
      return make_float2(radius * s, radius * -c);
  }
}

__device__ __forceinline__ uint4 numbers_of(const fj_random_attrs& attrs, uint4 words) {
  switch (attrs.kind) {
    case FJ_RANDOM_NORMAL: {
      const float2 a = normal_pair(words.x, words.y), b = normal_pair(words.z, words.w);
      return make_uint4(__float_as_uint(a.x), __float_as_uint(a.y), __float_as_uint(b.x), __float_as_uint(b.y));
    }
    case FJ_RANDOM_INTEGER: {
      const auto range = static_cast<uint32_t>(attrs.range), low = static_cast<uint32_t>(attrs.low);
      return make_uint4(low + __umulhi(words.x, range), low + __umulhi(words.y, range), low + __umulhi(words.z, range),
                        low + __umulhi(words.w, range));
    }
    case FJ_RANDOM_MASK: {
      const auto kept = [&](uint32_t word) { return attrs.range > static_cast<int32_t>(word >> 8) ? 0u : 1u; };
      return make_uint4(kept(words.x), kept(words.y), kept(words.z), kept(words.w));
    }
    default:
      return make_uint4(__float_as_uint(unit(words.x)), __float_as_uint(unit(words.y)), __float_as_uint(unit(words.z)),
                        __float_as_uint(unit(words.w)));
  }
}

__global__ void random_kernel(void* y, const uint32_t* state, const __grid_constant__ fj_random_attrs attrs,
                              int64_t count) {
  const int64_t counter = thread_index(), at = 4 * counter;
  if (at >= count) return;
  const uint4 n = numbers_of(attrs, philox(static_cast<uint32_t>(counter), static_cast<uint32_t>(attrs.stream), state));
  const uint32_t list[4] = {n.x, n.y, n.z, n.w};
  if (attrs.kind == FJ_RANDOM_MASK) {
    auto* to = static_cast<uint8_t*>(y);
    if (at + 4 <= count) {
      static_cast<uint32_t*>(y)[counter] = n.x | n.y << 8 | n.z << 16 | n.w << 24;
      return;
    }
    for (int k = 0; k < 4 && at + k < count; k++) to[at + k] = static_cast<uint8_t>(list[k]);
  } else if (at + 4 <= count) {
    static_cast<uint4*>(y)[counter] = n;
  } else {
    for (int k = 0; at + k < count; k++) static_cast<uint32_t*>(y)[at + k] = list[k];
  }
}

void run_random(const Call& call, Launcher& to) {
  const int64_t count = element_count(*call.out[0].value);
  launch(to, random_kernel, blocks_for(ceil_div(count, 4)), kThreads, call.out[0].data, call.in[0].as<const uint32_t>(),
         call.attrs<fj_random_attrs>(), count);
}

}  // namespace

void register_random(KernelTable& table) {
  table.add({FJ_OP_RANDOM, 0, "random philox", run_random, nullptr, nullptr, false});
}

}  // namespace forja::cuda
