// What the recurrent kernels share: recurrent.cu (forward) and recurrent_grad.cu (backward). Cells and names as in
// lib/ops/recurrent.ts; the order of gates and the rows [x, 1, h, 1] of `steps` are those of native/cpu/recurrent.h:
//
//   tanh, relu  a          x: a            h: a
//   lstm        i f g o    x: i f g o      h: i f g o
//   gru         n r z m    x: n r z        h: r z m      n = tanh(n + r * m), m = W_hn h + b_hn
//
// All weights lie side by side in scratch, (gates*H, K), zero where a gate does not read: a step is one product with a
// row of `steps` for all gates and biases, and one kernel for the cells' formula.
#pragma once

#include "gemm.cuh"

namespace forja::cuda {

struct Recurrent {
  int cell;
  bool reverse;
  int64_t n, t, i, h;
  int64_t k;                    // floats of a row of steps: i + h + 2
  int gates, x_gates, h_gates;  // per unit; the first x_gates read x, the last h_gates read h
  int saved;                    // floats that a unit keeps for backward

  // x (N, T, I) and h0 (N, H) give the sizes.
  Recurrent(const fj_value& x, const fj_value& h0, int cell_, int reverse_) : cell(cell_), reverse(reverse_ != 0) {
    n = x.dims[0], t = x.dims[1], i = x.dims[2], h = h0.dims[1];
    k = i + h + 2;
    const bool lstm = cell == FJ_CELL_LSTM, gru = cell == FJ_CELL_GRU;
    gates = lstm || gru ? 4 : 1;
    x_gates = h_gates = gru ? 3 : gates;
    saved = lstm ? 5 : gru ? 4 : 1;
  }
  __host__ __device__ int64_t rows() const { return gates * h; }  // of all weights
  // Where x's and h's gate `gate` lies in the weights: blocks of h rows.
  __device__ __forceinline__ int x_block(int gate) const { return cell == FJ_CELL_GRU ? (gate + 2) % 3 : gate; }
  __device__ __forceinline__ int h_block(int gate) const { return gate - (gates - h_gates); }
  // The step of x and y that runs s-th.
  __host__ __device__ int64_t step(int64_t s) const { return reverse ? t - 1 - s : s; }
};

struct RecurrentWeights {
  const float *ih, *hh;            // (G*H, I), (G*H, H)
  const float *bias_ih, *bias_hh;  // (G*H)
};

// packed (gates*H, K): row `gate * H + unit` is [W_i, b_i, W_h, b_h] of that gate.
void pack_weights(Launcher& to, const Recurrent& r, const RecurrentWeights& w, float* packed);

// A product of matrices as a problem of run_gemm.
template <class A, class B, class Into>
struct OneProduct {
  A left;
  B right;
  Into into;
  __device__ __forceinline__ A a(int, int end) const {
    A operand = left;
    operand.end = end;
    return operand;
  }
  __device__ __forceinline__ B b(int, int end) const {
    B operand = right;
    operand.end = end;
    return operand;
  }
  __device__ __forceinline__ Into epilogue(int) const { return into; }
};

template <class A, class B, class Into>
void multiply(Launcher& to, const A& a, const B& b, const Into& into, int64_t k, float* scratch) {
  run_gemm<1, 1>(to, OneProduct<A, B, Into>{a, b, into}, a.count, b.count, k, 1, scratch);
}

__device__ __forceinline__ float logistic(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

inline int64_t round_floats(int64_t floats) { return ceil_div(floats, 64) * 64; }

}  // namespace forja::cuda
