// Groups of kGroup neighbouring elements of a result, of any dtype, between memory and the two lanes that elementwise
// kernels compute in: from an input of the result's shape or broadcast to it, 128 bits at a time where elements have 4
// bytes, 64 where they have 2. What an operand's dtype and access ask for is decided once for all groups of a thread.
#pragma once

#include "device/convert.cuh"
#include "device/divide.cuh"
#include "kernel.cuh"
#include "micro_ops.cuh"

namespace forja::cuda {

constexpr int kGroup = 4;
constexpr int kMostGroups = 4;  // of a thread
// Below it, the number of an element and of those that the last threads would have behind it are int.
constexpr int64_t kIntCount = INT32_MAX - kThreads * kMostGroups * kGroup;

// The G groups of a thread, out of `count` elements. I: int, or int64_t where they are not numbered below kIntCount.
template <class I, int G>
struct Groups {
  I first, distance, count;  // where the first one begins, and from one to the next
  bool whole;                // all are there

  __device__ __forceinline__ Groups(I first, I distance, I count)
      : first(first), distance(distance), count(count), whole(at(G - 1) + kGroup <= count) {}
  __device__ __forceinline__ I at(int g) const { return first + g * distance; }
  // Elements of a group that are there.
  __device__ __forceinline__ int size(int g) const {
    const I left = count - at(g);
    return left < 0 ? 0 : left < kGroup ? static_cast<int>(left) : kGroup;
  }
};

// How an input gives a group its elements.
enum class Access : uint8_t {
  kWhole,      // those of the same numbers: the input has the output's shape
  kRow,        // neighbours, from an offset that is a multiple of kGroup
  kSame,       // one for all
  kScattered,  // each from a place of its own
};

// I: as in Groups.
template <class I>
struct GroupSource {
  const void* data;
  uint8_t dtype;
  Access access;
  int rank;  // runs along the output's elements, the innermost first, and the input's step in each
  I dims[FJ_MAX_RANK], steps[FJ_MAX_RANK];
  Divide<I> by[FJ_MAX_RANK];
};

// An input of the result's size, or of one element.
struct PlainSource {
  const void* data;
  uint8_t dtype;
  Access access;  // kWhole or kSame
};

template <class I>
GroupSource<I> source_of(const Operand& operand, const fj_value& y) {
  const fj_value& x = *operand.value;
  GroupSource<I> s{};
  s.data = operand.data;
  s.dtype = x.dtype;
  const int64_t count = element_count(x);
  if (count == element_count(y)) return s;
  s.access = Access::kSame;
  if (count == 1) return s;
  const BroadcastRuns runs = broadcast_runs(x, y);
  s.rank = runs.rank;
  for (int i = 0; i < runs.rank; i++) {
    s.dims[i] = static_cast<I>(runs.dims[i]), s.steps[i] = static_cast<I>(runs.strides[i]);
    s.by[i] = Divide<I>(runs.dims[i]);
  }
  // Where runs along neighbours are whole groups, so are all other steps: x is dense.
  s.access = runs.dims[0] % kGroup != 0 ? Access::kScattered : runs.strides[0] == 0 ? Access::kSame : Access::kRow;
  return s;
}

__device__ __forceinline__ bool is_word(uint8_t dtype) { return dtype == FJ_FLOAT32 || dtype == FJ_INT32; }
__device__ __forceinline__ bool is_byte(uint8_t dtype) { return dtype == FJ_UINT8 || dtype == FJ_BOOL; }

// Of element `at` of the output.
template <class I>
__device__ __forceinline__ I offset_of(const GroupSource<I>& s, I at) {
  if (s.access == Access::kWhole) return at;
  I offset = 0;
#pragma unroll 1
  for (int i = 0; i < s.rank; i++) {
    const I quotient = i + 1 < s.rank ? s.by[i](at) : 0;
    offset += (at - quotient * s.dims[i]) * s.steps[i];
    at = quotient;
  }
  return offset;
}

template <class I>
__device__ __forceinline__ I offset_of(const PlainSource& s, I at) {
  return s.access == Access::kWhole ? at : 0;
}

// An element as it lies in memory.
__device__ __forceinline__ uint32_t read_bits(const void* data, uint8_t dtype, int64_t at) {
  if (is_word(dtype)) return static_cast<const uint32_t*>(data)[at];
  if (is_byte(dtype)) return static_cast<const uint8_t*>(data)[at];
  return static_cast<const uint16_t*>(data)[at];
}

// G groups that begin at from[g], packed.
template <int G, class I>
__device__ __forceinline__ void read_groups(const void* data, uint8_t dtype, const I* from, uint32_t* raw) {
  if (is_word(dtype)) {
#pragma unroll
    for (int g = 0; g < G; g++) {
      const uint4 v = *reinterpret_cast<const uint4*>(static_cast<const uint32_t*>(data) + from[g]);
      raw[g * kGroup] = v.x, raw[g * kGroup + 1] = v.y, raw[g * kGroup + 2] = v.z, raw[g * kGroup + 3] = v.w;
    }
  } else if (is_byte(dtype)) {
#pragma unroll
    for (int g = 0; g < G; g++) {
      raw[g * kGroup] = *reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(data) + from[g]);
    }
  } else {
#pragma unroll
    for (int g = 0; g < G; g++) {
      const uint2 v = *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(data) + from[g]);
      raw[g * kGroup] = v.x, raw[g * kGroup + 1] = v.y;
    }
  }
}

// Elements at .. at + n - 1 of the output, packed; zeros for others.
template <class Source, class I>
__device__ __forceinline__ void fetch_some(const Source& s, I at, int n, uint32_t* raw) {
#pragma unroll
  for (int k = 0; k < kGroup; k++) raw[k] = 0;
  if (n == 0) return;
  if (s.access == Access::kSame) {
    const uint32_t bits = read_bits(s.data, s.dtype, offset_of(s, at));
    const uint32_t all = is_word(s.dtype) ? bits : bits * (is_byte(s.dtype) ? 0x01010101u : 0x00010001u);
#pragma unroll
    for (int k = 0; k < kGroup; k++) raw[k] = all;
    return;
  }
  if (n == kGroup && s.access != Access::kScattered) {
    const I from = offset_of(s, at);
    return read_groups<1>(s.data, s.dtype, &from, raw);
  }
#pragma unroll
  for (int k = 0; k < kGroup; k++) {
    if (k >= n) break;
    const uint32_t bits = read_bits(s.data, s.dtype, offset_of(s, static_cast<I>(at + k)));
    if (is_word(s.dtype)) {
      raw[k] = bits;
    } else if (is_byte(s.dtype)) {
      raw[0] |= bits << 8 * k;
    } else {
      raw[k / 2] |= bits << 16 * (k % 2);
    }
  }
}

// A thread's groups as they lie in memory, packed: nothing waits for them here where they are neighbours.
template <class Source, class I, int G>
__device__ __forceinline__ void fetch(const Source& s, const Groups<I, G>& groups, uint32_t* raw) {
  if (groups.whole && s.access <= Access::kRow) {
    I from[G];
#pragma unroll
    for (int g = 0; g < G; g++) from[g] = groups.at(g);
    if (s.access != Access::kWhole) {
#pragma unroll
      for (int g = 0; g < G; g++) from[g] = offset_of(s, from[g]);
    }
    return read_groups<G>(s.data, s.dtype, from, raw);
  }
#pragma unroll
  for (int g = 0; g < G; g++) fetch_some(s, groups.at(g), groups.size(g), raw + g * kGroup);
}

// Packed groups, in place: each element converted to its lane. Backwards, since it needs more room than its part.
template <int G>
__device__ __forceinline__ void unpack(uint8_t dtype, uint32_t* r) {
  if (is_word(dtype)) return;
  const auto each = [&](const auto& element) {
#pragma unroll
    for (int k = G * kGroup - 1; k >= 0; k--) r[k] = element(r + k / kGroup * kGroup, k % kGroup);
  };
  const auto half = [](const uint32_t* group, int k) { return static_cast<uint16_t>(group[k / 2] >> 16 * (k % 2)); };
  if (dtype == FJ_BFLOAT16) {
    each([&](const uint32_t* group, int k) { return bits_of(bfloat16_bits_to_float(half(group, k))); });
  } else if (dtype == FJ_FLOAT16) {
    each([&](const uint32_t* group, int k) { return bits_of(half_bits_to_float(half(group, k))); });
  } else {
    each([&](const uint32_t* group, int k) { return group[0] >> 8 * k & 255u; });
  }
}

// The inverse of unpack.
template <int G>
__device__ __forceinline__ void pack(uint8_t dtype, const uint32_t* r, uint32_t* raw) {
  const auto pairs = [&](const auto& pair) {
#pragma unroll
    for (int k = 0; k < G * kGroup; k += 2) {
      raw[k / kGroup * kGroup + k % kGroup / 2] = pair(as_float(r[k]), as_float(r[k + 1]));
    }
  };
  if (is_word(dtype)) {
#pragma unroll
    for (int k = 0; k < G * kGroup; k++) raw[k] = r[k];
  } else if (is_byte(dtype)) {
#pragma unroll
    for (int k = 0; k < G * kGroup; k += kGroup) {
      raw[k] = (r[k] & 255u) | (r[k + 1] & 255u) << 8 | (r[k + 2] & 255u) << 16 | r[k + 3] << 24;
    }
  } else {
    // One question for all of them whether any is NaN: two tests and a choice for each would be most of the work.
    bool nan = false;
#pragma unroll
    for (int k = 0; k < G * kGroup; k++) nan |= as_float(r[k]) != as_float(r[k]);
    if (dtype == FJ_BFLOAT16) {
      if (!nan) return pairs(numbers_to_bfloat16_pair);
      pairs([](float a, float b) { return float_to_bfloat16_bits(a) | uint32_t{float_to_bfloat16_bits(b)} << 16; });
    } else {
      if (!nan) return pairs(numbers_to_half_pair);
      pairs([](float a, float b) { return float_to_half_bits(a) | uint32_t{float_to_half_bits(b)} << 16; });
    }
  }
}

// The elements of a thread's groups to where they lie in `to`.
template <class I, int G>
__device__ __forceinline__ void store(void* to, uint8_t dtype, const Groups<I, G>& groups, const uint32_t* r) {
  uint32_t raw[G * kGroup] = {};
  pack<G>(dtype, r, raw);
  const auto write = [&](int g) {
    const I at = groups.at(g);
    const uint32_t* v = raw + g * kGroup;
    if (is_word(dtype)) {
      *reinterpret_cast<uint4*>(static_cast<uint32_t*>(to) + at) = make_uint4(v[0], v[1], v[2], v[3]);
    } else if (is_byte(dtype)) {
      *reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(to) + at) = v[0];
    } else {
      *reinterpret_cast<uint2*>(static_cast<uint16_t*>(to) + at) = make_uint2(v[0], v[1]);
    }
  };
  if (groups.whole) {
#pragma unroll
    for (int g = 0; g < G; g++) write(g);
    return;
  }
#pragma unroll
  for (int g = 0; g < G; g++) {
    const int n = groups.size(g);
    if (n == kGroup) {
      write(g);
      continue;
    }
#pragma unroll
    for (int k = 0; k < kGroup; k++) {
      if (k >= n) break;
      const I at = groups.at(g) + k;
      if (is_word(dtype)) {
        static_cast<uint32_t*>(to)[at] = raw[g * kGroup + k];
      } else if (is_byte(dtype)) {
        static_cast<uint8_t*>(to)[at] = static_cast<uint8_t>(raw[g * kGroup] >> 8 * k);
      } else {
        static_cast<uint16_t*>(to)[at] = static_cast<uint16_t>(raw[g * kGroup + k / 2] >> 16 * (k % 2));
      }
    }
  }
}

}  // namespace forja::cuda
