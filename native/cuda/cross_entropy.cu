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
template <class L>
__global__ void __launch_bounds__(L::kBlock)
    cross_entropy_kernel(const float* logits, const __grid_constant__ Labels labels, float* loss, float* shift,
                         float* log_sum, float* weights) {
  const Row<L> row(labels.rows, labels.classes);
  Logits<L> x(row, logits);
  LogSumExp lse{0, 0};
  if (!labels.log_probabilities) lse = log_sum_exp(x, x.max());
  // All of a group come by here, with or without a row.
  const int64_t label = row.row < labels.rows ? labels.of(row.row) : -1;
  double spread = 0;
  if (labels.smoothing != 0) {
    if (labels.log_probabilities) x.max();
    spread = x.sum(
        [=, &labels](int64_t i, float value) { return labels.weight_of(i) * ((lse.shift - value) + lse.log_sum); });
  }
  if (row.thread != 0 || row.row >= labels.rows) return;
  float own = 0, weight = 0;
  if (label >= 0) {
    weight = labels.weight_of(label);
    own = weight * ((lse.shift - logits[row.row * labels.classes + label]) + lse.log_sum);
    if (labels.smoothing != 0) {
      const float all = static_cast<float>(spread / static_cast<double>(labels.classes));
      own = (1 - labels.smoothing) * own + labels.smoothing * all;
    }
  }
  loss[row.row] = own;
  shift[row.row] = lse.shift;
  log_sum[row.row] = lse.log_sum;
  weights[row.row] = weight;
}

// Logits of a thread: the loss passes over them twice, the gradient once.
constexpr int kHeld = 32, kPassing = 8;

void run_cross_entropy(const Call& call, Launcher& to) {
  const Labels labels(call, 2);
  with_rows<float, kHeld>(Rows(*call.in[0].value), [&](auto lie, int64_t blocks) {
    using L = decltype(lie);
    launch(to, cross_entropy_kernel<L>, blocks, L::kBlock, call.in[0].as<const float>(), labels,
           call.out[0].as<float>(), call.out[1].as<float>(), call.out[2].as<float>(), call.out[3].as<float>());
  });
}

// logits, labels, shift, logSum, dloss, weight? -> dlogits (N, C).
template <class L>
__global__ void __launch_bounds__(L::kBlock)
    cross_entropy_grad_kernel(const float* logits, const __grid_constant__ Labels labels, const float* shift,
                              const float* log_sum, const float* dloss, float* dlogits) {
  const Row<L> row(labels.rows, labels.classes);
  const int64_t classes = labels.classes, label = row.row < labels.rows ? labels.of(row.row) : -1;
  const float share = labels.smoothing / static_cast<float>(classes);
  float weight_sum = static_cast<float>(classes);
  if (labels.weight != nullptr && share != 0) {
    double own = 0;
    for (int64_t i = row.thread; i < row.n; i += L::kGroup) own += static_cast<double>(labels.weight[i]);
    weight_sum = static_cast<float>(row.sum_of(own));
  }
  const float g = label >= 0 ? dloss[row.row] : 0.0f;
  const float own = label >= 0 ? (1 - labels.smoothing) * labels.weight_of(label) : 0.0f;
  const float scale = label >= 0 && !labels.log_probabilities ? g * (own + share * weight_sum) : 0.0f;
  const float spread = -g * share;
  const float row_shift = label >= 0 ? shift[row.row] : 0.0f, row_log_sum = label >= 0 ? log_sum[row.row] : 0.0f;
  Logits<L>(row, logits).map(false, dlogits, [&](int64_t i, float value) {
    float d = share != 0 ? spread * labels.weight_of(i) : 0.0f;
    if (scale != 0) d += scale * expf((value - row_shift) - row_log_sum);
    return i == label ? d - g * own : d;
  });
}

void run_cross_entropy_grad(const Call& call, Launcher& to) {
  const Labels labels(call, 5);
  with_rows<float, kPassing, kHeld>(Rows(*call.in[0].value), [&](auto lie, int64_t blocks) {
    using L = decltype(lie);
    launch(to, cross_entropy_grad_kernel<L>, blocks, L::kBlock, call.in[0].as<const float>(), labels,
           call.in[2].as<const float>(), call.in[3].as<const float>(), call.in[4].as<const float>(),
           call.out[0].as<float>());
  });
}

// logits, labels, dloss, weight? -> loss (N), dlogits (N, C), which may lie where the logits do: a thread reads none
// but its own.
template <class L, bool kSmooth>
__global__ void __launch_bounds__(L::kBlock)
    cross_entropy_with_grad_kernel(const float* logits, const __grid_constant__ Labels labels, const float* dloss,
                                   float* loss, float* dlogits) {
  const Row<L> row(labels.rows, labels.classes);
  Logits<L> x(row, logits);
  const float largest = x.max(), shift = labels.log_probabilities ? 0.0f : largest;
  double sum, below = 0, weight_sum = 0;  // of exponentials, w (shift - x), w
  if constexpr (kSmooth) {
    double sums[3] = {};
    x.each(true, [&](int64_t i, float value) {
      const float weight = labels.weight_of(i);
      sums[0] += static_cast<double>(expf(value - shift));
      sums[1] += static_cast<double>(weight * (shift - value)), sums[2] += static_cast<double>(weight);
    });
    row.sum_of(sums);
    sum = sums[0], below = sums[1], weight_sum = sums[2];
  } else {
    sum = x.sum([=](int64_t, float value) { return expf(value - shift); });
  }
  const int64_t label = row.row < labels.rows ? labels.of(row.row) : -1;
  const float log_sum = labels.log_probabilities ? 0.0f : logf(static_cast<float>(sum));
  const float weight = label >= 0 ? labels.weight_of(label) : 0.0f, g = label >= 0 ? dloss[row.row] : 0.0f;
  const float own = (1 - labels.smoothing) * weight;
  const float share = kSmooth ? labels.smoothing / static_cast<float>(labels.classes) : 0.0f;
  const double of_all = static_cast<double>(g * (own + share * static_cast<float>(weight_sum)));
  const float scale = label < 0 || labels.log_probabilities ? 0.0f : static_cast<float>(of_all / sum);
  if (label < 0 && row.thread == 0 && row.row < labels.rows) loss[row.row] = 0;
  const bool holds_label = label >= 0 && row.holds(label);
  const int64_t at = row.row * labels.classes + label;
  if (holds_label) {
    float y = weight * ((shift - logits[at]) + log_sum);
    if constexpr (kSmooth) {
      const double spread = (below + weight_sum * static_cast<double>(log_sum)) / static_cast<double>(labels.classes);
      y = (1 - labels.smoothing) * y + labels.smoothing * static_cast<float>(spread);
    }
    loss[row.row] = y;
  }
  x.map(true, dlogits, [&](int64_t i, float value) {
    const float d = scale != 0 ? scale * expf(value - shift) : 0.0f;
    return kSmooth ? d - g * share * labels.weight_of(i) : d;
  });
  if (holds_label) dlogits[at] -= g * own;
}

void run_cross_entropy_with_grad(const Call& call, Launcher& to) {
  const Labels labels(call, 3);
  const auto with = [&](auto smooth) {
    with_rows<float, kHeld>(Rows(*call.in[0].value), [&](auto lie, int64_t blocks) {
      using L = decltype(lie);
      launch(to, cross_entropy_with_grad_kernel<L, smooth()>, blocks, L::kBlock, call.in[0].as<const float>(), labels,
             call.in[2].as<const float>(), call.out[0].as<float>(), call.out[1].as<float>());
    });
  };
  if (labels.smoothing != 0) return with(std::true_type());
  with(std::false_type());
}

}  // namespace

void register_cross_entropy(KernelTable& table) {
  table.add({FJ_OP_CROSS_ENTROPY, 0, "crossEntropy", run_cross_entropy, nullptr, nullptr, true});
  table.add({FJ_OP_CROSS_ENTROPY_GRAD, 0, "crossEntropyGrad", run_cross_entropy_grad, nullptr, nullptr, true});
  table.add(
      {FJ_OP_CROSS_ENTROPY_WITH_GRAD, 0, "crossEntropyWithGrad", run_cross_entropy_with_grad, nullptr, nullptr, true});
}

}  // namespace forja::cuda
