// How kernels cut the team's scratch into pieces.
#pragma once

#include <cstddef>
#include <cstdint>

#include "team.h"

namespace forja::FJ_ISA {

// Hands out 64-byte aligned pieces of the team's scratch. With base null it only counts, which is how
// the *_scratch functions stay in step with the kernels.
class ScratchCursor {
 public:
  FJ_INLINE_MEMBER explicit ScratchCursor(uint8_t* base) : base_(base), used_(0) {}
  FJ_INLINE_MEMBER float* take(int64_t floats) {
    const size_t at = used_;
    used_ += (static_cast<size_t>(floats) + kPieceFloats - 1) / kPieceFloats * 64;
    return reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(base_) + at);
  }
  // A piece for each thread of the team: this one's.
  FJ_INLINE_MEMBER float* take_own(int64_t floats, const Team& team) {
    const int64_t piece = (floats + kPieceFloats - 1) / kPieceFloats * kPieceFloats;
    return take(piece * team.count) + piece * team.id;
  }
  FJ_INLINE_MEMBER size_t used() const { return used_; }

 private:
  static constexpr int64_t kPieceFloats = 64 / sizeof(float);

  uint8_t* base_;
  size_t used_;
};

}  // namespace forja::FJ_ISA
