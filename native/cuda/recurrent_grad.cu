// Backward of recurrent layers (recurrent.cuh, lib/ops/recurrent.ts): from the last step to the first
//
//   d_gates(s) = the cell's gradient of dh, dc and what forward kept
//   dh         = d_gates(s) W_hh (+ the part that passes around the weights)
//
// with the gradients of all gates kept, and at the end dx and all weights' gradients, biases included, in one product
// each over all steps and samples. dh and dc live where the gradients of h0 and c0 go.
#include "recurrent.cuh"

namespace forja::cuda {
namespace {

struct Operands : RecurrentGradOperands {
  float* d_gates;  // (T, N, gates*H), scratch
};

// d_gates of step s: a thread to each unit of each sample.
__global__ void recurrent_cell_grad_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ Operands o,
                                           int64_t s) {
  const int64_t at = thread_index();
  if (at >= r.n * r.h) return;
  const int64_t n = at / r.h, unit = at - n * r.h, row = s * r.n + n;
  const bool first = s + 1 == r.t;
  const float* saved = o.gates + row * r.saved * r.h + unit;
  float* give = o.d_gates + row * r.rows() + unit;
  float d = !first ? o.dh[at] : o.dh_last != nullptr ? o.dh_last[at] : 0.0f;
  if (o.dy != nullptr) d += o.dy[(n * r.t + r.step(s)) * r.h + unit];
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
    give[0] = dn;
    give[r.h] = dn * hn * reset * (1.0f - reset);
    give[2 * r.h] = d * (o.steps[row * r.k + r.i + 1 + unit] - new_h) * update * (1.0f - update);
    give[3 * r.h] = dn * reset;
    o.dh[at] = d * update;
  } else {
    const float y = saved[0];
    give[0] = r.cell == FJ_CELL_TANH ? d * (1.0f - y * y) : y > 0 ? d : 0.0f;
  }
}

// dh, onto the part that passed around the weights where there is one.
struct StateStore {
  float* dh;  // (N, H)
  int64_t h;
  bool accumulate;
  __device__ __forceinline__ void put(int64_t row, int column, float sum) const {
    float* to = dh + row * h + column;
    *to = accumulate ? *to + sum : sum;
  }
};

// Row s * N + n of all steps' gradients to sample n and its step.
struct InputStore {
  float* dx;  // (N, T, I)
  Recurrent r;
  __device__ __forceinline__ void put(int64_t row, int column, float sum) const {
    const int64_t s = row / r.n, n = row - s * r.n;
    dx[(n * r.t + r.step(s)) * r.i + column] = sum;
  }
};

// Rows of all weights' gradients, [d W_i, d b_i, d W_h, d b_h], to where they belong.
struct WeightStore {
  Operands o;
  Recurrent r;
  __device__ __forceinline__ void put(int64_t row, int column, float sum) const {
    const int gate = static_cast<int>(row / r.h);
    const int64_t unit = row % r.h;
    if (column <= r.i) {
      if (gate >= r.x_gates) return;
      const int64_t to = r.x_block(gate) * r.h + unit;
      if (column < r.i) {
        o.d_weight_ih[to * r.i + column] = sum;
      } else {
        o.d_bias_ih[to] = sum;
      }
    } else {
      if (gate < r.gates - r.h_gates) return;
      const int64_t to = r.h_block(gate) * r.h + unit;
      if (column < r.k - 1) {
        o.d_weight_hh[to * r.h + column - r.i - 1] = sum;
      } else {
        o.d_bias_hh[to] = sum;
      }
    }
  }
};

Recurrent describe(const Call& call) { return recurrent_geometry(call.in, call.attrs<fj_recurrent_grad_attrs>()); }

size_t largest(size_t a, size_t b) { return a > b ? a : b; }

size_t scratch_bytes(const Call& call) {
  const Recurrent r = describe(call);
  const size_t state = gemm_scratch(r.n, r.h, r.h_gates * r.h, 1);
  const size_t input = gemm_scratch(r.t * r.n, r.i, r.x_gates * r.h, 1);
  const size_t weights = gemm_scratch(r.rows(), r.k, r.t * r.n, 1);
  return static_cast<size_t>(round_floats(r.rows() * r.k) + round_floats(r.t * r.n * r.rows())) * sizeof(float) +
         largest(state, largest(input, weights));
}

void run(const Call& call, Launcher& to) {
  const Recurrent r = describe(call);
  Operands o{recurrent_grad_operands(call.in, call.out, call.attrs<fj_recurrent_grad_attrs>()), nullptr};
  auto* packed = reinterpret_cast<float*>(call.scratch);
  o.d_gates = packed + round_floats(r.rows() * r.k);
  float* parts = o.d_gates + round_floats(r.t * r.n * r.rows());
  pack_weights(to, r,
               {call.in[1].as<const float>(), call.in[2].as<const float>(), call.in[3].as<const float>(),
                call.in[4].as<const float>()},
               packed);
  const int64_t rows = r.rows(), h_rows = r.h_gates * r.h, x_rows = r.x_gates * r.h, first_h = rows - h_rows;
  const auto n = static_cast<int>(r.n), all = static_cast<int>(r.t * r.n), h = static_cast<int>(r.h);
  for (int64_t s = r.t - 1; s >= 0; s--) {
    launch(to, recurrent_cell_grad_kernel, blocks_for(r.n * r.h), kThreads, r, o, s);
    const Lines<true> gates{o.d_gates + s * r.n * rows + first_h, rows, n, static_cast<int>(h_rows)};
    const Lines<false> weights{packed + first_h * r.k + r.i + 1, r.k, h, static_cast<int>(h_rows)};
    multiply(to, gates, weights, StateStore{o.dh, r.h, r.cell == FJ_CELL_GRU}, h_rows, parts);
  }
  if (o.dx != nullptr) {
    const Lines<true> gates{o.d_gates, rows, all, static_cast<int>(x_rows)};
    const Lines<false> weights{packed, r.k, static_cast<int>(r.i), static_cast<int>(x_rows)};
    multiply(to, gates, weights, InputStore{o.dx, r}, x_rows, parts);
  }
  const Lines<false> gates{o.d_gates, rows, static_cast<int>(rows), all};
  const Lines<false> steps{o.steps, r.k, static_cast<int>(r.k), all};
  multiply(to, gates, steps, WeightStore{o, r}, r.t * r.n, parts);
}

// Kernels count rows and columns in 32 bits.
bool fits(const Call& call) {
  const Recurrent r = describe(call);
  return r.t * r.n < INT32_MAX && r.rows() < INT32_MAX;
}

}  // namespace

void register_recurrent_grad(KernelTable& table) {
  table.add({FJ_OP_RECURRENT_GRAD, 0, "recurrentGrad", run, scratch_bytes, fits, false});
}

}  // namespace forja::cuda
