// transpose: y[i0, i1, ..] = x[..] with axis perm[k] of x running along axis k of y.
//
// Axes that stay neighbours are collapsed first, which leaves one of two forms: the last axis stays last, and lines of
// it are copied; or it moves, and every pair (axis that is last in y, axis that is last in x) is a matrix to be
// transposed, in blocks of kWidth x kWidth that stay in registers. N,C,H,W <-> N,H,W,C is the matrix (C, H*W).
#include "simd/microkernel.h"
#include "strided.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kTile = 64;  // rows and columns of a tile: source and target lines of one stay in the caches

// to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns. `dense`: the rows of `to` follow each
// other, and all of them belong to the caller.
template <class T>
FJ_INLINE void transpose_tile(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows,
                              int64_t columns, bool dense) {
  for (int64_t j0 = 0; j0 < columns; j0 += 16) {
    const int64_t j1 = smaller(j0 + 16, columns);
    for (int64_t i = 0; i < rows; i++) {
      for (int64_t j = j0; j < j1; j++) to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}

// The overload for elements of four bytes, whatever they are: vectors only carry them.
FJ_INLINE void transpose_tile(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows,
                              int64_t columns, bool dense) {
  if (dense && rows <= kWidth && columns > kWidth) {
    // Whole vectors may be stored while what they write beyond their row is still to be written.
    const int64_t safe = columns - kWidth;
    pack_transposed<true>(rows, safe, from, from_stride, to, to_stride);
    pack_transposed(rows, columns - safe, from + safe, from_stride, to + safe * to_stride, to_stride);
  } else {
    pack_transposed(rows, columns, from, from_stride, to, to_stride);
  }
}

// x's last axis is loop `moved`, y's last axis the last loop.
template <class T>
FJ_INLINE void transpose_matrices(const Loops& loops, int moved, T* y, const T* x, const Team& team) {
  const int last = loops.count - 1;
  const int64_t rows = loops.size[last], columns = loops.size[moved];
  const int64_t from_stride = loops.from[last], to_stride = loops.to[moved];
  Loops outer;
  for (int i = 0; i < last; i++) {
    if (i != moved) outer.add(loops.size[i], loops.from[i], loops.to[i]);
  }
  const int64_t matrices = outer.combinations(outer.count);
  const int64_t tile_rows = rows <= kTile ? rows : kTile;
  const int64_t tile_columns = larger(kTile, kTile * kTile / tile_rows / kWidth * kWidth);
  const int64_t down = ceil_div(rows, tile_rows), across = ceil_div(columns, tile_columns);
  const bool dense = down == 1 && to_stride == rows;
  const Range range = split(matrices * down * across, team);
  for (int64_t item = range.begin; item < range.end; item++) {
    const int64_t tile = item % (down * across);
    const int64_t i = tile % down * tile_rows, j = tile / down * tile_columns;
    const LoopIndex at(outer, outer.count, item / (down * across));
    transpose_tile(x + at.from + i * from_stride + j, from_stride, y + at.to + j * to_stride + i, to_stride,
                   smaller(tile_rows, rows - i), smaller(tile_columns, columns - j), dense);
  }
}

void run_transpose(const Call& call, Team& team) {
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  Loops loops = transpose_loops(x, y, call.tail(0));
  int moved = 0;
  while (moved < loops.count && loops.from[moved] != 1) moved++;
  if (moved + 1 >= loops.count) {
    move_all(loops, call.out[0].as<uint8_t>(), call.in[0].as<const uint8_t>(), element_size(x), team);
    return;
  }
  switch (element_size(x)) {
    case 1:
      return transpose_matrices(loops, moved, call.out[0].as<uint8_t>(), call.in[0].as<const uint8_t>(), team);
    case 2:
      return transpose_matrices(loops, moved, call.out[0].as<uint16_t>(), call.in[0].as<const uint16_t>(), team);
    case 4:
      return transpose_matrices(loops, moved, call.out[0].as<float>(), call.in[0].as<const float>(), team);
    default:
      return transpose_matrices(loops, moved, call.out[0].as<uint64_t>(), call.in[0].as<const uint64_t>(), team);
  }
}

}  // namespace

void register_shape(KernelTable& table) {
  table.add({FJ_OP_TRANSPOSE, 0, "transpose", run_transpose, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
