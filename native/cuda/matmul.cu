// The matmul operation:  y (batch.., M, N) = activation(op(a) op(b) + bias (N)), with a (batch.., M, K) or
// (batch.., K, M) and b (batch.., K, N) or (batch.., N, K); the batch dimensions of a and b broadcast to y's. Of
// activation reluGrad the third operand is not a bias but that ReLU's result (batch.., M, N).
//
// The variants are the steps of a lesson; all but the last two compute in float32:
//   naive       a thread to each element, neighbouring threads down a column: each reads a line of memory of its own
//   coalesced   neighbouring threads along a row: a warp reads neighbours of b together, and one element of a
//   shared      a block brings 32 x 32 pieces of a and b into shared memory, so that each is read once a block
//   tiled       each thread keeps up to 8 x 8 sums in registers (gemm.cuh, matmul_tiles.cuh): the default
//   tensorcore  on tensor cores (gemm_tensorcore.cuh): operands are rounded to TF32, or are bfloat16, which no other
//               of our own takes
//   cublas      by NVIDIA's library (matmul_cublas.cu): in float32, with operands rounded to TF32, or bfloat16
#include "matmul.cuh"

namespace forja::cuda {
namespace {

// --- naive, coalesced, shared: grid (blocks of a matrix, matrices) -------------------------------------

__device__ __forceinline__ void multiply_one(const Batch& g, int64_t index, int64_t row, int64_t column) {
  if (row >= g.m || column >= g.n) return;
  const float *a = g.a_at(index), *b = g.b_at(index);
  float sum = 0;
  for (int64_t k = 0; k < g.k; k++) sum += g.a_element(a, row, k) * g.b_element(b, k, column);
  g.epilogue(static_cast<int>(index)).put(row, static_cast<int>(column), sum);
}

constexpr int kSide = 16, kPiece = 32;

__global__ void matmul_naive_kernel(const __grid_constant__ Batch g, int64_t down) {
  const int64_t row = blockIdx.x % down * kSide + threadIdx.x, column = blockIdx.x / down * kSide + threadIdx.y;
  multiply_one(g, blockIdx.y, row, column);
}

__global__ void matmul_coalesced_kernel(const __grid_constant__ Batch g, int64_t across) {
  const int64_t row = blockIdx.x / across * kSide + threadIdx.y, column = blockIdx.x % across * kSide + threadIdx.x;
  multiply_one(g, blockIdx.y, row, column);
}

__global__ void __launch_bounds__(kPiece* kPiece)
    matmul_shared_kernel(const __grid_constant__ Batch g, int64_t across) {
  __shared__ float piece_a[kPiece][kPiece], piece_b[kPiece][kPiece];
  const int64_t row = blockIdx.x / across * kPiece + threadIdx.y, column = blockIdx.x % across * kPiece + threadIdx.x;
  const float *a = g.a_at(blockIdx.y), *b = g.b_at(blockIdx.y);
  float sum = 0;
  for (int64_t k0 = 0; k0 < g.k; k0 += kPiece) {
    const int64_t ka = k0 + threadIdx.x, kb = k0 + threadIdx.y;
    piece_a[threadIdx.y][threadIdx.x] = row < g.m && ka < g.k ? g.a_element(a, row, ka) : 0.0f;
    piece_b[threadIdx.y][threadIdx.x] = kb < g.k && column < g.n ? g.b_element(b, kb, column) : 0.0f;
    __syncthreads();
    for (int k = 0; k < kPiece; k++) sum += piece_a[threadIdx.y][k] * piece_b[k][threadIdx.x];
    __syncthreads();
  }
  if (row < g.m && column < g.n) {
    g.epilogue(static_cast<int>(blockIdx.y)).put(row, static_cast<int>(column), sum);
  }
}

void run_naive(const Call& call, Launcher& to) {
  const Batch g = describe(call);
  const int64_t down = ceil_div(g.m, kSide), across = ceil_div(g.n, kSide);
  launch(to, matmul_naive_kernel, dim3(static_cast<unsigned>(down * across), static_cast<unsigned>(g.count)),
         dim3(kSide, kSide), g, down);
}

void run_coalesced(const Call& call, Launcher& to) {
  const Batch g = describe(call);
  const int64_t down = ceil_div(g.m, kSide), across = ceil_div(g.n, kSide);
  launch(to, matmul_coalesced_kernel, dim3(static_cast<unsigned>(down * across), static_cast<unsigned>(g.count)),
         dim3(kSide, kSide), g, across);
}

void run_shared(const Call& call, Launcher& to) {
  const Batch g = describe(call);
  const int64_t down = ceil_div(g.m, kPiece), across = ceil_div(g.n, kPiece);
  launch(to, matmul_shared_kernel, dim3(static_cast<unsigned>(down * across), static_cast<unsigned>(g.count)),
         dim3(kPiece, kPiece), g, across);
}

// --- tiled, tensorcore -------------------------------------------------------------------------------

void run_tiled(const Call& call, Launcher& to) {
  matmul_tiled(to, describe(call), reinterpret_cast<float*>(call.scratch));
}

template <class E>
void run_tensorcore(const Call& call, Launcher& to) {
  matmul_tensorcore(to, describe<E>(call), reinterpret_cast<float*>(call.scratch));
}

size_t tiled_scratch(const Call& call) {
  const Batch g = describe(call);
  return gemm_scratch(g.m, g.n, g.k, g.count);
}

bool fits_grid(const Call& call) {
  return call.in[0].value->dtype == FJ_FLOAT32 && fits(call) && describe(call).count <= kMaxProducts;
}

bool may_round(const Call& call) { return call.tf32; }

}  // namespace

void register_matmul(KernelTable& table) {
  const auto scratch = tiled_scratch;
  table.add({FJ_OP_MATMUL, FJ_MATMUL_TENSORCORE, "matmul tensorcore tf32", run_tensorcore<float>, scratch, takes<float>,
             false, may_round});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_TILED, "matmul tiled", run_tiled, scratch, takes<float>, false});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_SHARED, "matmul shared", run_shared, nullptr, fits_grid, false});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_COALESCED, "matmul coalesced", run_coalesced, nullptr, fits_grid, false});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_NAIVE, "matmul naive", run_naive, nullptr, fits_grid, false});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_TENSORCORE, "matmul tensorcore bfloat16", run_tensorcore<BFloat16>, scratch,
             takes<BFloat16>, false});
}

}  // namespace forja::cuda
