// Softmax, its gradient, logSoftmax and logSumExp over rows (the last axis).
#include "rows.cuh"

namespace forja::cuda {
namespace {

template <class L>
__global__ void __launch_bounds__(L::kBlock)
    softmax_kernel(const float* in, float* out, int64_t rows, int64_t columns) {
  const Row<L> row(rows, columns);
  Logits<L> x(row, in);
  const float shift = x.max();
  const double sum = x.sum([=](int64_t, float value) { return expf(value - shift); });
  const float scale = static_cast<float>(1.0 / sum);
  x.map(true, out, [=](int64_t, float value) { return expf(value - shift) * scale; });
}

// dx = y (dy - sum dy y).
template <class L>
__global__ void __launch_bounds__(L::kBlock)
    softmax_grad_kernel(const float* in, const float* grad, float* out, int64_t rows, int64_t columns) {
  const Row<L> row(rows, columns);
  float y[L::kPer], dy[L::kPer];
  const auto load = [&](int64_t first) {
    row.load(in, first, y);
    row.load(grad, first, dy);
  };
  double own = 0;
  row.walk(false, load,
           [&](int64_t first) { row.each(first, [&](int64_t, int k) { own += static_cast<double>(y[k] * dy[k]); }); });
  const float mixed = static_cast<float>(row.sum_of(own));
  row.walk(true, load, [&](int64_t first) {
    row.each(first, [&](int64_t, int k) { dy[k] = y[k] * (dy[k] - mixed); });
    row.store(out, first, dy);
  });
}

template <class L>
__global__ void __launch_bounds__(L::kBlock)
    log_softmax_kernel(const float* in, float* out, int64_t rows, int64_t columns) {
  const Row<L> row(rows, columns);
  Logits<L> x(row, in);
  // x - max first, then the logarithm: of large logits only the difference counts.
  const LogSumExp lse = log_sum_exp(x, x.max());
  x.map(true, out, [=](int64_t, float value) { return (value - lse.shift) - lse.log_sum; });
}

template <class L>
__global__ void __launch_bounds__(L::kBlock)
    log_sum_exp_kernel(const float* in, float* out, int64_t rows, int64_t columns) {
  const Row<L> row(rows, columns);
  Logits<L> x(row, in);
  const float largest = x.max();
  // Nothing is taken off where the largest is infinite: NaN may stand beside it, and must not be lost.
  const LogSumExp y = log_sum_exp(x, largest == -INFINITY || largest == INFINITY ? 0 : largest);
  if (row.thread == 0 && row.row < rows) out[row.row] = y.shift + y.log_sum;
}

// A row in registers, or two of half as many elements.
constexpr int kHeldOfOne = 32, kHeldOfTwo = 16;

// kernel_of(lie): the kernel that makes y of x's rows, lying so.
template <class F>
void run_rows(const Call& call, Launcher& to, const F& kernel_of) {
  const Rows rows(*call.in[0].value);
  if (call.out[0].value->bytes == 0) return;
  with_rows<float, kHeldOfOne>(rows, [&](auto lie, int64_t blocks) {
    launch(to, kernel_of(lie), blocks, decltype(lie)::kBlock, call.in[0].as<const float>(), call.out[0].as<float>(),
           rows.count, rows.columns);
  });
}

void run_softmax(const Call& call, Launcher& to) {
  run_rows(call, to, [](auto lie) { return &softmax_kernel<decltype(lie)>; });
}

void run_log_softmax(const Call& call, Launcher& to) {
  run_rows(call, to, [](auto lie) { return &log_softmax_kernel<decltype(lie)>; });
}

void run_log_sum_exp(const Call& call, Launcher& to) {
  run_rows(call, to, [](auto lie) { return &log_sum_exp_kernel<decltype(lie)>; });
}

void run_softmax_grad(const Call& call, Launcher& to) {
  const Rows rows(*call.in[0].value);
  if (rows.columns == 0) return;
  with_rows<float, kHeldOfTwo>(rows, [&](auto lie, int64_t blocks) {
    using L = decltype(lie);
    launch(to, softmax_grad_kernel<L>, blocks, L::kBlock, call.in[0].as<const float>(), call.in[1].as<const float>(),
           call.out[0].as<float>(), rows.count, rows.columns);
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
