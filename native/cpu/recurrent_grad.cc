// Backward of recurrent layers (recurrent.h, lib/ops/recurrent.ts): from the last step to the first
//
//   d_gates(s) = the cell's gradient of dh, dc and what forward kept
//   dx(s)      = d_gates(s) W_ih                  dh = d_gates(s) W_hh (+ the part that passes around the weights)
//
// with the gradients of all gates kept, and at the end all weights' gradients, biases included, in one product over
// all steps and samples: d_gates^T (gates*H, T*N) * rows (T*N, K).
//
// dh and dc live where the gradients of h0 and c0 go: behind step s they belong to its h and c, before it to those it
// began with.
#include <cstring>

#include "recurrent.h"
#include "simd/math.h"

namespace forja::FJ_ISA {
namespace {

using Operands = RecurrentGradOperands;

// One product of a step: columns of d_gates times a weight, packed in panels of kTileCols columns.
struct Product {
  int gate, gates;  // that it reads
  int64_t columns;
  int64_t panels;
  FJ_INLINE_MEMBER int64_t rows(const Recurrent& r) const { return gates * r.h; }
};

struct Plan {
  Product product[2];  // dh, then dx where it is wanted
  int products;
  int64_t panels;
  float *packed, *d_gates, *d_weights;  // panels; (T, N, gate_row); (gates*H, K)
  float* rows;                          // (T, N, K)
  float* gemm;
  size_t bytes;

  FJ_INLINE_MEMBER int64_t panel_floats(const Recurrent& r) const { return r.rows() * kTileCols; }
};

// The weights' product over all steps for one range of gates; pointers are set by the caller.
GemmArgs weight_product(const Recurrent& r, const GateRange& range) {
  GemmArgs g{};
  g.m = range.count * r.h;
  g.n = range.kn;
  g.k = r.t * r.n;
  g.lda = r.gate_row();
  g.trans_a = true;
  g.ldb = g.ldc = r.k;
  return g;
}

Plan make_plan(const Recurrent& r, bool wants_dx, uint8_t* base, int threads) {
  Plan plan{};
  plan.product[plan.products++] = {r.gates - r.h_gates, r.h_gates, r.h, ceil_div(r.h, kTileCols)};
  if (wants_dx) plan.product[plan.products++] = {0, r.x_gates, r.i, ceil_div(r.i, kTileCols)};
  for (int i = 0; i < plan.products; i++) plan.panels += plan.product[i].panels;
  ScratchCursor cursor(base);
  plan.packed = cursor.take(plan.panels * plan.panel_floats(r));
  plan.d_gates = cursor.take(r.t * r.n * r.gate_row());
  plan.d_weights = cursor.take(r.rows() * r.k);
  plan.rows = cursor.take(r.t * r.n * r.k);
  size_t gemm = 0;
  for (int i = 0; i < r.ranges; i++) {
    const size_t bytes = gemm_scratch(weight_product(r, r.range[i]), threads);
    if (bytes > gemm) gemm = bytes;
  }
  plan.gemm = cursor.take(static_cast<int64_t>(gemm / sizeof(float)));
  plan.bytes = cursor.used();
  return plan;
}

// Panel `panel` of all products, its place and its columns.
struct Panel {
  const Product* product;
  int64_t column, columns;
  int vectors;
};

FJ_INLINE Panel panel_at(const Plan& plan, int64_t panel) {
  const Product* product = plan.product;
  for (; panel >= product->panels; product++) panel -= product->panels;
  const int64_t column = panel * kTileCols, columns = smaller(kTileCols, product->columns - column);
  return {product, column, columns, static_cast<int>(ceil_div(columns, kWidth))};
}

void pack_panel(const Recurrent& r, const Operands& o, const Plan& plan, int64_t index, float* packed) {
  const Panel panel = panel_at(plan, index);
  const bool is_x = panel.product != plan.product;
  const float* weight = is_x ? o.weight_ih : o.weight_hh;
  const int64_t width = panel.vectors * kWidth, columns = panel.product->columns;
  for (int g = 0; g < panel.product->gates; g++) {
    const int gate = panel.product->gate + g;
    const int64_t block = is_x ? r.x_block(gate) : r.h_block(gate);
    pack_rows(r.h, panel.columns, weight + block * r.h * columns + panel.column, columns, packed + g * r.h * width,
              width);
  }
}

// The cell's gradient for units [unit, unit + kWidth) of one row. h, c: before the step; dy: of this step, or null.
template <int kCell>
FJ_INLINE void cell_backward(int64_t h, int64_t unit, const float* saved, const float* h_before, const float* c_before,
                             const float* dy, float* dh, float* dc, float* d_gates) {
  const bool whole = unit + kWidth <= h;
  const Mask m = tail_mask(h - unit);
  const Vec one = broadcast(1.0f);
  const auto kept = [&](int at) FJ_LAMBDA { return load_lanes(saved + at * h + unit, m, whole); };
  const auto give = [&](int gate, Vec v) FJ_LAMBDA { store_lanes(d_gates + gate * h + unit, m, whole, v); };
  Vec d = load_lanes(dh + unit, m, whole);
  if (dy) d = d + load_lanes(dy + unit, m, whole);
  if constexpr (kCell == FJ_CELL_LSTM) {
    const Vec i = kept(0), f = kept(1), g = kept(2), o = kept(3), t = vtanh(kept(4));
    const Vec through = fma(d * o, fnma(t, t, one), load_lanes(dc + unit, m, whole));
    give(0, through * g * i * (one - i));
    give(1, through * load_lanes(c_before + unit, m, whole) * f * (one - f));
    give(2, through * i * fnma(g, g, one));
    give(3, d * t * o * (one - o));
    store_lanes(dc + unit, m, whole, through * f);
  } else if constexpr (kCell == FJ_CELL_GRU) {
    const Vec reset = kept(0), update = kept(1), n = kept(2), hn = kept(3);
    const Vec dn = d * (one - update) * fnma(n, n, one);
    give(0, dn);
    give(1, dn * hn * reset * (one - reset));
    give(2, d * (load_lanes(h_before + unit, m, whole) - n) * update * (one - update));
    give(3, dn * reset);
    store_lanes(dh + unit, m, whole, d * update);
  } else {
    const Vec y = kept(0);
    give(0, kCell == FJ_CELL_TANH ? d * fnma(y, y, one) : select(y > zero(), d, zero()));
  }
}

// d_gates and rows of step s for the thread's samples.
template <int kCell>
void gate_gradients(const Recurrent& r, const Operands& o, const Plan& plan, int64_t s, Range samples) {
  for (int64_t n = samples.begin; n < samples.end; n++) {
    const int64_t at = s * r.n + n;
    const float* saved = o.gates + at * r.saved * r.h;
    const float* h_before = r.h_before(o.h0, o.y, n, s);
    r.fill_row(o.x, n, s, plan.rows + at * r.k);
    r.fill_state(h_before, plan.rows + at * r.k);
    const float* c_before = nullptr;
    if (kCell == FJ_CELL_LSTM) c_before = s == 0 ? o.c0 + n * r.h : saved - r.n * r.saved * r.h + 4 * r.h;
    const float* dy = o.dy ? o.dy + (n * r.t + r.step(s)) * r.h : nullptr;
    float* dc = kCell == FJ_CELL_LSTM ? o.dc + n * r.h : nullptr;
    float* d_gates = plan.d_gates + at * r.gate_row();
    for (int64_t unit = 0; unit < r.h; unit += kWidth) {
      cell_backward<kCell>(r.h, unit, saved, h_before, c_before, dy, o.dh + n * r.h, dc, d_gates);
    }
  }
}

// dh and dx of step s: the thread's rows and panels.
void step_products(const Recurrent& r, const Operands& o, const Plan& plan, int64_t s, Range rows, Range panels) {
  const int64_t height = even_part(rows.end - rows.begin, kTileRows);
  TileArgs t{};
  t.lda = r.gate_row();
  for (int64_t row = rows.begin; row < rows.end; row += height) {
    const int mr = static_cast<int>(smaller(height, rows.end - row));
    for (int64_t index = panels.begin; index < panels.end; index++) {
      const Panel panel = panel_at(plan, index);
      const bool is_x = panel.product != plan.product;
      t.a = plan.d_gates + (s * r.n + row) * t.lda + panel.product->gate * r.h;
      t.b = plan.packed + index * plan.panel_floats(r);
      t.kc = panel.product->rows(r);
      t.tail = static_cast<int>(panel.columns - (panel.vectors - 1) * kWidth);
      t.c = (is_x ? o.dx + (row * r.t + r.step(s)) * r.i : o.dh + row * r.h) + panel.column;
      t.ldc = is_x ? r.t * r.i : r.h;
      t.accumulate = !is_x && r.cell == FJ_CELL_GRU;
      tile_kernel(ASource::kRows, BSource::kPacked, mr, panel.vectors)(t);
    }
  }
}

void begin_state(const float* last, float* d, const Recurrent& r, Range rows) {
  const size_t bytes = static_cast<size_t>((rows.end - rows.begin) * r.h) * sizeof(float);
  if (last) {
    memcpy(d + rows.begin * r.h, last + rows.begin * r.h, bytes);
  } else {
    memset(d + rows.begin * r.h, 0, bytes);
  }
}

template <int kCell>
void run_steps(const Recurrent& r, const Operands& o, const Plan& plan, Team& team) {
  const StepShare share = share_steps(r, team, plan.panels, r.rows() * (r.h + (o.dx ? r.i : 0)));
  begin_state(o.dh_last, o.dh, r, share.own);
  if (kCell == FJ_CELL_LSTM) begin_state(o.dc_last, o.dc, r, share.own);
  for (int64_t s = r.t - 1; s >= 0; s--) {
    if (share.barriers) team.barrier();
    gate_gradients<kCell>(r, o, plan, s, share.own);
    if (share.barriers) team.barrier();
    step_products(r, o, plan, s, share.rows, share.blocks);
  }
}

// Rows of d_weights, [d weight_ih, d bias_ih, d weight_hh, d bias_hh], to where they belong.
void store_weights(const Recurrent& r, const Operands& o, const Plan& plan, const Team& team) {
  const Range rows = split(r.rows(), team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int gate = static_cast<int>(row / r.h);
    const int64_t unit = row % r.h;
    const float* from = plan.d_weights + row * r.k;
    if (gate < r.x_gates) {
      const int64_t to = r.x_block(gate) * r.h + unit;
      memcpy(o.d_weight_ih + to * r.i, from, static_cast<size_t>(r.i) * sizeof(float));
      o.d_bias_ih[to] = from[r.i];
    }
    if (gate >= r.gates - r.h_gates) {
      const int64_t to = r.h_block(gate) * r.h + unit;
      memcpy(o.d_weight_hh + to * r.h, from + r.i + 1, static_cast<size_t>(r.h) * sizeof(float));
      o.d_bias_hh[to] = from[r.k - 1];
    }
  }
}

size_t scratch_bytes(const Call& call, int threads) {
  const auto& attrs = call.attrs<fj_recurrent_grad_attrs>();
  return make_plan(Recurrent(call, attrs), attrs.dx != 0, nullptr, threads).bytes;
}

void run(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_recurrent_grad_attrs>();
  const Recurrent r(call, attrs);
  const Operands o = recurrent_grad_operands(call.in, call.out, attrs);
  const Plan plan = make_plan(r, o.dx != nullptr, call.scratch, team.count);
  const Range panels = split(plan.panels, team);
  for (int64_t panel = panels.begin; panel < panels.end; panel++) {
    pack_panel(r, o, plan, panel, plan.packed + panel * plan.panel_floats(r));
  }
  team.barrier();
  switch (r.cell) {
    case FJ_CELL_LSTM:
      run_steps<FJ_CELL_LSTM>(r, o, plan, team);
      break;
    case FJ_CELL_GRU:
      run_steps<FJ_CELL_GRU>(r, o, plan, team);
      break;
    case FJ_CELL_TANH:
      run_steps<FJ_CELL_TANH>(r, o, plan, team);
      break;
    default:
      run_steps<FJ_CELL_RELU>(r, o, plan, team);
  }
  for (int i = 0; i < r.ranges; i++) {
    team.barrier();  // before the first: all gates' gradients; then: the scratch of the product before
    const GateRange& range = r.range[i];
    GemmArgs g = weight_product(r, range);
    g.a = plan.d_gates + range.gate * r.h;
    g.b = plan.rows + range.k0;
    g.c = plan.d_weights + range.gate * r.h * r.k + range.k0;
    gemm(team, g, reinterpret_cast<uint8_t*>(plan.gemm));
  }
  team.barrier();
  store_weights(r, o, plan, team);
}

}  // namespace

void register_recurrent_grad(KernelTable& table) {
  table.add({FJ_OP_RECURRENT_GRAD, 0, "recurrentGrad", run, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
