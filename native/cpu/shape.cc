// transpose: y[i0, i1, ..] = x[..] with axis perm[k] of x running along axis k of y.
//
// Axes that stay neighbours are collapsed first, which leaves one of two forms: the last axis stays last, and lines of
// it are copied; or it moves, and every pair (axis that is last in y, axis that is last in x) is a matrix to be
// transposed (transpose.h). N,C,H,W <-> N,H,W,C is the matrix (C, H*W).
//
// What is larger than the caches is turned tile by tile into memory of the thread's own, from where whole cache lines
// of y go past the caches, while the next tile is fetched: else reading a tile and writing it would take turns, and
// lines of y be read to be written.
#include "scratch.h"
#include "transpose.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kTile = 64;  // rows and columns of a tile: source and target lines of one stay in the caches

template <class T>
void transpose_in_caches(const Matrices& m, T* y, const T* x, const Team& team) {
  const Range items = split(m.tiles, team);
  for (int64_t item = items.begin; item < items.end; item++) {
    const Tile<T> tile(m, item, x, y);
    turn_tile(tile.from, m.from_stride, tile.to, m.to_stride, tile.rows, tile.columns, m.dense);
  }
}

// --- past the caches -----------------------------------------------------------------------------------

constexpr int64_t kLineBytes = 64;
// Of a tile, in a row of y and in a row of x. Rows that begin anywhere in a line, as in 4097 x 4095, are moved at
// 0.68 of a copy's bandwidth; with half as much of x in a row, 0.61 (Zen 4).
constexpr int64_t kRunBytes = 256, kSourceBytes = 1024;
constexpr int64_t kThin = 16;  // fewer rows or columns are mostly work for the core, without lines to fetch

template <class T>
constexpr int64_t kLine = kLineBytes / static_cast<int64_t>(sizeof(T));

// Matrices of T, and how the thread's own memory holds a tile.
template <class T>
struct FarMatrices : Matrices {
  int64_t shared;  // rows of the tile below that a tile has too, to end where lines of y end
  int64_t stride;  // from one row of a tile of y to the next

  FJ_INLINE_MEMBER FarMatrices(const Loops& loops, int moved) : Matrices(loops, moved, kHeight, kArea) {
    if (dense) {  // what is one run of y stays in the L1 cache
      static_cast<Matrices&>(*this) = {loops, moved, kHeight, kArea / 4};
    } else if (shared_rows() > 0 && rows <= 2 * kHeight) {  // few rows that begin anywhere in a line become one run
      static_cast<Matrices&>(*this) = {loops, moved, rows, kArea};
    }
    shared = shared_rows();
    stride = dense ? rows : ceil_div(tile_rows + shared, kLine<T>) * kLine<T>;
  }
  FJ_INLINE_MEMBER int64_t own_floats() const {
    return ceil_div(stride * smaller(tile_columns, columns) * int64_t{sizeof(T)}, int64_t{sizeof(float)});
  }

 private:
  static constexpr int64_t kHeight = kRunBytes / sizeof(T), kArea = kHeight * (kSourceBytes / sizeof(T));

  FJ_INLINE_MEMBER int64_t shared_rows() const {
    bool whole_lines = down == 1 || to_stride % kLine<T> == 0;
    for (int i = 0; i < outer.count; i++) whole_lines &= down == 1 || outer.to[i] % kLine<T> == 0;
    return whole_lines ? 0 : kLine<T> - 1;
  }
};

// The lines of a tile of x, to be fetched as many at a time as that takes while its predecessor is written.
struct Ahead {
  const uint8_t* at;
  int64_t rows, lines, step;  // rows of so many lines, `step` bytes apart
  int64_t line = 0;
  int at_once;

  template <class T>
  FJ_INLINE_MEMBER Ahead(const Matrices& m, const Tile<T>& tile) : at(reinterpret_cast<const uint8_t*>(tile.from)) {
    const bool one_run = tile.columns == m.from_stride;
    const int64_t bytes = (one_run ? tile.rows : 1) * tile.columns * sizeof(T);
    rows = one_run ? 1 : tile.rows;
    step = m.from_stride * sizeof(T);
    const bool whole_lines = one_run || step % kLineBytes == 0;
    lines = ceil_div(bytes, kLineBytes) + (whole_lines ? 0 : 1);
    at_once = whole_lines ? 1 : 2;
  }
  FJ_INLINE_MEMBER void fetch() {
    for (int i = 0; i < at_once && rows > 0; i++) {
      __builtin_prefetch(at + line * kLineBytes, 0, 2);
      if (++line == lines) line = 0, rows--, at += step;
    }
  }
};

template <class T>
FJ_INLINE int64_t up_to_line(const T* p) {
  return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(p) % kLineBytes / sizeof(T));
}

template <class T>
FJ_INLINE void stream_run(T* to, const T* from, int64_t n, Ahead& ahead) {
  int64_t e = smaller(n, up_to_line(to));
  if (e > 0) memcpy(to, from, e * sizeof(T));
  for (; e + kLine<T> <= n; e += kLine<T>) {
    ahead.fetch();
    unroll<kLineFloats / kWidth>([&](auto v) FJ_LAMBDA {
      stream(reinterpret_cast<float*>(to + e) + v * kWidth,
             load(reinterpret_cast<const float*>(from + e) + v * kWidth));
    });
  }
  if (e < n) memcpy(to + e, from + e, (n - e) * sizeof(T));
}

// `own`: own_floats of the thread's.
template <class T>
void transpose_past_caches(const FarMatrices<T>& m, T* y, const T* x, T* own, const Team& team) {
  const Range items = split(m.tiles, team);
  for (int64_t item = items.begin; item < items.end; item++) {
    const Tile<T> tile(m, item, x, y, m.shared);
    Ahead ahead(m, Tile<T>(m, smaller(item + 1, items.end - 1), x, y, m.shared));
    turn_tile(tile.from, m.from_stride, own, m.stride, tile.rows, tile.columns, m.dense);
    if (m.dense) {
      stream_run(tile.to, own, tile.rows * tile.columns, ahead);
      continue;
    }
    for (int64_t j = 0; j < tile.columns; j++) {
      T* to = tile.to + j * m.to_stride;
      const int64_t begin = tile.row == 0 ? 0 : smaller(tile.rows, up_to_line(to));
      const int64_t end = smaller(tile.rows, m.tile_rows + up_to_line(to + m.tile_rows));
      stream_run(to + begin, own + j * m.stride + begin, end - begin, ahead);
    }
  }
  stream_fence();
}

// --- all element sizes ---------------------------------------------------------------------------------

struct Plan {
  Loops loops;
  int moved = 0;  // the loop along x's last axis
  bool is_lines;

  FJ_INLINE_MEMBER explicit Plan(const Call& call)
      : loops(transpose_loops(*call.in[0].value, *call.out[0].value, call.tail(0))) {
    while (moved < loops.count && loops.from[moved] != 1) moved++;
    is_lines = moved + 1 >= loops.count;
  }
  FJ_INLINE_MEMBER bool is_thin() const { return loops.size[moved] < kThin || loops.size[loops.count - 1] < kThin; }
};

// f(an element): its type is what counts.
template <class F>
FJ_INLINE auto with_element(const Call& call, const F& f) {
  switch (element_size(*call.in[0].value)) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(float{});
    default:
      return f(uint64_t{});
  }
}

size_t scratch_bytes(const Call& call, int threads) {
  if (call.out[0].value->bytes == 0 || bytes_moved(call) <= kCachedBytes) return 0;
  const Plan plan(call);
  if (plan.is_lines || plan.is_thin()) return 0;
  ScratchCursor cursor(nullptr);
  with_element(call, [&](auto element) {
    const FarMatrices<decltype(element)> m(plan.loops, plan.moved);
    cursor.take_own(m.own_floats(), Team{0, threads});
  });
  return cursor.used();
}

void run_transpose(const Call& call, Team& team) {
  if (call.out[0].value->bytes == 0) return;
  Plan plan(call);
  if (plan.is_lines) {
    return move_all(plan.loops, call.out[0].as<uint8_t>(), call.in[0].as<const uint8_t>(),
                    element_size(*call.in[0].value), team);
  }
  with_element(call, [&](auto element) {
    using T = decltype(element);
    T* y = call.out[0].as<T>();
    const T* x = call.in[0].as<const T>();
    if (plan.is_thin() || !outgrows_caches(call, 0)) {
      return transpose_in_caches(Matrices(plan.loops, plan.moved, kTile, kTile * kTile), y, x, team);
    }
    const FarMatrices<T> m(plan.loops, plan.moved);
    ScratchCursor cursor(call.scratch);
    transpose_past_caches(m, y, x, reinterpret_cast<T*>(cursor.take_own(m.own_floats(), team)), team);
  });
}

}  // namespace

void register_shape(KernelTable& table) {
  table.add({FJ_OP_TRANSPOSE, 0, "transpose", run_transpose, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
