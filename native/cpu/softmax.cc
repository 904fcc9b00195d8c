// Softmax, its gradient, logSoftmax and logSumExp over rows (the last axis).
#include "softmax.h"

namespace forja::FJ_ISA {
namespace {

// body(first element of the row, columns, row) for this thread's share of the rows of the first input.
template <class Body>
FJ_INLINE void over_rows(const Call& call, const Team& team, const Body& body) {
  if (call.out[0].value->bytes == 0) return;
  const fj_value& x = *call.in[0].value;
  const int64_t columns = x.dims[x.rank - 1];
  const int64_t grain = call.out[0].value->rank < x.rank ? row_grain(columns) : 1;
  const Range rows = split(element_count(x, 0, x.rank - 1), team, grain);
  for (int64_t row = rows.begin; row < rows.end; row++) body(row * columns, columns, row);
}

void run_softmax(const Call& call, Team& team) {
  over_rows(call, team, [&](int64_t first, int64_t columns, int64_t) FJ_LAMBDA {
    const float* x = call.in[0].as<const float>() + first;
    float* y = call.out[0].as<float>() + first;
    const Vec shift = broadcast(row_max(x, columns));
    const double sum = row_sum(x, columns, [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA {
      const Vec e = vexp(v - shift);
      store_part(y + i, n, e);
      return e;
    });
    const Vec scale = broadcast(static_cast<float>(1.0 / sum));
    for (int64_t i = 0; i < columns; i += kWidth) {
      store_part(y + i, columns - i, load_part(y + i, columns - i) * scale);
    }
  });
}

// dx = y (dy - Σ dy y).
void run_softmax_grad(const Call& call, Team& team) {
  over_rows(call, team, [&](int64_t first, int64_t columns, int64_t) FJ_LAMBDA {
    const float* y = call.in[0].as<const float>() + first;
    const float* dy = call.in[1].as<const float>() + first;
    float* dx = call.out[0].as<float>() + first;
    const double sum =
        row_sum(y, columns, [&](Vec v, int64_t i, int64_t n) FJ_LAMBDA { return v * load_part(dy + i, n); });
    const Vec mixed = broadcast(static_cast<float>(sum));
    for (int64_t i = 0; i < columns; i += kWidth) {
      const int64_t n = columns - i;
      store_part(dx + i, n, load_part(y + i, n) * (load_part(dy + i, n) - mixed));
    }
  });
}

void run_log_softmax(const Call& call, Team& team) {
  over_rows(call, team, [&](int64_t first, int64_t columns, int64_t) FJ_LAMBDA {
    const float* x = call.in[0].as<const float>() + first;
    float* y = call.out[0].as<float>() + first;
    // x - max first, then the logarithm: of large logits only the difference counts.
    const LogSumExp lse = row_log_sum_exp(x, columns, row_max(x, columns));
    const Vec shift = broadcast(lse.shift), log_sum = broadcast(lse.log_sum);
    for (int64_t i = 0; i < columns; i += kWidth) {
      const int64_t n = columns - i;
      store_part(y + i, n, (load_part(x + i, n) - shift) - log_sum);
    }
  });
}

void run_log_sum_exp(const Call& call, Team& team) {
  over_rows(call, team, [&](int64_t first, int64_t columns, int64_t row) FJ_LAMBDA {
    const float* x = call.in[0].as<const float>() + first;
    const float largest = row_max(x, columns);
    // Nothing is taken off where the largest is infinite: NaN may stand beside it, and must not be lost.
    const float shift = largest == -INFINITY || largest == INFINITY ? 0 : largest;
    const LogSumExp y = row_log_sum_exp(x, columns, shift);
    call.out[0].as<float>()[row] = y.shift + y.log_sum;
  });
}

}  // namespace

void register_softmax(KernelTable& table) {
  table.add({FJ_OP_SOFTMAX, 0, "softmax", run_softmax, nullptr, nullptr});
  table.add({FJ_OP_SOFTMAX_GRAD, 0, "softmaxGrad", run_softmax_grad, nullptr, nullptr});
  table.add({FJ_OP_LOG_SOFTMAX, 0, "logSoftmax", run_log_softmax, nullptr, nullptr});
  table.add({FJ_OP_LOG_SUM_EXP, 0, "logSumExp", run_log_sum_exp, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
