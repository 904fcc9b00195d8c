// Forward of recurrent layers: one direction of one layer over all steps (recurrent.cuh, lib/ops/recurrent.ts).
//
// x's product is taken for all steps at once, and waits where the step will put what it keeps for backward. Then a step
// is one kernel: tiles of h's product, in which the gates of a unit are neighbouring columns and so belong to one
// thread, which goes on to the cell's formula. Steps are short and wait for each other: a tile is small, and groups of
// its threads share K.
#include "recurrent.cuh"

namespace forja::cuda {
namespace {

struct Operands {
  const float *x, *weight_ih, *weight_hh;  // (N, T, I), (G*H, I), (G*H, H)
  const float *bias_ih, *bias_hh;          // (G*H)
  const float *h0, *c0;                    // (N, H), (N, H) or null
  float *y, *h, *gates, *last_c;           // (N, T, H), (N, H), (T, N, S*H), (N, H) or null
};

// Lines that run along K, each from a place of its own on.
struct Rows {
  using Element = float;
  static constexpr bool kAlongK = true;
  int count, end;

  struct Line {
    const float* row;
    bool inside;
  };
  __device__ __forceinline__ Place<float> find(const Line& line, int k) const {
    return {line.row + k, line.inside && k < end};
  }
};

// Rows s * N + n: what sample n reads at the step that runs s-th.
struct StepInputs : Rows {
  const float* x;
  Recurrent r;

  __device__ __forceinline__ Line line(int index) const {
    const int64_t s = index / r.n, n = index - s * r.n;
    return {x + (n * r.t + r.step(s)) * r.i, index < count};
  }
};

template <int kCell>
constexpr int kGates = kCell == FJ_CELL_LSTM  ? 4
                       : kCell == FJ_CELL_GRU ? 3
                                              : 1;

// Columns of h's product: gate c % 4 of unit c / 4, or of a cell with one gate the units.
template <int kCell>
struct GateLines : Rows {
  static constexpr int kEach = kGates<kCell> == 1 ? 1 : 4;  // columns of a unit
  const float* weight;                                      // (G*H, H)

  __device__ __forceinline__ GateLines(const float* weight_hh, int h) : Rows{kEach * h, h}, weight(weight_hh) {}
  __device__ __forceinline__ Line line(int index) const {
    const int64_t h = end, unit = index / kEach, gate = index % kEach;
    return {weight + (gate * h + unit) * h, index < count && gate < kGates<kCell>};
  }
};

// Instead of storing a tile's sums: the cell's formula of the step that runs s-th.
template <int kCell>
struct CellStore {
  Recurrent r;
  Operands o;
  int64_t s;

  template <int V, class Write>
  __device__ __forceinline__ void each(const Write& write) const {
    static_assert(V == 4, "the gates of a unit come together");
    write([&](int column) {
      return [this, column](int row, const float* sums) {
        if (row >= r.n) return;
        if constexpr (GateLines<kCell>::kEach == 4) {
          if (column / 4 < r.h) apply(row, column / 4, sums);
        } else {
#pragma unroll
          for (int j = 0; j < V; j++) {
            if (column + j < r.h) apply(row, column + j, &sums[j]);
          }
        }
      };
    });
  }

  // z: h's product for the gates of a unit.
  __device__ __forceinline__ void apply(int64_t n, int64_t unit, const float* z) const {
    float* saved = o.gates + (s * r.n + n) * r.saved * r.h + unit;  // holds x's product
    const int64_t at = n * r.h + unit;
    const auto state_part = [&](int gate) { return z[gate] + o.bias_hh[gate * r.h + unit]; };
    const auto gate_sum = [&](int gate) { return saved[gate * r.h] + state_part(gate); };
    float next;
    if constexpr (kCell == FJ_CELL_LSTM) {
      const float i = logistic(gate_sum(0)), f = logistic(gate_sum(1)), g = tanhf(gate_sum(2));
      const float out = logistic(gate_sum(3));
      const float before = s == 0 ? o.c0[at] : saved[4 * r.h - r.n * r.saved * r.h];
      const float c = f * before + i * g;
      next = out * tanhf(c);
      saved[0] = i, saved[r.h] = f, saved[2 * r.h] = g, saved[3 * r.h] = out, saved[4 * r.h] = c;
      if (s + 1 == r.t) o.last_c[at] = c;
    } else if constexpr (kCell == FJ_CELL_GRU) {
      const float reset = logistic(gate_sum(0)), update = logistic(gate_sum(1)), hn = state_part(2);
      const float new_h = tanhf(saved[2 * r.h] + reset * hn);
      next = update * (r.h_before(o.h0, o.y, n, s)[unit] - new_h) + new_h;
      saved[0] = reset, saved[r.h] = update, saved[2 * r.h] = new_h, saved[3 * r.h] = hn;
    } else {
      const float a = gate_sum(0);
      next = kCell == FJ_CELL_TANH ? tanhf(a) : a < 0 ? 0.0f : a;
      saved[0] = next;
    }
    if (s + 1 == r.t) o.h[at] = next;
    o.y[(n * r.t + r.step(s)) * r.h + unit] = next;
  }
};

// One block a tile of h's product.
template <int kCell, int V>
__global__ void __launch_bounds__(GroupedTile::kThreads)
    recurrent_step_kernel(const __grid_constant__ Recurrent r, const __grid_constant__ Operands o, int64_t s,
                          int across) {
  const int tile = static_cast<int>(blockIdx.x);
  const int row = tile / across * GroupedTile::kM, column = tile % across * GroupedTile::kN;
  const auto n = static_cast<int>(r.n), h = static_cast<int>(r.h);
  const Lines<true> state{r.h_before(o.h0, o.y, 0, s), s == 0 ? r.h : r.t * r.h, n, h};
  const GateLines<kCell> weights(o.weight_hh, h);
  GroupedTile::multiply<V, V>(state, weights, CellStore<kCell>{r, o, s}, row, column, 0, h);
}

template <int kCell, int V>
void run_steps(Launcher& to, const Recurrent& r, const Operands& o) {
  const int64_t across = ceil_div(r.h * GateLines<kCell>::kEach, GroupedTile::kN);
  const int64_t tiles = ceil_div(r.n, GroupedTile::kM) * across;
  for (int64_t s = 0; s < r.t; s++) {
    launch(to, recurrent_step_kernel<kCell, V>, tiles, GroupedTile::kThreads, r, o, s, static_cast<int>(across));
  }
}

template <int V>
void run_layer(Launcher& to, const Recurrent& r, const Operands& o, float* scratch) {
  const int64_t columns = r.x_gates * r.h;
  const auto count = static_cast<int>(columns), inputs = static_cast<int>(r.i);
  const StepInputs inputs_of_steps{{static_cast<int>(r.t * r.n), inputs}, o.x, r};
  const Lines<true> weights{o.weight_ih, r.i, count, inputs};
  multiply<V>(to, OneProduct{inputs_of_steps, weights, Epilogue{o.gates, r.saved * r.h, o.bias_ih, false}}, r.i,
              scratch);
  switch (r.cell) {
    case FJ_CELL_LSTM:
      return run_steps<FJ_CELL_LSTM, V>(to, r, o);
    case FJ_CELL_GRU:
      return run_steps<FJ_CELL_GRU, V>(to, r, o);
    case FJ_CELL_TANH:
      return run_steps<FJ_CELL_TANH, V>(to, r, o);
    default:
      return run_steps<FJ_CELL_RELU, V>(to, r, o);
  }
}

Recurrent describe(const Call& call) { return recurrent_geometry(call.in, call.attrs<fj_recurrent_attrs>()); }

size_t scratch_bytes(const Call& call) {
  const Recurrent r = describe(call);
  return gemm_scratch(r.t * r.n, r.x_gates * r.h, r.i, 1);
}

void run(const Call& call, Launcher& to) {
  const Recurrent r = describe(call);
  const bool lstm = r.cell == FJ_CELL_LSTM;
  const auto in = [&](int i) { return call.in[i].as<const float>(); };
  const auto out = [&](int i) { return call.out[i].as<float>(); };
  const Operands o{in(0),
                   in(1),
                   in(2),
                   in(3),
                   in(4),
                   in(5),
                   lstm ? in(6) : nullptr,
                   out(0),
                   out(1),
                   out(2),
                   lstm ? out(3) : nullptr};
  auto* scratch = reinterpret_cast<float*>(call.scratch);
  if (in_pieces(r)) return run_layer<4>(to, r, o, scratch);
  run_layer<1>(to, r, o, scratch);
}

bool supports(const Call& call) { return fits(describe(call)); }

}  // namespace

void register_recurrent(KernelTable& table) {
  table.add({FJ_OP_RECURRENT, 0, "recurrent", run, scratch_bytes, supports, false});
}

}  // namespace forja::cuda
