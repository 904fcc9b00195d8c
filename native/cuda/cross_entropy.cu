// Cross entropy of logits (N, C) with class labels (N), and its gradient; the formulas are in lib/ops/cross_entropy.ts.
// A label that is no class raises a fault that names it.
#include "rows.cuh"

namespace forja::cuda {
namespace {

struct Labels {
  const void* data;
  bool bytes;  // uint8, else int32
  float smoothing;
  int32_t ignore_index;
  bool log_probabilities;
  int64_t rows, classes;
  const float* weight;  // (C), or null for 1 everywhere
  FaultSink sink;

  Labels(const Call& call, int weight_input)
      : data(call.in[1].data),
        bytes(call.in[1].value->dtype == FJ_UINT8),
        smoothing(call.attrs<fj_cross_entropy_attrs>().smoothing),
        ignore_index(call.attrs<fj_cross_entropy_attrs>().ignore_index),
        log_probabilities(call.attrs<fj_cross_entropy_attrs>().log_probabilities != 0),
        rows(call.in[0].value->dims[0]),
        classes(call.in[0].value->dims[1]),
        weight(call.n_in > weight_input ? call.in[weight_input].as<const float>() : nullptr),
        sink(call.sink) {}

  // The class of a row, or -1 where it is ignored or no class at all.
  __device__ __forceinline__ int64_t of(int64_t row) const {
    const int32_t label = bytes ? static_cast<const uint8_t*>(data)[row] : static_cast<const int32_t*>(data)[row];
    if (label == ignore_index) return -1;
    if (label >= 0 && label < classes) return label;
    sink.raise(Fault::kLabel, row, label, classes);
    return -1;
  }
  __device__ __forceinline__ float weight_of(int64_t label) const { return weight != nullptr ? weight[label] : 1.0f; }
};

// logits, labels, weight? -> loss, shift, logSum, weight of the label, each (N).
template <int kGroup>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(const float* logits, const __grid_constant__ Labels labels, float* loss, float* shift,
                         float* log_sum, float* weights) {
  const Row<kGroup> row;
  if (row.row >= labels.rows) return;  // a whole group leaves together
  const int64_t classes = labels.classes;
  const float* x = logits + row.row * classes;
  const LogSumExp lse = labels.log_probabilities ? LogSumExp{0, 0} : log_sum_exp(row, x, classes);
  const int64_t label = labels.of(row.row);
  float own = 0, weight = 0;
  if (label >= 0) {
    weight = labels.weight_of(label);
    own = weight * ((lse.shift - x[label]) + lse.log_sum);
    if (labels.smoothing != 0) {
      const double spread = row.sum(
          classes, [=, &labels](int64_t i) { return labels.weight_of(i) * ((lse.shift - x[i]) + lse.log_sum); });
      own += labels.smoothing * (static_cast<float>(spread / static_cast<double>(classes)) - own);
    }
  }
  if (row.thread != 0) return;
  loss[row.row] = own;
  shift[row.row] = lse.shift;
  log_sum[row.row] = lse.log_sum;
  weights[row.row] = weight;
}

void run_cross_entropy(const Call& call, Launcher& to) {
  const Labels labels(call, 2);
  with_group(labels.rows, labels.classes, [&](auto group, int64_t blocks) {
    launch(to, cross_entropy_kernel<group>, blocks, kThreads, call.in[0].as<const float>(), labels,
           call.out[0].as<float>(), call.out[1].as<float>(), call.out[2].as<float>(), call.out[3].as<float>());
  });
}

// logits, labels, shift, logSum, dloss, weight? -> dlogits (N, C).
template <int kGroup>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_grad_kernel(const float* logits, const __grid_constant__ Labels labels, const float* shift,
                              const float* log_sum, const float* dloss, float* dlogits) {
  const Row<kGroup> row;
  if (row.row >= labels.rows) return;
  const int64_t classes = labels.classes;
  const float* x = logits + row.row * classes;
  float* dx = dlogits + row.row * classes;
  const int64_t label = labels.of(row.row);
  const float share = labels.smoothing / static_cast<float>(classes);
  float weight_sum = static_cast<float>(classes);
  if (labels.weight != nullptr && share != 0) {
    weight_sum = static_cast<float>(row.sum(classes, [&](int64_t i) { return labels.weight[i]; }));
  }
  const float g = label >= 0 ? dloss[row.row] : 0.0f;
  const float own = label >= 0 ? (1 - labels.smoothing) * labels.weight_of(label) : 0.0f;
  const float scale = label >= 0 && !labels.log_probabilities ? g * (own + share * weight_sum) : 0.0f;
  const float spread = -g * share, row_shift = shift[row.row], row_log_sum = log_sum[row.row];
  for (int64_t i = row.thread; i < classes; i += kGroup) {
    float d = share != 0 ? spread * labels.weight_of(i) : 0.0f;
    if (scale != 0) d += scale * expf((x[i] - row_shift) - row_log_sum);
    if (i == label) d -= g * own;
    dx[i] = d;
  }
}

void run_cross_entropy_grad(const Call& call, Launcher& to) {
  const Labels labels(call, 5);
  with_group(labels.rows, labels.classes, [&](auto group, int64_t blocks) {
    launch(to, cross_entropy_grad_kernel<group>, blocks, kThreads, call.in[0].as<const float>(), labels,
           call.in[2].as<const float>(), call.in[3].as<const float>(), call.in[4].as<const float>(),
           call.out[0].as<float>());
  });
}

}  // namespace

void register_cross_entropy(KernelTable& table) {
  table.add({FJ_OP_CROSS_ENTROPY, 0, "crossEntropy", run_cross_entropy, nullptr, nullptr, true});
  table.add({FJ_OP_CROSS_ENTROPY_GRAD, 0, "crossEntropyGrad", run_cross_entropy_grad, nullptr, nullptr, true});
}

}  // namespace forja::cuda
