// Forward of recurrent layers: one direction of one layer over all steps (recurrent.h, lib/ops/recurrent.ts).
//
// Weights are packed once a call, transposed, in blocks of hidden units: for each block its gates' columns side by
// side, [weight_ih^T; bias_ih; weight_hh^T; bias_hh]. A step of 14 rows and a block is one or two register tiles per
// block over the row [x, 1, h, 1], and the cell's formula on the tiles' result while it lies in the L1 cache. Rows of
// two steps are held: of the one that is computed, and of the next, whose h it gives.
//
// x's product is not taken for all steps ahead: that would write all gates to memory and read them again, while x's
// columns in the same tile as h's cost their multiply-adds only.
#include "recurrent.h"

#include "simd/math.h"

namespace forja::FJ_ISA {
namespace {

// A block is kWidth units of every gate; of a cell with one gate, twice as many, so that tiles are two vectors wide.
struct Blocks {
  int vectors;    // per gate
  int64_t units;  // of a block
  int64_t count;
  int64_t floats;  // of one block's packed weights
};

FJ_INLINE Blocks blocks_of(const Recurrent& r) {
  Blocks b{};
  b.vectors = r.gates == 1 && r.h > kWidth ? 2 : 1;
  b.units = b.vectors * kWidth;
  b.count = ceil_div(r.h, b.units);
  for (int i = 0; i < r.ranges; i++) b.floats += r.range[i].count * r.range[i].kn * b.units;
  return b;
}

struct Scratch {
  float* packed;  // blocks' weights
  float* rows;    // of two steps: (2, N, K), a step's number modulo 2
  float* tiles;   // this thread's gates of a tile: (kTileRows, gates * units)
  size_t bytes;
};

FJ_INLINE Scratch take_scratch(const Recurrent& r, const Blocks& b, uint8_t* base, int thread, int threads) {
  ScratchCursor cursor(base);
  Scratch s{};
  s.packed = cursor.take(b.count * b.floats);
  s.rows = cursor.take(2 * r.n * r.k);
  const int64_t tile = kTileRows * r.gates * b.units;
  s.tiles = cursor.take(tile * threads) + tile * thread;
  s.bytes = cursor.used();
  return s;
}

struct Weights {
  const float *ih, *hh;            // (G*H, I), (G*H, H)
  const float *bias_ih, *bias_hh;  // (G*H)
};

// Calls f(range, first vector, vectors, floats of panel before) for the tiles of a block: pairs of vectors.
template <class F>
FJ_INLINE void for_tiles(const Recurrent& r, const Blocks& b, const F& f) {
  int64_t offset = 0;
  for (int i = 0; i < r.ranges; i++) {
    const GateRange& range = r.range[i];
    const int end = (range.gate + range.count) * b.vectors;
    for (int v = range.gate * b.vectors; v < end; v += kTileVectors) {
      const int vectors = static_cast<int>(smaller(kTileVectors, end - v));
      f(range, v, vectors, offset);
      offset += range.kn * vectors * kWidth;
    }
  }
}

void pack_block(const Recurrent& r, const Blocks& b, const Weights& w, int64_t block, float* packed) {
  for_tiles(r, b, [&](const GateRange& range, int first, int vectors, int64_t offset) FJ_LAMBDA {
    float* const panel = packed + offset;
    const int64_t width = vectors * kWidth;
    if ((block + 1) * b.units > r.h) memset(panel, 0, static_cast<size_t>(range.kn * width) * sizeof(float));
    for (int v = 0; v < vectors; v++) {
      const int gate = (first + v) / b.vectors;
      const int64_t unit = block * b.units + (first + v) % b.vectors * kWidth;
      const int64_t units = larger(0, smaller(kWidth, r.h - unit));
      float* to = panel + v * kWidth;
      if (range.k0 == 0) {
        const int64_t row = r.x_block(gate) * r.h + unit;
        pack_transposed(units, r.i, w.ih + row * r.i, r.i, to, width);
        for (int64_t u = 0; u < units; u++) to[r.i * width + u] = w.bias_ih[row + u];
      }
      if (range.k0 + range.kn == r.k) {
        const int64_t row = r.h_block(gate) * r.h + unit;
        to += (r.i + 1 - range.k0) * width;
        pack_transposed(units, r.h, w.hh + row * r.h, r.h, to, width);
        for (int64_t u = 0; u < units; u++) to[r.h * width + u] = w.bias_hh[row + u];
      }
    }
  });
}

// Where one row of a step goes.
struct CellRow {
  const float *h, *c;     // (H) before the step
  float *next, *y;        // (H) h behind it: in the next step's row or the last state, and in y
  float *saved, *last_c;  // (S*H); (H) or null
};

// The cell's formula for units [unit, unit + kWidth) of one row; z: their gates, `z_gate` floats apart.
template <int kCell>
FJ_INLINE void cell_forward(const CellRow& to, int64_t h, int64_t unit, const float* z, int64_t z_gate) {
  const bool whole = unit + kWidth <= h;
  const Mask m = tail_mask(h - unit);
  const auto save = [&](int at, Vec v) FJ_LAMBDA { store_lanes(to.saved + at * h + unit, m, whole, v); };
  Vec next;
  if constexpr (kCell == FJ_CELL_LSTM) {
    const Vec i = vsigmoid(load(z)), f = vsigmoid(load(z + z_gate));
    const Vec g = vtanh(load(z + 2 * z_gate)), o = vsigmoid(load(z + 3 * z_gate));
    const Vec c = fma(f, load_lanes(to.c + unit, m, whole), i * g);
    next = o * vtanh(c);
    save(0, i);
    save(1, f);
    save(2, g);
    save(3, o);
    save(4, c);
    if (to.last_c) store_lanes(to.last_c + unit, m, whole, c);
  } else if constexpr (kCell == FJ_CELL_GRU) {
    const Vec reset = vsigmoid(load(z + z_gate)), update = vsigmoid(load(z + 2 * z_gate)), hn = load(z + 3 * z_gate);
    const Vec n = vtanh(fma(reset, hn, load(z)));
    next = fma(update, load_lanes(to.h + unit, m, whole) - n, n);
    save(0, reset);
    save(1, update);
    save(2, n);
    save(3, hn);
  } else {
    next = kCell == FJ_CELL_TANH ? vtanh(load(z)) : max(zero(), load(z));
    save(0, next);
  }
  store_lanes(to.next + unit, m, whole, next);
  store_lanes(to.y + unit, m, whole, next);
}

struct Operands {
  const float *x, *h0, *c0;       // (N, T, I), (N, H), (N, H) or null
  float *y, *h, *gates, *last_c;  // (N, T, H), (N, H), (T, N, S*H), (N, H) or null
};

// Rows of step s but h, which the step before gives; at the first step h0 too.
void fill_rows(const Recurrent& r, const Operands& o, int64_t s, Range samples, float* rows) {
  for (int64_t n = samples.begin; n < samples.end; n++) {
    float* row = rows + n * r.k;
    r.fill_row(o.x, n, s, row);
    if (s == 0) r.fill_state(o.h0 + n * r.h, row);
  }
}

template <int kCell>
void run_steps(const Recurrent& r, const Blocks& b, const Operands& o, const Scratch& scratch, Team& team) {
  const StepShare share = share_steps(r, team, b.count, r.rows() * r.k);
  const int64_t height = even_part(share.rows.end - share.rows.begin, kTileRows), z_row = r.gates * b.units;
  fill_rows(r, o, 0, share.own, scratch.rows);
  if (share.barriers) team.barrier();
  TileArgs t{};
  t.lda = r.k;
  t.ldc = z_row;
  t.tail = kWidth;
  for (int64_t s = 0; s < r.t; s++) {
    const bool last = s + 1 == r.t;
    float* const now = scratch.rows + s % 2 * r.n * r.k;
    float* const next = scratch.rows + (s + 1) % 2 * r.n * r.k;
    if (!last) fill_rows(r, o, s + 1, share.own, next);
    for (int64_t block = share.blocks.begin; block < share.blocks.end; block++) {
      const float* packed = scratch.packed + block * b.floats;
      for (int64_t row = share.rows.begin; row < share.rows.end; row += height) {
        const int64_t rows = smaller(height, share.rows.end - row);
        const float* from = now + row * r.k;
        for_tiles(r, b, [&](const GateRange& range, int first, int vectors, int64_t offset) FJ_LAMBDA {
          t.a = from + range.k0;
          t.b = packed + offset;
          t.c = scratch.tiles + first * kWidth;
          t.kc = range.kn;
          tile_kernel(ASource::kRows, BSource::kPacked, static_cast<int>(rows), vectors)(t);
        });
        for (int64_t n = row; n < row + rows; n++) {
          const int64_t at = s * r.n + n;
          CellRow to{};
          to.h = now + n * r.k + r.i + 1;
          to.c = kCell != FJ_CELL_LSTM ? nullptr
                 : s == 0              ? o.c0 + n * r.h
                                       : o.gates + (at - r.n) * r.saved * r.h + 4 * r.h;
          to.next = last ? o.h + n * r.h : next + n * r.k + r.i + 1;
          to.y = o.y + (n * r.t + r.step(s)) * r.h;
          to.saved = o.gates + at * r.saved * r.h;
          to.last_c = last && kCell == FJ_CELL_LSTM ? o.last_c + n * r.h : nullptr;
          const float* z = scratch.tiles + (n - row) * z_row;
          for (int64_t v = 0; v < b.vectors; v++) {
            const int64_t unit = block * b.units + v * kWidth;
            if (unit < r.h) cell_forward<kCell>(to, r.h, unit, z + v * kWidth, b.units);
          }
        }
      }
    }
    if (share.barriers) team.barrier();
  }
}

size_t scratch_bytes(const Call& call, int threads) {
  const Recurrent r(call, call.attrs<fj_recurrent_attrs>());
  return take_scratch(r, blocks_of(r), nullptr, 0, threads).bytes;
}

void run(const Call& call, Team& team) {
  const Recurrent r(call, call.attrs<fj_recurrent_attrs>());
  const Blocks b = blocks_of(r);
  const Scratch scratch = take_scratch(r, b, call.scratch, team.id, team.count);
  const Weights w{call.in[1].as<const float>(), call.in[2].as<const float>(), call.in[3].as<const float>(),
                  call.in[4].as<const float>()};
  const Range blocks = split(b.count, team);
  for (int64_t block = blocks.begin; block < blocks.end; block++) {
    pack_block(r, b, w, block, scratch.packed + block * b.floats);
  }
  team.barrier();
  const bool lstm = r.cell == FJ_CELL_LSTM;
  const Operands o{call.in[0].as<const float>(),
                   call.in[5].as<const float>(),
                   lstm ? call.in[6].as<const float>() : nullptr,
                   call.out[0].as<float>(),
                   call.out[1].as<float>(),
                   call.out[2].as<float>(),
                   lstm ? call.out[3].as<float>() : nullptr};
  switch (r.cell) {
    case FJ_CELL_LSTM:
      return run_steps<FJ_CELL_LSTM>(r, b, o, scratch, team);
    case FJ_CELL_GRU:
      return run_steps<FJ_CELL_GRU>(r, b, o, scratch, team);
    case FJ_CELL_TANH:
      return run_steps<FJ_CELL_TANH>(r, b, o, scratch, team);
    default:
      return run_steps<FJ_CELL_RELU>(r, b, o, scratch, team);
  }
}

}  // namespace

void register_recurrent(KernelTable& table) {
  table.add({FJ_OP_RECURRENT, 0, "recurrent", run, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
