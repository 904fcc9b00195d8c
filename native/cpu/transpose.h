// Matrices that a transpose is made of, the tiles that they are cut into, and a tile being turned. Blocks of a tile are
// turned in registers: kWidth x kWidth elements of four bytes in vectors, smaller ones in words.
#pragma once

#include <cstring>

#include "simd/microkernel.h"
#include "strided.h"

namespace forja::FJ_ISA {

// Elements of one or two bytes: a word of each of as many rows as it has elements. Corners change places, then those of
// each quarter, and so on.
template <class T, int kHalf, int kRows = 8 / sizeof(T)>
FJ_INLINE void turn_words(uint64_t (&rows)[kRows]) {
  if constexpr (kHalf > 0) {
    constexpr int kBits = 8 * sizeof(T) * kHalf;
    constexpr uint64_t kLow = ~uint64_t{0} / ((uint64_t{1} << kBits) + 1);  // every other kHalf elements
    unroll<kRows>([&](auto i) FJ_LAMBDA {
      if ((i & kHalf) == 0) {
        const uint64_t change = (rows[i] >> kBits ^ rows[i + kHalf]) & kLow;
        rows[i] ^= change << kBits;
        rows[i + kHalf] ^= change;
      }
    });
    turn_words<T, kHalf / 2>(rows);
  }
}

// to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns. `dense`: the rows of `to` follow each
// other, and all of them belong to the caller.
template <class T>
FJ_INLINE void turn_tile(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns,
                         bool dense) {
  constexpr int kBlock = 8 / sizeof(T);
  const int64_t whole_rows = rows / kBlock * kBlock, whole_columns = columns / kBlock * kBlock;
  const auto turn_each = [&](int64_t first_row, int64_t end_row, int64_t first_column) FJ_LAMBDA {
    for (int64_t i = first_row; i < end_row; i++) {
      for (int64_t j = first_column; j < columns; j++) to[j * to_stride + i] = from[i * from_stride + j];
    }
  };
  for (int64_t j = 0; j < whole_columns; j += kBlock) {
    for (int64_t i = 0; i < whole_rows; i += kBlock) {
      uint64_t block[kBlock];
      unroll<kBlock>([&](auto k) FJ_LAMBDA { memcpy(&block[k], from + (i + k) * from_stride + j, 8); });
      turn_words<T, kBlock / 2>(block);
      unroll<kBlock>([&](auto k) FJ_LAMBDA { memcpy(to + (j + k) * to_stride + i, &block[k], 8); });
    }
  }
  turn_each(0, whole_rows, whole_columns);
  turn_each(whole_rows, rows, 0);
}

// The overload for elements of four bytes, whatever they are: vectors only carry them.
FJ_INLINE void turn_tile(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows,
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

// The matrices that x's last axis, loop `moved`, makes with y's last one.
struct Matrices {
  Loops outer;                      // from one matrix to the next
  int64_t rows, columns;            // of a matrix of x
  int64_t from_stride, to_stride;   // from one row of x, of y, to the next
  int64_t tile_rows, tile_columns;  // at most
  int64_t down, across, tiles;      // of a matrix, of all matrices
  bool dense;                       // a tile of y is one run

  // `area` of a tile, which has `height` rows where a matrix has that many.
  FJ_INLINE_MEMBER Matrices(const Loops& loops, int moved, int64_t height, int64_t area) {
    const int last = loops.count - 1;
    rows = loops.size[last], columns = loops.size[moved];
    from_stride = loops.from[last], to_stride = loops.to[moved];
    for (int i = 0; i < last; i++) {
      if (i != moved) outer.add(loops.size[i], loops.from[i], loops.to[i]);
    }
    tile_rows = smaller(rows, height);
    tile_columns = larger(area / height, area / tile_rows / kWidth * kWidth);
    down = ceil_div(rows, tile_rows), across = ceil_div(columns, tile_columns);
    tiles = outer.combinations() * down * across;
    dense = down == 1 && to_stride == rows;
  }
};

// One tile: where it begins, and how many rows and columns it has, with up to `shared` of the rows below.
template <class T>
struct Tile {
  const T* from;
  T* to;
  int64_t row, rows, columns;

  FJ_INLINE_MEMBER Tile(const Matrices& m, int64_t item, const T* x, T* y, int64_t shared = 0) {
    const int64_t tile = item % (m.down * m.across), j = tile / m.down * m.tile_columns;
    const LoopIndex at(m.outer, m.outer.count, item / (m.down * m.across));
    row = tile % m.down * m.tile_rows;
    from = x + at.from + row * m.from_stride + j;
    to = y + at.to + j * m.to_stride + row;
    rows = smaller(m.tile_rows + shared, m.rows - row);
    columns = smaller(m.tile_columns, m.columns - j);
  }
};

}  // namespace forja::FJ_ISA
