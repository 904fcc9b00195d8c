// What the recurrent kernels share: recurrent.cc (forward) and recurrent_grad.cc (backward). Sizes and gates are those
// of core/geometry.h.
//
// A row [x, 1, h, 1] is made of what a step reads, K floats: one product with it gives all gates of the step, biases
// included, and one product over all steps the gradients of all weights.
//
// Threads: rows of the batch, which need nobody else's results from the first step to the last; where a batch has too
// few rows to fill tiles, hidden units too, with a barrier a step.
#pragma once

#include <cstring>

#include "gemm.h"
#include "kernel.h"
#include "scratch.h"

namespace forja::FJ_ISA {

// Gates [gate, gate + count) are products of columns [k0, k0 + kn) of rows.
struct GateRange {
  int gate, count;
  int64_t k0, kn;
};

struct Recurrent : RecurrentGeometry {
  int64_t k;  // floats of a row
  int ranges;
  GateRange range[3];

  template <class Attrs>
  FJ_INLINE_MEMBER explicit Recurrent(const Call& call, const Attrs& attrs)
      : RecurrentGeometry(recurrent_geometry(call.in, attrs)), k(i + h + 2) {
    if (cell == FJ_CELL_GRU) {
      ranges = 3;
      range[0] = {0, 1, 0, i + 1};
      range[1] = {1, 2, 0, k};
      range[2] = {3, 1, i + 1, h + 1};
    } else {
      ranges = 1;
      range[0] = {0, gates, 0, k};
    }
  }
  // Floats between rows of all gates; off a multiple of 4 KB, which would put a tile's rows into one set of the cache.
  FJ_INLINE_MEMBER int64_t gate_row() const { return ceil_div(rows(), kLineFloats) * kLineFloats + kLineFloats; }
  // [x, 1, .., 1] of a sample at the step that runs s-th; h is for the caller to write.
  FJ_INLINE_MEMBER void fill_row(const float* x, int64_t sample, int64_t s, float* row) const {
    memcpy(row, x + (sample * t + step(s)) * i, static_cast<size_t>(i) * sizeof(float));
    row[i] = row[k - 1] = 1.0f;
  }
  FJ_INLINE_MEMBER void fill_state(const float* state, float* row) const {
    memcpy(row + i + 1, state, static_cast<size_t>(h) * sizeof(float));
  }
};

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
