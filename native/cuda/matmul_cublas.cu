// The variant `cublas` of matmul: the product by NVIDIA's cuBLASLt, bias and ReLU as its epilogue; the gradient of ReLU
// is a kernel of ours behind it, since the library's wants bits in place of ReLU's result.
//
// The library's matrices lie in columns, ours in rows, and a matrix in rows is its transpose in columns. So it is asked
// for y^T (N, M) = op(b)^T op(a)^T: b is its first operand and a its second, each as it lies in memory, transposed
// where ours is. The bias, one number for each of its rows, is then one for each of our columns.
//
// For bfloat16 the library wants a bfloat16 bias: ours is rounded to one first, as the product's operands were.
#include "backend.cuh"
#include "libraries.cuh"
#include "matmul.cuh"

namespace forja::cuda {
namespace {

constexpr size_t kAlignment = 64;  // of every value in memory, bytes

template <class E>
constexpr bool kNarrow = sizeof(E) == 2;

struct MatmulPlan : Plan {
  MatmulPlan() = default;
  MatmulPlan(const MatmulPlan&) = delete;
  MatmulPlan& operator=(const MatmulPlan&) = delete;
  ~MatmulPlan() override {
    const CublasLt& lt = cublas_lt();
    if (desc != nullptr) lt.desc_destroy(desc);
    for (void* layout : {a, b, y}) {
      if (layout != nullptr) lt.layout_destroy(layout);
    }
  }

  void* handle = nullptr;  // the device's
  void *desc = nullptr, *a = nullptr, *b = nullptr, *y = nullptr;
  CublasLtAlgorithm algorithm{};
  size_t workspace = 0;
};

// The step between neighbouring matrices of an operand, in matrices: 0 or 1. False where a broadcast has no such step.
template <class E>
bool step_of(const BatchOf<E>& g, const int64_t* steps, int64_t* step) {
  bool fixed = true, running = true;
  int64_t expected = 1;
  for (int i = 0; i < g.rank; i++) {
    if (g.dims[i] != 1) fixed = fixed && steps[i] == 0, running = running && steps[i] == expected;
    expected *= g.dims[i];
  }
  *step = fixed ? 0 : 1;
  return fixed || running;
}

// bfloat16, float32 with operands rounded to TF32, or float32.
template <class E, bool kTf32>
bool supports_cublas(const Call& call) {
  if (!takes<E>(call) || call.tf32 != kTf32) return false;
  const BatchOf<E> g = describe<E>(call);
  int64_t step = 0;
  return g.m > 0 && g.n > 0 && g.k > 0 && g.count > 0 && step_of(g, g.steps_a, &step) && step_of(g, g.steps_b, &step);
}

// A matrix in rows (rows, columns) as the library sees it, and the alignment of all of a batch.
struct Layout {
  int type;
  int64_t rows, columns, count, step;  // `step` matrices apart
  uint32_t alignment() const {
    const uint64_t bytes = static_cast<uint64_t>(rows * columns * step) * (type == kCudaBFloat16 ? 2 : 4);
    uint64_t most = kAlignment;
    while (count > 1 && bytes % most != 0) most /= 2;
    return static_cast<uint32_t>(most);
  }
  int create(const CublasLt& lt, void** out) const {
    const auto batches = static_cast<int32_t>(count);
    const int64_t stride = rows * columns * step;
    int status = lt.layout_create(out, type, static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), columns);
    if (status == 0) status = lt.layout_set(*out, kLayoutBatchCount, &batches, sizeof(batches));
    if (status == 0) status = lt.layout_set(*out, kLayoutBatchStride, &stride, sizeof(stride));
    return status;
  }
};

int set_desc(const CublasLt& lt, void* desc, int attribute, int32_t value) {
  return lt.desc_set(desc, attribute, &value, sizeof(value));
}

// The library's choice for the product; how it answered.
int find_algorithm(const CublasLt& lt, MatmulPlan& plan, const Layout& a, const Layout& b, const Layout& y) {
  void* preference = nullptr;
  int status = lt.preference_create(&preference);
  if (status != 0) return status;
  const uint64_t workspace = kMostWorkspace;
  status = lt.preference_set(preference, kPreferenceWorkspace, &workspace, sizeof(workspace));
  const uint32_t alignments[] = {b.alignment(), a.alignment(), y.alignment(), y.alignment()};
  for (int i = 0; i < 4 && status == 0; i++) {
    status = lt.preference_set(preference, kPreferenceAlignmentA + i, &alignments[i], sizeof(alignments[i]));
  }
  if (y.type == kCudaBFloat16 && status == 0) {  // by default parts of a sum may be joined as bfloat16
    status = lt.preference_set(preference, kPreferenceReduction, &kReductionComputeType, sizeof(kReductionComputeType));
  }
  CublasLtHeuristic found{};
  int count = 0;
  if (status == 0) {
    status = lt.heuristic(plan.handle, plan.desc, plan.b, plan.a, plan.y, plan.y, preference, 1, &found, &count);
  }
  lt.preference_destroy(preference);
  if (status != 0) return status;
  plan.algorithm = found.algorithm;
  plan.workspace = found.workspace;
  return count > 0 ? found.status : -1;
}

template <class E>
std::unique_ptr<Plan> plan_cublas(const Call& call, fj_device& device, std::string* missing) {
  void* handle = cublas_lt_handle(device, missing);
  if (handle == nullptr) return nullptr;
  const CublasLt& lt = cublas_lt();
  const BatchOf<E> g = describe<E>(call);
  auto plan = std::make_unique<MatmulPlan>();
  plan->handle = handle;
  int64_t step_a = 0, step_b = 0;
  step_of(g, g.steps_a, &step_a);
  step_of(g, g.steps_b, &step_b);
  const int type = kNarrow<E> ? kCudaBFloat16 : kCudaFloat32;
  const Layout a{type, g.trans_a ? g.k : g.m, g.trans_a ? g.m : g.k, g.count, step_a};
  const Layout b{type, g.trans_b ? g.n : g.k, g.trans_b ? g.k : g.n, g.count, step_b};
  const Layout y{type, g.m, g.n, g.count, 1};
  const int compute = call.tf32 && !kNarrow<E> ? kComputeFloat32Tf32 : kComputeFloat32;
  const bool biased = call.n_in == 3 && !is_masked(call);
  const int epilogue = biased ? (g.relu ? kEpilogueBiasRelu : kEpilogueBias) : g.relu ? kEpilogueRelu : kEpilogueNone;
  int status = lt.desc_create(&plan->desc, compute, kCudaFloat32);
  if (status == 0) status = set_desc(lt, plan->desc, kDescTransA, g.trans_b);
  if (status == 0) status = set_desc(lt, plan->desc, kDescTransB, g.trans_a);
  if (status == 0) status = set_desc(lt, plan->desc, kDescEpilogue, epilogue);
  // Nobody reads it before there is a real one: it says how a bias is aligned.
  const auto* bias = reinterpret_cast<const void*>(kAlignment);
  if (status == 0 && biased) status = lt.desc_set(plan->desc, kDescBias, &bias, sizeof(bias));
  if (status == 0) status = a.create(lt, &plan->a);
  if (status == 0) status = b.create(lt, &plan->b);
  if (status == 0) status = y.create(lt, &plan->y);
  if (status == 0) status = find_algorithm(lt, *plan, a, b, y);
  if (status != 0 || plan->workspace > kMostWorkspace) return nullptr;
  plan->scratch = plan->workspace;
  if (biased && kNarrow<E>) plan->scratch = align_up(plan->workspace) + static_cast<size_t>(g.n) * sizeof(E);
  return plan;
}

__global__ void round_bias_kernel(BFloat16* to, const float* bias, int64_t count) {
  const int64_t i = thread_index();
  if (i < count) to[i] = element_of<BFloat16>(bias[i]);
}

// y = 0 where ReLU's result is not positive; V elements a thread.
template <int V, class E>
__global__ void mask_kernel(E* y, const E* of_relu, int64_t count) {
  const int64_t at = thread_index() * V;
  if (at >= count) return;
  float own[V], mask[V];
  read_floats<V>(y + at, own);
  read_floats<V>(of_relu + at, mask);
#pragma unroll
  for (int i = 0; i < V; i++) own[i] = mask[i] <= 0 ? 0.0f : own[i];
  write_floats<V>(y + at, own);
}

template <class E>
void mask(Launcher& to, const BatchOf<E>& g) {
  const int64_t count = g.count * g.m * g.n;
  if (count % kPack<E> == 0) {
    launch(to, mask_kernel<kPack<E>, E>, blocks_for(count / kPack<E>), kThreads, g.c, g.mask, count);
  } else {
    launch(to, mask_kernel<1, E>, blocks_for(count), kThreads, g.c, g.mask, count);
  }
}

template <class E>
void run_cublas(const Call& call, Launcher& to) {
  const CublasLt& lt = cublas_lt();
  const BatchOf<E> g = describe<E>(call);
  const auto& plan = static_cast<const MatmulPlan&>(*call.plan);
  if (to.error != cudaSuccess) return;
  int status = 0;
  if (g.bias != nullptr) {
    const void* bias = g.bias;
    if constexpr (kNarrow<E>) {
      auto* rounded = reinterpret_cast<BFloat16*>(call.scratch + align_up(plan.workspace));
      launch(to, round_bias_kernel, blocks_for(g.n), kThreads, rounded, g.bias, g.n);
      bias = rounded;
    }
    status = lt.desc_set(plan.desc, kDescBias, &bias, sizeof(bias));
  }
  const float one = 1, zero = 0;
  if (status == 0) {
    status = lt.matmul(plan.handle, plan.desc, &one, g.b, plan.b, g.a, plan.a, &zero, g.c, plan.y, g.c, plan.y,
                       &plan.algorithm, call.scratch, plan.workspace, to.stream);
  }
  if (status == 0) return g.mask != nullptr ? mask(to, g) : void();
  to.error = cudaErrorNotSupported;
  to.reason = lt.status_text(status);
}

const Library& vendor() { return cublas_lt(); }

}  // namespace

void register_matmul_cublas(KernelTable& table) {
  table.add({FJ_OP_MATMUL, FJ_MATMUL_CUBLAS, "matmul cublas", run_cublas<float>, nullptr, supports_cublas<float, false>,
             false, nullptr, plan_cublas<float>, vendor});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_CUBLAS, "matmul cublas tf32", run_cublas<float>, nullptr,
             supports_cublas<float, true>, false, nullptr, plan_cublas<float>, vendor});
  table.add({FJ_OP_MATMUL, FJ_MATMUL_CUBLAS, "matmul cublas bfloat16", run_cublas<BFloat16>, nullptr,
             supports_cublas<BFloat16, false>, false, nullptr, plan_cublas<BFloat16>, vendor});
}

}  // namespace forja::cuda
