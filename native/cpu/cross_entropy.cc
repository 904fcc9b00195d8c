// Cross entropy of logits (N, C) with class labels (N), and its gradient; the formulas are in lib/ops/cross_entropy.ts.
// A label that is no class raises a fault that names it.
#include "softmax.h"

namespace forja::FJ_ISA {
namespace {

struct Labels {
  const Call& call;
  const fj_cross_entropy_attrs& attrs;
  int64_t rows, classes;
  const float* weight;  // (C), or null for 1 everywhere
  float weight_sum;

  Labels(const Call& c, int weight_input)
      : call(c),
        attrs(c.attrs<fj_cross_entropy_attrs>()),
        rows(c.in[0].value->dims[0]),
        classes(c.in[0].value->dims[1]),
        weight(c.n_in > weight_input ? c.in[weight_input].as<const float>() : nullptr) {
    double sum = static_cast<double>(classes);
    if (weight != nullptr) {
      sum = 0;
      for (int64_t k = 0; k < classes; k++) sum += static_cast<double>(weight[k]);
    }
    weight_sum = static_cast<float>(sum);
  }

  // The class of a row, or -1 where it is ignored or no class at all.
  FJ_INLINE_MEMBER int64_t of(int64_t row) const {
    const Operand& labels = call.in[1];
    const int32_t label =
        labels.value->dtype == FJ_UINT8 ? labels.as<const uint8_t>()[row] : labels.as<const int32_t>()[row];
    if (label == attrs.ignore_index) return -1;
    if (label >= 0 && label < classes) return label;
    call.fault->raise(FJ_ERR_ARGUMENT, "labels[%lld] is %d, expected 0..%lld", static_cast<long long>(row), label,
                      static_cast<long long>(classes - 1));
    return -1;
  }
  FJ_INLINE_MEMBER float weight_of(int64_t label) const { return weight != nullptr ? weight[label] : 1; }
  FJ_INLINE_MEMBER Vec weights(int64_t i, int64_t n) const {
    return weight != nullptr ? load_part(weight + i, n) : broadcast(1);
  }
};

// logits, labels, weight? → loss, shift, logSum, weight of the label, each (N).
void run_cross_entropy(const Call& call, Team& team) {
  const Labels labels(call, 2);
  const int64_t classes = labels.classes;
  float *loss = call.out[0].as<float>(), *shift = call.out[1].as<float>(), *log_sum = call.out[2].as<float>(),
        *weights = call.out[3].as<float>();
  const Range range = split(labels.rows, team, row_grain(classes));
  for (int64_t row = range.begin; row < range.end; row++) {
    const float* x = call.in[0].as<const float>() + row * classes;
    const LogSumExp lse =
        labels.attrs.log_probabilities ? LogSumExp{0, 0} : row_log_sum_exp(x, classes, row_max(x, classes));
    const int64_t label = labels.of(row);
    shift[row] = lse.shift, log_sum[row] = lse.log_sum;
    loss[row] = 0, weights[row] = 0;
    if (label < 0) continue;
    const float weight = labels.weight_of(label), own = weight * ((lse.shift - x[label]) + lse.log_sum);
    weights[row] = weight;
    loss[row] = own;
    if (labels.attrs.smoothing == 0) continue;
    const Vec shift_all = broadcast(lse.shift), log_sum_all = broadcast(lse.log_sum);
    const double spread = row_sum(x, classes, [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA {
      return labels.weights(i, n) * ((shift_all - v) + log_sum_all);
    });
    const float smoothing = labels.attrs.smoothing;
    loss[row] = (1 - smoothing) * own + smoothing * static_cast<float>(spread / static_cast<double>(classes));
  }
}

// logits, labels, shift, logSum, dloss, weight? → dlogits (N, C).
void run_cross_entropy_grad(const Call& call, Team& team) {
  const Labels labels(call, 5);
  const int64_t classes = labels.classes;
  const float *shift = call.in[2].as<const float>(), *log_sum = call.in[3].as<const float>(),
              *dloss = call.in[4].as<const float>();
  const bool softmax = labels.attrs.log_probabilities == 0;
  const float share = labels.attrs.smoothing / static_cast<float>(classes);
  const Range range = split(labels.rows, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const float* x = call.in[0].as<const float>() + row * classes;
    float* dx = call.out[0].as<float>() + row * classes;
    const int64_t label = labels.of(row);
    if (label < 0) {
      for (int64_t c = 0; c < classes; c++) dx[c] = 0;
      continue;
    }
    const float own = (1 - labels.attrs.smoothing) * labels.weight_of(label), g = dloss[row];
    const Vec scale = broadcast(g * (own + share * labels.weight_sum)), spread = broadcast(-g * share);
    const Vec row_shift = broadcast(shift[row]), row_log_sum = broadcast(log_sum[row]);
    for (int64_t i = 0; i < classes; i += kWidth) {
      const int64_t n = classes - i;
      Vec d = share != 0 ? spread * labels.weights(i, n) : zero();
      if (softmax) d = fma(scale, vexp((load_part(x + i, n) - row_shift) - row_log_sum), d);
      store_part(dx + i, n, d);
    }
    dx[label] -= g * own;
  }
}

// logits, labels, dloss, weight? → loss (N), dlogits (N, C), which may lie where the logits do.
void run_cross_entropy_with_grad(const Call& call, Team& team) {
  const Labels labels(call, 3);
  const int64_t classes = labels.classes;
  const float smoothing = labels.attrs.smoothing, share = smoothing / static_cast<float>(classes);
  const bool softmax = labels.attrs.log_probabilities == 0;
  const Range range = split(labels.rows, team, row_grain(classes));
  for (int64_t row = range.begin; row < range.end; row++) {
    const float* x = call.in[0].as<const float>() + row * classes;
    float *dx = call.out[1].as<float>() + row * classes, *loss = call.out[0].as<float>() + row;
    const int64_t label = labels.of(row);
    if (label < 0) {
      *loss = 0;
      for (int64_t c = 0; c < classes; c++) dx[c] = 0;
      continue;
    }
    const float weight = labels.weight_of(label), at_label = x[label], g = call.in[2].as<const float>()[row];
    const float shift = softmax ? row_max(x, classes) : 0;
    const Vec shift_all = broadcast(shift);
    double below = 0;  // Σ w (shift - x)
    if (smoothing != 0) {
      below = row_sum(x, classes,
                      [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA { return labels.weights(i, n) * (shift_all - v); });
    }
    double sum = 1;
    if (softmax) {
      sum = row_sum(x, classes, [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA {
        const Vec e = vexp(v - shift_all);
        store_part(dx + i, n, e);
        return e;
      });
    }
    const float log_sum = logf(static_cast<float>(sum)), own = weight * ((shift - at_label) + log_sum);
    *loss = own;
    if (smoothing != 0) {
      const double spread = below + static_cast<double>(labels.weight_sum * log_sum);
      *loss = (1 - smoothing) * own + smoothing * static_cast<float>(spread / static_cast<double>(classes));
    }

    const float of_label = (1 - smoothing) * weight;
    const Vec scale =
        broadcast(static_cast<float>(static_cast<double>(g * (of_label + share * labels.weight_sum)) / sum));
    const Vec of_all = broadcast(-g * share);
    for (int64_t i = 0; i < classes; i += kWidth) {
      const int64_t n = classes - i;
      Vec d = share != 0 ? of_all * labels.weights(i, n) : zero();
      if (softmax) d = fma(scale, load_part(dx + i, n), d);
      store_part(dx + i, n, d);
    }
    dx[label] -= g * of_label;
  }
}

}  // namespace

void register_cross_entropy(KernelTable& table) {
  table.add({FJ_OP_CROSS_ENTROPY, 0, "crossEntropy", run_cross_entropy, nullptr, nullptr});
  table.add({FJ_OP_CROSS_ENTROPY_GRAD, 0, "crossEntropyGrad", run_cross_entropy_grad, nullptr, nullptr});
  table.add({FJ_OP_CROSS_ENTROPY_WITH_GRAD, 0, "crossEntropyWithGrad", run_cross_entropy_with_grad, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
