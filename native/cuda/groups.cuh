// Groups of kGroup neighbouring elements of a result, of any dtype, between memory and the two lanes that elementwise
// kernels compute in: from an input of the result's shape or broadcast to it, 128 bits at a time where elements have 4
// bytes, 64 where they have 2.
#pragma once

#include "device/convert.cuh"
#include "device/divide.cuh"
#include "kernel.cuh"
#include "micro_ops.cuh"

namespace forja::cuda {

constexpr int kGroup = 4;

// How an input gives a group its elements.
enum class Access : uint8_t {
  kWhole,      // those of the same numbers: the input has the output's shape
  kRow,        // neighbours, from an offset that is a multiple of kGroup
  kSame,       // one for all
  kScattered,  // each from a place of its own
};

// I: int, or int64_t where the output has 2^31 elements or more.
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

template <class I>
__device__ __forceinline__ I offset_of(const GroupSource<I>& s, I at) {
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
__device__ __forceinline__ I offset_of(const PlainSource&, I) {
  return 0;
}

// Elements at .. at + n - 1 of the output, n <= kGroup, as they lie in memory, packed: nothing waits for them here.
template <class Source, class I>
__device__ __forceinline__ void fetch(const Source& s, I at, int n, uint32_t* raw) {
  if (n == kGroup && s.access <= Access::kRow) {
    const I from = s.access == Access::kWhole ? at : offset_of(s, at);
    if (is_word(s.dtype)) {
      const uint4 v = *reinterpret_cast<const uint4*>(static_cast<const uint32_t*>(s.data) + from);
      raw[0] = v.x, raw[1] = v.y, raw[2] = v.z, raw[3] = v.w;
    } else if (is_byte(s.dtype)) {
      raw[0] = *reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(s.data) + from);
    } else {
      const uint2 v = *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(s.data) + from);
      raw[0] = v.x, raw[1] = v.y;
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < kGroup; k++) raw[k] = 0;
  I from = 0;
#pragma unroll
  for (int k = 0; k < kGroup; k++) {
    if (k >= n) break;
    if (s.access == Access::kWhole) {
      from = at + k;
    } else if (k == 0 || s.access != Access::kSame) {
      from = offset_of(s, static_cast<I>(at + k));
    }
    if (is_word(s.dtype)) {
      raw[k] = static_cast<const uint32_t*>(s.data)[from];
    } else if (is_byte(s.dtype)) {
      raw[0] |= uint32_t{static_cast<const uint8_t*>(s.data)[from]} << 8 * k;
    } else {
      raw[k / 2] |= uint32_t{static_cast<const uint16_t*>(s.data)[from]} << 16 * (k % 2);
    }
  }
}

// A packed group, each element converted to its lane.
__device__ __forceinline__ void unpack(uint8_t dtype, const uint32_t* raw, uint32_t* r) {
  const auto half = [&](int k) { return static_cast<uint16_t>(raw[k / 2] >> 16 * (k % 2)); };
  switch (dtype) {
    case FJ_UINT8:
    case FJ_BOOL:
#pragma unroll
      for (int k = 0; k < kGroup; k++) r[k] = raw[0] >> 8 * k & 255u;
      break;
    case FJ_FLOAT16:
#pragma unroll
      for (int k = 0; k < kGroup; k++) r[k] = bits_of(half_bits_to_float(half(k)));
      break;
    case FJ_BFLOAT16:
#pragma unroll
      for (int k = 0; k < kGroup; k++) r[k] = bits_of(bfloat16_bits_to_float(half(k)));
      break;
    default:
#pragma unroll
      for (int k = 0; k < kGroup; k++) r[k] = raw[k];
  }
}

// The inverse of unpack.
__device__ __forceinline__ void pack(uint8_t dtype, const uint32_t* r, uint32_t* raw) {
  const auto pair = [](uint16_t low, uint16_t high) { return low | uint32_t{high} << 16; };
  switch (dtype) {
    case FJ_UINT8:
    case FJ_BOOL:
      raw[0] = (r[0] & 255u) | (r[1] & 255u) << 8 | (r[2] & 255u) << 16 | r[3] << 24;
      break;
    case FJ_FLOAT16:
#pragma unroll
      for (int k = 0; k < kGroup; k += 2) {
        raw[k / 2] = pair(float_to_half_bits(as_float(r[k])), float_to_half_bits(as_float(r[k + 1])));
      }
      break;
    case FJ_BFLOAT16:
#pragma unroll
      for (int k = 0; k < kGroup; k += 2) {
        raw[k / 2] = pair(float_to_bfloat16_bits(as_float(r[k])), float_to_bfloat16_bits(as_float(r[k + 1])));
      }
      break;
    default:
#pragma unroll
      for (int k = 0; k < kGroup; k++) raw[k] = r[k];
  }
}

// The first n elements of a group to elements at .. of `to`.
template <class I>
__device__ __forceinline__ void store(void* to, uint8_t dtype, I at, int n, const uint32_t* r) {
  uint32_t raw[kGroup] = {};
  pack(dtype, r, raw);
  if (n == kGroup) {
    if (is_word(dtype)) {
      *reinterpret_cast<uint4*>(static_cast<uint32_t*>(to) + at) = make_uint4(raw[0], raw[1], raw[2], raw[3]);
    } else if (is_byte(dtype)) {
      *reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(to) + at) = raw[0];
    } else {
      *reinterpret_cast<uint2*>(static_cast<uint16_t*>(to) + at) = make_uint2(raw[0], raw[1]);
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < kGroup; k++) {
    if (k >= n) break;
    if (is_word(dtype)) {
      static_cast<uint32_t*>(to)[at + k] = raw[k];
    } else if (is_byte(dtype)) {
      static_cast<uint8_t*>(to)[at + k] = static_cast<uint8_t>(raw[0] >> 8 * k);
    } else {
      static_cast<uint16_t*>(to)[at + k] = static_cast<uint16_t>(raw[k / 2] >> 16 * (k % 2));
    }
  }
}

}  // namespace forja::cuda
