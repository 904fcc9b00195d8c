// The matmul operation on top of gemm.h:  y (batch.., M, N) = activation(op(a) op(b) + bias (N)), with
// a (batch.., M, K) or (batch.., K, M) and b (batch.., K, N) or (batch.., N, K); the batch dimensions of a and b
// broadcast to y's. Of activation reluGrad the third operand is not a bias but that ReLU's result (batch.., M, N).
// Variants naive, blocked, simd and blas differ in the product of one pair of matrices only.
#include "blas.h"
#include "gemm.h"
#include "kernel.h"

namespace forja::FJ_ISA {
namespace {

static_assert(int(kActivationNone) == FJ_ACTIVATION_NONE && int(kActivationRelu) == FJ_ACTIVATION_RELU,
              "the register tile's activations are those of the programs");

// The product of the first pair of matrices, and which pairs there are.
struct Batch {
  GemmArgs product;
  MatmulGeometry of;
};

Batch describe(const Call& call) {
  const auto& attrs = call.attrs<fj_matmul_attrs>();
  Batch batch{{}, matmul_geometry(call.in[0], call.in[1], call.out[0], attrs)};
  GemmArgs& g = batch.product;
  g.m = batch.of.m;
  g.n = batch.of.n;
  g.k = batch.of.k;
  g.a = call.in[0].as<const float>();
  g.b = call.in[1].as<const float>();
  g.c = call.out[0].as<float>();
  g.trans_a = batch.of.trans_a;
  g.trans_b = batch.of.trans_b;
  g.lda = g.trans_a ? g.m : g.k;
  g.ldb = g.trans_b ? g.k : g.n;
  g.ldc = g.n;
  const float* third = call.n_in == 3 ? call.in[2].as<const float>() : nullptr;
  if (attrs.activation == FJ_ACTIVATION_RELU_GRAD) {
    g.mask = third;
  } else {
    g.epilogue = {third, attrs.activation};
  }
  return batch;
}

GemmArgs product_at(const Batch& batch, int64_t index) {
  GemmArgs g = batch.product;
  g.a += batch.of.a_offset(index);
  g.b += batch.of.b_offset(index);
  g.c += index * g.m * g.n;
  if (g.mask) g.mask += index * g.m * g.n;
  return g;
}

// From four matrices a thread on, each thread computes whole matrices: no more than a fifth of the time is
// lost to an uneven share, and none to splitting small products.
bool whole_matrices(const Batch& batch, int threads) { return threads > 1 && batch.of.count >= 4 * threads; }

size_t scratch_simd(const Call& call, int threads) {
  const Batch batch = describe(call);
  if (whole_matrices(batch, threads)) return gemm_scratch(batch.product, 1) * threads;
  return gemm_scratch(batch.product, threads);
}

void run_simd(const Call& call, Team& team) {
  const Batch batch = describe(call);
  if (whole_matrices(batch, team.count)) {
    uint8_t* own = call.scratch + gemm_scratch(batch.product, 1) * team.id;
    const Range matrices = split(batch.of.count, team);
    for (int64_t i = matrices.begin; i < matrices.end; i++) gemm_serial(product_at(batch, i), own);
  } else {
    for (int64_t i = 0; i < batch.of.count; i++) gemm(team, product_at(batch, i), call.scratch);
  }
}

// The forms that need no scratch.
template <void (*Product)(const Team&, const GemmArgs&)>
void run_plain(const Call& call, Team& team) {
  const Batch batch = describe(call);
  for (int64_t i = 0; i < batch.of.count; i++) Product(team, product_at(batch, i));
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
