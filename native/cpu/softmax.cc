// Softmax, its gradient, logSoftmax and logSumExp over rows (the last axis).
#include "softmax.h"

namespace forja::FJ_ISA {
namespace {

struct Rows {
  int64_t count = 1, columns;

  explicit Rows(const fj_value& x) : columns(x.dims[x.rank - 1]) {
    for (int axis = 0; axis + 1 < x.rank; axis++) count *= x.dims[axis];
  }
};

void run_softmax(const Call& call, Team& team) {
  if (call.out[0].value->bytes == 0) return;
  const Rows rows(*call.in[0].value);
  const Range range = split(rows.count, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const float* x = call.in[0].as<const float>() + row * rows.columns;
    float* y = call.out[0].as<float>() + row * rows.columns;
    const Vec shift = broadcast(row_max(x, rows.columns));
    const double sum = row_sum(x, rows.columns, [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA {
      const Vec e = vexp(v - shift);
      store_part(y + i, n, e);
      return e;
    });
    const Vec scale = broadcast(static_cast<float>(1.0 / sum));
    for (int64_t i = 0; i < rows.columns; i += kWidth) {
      store_part(y + i, rows.columns - i, load_part(y + i, rows.columns - i) * scale);
    }
  }
}

// dx = y (dy - Σ dy y).
void run_softmax_grad(const Call& call, Team& team) {
  if (call.out[0].value->bytes == 0) return;
  const Rows rows(*call.in[0].value);
  const Range range = split(rows.count, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const float* y = call.in[0].as<const float>() + row * rows.columns;
    const float* dy = call.in[1].as<const float>() + row * rows.columns;
    float* dx = call.out[0].as<float>() + row * rows.columns;
    const double sum =
        row_sum(y, rows.columns, [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA { return v * load_part(dy + i, n); });
    const Vec mixed = broadcast(static_cast<float>(sum));
    for (int64_t i = 0; i < rows.columns; i += kWidth) {
      const int64_t n = rows.columns - i;
      store_part(dx + i, n, load_part(y + i, n) * (load_part(dy + i, n) - mixed));
    }
  }
}

void run_log_softmax(const Call& call, Team& team) {
  if (call.out[0].value->bytes == 0) return;
  const Rows rows(*call.in[0].value);
  const Range range = split(rows.count, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const float* x = call.in[0].as<const float>() + row * rows.columns;
    float* y = call.out[0].as<float>() + row * rows.columns;
    // x - max first, then the logarithm: of large logits only the difference counts.
    const Vec shift = broadcast(row_max(x, rows.columns));
    const double sum = row_sum(x, rows.columns, [&](Vec v, int64_t, int64_t) FJ_LAMBDA { return vexp(v - shift); });
    const Vec log_sum = vlog(broadcast(static_cast<float>(sum)));
    for (int64_t i = 0; i < rows.columns; i += kWidth) {
      const int64_t n = rows.columns - i;
      store_part(y + i, n, (load_part(x + i, n) - shift) - log_sum);
    }
  }
}

void run_log_sum_exp(const Call& call, Team& team) {
  if (call.out[0].value->bytes == 0) return;
  const Rows rows(*call.in[0].value);
  const Range range = split(rows.count, team, 16);
  for (int64_t row = range.begin; row < range.end; row++) {
    const LogSumExp y = row_log_sum_exp(call.in[0].as<const float>() + row * rows.columns, rows.columns);
    call.out[0].as<float>()[row] = y.shift + y.log_sum;
  }
}

}  // namespace

void register_softmax(KernelTable& table) {
  table.add({FJ_OP_SOFTMAX, 0, "softmax", run_softmax, nullptr, nullptr});
  table.add({FJ_OP_SOFTMAX_GRAD, 0, "softmaxGrad", run_softmax_grad, nullptr, nullptr});
  table.add({FJ_OP_LOG_SOFTMAX, 0, "logSoftmax", run_log_softmax, nullptr, nullptr});
  table.add({FJ_OP_LOG_SUM_EXP, 0, "logSumExp", run_log_sum_exp, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
