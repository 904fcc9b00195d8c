// transpose: y[i0, i1, ..] = x[..] with axis perm[k] of x running along axis k of y.
//
// Axes that stay neighbours are collapsed first. Where the last axis stays last, neighbouring threads move neighbouring
// elements. Else every pair (axis that is last in y, axis that is last in x) is a matrix, transposed tile by tile
// through shared memory, so that reads and writes both run along memory, 16 bytes a thread where the matrix begins and
// steps in such. N,C,H,W <-> N,H,W,C is the matrix (C, H*W). All that a thread reads of a tile is under way together:
// 64 bytes of a tile of 64 x 64 elements of 4 bytes.
#include "device/element.cuh"
#include "device/ptx.cuh"
#include "strided.cuh"

namespace forja::cuda {
namespace {

// What a tile's block needs: the matrix of each block, and where the others lie; `outer` counts packs.
struct Matrices {
  Walk<int> outer;
  int rows, columns;           // y's last axis, x's last axis
  int from_stride, to_stride;  // in bytes
  Divisor across;              // tiles along the columns
};

constexpr int kSmallTile = 32, kLargeTile = 64;
constexpr int64_t kLargeAxis = 43;  // shorter axes leave more than a third of a large tile empty
// Of a block: of a tile of 4-byte elements each thread moves 8 or more, which is what finding the tile is shared by.
template <int kTile>
constexpr int kTileThreads = 4 * kTile;

// Grid: (tiles of one matrix, matrices). In shared memory a tile lies column by column, in packs of V rows; pack p of
// column c is at p ^ (c / V), so that neither of both ways finds its packs in the same banks. Single elements keep
// apart by a place between columns, which leaves a thread's own in steps that are known. Packs are whole: where V is
// more than 1 the matrix has a multiple of V rows and columns.
template <class T, int V, int kTile>
__global__ void __launch_bounds__(kTileThreads<kTile>)
    transpose_kernel(Pack<V, T>* y, const Pack<V, T>* x, const __grid_constant__ Matrices m) {
  constexpr int kAcross = kTile / V, kDown = kTileThreads<kTile> / kAcross;  // packs of a line; lines read at once
  constexpr int kRuns = (kTile + kDown - 1) / kDown;
  __shared__ Pack<V, T> tile[kTile][V == 1 ? kAcross + 1 : kAcross];
  int64_t from, to;
  m.outer.offsets(static_cast<int>(blockIdx.y), from, to);
  int down = static_cast<int>(blockIdx.x);
  const int across = m.across.split(down);
  const int row0 = down * kTile, column0 = across * kTile;
  const int pack = threadIdx.x % kAcross, line = threadIdx.x / kAcross;
  // Lines of the tile that this thread is to read, and to write.
  const int rows = column0 + pack * V < m.columns ? static_cast<int>(smaller(kTile, m.rows - row0)) : 0;
  const int columns = row0 + pack * V < m.rows ? static_cast<int>(smaller(kTile, m.columns - column0)) : 0;
  Pack<V, T> v[kRuns];
  x = ptx::at_step(x + from + across * kAcross + pack, row0, m.from_stride);
#pragma unroll
  for (int k = 0; k < kRuns; k++) {
    const int row = line + k * kDown;
    if (row < rows) v[k] = *ptx::at_step(x, row, m.from_stride);
  }
#pragma unroll
  for (int k = 0; k < kRuns; k++) {
    const int row = line + k * kDown;
    if (row >= rows) break;
#pragma unroll
    for (int j = 0; j < V; j++) tile[pack * V + j][V == 1 ? row : row / V ^ pack].element[row % V] = v[k].element[j];
  }
  __syncthreads();
  y = ptx::at_step(y + to + down * kAcross + pack, column0, m.to_stride);
#pragma unroll
  for (int k = 0; k < kRuns; k++) {
    const int column = line + k * kDown;
    if (column < columns) *ptx::at_step(y, column, m.to_stride) = tile[column][V == 1 ? pack : pack ^ column / V];
  }
}

constexpr int64_t kMaxGridY = 65535;
// Tiles of matrices that are narrow either way stand mostly empty.
bool is_wide(int64_t axis) { return axis >= 4 && axis < INT32_MAX - kLargeTile; }

// Strides in bytes have 32 bits.
bool is_near(int64_t step, int64_t size) { return step * size <= INT32_MAX; }

template <class T, int V, int kTile>
void launch_transpose(Launcher& to, Matrices m, int64_t matrices, void* y, const void* x) {
  m.outer.in_units(V);
  const int64_t down = ceil_div(m.rows, kTile), across = ceil_div(m.columns, kTile);
  m.across = Divisor(across);
  const dim3 grid(static_cast<unsigned>(down * across), static_cast<unsigned>(matrices));
  launch(to, transpose_kernel<T, V, kTile>, grid, kTileThreads<kTile>, static_cast<Pack<V, T>*>(y),
         static_cast<const Pack<V, T>*>(x), m);
}

}  // namespace

void transpose(Launcher& to, Loops& loops, void* y, const void* x, int64_t size) {
  loops.collapse();
  int moved = 0;
  while (moved < loops.count && loops.from[moved] != 1) moved++;
  const int last = loops.count - 1;
  const int64_t matrices = moved < last ? loops.combinations() / loops.size[moved] / loops.size[last] : 0;
  const bool tiled = matrices > 0 && matrices <= kMaxGridY && is_wide(loops.size[moved]) && is_wide(loops.size[last]) &&
                     is_near(loops.from[last], size) && is_near(loops.to[moved], size);
  if (!tiled) return move_all(to, loops, y, x, size);
  Matrices m{};
  Loops outer;
  for (int i = 0; i < last; i++) {
    if (i != moved) outer.add(loops.size[i], loops.from[i], loops.to[i]);
  }
  m.outer = Walk<int>(outer);
  m.rows = static_cast<int>(loops.size[last]), m.columns = static_cast<int>(loops.size[moved]);
  m.from_stride = static_cast<int>(loops.from[last] * size), m.to_stride = static_cast<int>(loops.to[moved] * size);
  const bool large = m.rows >= kLargeAxis && m.columns >= kLargeAxis;
  with_size(size, [&](auto element) {
    using T = decltype(element);
    constexpr int V = kPack<T>;
    const bool packed = m.rows % V == 0 && m.columns % V == 0 && steps_in(loops.from, loops, moved, V) &&
                        steps_in(loops.to, loops, last, V) && is_multiple(x, 16) && is_multiple(y, 16);
    if (packed && large) return launch_transpose<T, V, kLargeTile>(to, m, matrices, y, x);
    if (packed) return launch_transpose<T, V, kSmallTile>(to, m, matrices, y, x);
    if (large) return launch_transpose<T, 1, kLargeTile>(to, m, matrices, y, x);
    launch_transpose<T, 1, kSmallTile>(to, m, matrices, y, x);
  });
}

namespace {

void run_transpose(const Call& call, Launcher& to) {
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  Loops loops = transpose_loops(x, y, call.tail(0));
  transpose(to, loops, call.out[0].data, call.in[0].data, element_size(x));
}

}  // namespace

void register_shape(KernelTable& table) {
  table.add({FJ_OP_TRANSPOSE, 0, "transpose", run_transpose, nullptr, nullptr, false});
}

}  // namespace forja::cuda
