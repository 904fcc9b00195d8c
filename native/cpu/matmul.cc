// The matmul operation on top of gemm.h:  y (batch.., M, N) = activation(op(a) op(b) + bias (N)), with
// a (batch.., M, K) or (batch.., K, M) and b (batch.., K, N) or (batch.., N, K); the batch dimensions of a and b
// broadcast to y's. Variants naive, blocked, simd and blas differ in the product of one pair of matrices only.
#include "blas.h"
#include "gemm.h"
#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

static_assert(int(kActivationNone) == FJ_ACTIVATION_NONE && int(kActivationRelu) == FJ_ACTIVATION_RELU,
              "the register tile's activations are those of the programs");

// The product of the first pair of matrices, and how many pairs there are. Where b is one matrix for all
// of an untransposed a, the batch is only more rows.
struct Batch {
  GemmArgs product;
  int64_t count;
};

Batch describe(const Call& call) {
  const auto& attrs = call.attrs<fj_matmul_attrs>();
  const fj_value &a = *call.in[0].value, &b = *call.in[1].value, &y = *call.out[0].value;
  Batch batch{};
  GemmArgs& g = batch.product;
  g.m = y.dims[y.rank - 2];
  g.n = y.dims[y.rank - 1];
  g.k = a.dims[a.rank - (attrs.transpose_a ? 2 : 1)];
  g.a = call.in[0].as<const float>();
  g.b = call.in[1].as<const float>();
  g.c = call.out[0].as<float>();
  g.trans_a = attrs.transpose_a != 0;
  g.trans_b = attrs.transpose_b != 0;
  g.lda = g.trans_a ? g.m : g.k;
  g.ldb = g.trans_b ? g.k : g.n;
  g.ldc = g.n;
  g.epilogue.bias = call.n_in == 3 ? call.in[2].as<const float>() : nullptr;
  g.epilogue.activation = attrs.activation;
  int64_t a_count = 1, b_count = 1;
  batch.count = 1;
  for (int i = 0; i + 2 < y.rank; i++) batch.count *= y.dims[i];
  for (int i = 0; i + 2 < a.rank; i++) a_count *= a.dims[i];
  for (int i = 0; i + 2 < b.rank; i++) b_count *= b.dims[i];
  if (!g.trans_a && b_count == 1 && a_count == batch.count) {
    g.m *= batch.count;
    batch.count = 1;
  }
  return batch;
}

// Which of x's matrices belongs to matrix `index` of y.
int64_t matrix_of(const fj_value& x, const fj_value& y, int64_t index) {
  int64_t matrix = 0, step = 1;
  for (int axis = y.rank - 3, own = x.rank - 3; own >= 0; axis--, own--) {
    if (x.dims[own] != 1) matrix += index % y.dims[axis] * step;
    step *= x.dims[own];
    index /= y.dims[axis];
  }
  return matrix;
}

GemmArgs product_at(const Call& call, const Batch& batch, int64_t index) {
  GemmArgs g = batch.product;
  if (batch.count == 1) return g;
  const fj_value& y = *call.out[0].value;
  g.a += matrix_of(*call.in[0].value, y, index) * g.m * g.k;
  g.b += matrix_of(*call.in[1].value, y, index) * g.k * g.n;
  g.c += index * g.m * g.n;
  return g;
}

// From four matrices a thread on, each thread computes whole matrices: no more than a fifth of the time is
// lost to an uneven share, and none to splitting small products.
bool whole_matrices(const Batch& batch, int threads) { return threads > 1 && batch.count >= 4 * threads; }

size_t scratch_simd(const Call& call, int threads) {
  const Batch batch = describe(call);
  if (whole_matrices(batch, threads)) return gemm_scratch(batch.product, 1) * threads;
  return gemm_scratch(batch.product, threads);
}

void run_simd(const Call& call, Team& team) {
  const Batch batch = describe(call);
  if (whole_matrices(batch, team.count)) {
    uint8_t* own = call.scratch + gemm_scratch(batch.product, 1) * team.id;
    const Range matrices = split(batch.count, team);
    for (int64_t i = matrices.begin; i < matrices.end; i++) gemm_serial(product_at(call, batch, i), own);
  } else {
    for (int64_t i = 0; i < batch.count; i++) gemm(team, product_at(call, batch, i), call.scratch);
  }
}

// The forms that need no scratch.
template <void (*Product)(const Team&, const GemmArgs&)>
void run_plain(const Call& call, Team& team) {
  const Batch batch = describe(call);
  for (int64_t i = 0; i < batch.count; i++) Product(team, product_at(call, batch, i));
}

// Sizes of the library's interface are int.
bool fits_blas(const Call& call) {
  const GemmArgs g = describe(call).product;
  return larger(larger(g.m, g.n), g.k) <= INT32_MAX;
}

const char* missing_blas() { return blas().problem; }

#define FJ_TEXT_OF(x) #x
#define FJ_TEXT(x) FJ_TEXT_OF(x)

}  // namespace

void register_matmul(KernelTable& table) {
  table.add({FJ_OP_MATMUL, FJ_MATMUL_SIMD, "matmul simd " FJ_TEXT(FJ_ISA), run_simd, scratch_simd, nullptr});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_BLOCKED, "matmul blocked", run_plain<gemm_blocked>, nullptr, nullptr});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_NAIVE, "matmul naive", run_plain<gemm_naive>, nullptr, nullptr});
  table.add(
      {FJ_OP_MATMUL, FJ_MATMUL_BLAS, "matmul blas", run_plain<gemm_blas>, nullptr, fits_blas, nullptr, missing_blas});
}

}  // namespace forja::FJ_ISA
