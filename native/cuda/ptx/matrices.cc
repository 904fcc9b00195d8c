// Products of small matrices by a warp: PTX ISA, "Warp Level Matrix Instructions: mma.sync, ldmatrix". With g = lane /
// 4 and t = lane % 4, fragments lie as ptx.cuh of the kernels has them; they are exact here up to one rounding of each
// sum.
#include "../emulation/formats.h"
#include "control.h"
#include "memory.h"
#include "table.h"

namespace forja::ptx {
namespace {

constexpr uint32_t kRows = 16, kColumns = 8;
// Operands of mma.sync: sums to, A, B, sums from.
constexpr size_t kA = 4, kB = 8, kSums = 10;

// What a register of a fragment holds: kElements along K.
struct Bfloat16 {
  static constexpr uint32_t kElements = 2;
  static float element(uint32_t bits, uint32_t i) { return simt::bf16_to_float(static_cast<uint16_t>(bits >> 16 * i)); }
};
struct Tf32 {
  static constexpr uint32_t kElements = 1;
  static float element(uint32_t bits, uint32_t) { return std::bit_cast<float>(bits & ~0x1fffu); }
};

// sums = A B + sums, K being two pieces of four registers.
template <class E>
void multiply(Warp& w, const Instruction& in) {
  if (!whole_warp_is_here(w)) return;
  constexpr uint32_t kPiece = 4 * E::kElements, kSteps = 2 * kPiece;
  float a[kRows][kSteps], b[kSteps][kColumns];
  double sums[kRows][kColumns];
  const auto bits = [&](size_t operand, uint32_t lane) { return lanes_of<uint32_t>(w, in.operands[operand])[lane]; };
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    const uint32_t g = lane / 4, t = lane % 4;
    for (uint32_t r = 0; r < 4; r++) {
      for (uint32_t i = 0; i < E::kElements; i++) {
        a[g + r % 2 * 8][r / 2 * kPiece + t * E::kElements + i] = E::element(bits(kA + r, lane), i);
        if (r < 2) b[r * kPiece + t * E::kElements + i][g] = E::element(bits(kB + r, lane), i);
      }
      sums[g + r / 2 * 8][2 * t + r % 2] = std::bit_cast<float>(bits(kSums + r, lane));
    }
  }
  for (uint32_t row = 0; row < kRows; row++) {
    for (uint32_t k = 0; k < kSteps; k++) {
      for (uint32_t column = 0; column < kColumns; column++) {
        sums[row][column] += double{a[row][k]} * b[k][column];
      }
    }
  }
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    for (uint32_t r = 0; r < 4; r++) {
      const auto sum = static_cast<float>(sums[lane / 4 + r / 2 * 8][2 * (lane % 4) + r % 2]);
      lanes_of<uint32_t>(w, in.operands[r])[lane] = std::bit_cast<uint32_t>(sum);
    }
  }
}

// Four matrices of 8 rows of 16 bytes, of which lane l gives row l % 8 of matrix l / 8. Operands: four to, the address.
template <bool kTurned>
void load_matrices(Warp& w, const Instruction& in) {
  if (!whole_warp_is_here(w)) return;
  const auto* addresses = lanes_of<uint32_t>(w, in.operands[4]);
  uint16_t rows[kLanes][8];
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    std::memcpy(rows[lane], shared_at(*w.block, addresses[lane], sizeof rows[lane]), sizeof rows[lane]);
  }
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    const uint32_t g = lane / 4, t = lane % 4;
    for (uint32_t m = 0; m < 4; m++) {
      const auto* matrix = &rows[m * 8];
      const uint32_t low = kTurned ? matrix[2 * t][g] : matrix[g][2 * t];
      const uint32_t high = kTurned ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
      lanes_of<uint32_t>(w, in.operands[m])[lane] = low | high << 16;
    }
  }
}

}  // namespace

void add_matrices(Table& table) {
  const std::string fragments(14, '4');
  table.add("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", {multiply<Bfloat16>, fragments});
  table.add("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", {multiply<Tf32>, fragments});
  table.add("ldmatrix.sync.aligned.m8n8.x4.shared.b16", {load_matrices<false>, "44444"});
  table.add("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", {load_matrices<true>, "44444"});
}

}  // namespace forja::ptx
