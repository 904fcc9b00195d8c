// Forward of recurrent layers: one direction of one layer over all steps (recurrent.cuh, lib/ops/recurrent.ts).
#include "recurrent.cuh"

namespace forja::cuda {
namespace {

__global__ void pack_weights_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ RecurrentWeights w,
                                    float* packed) {
  const int64_t at = thread_index();
  if (at >= r.rows() * r.k) return;
  const int64_t row = at / r.k, k = at - row * r.k, unit = row % r.h;
  const int gate = static_cast<int>(row / r.h);
  const bool reads_x = gate < r.x_gates, reads_h = gate >= r.gates - r.h_gates;
  const int64_t x_row = r.x_block(gate) * r.h + unit, h_row = r.h_block(gate) * r.h + unit;
  float value = 0;
  if (k <= r.i) {
    if (reads_x) value = k < r.i ? w.ih[x_row * r.i + k] : w.bias_ih[x_row];
  } else if (reads_h) {
    value = k < r.k - 1 ? w.hh[h_row * r.h + k - r.i - 1] : w.bias_hh[h_row];
  }
  packed[at] = value;
}

struct Operands {
  const float *x, *h0, *c0;               // (N, T, I), (N, H), (N, H) or null
  float *y, *h, *steps, *gates, *last_c;  // (N, T, H), (N, H), (T, N, K), (T, N, S*H), (N, H) or null
};

// Rows [x, 1, .., 1] of all steps; of the first h0 too.
__global__ void fill_steps_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ Operands o) {
  const int64_t at = thread_index();
  if (at >= r.t * r.n * r.k) return;
  const int64_t row = at / r.k, k = at - row * r.k, s = row / r.n, n = row - s * r.n;
  if (k < r.i) {
    o.steps[at] = o.x[(n * r.t + r.step(s)) * r.i + k];
  } else if (k == r.i || k == r.k - 1) {
    o.steps[at] = 1.0f;
  } else if (s == 0) {
    o.steps[at] = o.h0[n * r.h + k - r.i - 1];
  }
}

// The cell's formula of step s: a thread to each unit of each sample. z (N, gates*H).
__global__ void recurrent_cell_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ Operands o,
                                      const float* z, int64_t s) {
  const int64_t at = thread_index();
  if (at >= r.n * r.h) return;
  const int64_t n = at / r.h, unit = at - n * r.h, row = s * r.n + n;
  const bool last = s + 1 == r.t;
  const float* gate = z + n * r.rows() + unit;
  float* saved = o.gates + row * r.saved * r.h + unit;
  float next;
  if (r.cell == FJ_CELL_LSTM) {
    const float i = logistic(gate[0]), f = logistic(gate[r.h]), g = tanhf(gate[2 * r.h]), out = logistic(gate[3 * r.h]);
    const float before = s == 0 ? o.c0[at] : saved[4 * r.h - r.n * r.saved * r.h];
    const float c = f * before + i * g;
    next = out * tanhf(c);
    saved[0] = i, saved[r.h] = f, saved[2 * r.h] = g, saved[3 * r.h] = out, saved[4 * r.h] = c;
    if (last) o.last_c[at] = c;
  } else if (r.cell == FJ_CELL_GRU) {
    const float reset = logistic(gate[r.h]), update = logistic(gate[2 * r.h]), hn = gate[3 * r.h];
    const float new_h = tanhf(reset * hn + gate[0]), before = o.steps[row * r.k + r.i + 1 + unit];
    next = update * (before - new_h) + new_h;
    saved[0] = reset, saved[r.h] = update, saved[2 * r.h] = new_h, saved[3 * r.h] = hn;
  } else {
    const float a = gate[0];
    next = r.cell == FJ_CELL_TANH ? tanhf(a) : a < 0 ? 0.0f : a;
    saved[0] = next;
  }
  if (last) {
    o.h[at] = next;
  } else {
    o.steps[(row + r.n) * r.k + r.i + 1 + unit] = next;
  }
  o.y[(n * r.t + r.step(s)) * r.h + unit] = next;
}

Recurrent describe(const Call& call) { return recurrent_geometry(call.in, call.attrs<fj_recurrent_attrs>()); }

size_t scratch_bytes(const Call& call) {
  const Recurrent r = describe(call);
  return static_cast<size_t>(round_floats(r.rows() * r.k) + round_floats(r.n * r.rows())) * sizeof(float) +
         gemm_scratch(r.n, r.rows(), r.k, 1);
}

void run(const Call& call, Launcher& to) {
  const Recurrent r = describe(call);
  const bool lstm = r.cell == FJ_CELL_LSTM;
  const auto in = [&](int i) { return call.in[i].as<const float>(); };
  const auto out = [&](int i) { return call.out[i].as<float>(); };
  const Operands o{in(0), in(5), lstm ? in(6) : nullptr, out(0), out(1), out(2), out(3), lstm ? out(4) : nullptr};
  auto* packed = reinterpret_cast<float*>(call.scratch);
  float* z = packed + round_floats(r.rows() * r.k);
  float* parts = z + round_floats(r.n * r.rows());
  pack_weights(to, r, {in(1), in(2), in(3), in(4)}, packed);
  launch(to, fill_steps_kernel, blocks_for(r.t * r.n * r.k), kThreads, r, o);
  const auto n = static_cast<int>(r.n), k = static_cast<int>(r.k), rows = static_cast<int>(r.rows());
  for (int64_t s = 0; s < r.t; s++) {
    const Lines<true> step{o.steps + s * r.n * r.k, r.k, n, k}, weights{packed, r.k, rows, k};
    multiply(to, step, weights, Epilogue{z, r.rows(), nullptr, false}, r.k, parts);
    launch(to, recurrent_cell_kernel, blocks_for(r.n * r.h), kThreads, r, o, static_cast<const float*>(z), s);
  }
}

// Kernels count rows and columns in 32 bits.
bool fits(const Call& call) {
  const Recurrent r = describe(call);
  return r.t * r.n < INT32_MAX && r.rows() < INT32_MAX;
}

}  // namespace

void pack_weights(Launcher& to, const Recurrent& r, const RecurrentWeights& w, float* packed) {
  launch(to, pack_weights_kernel, blocks_for(r.rows() * r.k), kThreads, r, w, packed);
}

void register_recurrent(KernelTable& table) {
  table.add({FJ_OP_RECURRENT, 0, "recurrent", run, scratch_bytes, fits, false});
}

}  // namespace forja::cuda
