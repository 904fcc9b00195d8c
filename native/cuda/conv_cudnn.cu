// The variant `cudnn` of convolution and of its gradients: by NVIDIA's cuDNN, on maps that lie as ours do (N,H,W,C).
//
// The library's filters are (K,R,S,C/groups), so ours, (R,S,C/groups,K), are transposed before, and their gradient
// after; bias and ReLU follow in one pass over the maps. Padding must be the same at both ends of an axis. Algorithms
// that add in another order at every run are left out. Everything is described, and its work space known, when the
// program is created. What the library recommends need not take these shapes: it is asked for the work space of each,
// and one that it refuses all the same when it is called gives way to the next.
#include <algorithm>

#include "backend.cuh"
#include "conv_call.cuh"
#include "libraries.cuh"
#include "strided.cuh"

namespace forja::cuda {
namespace {

constexpr size_t kMostConvolutionSpace = size_t{256} << 20;
constexpr int kMostAlgorithms = 16;

struct ConvPlan : Plan {
  ConvPlan() = default;
  ConvPlan(const ConvPlan&) = delete;
  ConvPlan& operator=(const ConvPlan&) = delete;
  ~ConvPlan() override {
    const Cudnn& dnn = cudnn();
    if (image != nullptr) dnn.tensor_destroy(image);
    if (maps != nullptr) dnn.tensor_destroy(maps);
    if (filter != nullptr) dnn.filter_destroy(filter);
    if (convolution != nullptr) dnn.convolution_destroy(convolution);
  }

  struct Algorithm {
    int number, math;
  };

  void* handle = nullptr;  // the device's
  void *image = nullptr, *maps = nullptr, *filter = nullptr, *convolution = nullptr;
  std::vector<Algorithm> algorithms;       // the best first
  mutable size_t refused = 0;              // that many of them when they were called
  size_t filter_space = 0, workspace = 0;  // in scratch, one behind the other
};

// The operands of a direction in the order of the library's calls.
template <class D>
struct Roles;
template <>
struct Roles<Forward> {
  static const Cudnn::Direction& of(const Cudnn& dnn) { return dnn.forward; }
  static void* first(const ConvPlan& plan) { return plan.image; }
  static void* second(const ConvPlan& plan) { return plan.filter; }
  static void* result(const ConvPlan& plan) { return plan.maps; }
};
template <>
struct Roles<GradInput> {
  static const Cudnn::Direction& of(const Cudnn& dnn) { return dnn.grad_input; }
  static void* first(const ConvPlan& plan) { return plan.filter; }
  static void* second(const ConvPlan& plan) { return plan.maps; }
  static void* result(const ConvPlan& plan) { return plan.image; }
};
template <>
struct Roles<GradWeight> {
  static const Cudnn::Direction& of(const Cudnn& dnn) { return dnn.grad_weight; }
  static void* first(const ConvPlan& plan) { return plan.image; }
  static void* second(const ConvPlan& plan) { return plan.maps; }
  static void* result(const ConvPlan& plan) { return plan.filter; }
};

// Maps that the library would compute where it pads both ends as the first.
int64_t symmetric_size(int64_t size, int64_t pad, int64_t taps, int64_t dilation, int64_t stride) {
  return (size + 2 * pad - (taps - 1) * dilation - 1) / stride + 1;
}

template <class D, class E, bool kTf32>
bool supports_cudnn(const Call& call) {
  if (!fits<D, E>(call) || call.tf32 != kTf32) return false;
  const ConvGeometry g = D::geometry_of(call);
  const int64_t image = g.n * g.h * g.w * g.c, maps = g.n * g.oh * g.ow * g.k, filter = g.r * g.s * g.cg() * g.k;
  return image > 0 && maps > 0 && filter > 0 && image < INT32_MAX && maps < INT32_MAX && filter < INT32_MAX &&
         symmetric_size(g.h, g.pad_top, g.r, g.dilation_h, g.stride_h) == g.oh &&
         symmetric_size(g.w, g.pad_left, g.s, g.dilation_w, g.stride_w) == g.ow;
}

int describe(const Cudnn& dnn, ConvPlan& plan, const ConvGeometry& g, int type, int math) {
  const auto n = [](int64_t size) { return static_cast<int>(size); };
  int status = dnn.tensor_create(&plan.image);
  if (status == 0) status = dnn.tensor_create(&plan.maps);
  if (status == 0) status = dnn.filter_create(&plan.filter);
  if (status == 0) status = dnn.convolution_create(&plan.convolution);
  if (status == 0) status = dnn.tensor_set(plan.image, kCudnnNhwc, type, n(g.n), n(g.c), n(g.h), n(g.w));
  if (status == 0) status = dnn.tensor_set(plan.maps, kCudnnNhwc, type, n(g.n), n(g.k), n(g.oh), n(g.ow));
  if (status == 0) status = dnn.filter_set(plan.filter, type, kCudnnNhwc, n(g.k), n(g.cg()), n(g.r), n(g.s));
  if (status == 0) {
    status = dnn.convolution_set(plan.convolution, n(g.pad_top), n(g.pad_left), n(g.stride_h), n(g.stride_w),
                                 n(g.dilation_h), n(g.dilation_w), kCudnnCrossCorrelation, kCudnnFloat32);
  }
  if (status == 0) status = dnn.convolution_groups(plan.convolution, n(g.groups));
  if (status == 0) status = dnn.convolution_math(plan.convolution, math);
  return status;
}

// bfloat16, float32 with operands rounded to TF32, or float32.
template <class D, class E, bool kTf32>
std::unique_ptr<Plan> plan_cudnn(const Call& call, fj_device& device, std::string* missing) {
  void* handle = cudnn_handle(device, missing);
  if (handle == nullptr) return nullptr;
  const Cudnn& dnn = cudnn();
  const ConvGeometry g = D::geometry_of(call);
  auto plan = std::make_unique<ConvPlan>();
  plan->handle = handle;
  constexpr bool kNarrow = sizeof(E) == 2, kExact = !kNarrow && !kTf32;
  const int math = kNarrow ? kCudnnTensorCores : kTf32 ? kCudnnDefaultMath : kCudnnFloat32Math;
  if (describe(dnn, *plan, g, kNarrow ? kCudnnBFloat16 : kCudnnFloat32, math) != 0) return nullptr;
  CudnnAlgorithm found[kMostAlgorithms] = {};
  int count = 0;
  const int status =
      Roles<D>::of(dnn).algorithms(handle, Roles<D>::first(*plan), Roles<D>::second(*plan), plan->convolution,
                                   Roles<D>::result(*plan), kMostAlgorithms, &count, found);
  if (status != 0) return nullptr;
  for (int i = 0; i < count; i++) {
    if (found[i].status != 0 || found[i].determinism != kCudnnDeterministic) continue;
    const ConvPlan::Algorithm algorithm{found[i].algorithm, kExact ? math : found[i].math};
    size_t bytes = 0;
    if (dnn.convolution_math(plan->convolution, algorithm.math) != 0 ||
        Roles<D>::of(dnn).workspace(handle, Roles<D>::first(*plan), Roles<D>::second(*plan), plan->convolution,
                                    Roles<D>::result(*plan), algorithm.number, &bytes) != 0) {
      continue;
    }
    // Those behind the first are seldom called: for their sake alone no more than is usual is set aside.
    const size_t most = plan->algorithms.empty() ? kMostConvolutionSpace : std::max(plan->workspace, kMostWorkspace);
    if (bytes > most) continue;
    plan->algorithms.push_back(algorithm);
    plan->workspace = std::max(plan->workspace, bytes);
  }
  if (plan->algorithms.empty()) return nullptr;
  plan->filter_space = align_up(static_cast<size_t>(g.r * g.s * g.cg() * g.k) * sizeof(E));
  plan->scratch = plan->filter_space + plan->workspace;
  return plan;
}

// y (pixels, K), count elements in all: bias and ReLU.
template <class E>
__global__ void finish_maps_kernel(E* y, const float* bias, const __grid_constant__ Divisor channels, bool relu,
                                   int count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  int pixel = static_cast<int>(at);
  const int channel = channels.split(pixel);
  float value = static_cast<float>(y[at]);
  if (bias != nullptr) value += bias[channel];
  y[at] = element_of<E>(relu && value < 0 ? 0.0f : value);
}

// (rows, columns) -> (columns, rows)
template <class E>
void transpose_matrix(Launcher& to, const E* from, E* into, int64_t rows, int64_t columns) {
  Loops loops;
  loops.add(columns, 1, rows);
  loops.add(rows, columns, 1);
  transpose(to, loops, into, from, sizeof(E));
}

template <class D>
void call_library(const ConvPlan& plan, Launcher& to, const void* first, const void* second, void* workspace,
                  void* result) {
  if (to.error != cudaSuccess) return;
  const Cudnn& dnn = cudnn();
  const float one = 1, zero = 0;
  int status = 0;
  for (; plan.refused < plan.algorithms.size(); plan.refused++) {
    const ConvPlan::Algorithm& algorithm = plan.algorithms[plan.refused];
    status = dnn.convolution_math(plan.convolution, algorithm.math);
    if (status == 0) {
      status = Roles<D>::of(dnn).run(plan.handle, &one, Roles<D>::first(plan), first, Roles<D>::second(plan), second,
                                     plan.convolution, algorithm.number, workspace, plan.workspace, &zero,
                                     Roles<D>::result(plan), result);
    }
    if (status == 0) return;
  }
  plan.refused = 0;
  to.error = cudaErrorNotSupported;
  to.reason = dnn.status_text(status);
}

template <class D, class E>
void run_cudnn(const Call& call, Launcher& to) {
  const auto& plan = static_cast<const ConvPlan&>(*call.plan);
  const ConvGeometry g = D::geometry_of(call);
  const int64_t taps = g.r * g.s * g.cg();
  const auto operands = D::template operands_of<E>(call);
  auto* filter = reinterpret_cast<E*>(call.scratch);  // (K, R*S*C/groups)
  void* workspace = call.scratch + plan.filter_space;
  if constexpr (std::is_same_v<D, GradWeight>) {
    call_library<D>(plan, to, operands.x, operands.dy, workspace, filter);
    transpose_matrix(to, filter, operands.dw, g.k, taps);
  } else {
    transpose_matrix(to, operands.w, filter, taps, g.k);
    if constexpr (std::is_same_v<D, GradInput>) {
      call_library<D>(plan, to, filter, operands.dy, workspace, operands.dx);
    } else {
      call_library<D>(plan, to, operands.x, filter, workspace, operands.y);
      if (operands.bias == nullptr && !operands.relu) return;
      const int64_t count = g.n * g.oh * g.ow * g.k;
      launch(to, finish_maps_kernel<E>, blocks_for(count), kThreads, operands.y, operands.bias, Divisor(g.k),
             operands.relu, static_cast<int>(count));
    }
  }
}

const Library& vendor() { return cudnn(); }

struct Names {
  const char *float32, *tf32, *bfloat16;
};

template <class D>
void register_direction(KernelTable& table, uint16_t op, const Names& names) {
  const auto add = [&](const char* name, void (*run)(const Call&, Launcher&), bool (*supports)(const Call&),
                       std::unique_ptr<Plan> (*plan)(const Call&, fj_device&, std::string*)) {
    table.add({op, FJ_CONV2D_CUDNN, name, run, nullptr, supports, false, nullptr, plan, vendor});
  };
  add(names.float32, run_cudnn<D, float>, supports_cudnn<D, float, false>, plan_cudnn<D, float, false>);
  add(names.tf32, run_cudnn<D, float>, supports_cudnn<D, float, true>, plan_cudnn<D, float, true>);
  add(names.bfloat16, run_cudnn<D, BFloat16>, supports_cudnn<D, BFloat16, false>, plan_cudnn<D, BFloat16, false>);
}

}  // namespace

static_assert(FJ_CONV2D_CUDNN == FJ_CONV2D_GRAD_INPUT_CUDNN && FJ_CONV2D_CUDNN == FJ_CONV2D_GRAD_WEIGHT_CUDNN);

void register_conv_cudnn(KernelTable& table) {
  register_direction<Forward>(table, FJ_OP_CONV2D, {"conv2d cudnn", "conv2d cudnn tf32", "conv2d cudnn bfloat16"});
  register_direction<GradInput>(
      table, FJ_OP_CONV2D_GRAD_INPUT,
      {"conv2dGradInput cudnn", "conv2dGradInput cudnn tf32", "conv2dGradInput cudnn bfloat16"});
  register_direction<GradWeight>(
      table, FJ_OP_CONV2D_GRAD_WEIGHT,
      {"conv2dGradWeight cudnn", "conv2dGradWeight cudnn tf32", "conv2dGradWeight cudnn bfloat16"});
}

}  // namespace forja::cuda
