// Backward of recurrent layers (recurrent.cuh, lib/ops/recurrent.ts): from the last step to the first
//
//   d_gates(s) = the cell's gradient of dh, dc and what forward kept
//   dh         = d_gates(s) W_hh (+ the part that passes around the weights)
//
// with the gradients of all gates kept, and at the end dx and all weights' gradients in one product each over all steps
// and samples. A step's product leaves dh in parts, which the kernel of the next adds up. dc, and what passes around
// the weights, live where the gradients of c0 and h0 go.
#include "device/divide.cuh"
#include "recurrent.cuh"
#include "reduce.cuh"

namespace forja::cuda {
namespace {

struct Operands : RecurrentGradOperands {
  // (N, T, G*H), in the order of x and y: of W x + b, and of W h + b, the same memory but for a GRU.
  float *d_input_part, *d_state_part;
  float* parts;  // (count, N, H): dh behind a step, less what passes around the weights
  int count;

  __device__ __forceinline__ float state_gradient(int64_t at, int64_t size, bool passes_around) const {
    float sum = passes_around ? dh[at] : 0.0f;
    for (int i = 0; i < count; i++) sum += parts[i * size + at];
    return sum;
  }
};

// Gradients of the gates of the step that ran s-th: a thread to each unit of each sample.
__global__ void recurrent_cell_grad_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ Operands o,
                                           int64_t s) {
  const int64_t at = thread_index(), size = r.n * r.h;
  if (at >= size) return;
  const int64_t n = at / r.h, unit = at - n * r.h, row = n * r.t + r.step(s);
  const bool first = s + 1 == r.t;
  const float* saved = o.gates + (s * r.n + n) * r.saved * r.h + unit;
  const int64_t to = row * r.x_gates * r.h + unit;
  float* give = o.d_state_part + to;
  float d = 0;
  if (!first) {
    d = o.state_gradient(at, size, r.cell == FJ_CELL_GRU);
  } else if (o.dh_last != nullptr) {
    d = o.dh_last[at];
  }
  if (o.dy != nullptr) d += o.dy[row * r.h + unit];
  if (r.cell == FJ_CELL_LSTM) {
    const float i = saved[0], f = saved[r.h], g = saved[2 * r.h], out = saved[3 * r.h], t = tanhf(saved[4 * r.h]);
    const float before = s == 0 ? o.c0[at] : saved[4 * r.h - r.n * r.saved * r.h];
    const float dc = !first ? o.dc[at] : o.dc_last != nullptr ? o.dc_last[at] : 0.0f;
    const float through = d * out * (1.0f - t * t) + dc;
    give[0] = through * g * i * (1.0f - i);
    give[r.h] = through * before * f * (1.0f - f);
    give[2 * r.h] = through * i * (1.0f - g * g);
    give[3 * r.h] = d * t * out * (1.0f - out);
    o.dc[at] = through * f;
  } else if (r.cell == FJ_CELL_GRU) {
    const float reset = saved[0], update = saved[r.h], new_h = saved[2 * r.h], hn = saved[3 * r.h];
    const float dn = d * (1.0f - update) * (1.0f - new_h * new_h);
    float* give_input = o.d_input_part + to;
    give[0] = give_input[0] = dn * hn * reset * (1.0f - reset);
    give[r.h] = give_input[r.h] = d * (r.h_before(o.h0, o.y, n, s)[unit] - new_h) * update * (1.0f - update);
    give_input[2 * r.h] = dn;
    give[2 * r.h] = dn * reset;
    o.dh[at] = d * update;
  } else {
    const float y = saved[0];
    give[0] = r.cell == FJ_CELL_TANH ? d * (1.0f - y * y) : y > 0 ? d : 0.0f;
  }
}

// dh of h0, from the first step's parts.
__global__ void recurrent_state_grad_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ Operands o) {
  const int64_t at = thread_index(), size = r.n * r.h;
  if (at < size) o.dh[at] = o.state_gradient(at, size, r.cell == FJ_CELL_GRU);
}

// Steps of K are rows n * T + t: h before that step.
struct StatesBefore {
  using Element = float;
  static constexpr bool kAlongK = false;
  const float *h0, *y;  // (N, H), (N, T, H)
  Divisor t;
  int h, first, back;  // floats of a row, the t that runs first, and from a row of y to the one before it
  int count, end;

  using Line = int;
  __device__ __forceinline__ Line line(int index) const { return index; }
  __device__ __forceinline__ Place<float> find(Line line, int k) const {
    int sample = k;
    const int step = t.split(sample);
    const float* row = step == first ? h0 + static_cast<int64_t>(sample) * h : y + static_cast<int64_t>(k + back) * h;
    return {row + line, line < count && k < end};
  }
};

template <int V>
void run_layer(Launcher& to, const Recurrent& r, Operands o, float* scratch) {
  const int64_t rows = r.x_gates * r.h;
  const auto n = static_cast<int>(r.n), t = static_cast<int>(r.t), all = n * t, h = static_cast<int>(r.h);
  const auto gates = static_cast<int>(rows), inputs = static_cast<int>(r.i);
  for (int64_t s = r.t - 1; s >= 0; s--) {
    launch(to, recurrent_cell_grad_kernel, blocks_for(r.n * r.h), kThreads, r, o, s);
    const Lines<true> d_gates{o.d_state_part + r.step(s) * rows, r.t * rows, n, gates};
    const Lines<false> weights{o.weight_hh, r.h, h, gates};
    const Epilogue into{o.parts, r.h, nullptr, false};  // where there is but one
    o.count = run_parts<V, V>(to, OneProduct{d_gates, weights, into}, r.n, r.h, rows, 1, o.parts).parts;
  }
  launch(to, recurrent_state_grad_kernel, blocks_for(r.n * r.h), kThreads, r, o);
  if (o.dx != nullptr) {
    const Lines<true> d_gates{o.d_input_part, rows, all, gates};
    const Lines<false> weights{o.weight_ih, r.i, inputs, gates};
    multiply<V>(to, OneProduct{d_gates, weights, Epilogue{o.dx, r.i, nullptr, false}}, rows, scratch);
  }
  const Lines<false> d_input{o.d_input_part, rows, gates, all}, d_state{o.d_state_part, rows, gates, all};
  const Lines<false> x{o.x, r.i, inputs, all};
  const StatesBefore states{o.h0, o.y, Divisor(r.t), h, r.reverse ? t - 1 : 0, r.reverse ? 1 : -1, h, all};
  multiply<V>(to, OneProduct{d_input, x, Epilogue{o.d_weight_ih, r.i, nullptr, false}}, all, scratch);
  multiply<V>(to, OneProduct{d_state, states, Epilogue{o.d_weight_hh, r.h, nullptr, false}}, all, scratch);
  sum_rows(to, o.d_input_part, all, rows, o.d_bias_ih, scratch);
  if (o.d_state_part != o.d_input_part) {
    sum_rows(to, o.d_state_part, all, rows, o.d_bias_hh, scratch);
  } else if (to.error == cudaSuccess) {
    to.error = cudaMemcpyAsync(o.d_bias_hh, o.d_bias_ih, static_cast<size_t>(rows) * sizeof(float),
                               cudaMemcpyDeviceToDevice, to.stream);
  }
}

Recurrent describe(const Call& call) { return recurrent_geometry(call.in, call.attrs<fj_recurrent_grad_attrs>()); }

// Scratch: the gradients of the gates, and behind them what one kernel leaves for the next.
struct Layout {
  size_t d_gates, passing;  // bytes of each gradient of the gates, and of the rest
  int gradients;            // of the gates: 2 of a GRU

  explicit Layout(const Recurrent& r) {
    const int64_t rows = r.x_gates * r.h, all = r.t * r.n;
    d_gates = align_up(static_cast<size_t>(all * rows) * sizeof(float));
    gradients = r.cell == FJ_CELL_GRU ? 2 : 1;
    const size_t needs[] = {static_cast<size_t>(r.n * r.h) * sizeof(float),
                            gemm_scratch(r.n, r.h, rows, 1),
                            gemm_scratch(all, r.i, rows, 1),
                            gemm_scratch(rows, r.i, all, 1),
                            gemm_scratch(rows, r.h, all, 1),
                            sum_rows_scratch(rows)};
    passing = 0;
    for (const size_t bytes : needs) passing = bytes > passing ? bytes : passing;
  }
};

size_t scratch_bytes(const Call& call) {
  const Layout layout(describe(call));
  return layout.gradients * layout.d_gates + layout.passing;
}

void run(const Call& call, Launcher& to) {
  const Recurrent r = describe(call);
  const Layout layout(r);
  Operands o{recurrent_grad_operands(call.in, call.out, call.attrs<fj_recurrent_grad_attrs>()), {}, {}, {}, 0};
  o.d_input_part = reinterpret_cast<float*>(call.scratch);
  o.d_state_part = reinterpret_cast<float*>(call.scratch + (layout.gradients - 1) * layout.d_gates);
  auto* scratch = reinterpret_cast<float*>(call.scratch + layout.gradients * layout.d_gates);
  o.parts = scratch;
  if (in_pieces(r)) return run_layer<4>(to, r, o, scratch);
  run_layer<1>(to, r, o, scratch);
}

bool supports(const Call& call) { return fits(describe(call)); }

}  // namespace

void register_recurrent_grad(KernelTable& table) {
  table.add({FJ_OP_RECURRENT_GRAD, 0, "recurrentGrad", run, scratch_bytes, supports, false});
}

}  // namespace forja::cuda
