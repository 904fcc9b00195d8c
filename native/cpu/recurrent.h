// What the recurrent kernels share: recurrent.cc (forward) and recurrent_grad.cc (backward). Cells and names as in
// lib/ops/recurrent.ts: N samples, T steps, I inputs, H hidden units.
//
// A row of `steps` is [x, 1, h, 1], so that one product gives all gates of a step, biases included, and one product
// over all steps the gradients of all weights. Gates lie in an order in which those that read x come first and those
// that read h last, each kind in one run:
//
//   tanh, relu  a          x: a            h: a
//   lstm        i f g o    x: i f g o      h: i f g o
//   gru         n r z m    x: n r z        h: r z m      n = tanh(n + r * m), m = W_hn h + b_hn
//
// Threads: rows of the batch, which need nobody else's results from the first step to the last; where a batch has too
// few rows to fill tiles, hidden units too, with a barrier a step.
#pragma once

#include "gemm.h"
#include "kernel.h"
#include "scratch.h"

namespace forja::FJ_ISA {

// Gates [gate, gate + count) are products of columns [k0, k0 + kn) of steps.
struct GateRange {
  int gate, count;
  int64_t k0, kn;
};

struct Recurrent {
  int cell;
  bool reverse;
  int64_t n, t, i, h;
  int64_t k;                    // floats of a row of steps: i + h + 2
  int gates, x_gates, h_gates;  // per unit; the first x_gates read x, the last h_gates read h
  int saved;                    // floats that a unit keeps for backward
  int ranges;
  GateRange range[3];

  // Where x's and h's gate `gate` lies in the weights: blocks of h rows.
  FJ_INLINE_MEMBER int x_block(int gate) const { return cell == FJ_CELL_GRU ? (gate + 2) % 3 : gate; }
  FJ_INLINE_MEMBER int h_block(int gate) const { return gate - (gates - h_gates); }
  // The step of x and y that runs s-th.
  FJ_INLINE_MEMBER int64_t step(int64_t s) const { return reverse ? t - 1 - s : s; }
  // Floats between rows of all gates; off a multiple of 4 KB, which would put a tile's rows into one set of the cache.
  FJ_INLINE_MEMBER int64_t gate_row() const { return ceil_div(gates * h, kLineFloats) * kLineFloats + kLineFloats; }
};

// x (N, T, I) and h0 (N, H) give the sizes.
FJ_INLINE Recurrent describe_recurrent(const fj_value& x, const fj_value& h0, int cell, int reverse) {
  Recurrent r{};
  r.cell = cell;
  r.reverse = reverse != 0;
  r.n = x.dims[0];
  r.t = x.dims[1];
  r.i = x.dims[2];
  r.h = h0.dims[1];
  r.k = r.i + r.h + 2;
  const bool lstm = cell == FJ_CELL_LSTM, gru = cell == FJ_CELL_GRU;
  r.gates = lstm || gru ? 4 : 1;
  r.x_gates = r.h_gates = gru ? 3 : r.gates;
  r.saved = lstm ? 5 : gru ? 4 : 1;
  if (gru) {
    r.ranges = 3;
    r.range[0] = {0, 1, 0, r.i + 1};
    r.range[1] = {1, 2, 0, r.k};
    r.range[2] = {3, 1, r.i + 1, r.h + 1};
  } else {
    r.ranges = 1;
    r.range[0] = {0, r.gates, 0, r.k};
  }
  return r;
}

// A thread's part of every step.
struct StepShare {
  Range rows;     // of the batch
  Range blocks;   // of what `blocks` counts: blocks of hidden units, panels
  Range own;      // of `rows`, for work that is not shared over blocks
  bool barriers;  // others compute parts of these rows
};

// `work`: multiply-adds of one row and step.
FJ_INLINE StepShare share_steps(const Recurrent& r, const Team& team, int64_t blocks, int64_t work) {
  constexpr int64_t kLeastRows = (kTileRows + 1) / 2;  // fewer, and a tile waits for its own results
  constexpr int64_t kLeastWork = 64 * 1024;            // of a step: twice what a barrier costs
  const int64_t row_groups = larger(1, smaller(team.count, r.n / kLeastRows));
  const int64_t most = larger(1, r.n / row_groups * work / kLeastWork);
  const int64_t block_groups = larger(1, smaller(smaller(team.count / row_groups, blocks), most));
  StepShare share{};
  share.barriers = block_groups > 1;
  if (team.id >= row_groups * block_groups) return share;
  share.rows = split(r.n, static_cast<int>(team.id / block_groups), static_cast<int>(row_groups));
  const int block_group = static_cast<int>(team.id % block_groups);
  share.blocks = split(blocks, block_group, static_cast<int>(block_groups));
  share.own = split(share.rows.end - share.rows.begin, block_group, static_cast<int>(block_groups));
  share.own.begin += share.rows.begin;
  share.own.end += share.rows.begin;
  return share;
}

}  // namespace forja::FJ_ISA
