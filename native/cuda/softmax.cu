// Softmax, its gradient, logSoftmax and logSumExp over rows (the last axis).
#include "rows.cuh"

namespace forja::cuda {
namespace {

template <int kGroup>
__global__ void __launch_bounds__(kThreads) softmax_kernel(const float* in, float* out, int64_t rows, int64_t columns) {
  const Row<kGroup> row;
  if (row.row >= rows) return;  // a whole group leaves together
  const float* x = in + row.row * columns;
  float* y = out + row.row * columns;
  const float shift = row.max(x, columns);
  const double sum = row.sum(columns, [=](int64_t i) { return expf(x[i] - shift); });
  const float scale = static_cast<float>(1.0 / sum);
  for (int64_t i = row.thread; i < columns; i += kGroup) y[i] = expf(x[i] - shift) * scale;
}

// dx = y (dy - sum dy y).
template <int kGroup>
__global__ void __launch_bounds__(kThreads)
    softmax_grad_kernel(const float* in, const float* grad, float* out, int64_t rows, int64_t columns) {
  const Row<kGroup> row;
  if (row.row >= rows) return;
  const float* y = in + row.row * columns;
  const float* dy = grad + row.row * columns;
  const float mixed = static_cast<float>(row.sum(columns, [=](int64_t i) { return y[i] * dy[i]; }));
  for (int64_t i = row.thread; i < columns; i += kGroup) out[row.row * columns + i] = y[i] * (dy[i] - mixed);
}

template <int kGroup>
__global__ void __launch_bounds__(kThreads)
    log_softmax_kernel(const float* in, float* out, int64_t rows, int64_t columns) {
  const Row<kGroup> row;
  if (row.row >= rows) return;
  const float* x = in + row.row * columns;
  // x - max first, then the logarithm: of large logits only the difference counts.
  const float shift = row.max(x, columns);
  const double sum = row.sum(columns, [=](int64_t i) { return expf(x[i] - shift); });
  const float log_sum = logf(static_cast<float>(sum));
  for (int64_t i = row.thread; i < columns; i += kGroup) out[row.row * columns + i] = (x[i] - shift) - log_sum;
}

template <int kGroup>
__global__ void __launch_bounds__(kThreads)
    log_sum_exp_kernel(const float* in, float* out, int64_t rows, int64_t columns) {
  const Row<kGroup> row;
  if (row.row >= rows) return;
  const LogSumExp y = log_sum_exp(row, in + row.row * columns, columns);
  if (row.thread == 0) out[row.row] = y.shift + y.log_sum;
}

struct Rows {
  int64_t count, columns;
  explicit Rows(const fj_value& x) : count(element_count(x, 0, x.rank - 1)), columns(x.dims[x.rank - 1]) {}
};

void run_softmax(const Call& call, Launcher& to) {
  const Rows rows(*call.in[0].value);
  if (rows.columns == 0) return;
  with_group(rows.count, rows.columns, [&](auto group, int64_t blocks) {
    launch(to, softmax_kernel<group>, blocks, kThreads, call.in[0].as<const float>(), call.out[0].as<float>(),
           rows.count, rows.columns);
  });
}

void run_softmax_grad(const Call& call, Launcher& to) {
  const Rows rows(*call.in[0].value);
  if (rows.columns == 0) return;
  with_group(rows.count, rows.columns, [&](auto group, int64_t blocks) {
    launch(to, softmax_grad_kernel<group>, blocks, kThreads, call.in[0].as<const float>(), call.in[1].as<const float>(),
           call.out[0].as<float>(), rows.count, rows.columns);
  });
}

void run_log_softmax(const Call& call, Launcher& to) {
  const Rows rows(*call.in[0].value);
  if (rows.columns == 0) return;
  with_group(rows.count, rows.columns, [&](auto group, int64_t blocks) {
    launch(to, log_softmax_kernel<group>, blocks, kThreads, call.in[0].as<const float>(), call.out[0].as<float>(),
           rows.count, rows.columns);
  });
}

void run_log_sum_exp(const Call& call, Launcher& to) {
  const Rows rows(*call.in[0].value);
  with_group(rows.count, rows.columns, [&](auto group, int64_t blocks) {
    launch(to, log_sum_exp_kernel<group>, blocks, kThreads, call.in[0].as<const float>(), call.out[0].as<float>(),
           rows.count, rows.columns);
  });
}

}  // namespace

void register_softmax(KernelTable& table) {
  table.add({FJ_OP_SOFTMAX, 0, "softmax", run_softmax, nullptr, nullptr, false});
  table.add({FJ_OP_SOFTMAX_GRAD, 0, "softmaxGrad", run_softmax_grad, nullptr, nullptr, false});
  table.add({FJ_OP_LOG_SOFTMAX, 0, "logSoftmax", run_log_softmax, nullptr, nullptr, false});
  table.add({FJ_OP_LOG_SUM_EXP, 0, "logSumExp", run_log_sum_exp, nullptr, nullptr, false});
}

}  // namespace forja::cuda
