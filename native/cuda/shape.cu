// transpose: y[i0, i1, ..] = x[..] with axis perm[k] of x running along axis k of y.
//
// Axes that stay neighbours are collapsed first. Where the last axis stays last, neighbouring threads move neighbouring
// elements. Else every pair (axis that is last in y, axis that is last in x) is a matrix, transposed tile by tile
// through shared memory, so that reads and writes both run along memory. N,C,H,W <-> N,H,W,C is the matrix (C, H*W).
#include "strided.cuh"

namespace forja::cuda {
namespace {

constexpr int kTile = 32, kTileRows = 8;

// What a tile's block needs: the matrix of each block, and where the others lie.
struct Matrices {
  Loops outer;
  int64_t rows, columns;  // y's last axis, x's last axis
  int64_t from_stride, to_stride;
  int64_t across;  // tiles along the columns
};

// Grid: (tiles of one matrix, matrices). The 33rd column keeps the banks of a tile's column apart.
template <class T>
__global__ void __launch_bounds__(kTile* kTileRows)
    transpose_kernel(T* y, const T* x, const __grid_constant__ Matrices m) {
  __shared__ T tile[kTile][kTile + 1];
  int64_t from, to;
  offsets_of(m.outer, static_cast<uint64_t>(blockIdx.y), from, to);
  const int64_t row0 = blockIdx.x / m.across * kTile, column0 = blockIdx.x % m.across * kTile;
  for (int i = threadIdx.y; i < kTile; i += kTileRows) {
    const int64_t row = row0 + i, column = column0 + threadIdx.x;
    if (row < m.rows && column < m.columns) tile[i][threadIdx.x] = x[from + row * m.from_stride + column];
  }
  __syncthreads();
  for (int j = threadIdx.y; j < kTile; j += kTileRows) {
    const int64_t row = row0 + threadIdx.x, column = column0 + j;
    if (row < m.rows && column < m.columns) y[to + column * m.to_stride + row] = tile[threadIdx.x][j];
  }
}

constexpr int64_t kMaxGridY = 65535;

}  // namespace

void transpose(Launcher& to, Loops& loops, void* y, const void* x, int64_t size) {
  loops.collapse();
  int moved = 0;
  while (moved < loops.count && loops.from[moved] != 1) moved++;
  const int last = loops.count - 1;
  const int64_t matrices = moved < last ? loops.combinations() / loops.size[moved] / loops.size[last] : 0;
  // Tiles of matrices that are narrow either way stand mostly empty.
  const bool tiled = matrices > 0 && matrices <= kMaxGridY && loops.size[moved] >= 4 && loops.size[last] >= 4;
  if (!tiled) return move_all(to, loops, y, x, size);
  Matrices m{};
  for (int i = 0; i < last; i++) {
    if (i != moved) m.outer.add(loops.size[i], loops.from[i], loops.to[i]);
  }
  m.rows = loops.size[last], m.columns = loops.size[moved];
  m.from_stride = loops.from[last], m.to_stride = loops.to[moved];
  m.across = ceil_div(m.columns, kTile);
  const dim3 grid(static_cast<unsigned>(ceil_div(m.rows, kTile) * m.across), static_cast<unsigned>(matrices));
  with_size(size, [&](auto element) {
    using T = decltype(element);
    launch(to, transpose_kernel<T>, grid, dim3(kTile, kTileRows), static_cast<T*>(y), static_cast<const T*>(x), m);
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
