// Checks of recurrent layers (native/cpu/recurrent.h): N samples, T steps, I inputs, H hidden units, G blocks of rows
// in the weights, S numbers that a unit keeps.
#include "check.h"

namespace forja {
namespace {

struct Sizes {
  uint32_t n, t, i, h;
  uint64_t blocks, saved;
};

bool check_tensor(Check& c, const fj_value& v, uint64_t d0, uint64_t d1, uint64_t d2) {
  return c.dtype(v, FJ_FLOAT32) && c.rank(v, 3) &&
         c.expect(v.dims[0] == d0 && v.dims[1] == d1 && v.dims[2] == d2, "a sequence has the wrong shape");
}

bool check_matrix(Check& c, const fj_value& v, uint64_t rows, uint64_t columns) {
  return c.dtype(v, FJ_FLOAT32) && c.rank(v, 2) &&
         c.expect(v.dims[0] == rows && v.dims[1] == columns, "a state or weight has the wrong shape");
}

bool check_vector(Check& c, const fj_value& v, uint64_t length) {
  return c.dtype(v, FJ_FLOAT32) && c.rank(v, 1) && c.expect(v.dims[0] == length, "a bias has the wrong length");
}

bool check_weights(Check& c, const Sizes& z, const fj_value& ih, const fj_value& hh, const fj_value& bias_ih,
                   const fj_value& bias_hh) {
  const uint64_t rows = z.blocks * z.h;
  return check_matrix(c, ih, rows, z.i) && check_matrix(c, hh, rows, z.h) && check_vector(c, bias_ih, rows) &&
         check_vector(c, bias_hh, rows);
}

// x (N, T, I), weights, h0 (N, H), and c0 of an lstm: the inputs that both operations begin with.
bool check_layer(Check& c, int32_t cell, Sizes& z) {
  const fj_value &x = c.in(0), &h0 = c.in(5);
  if (!c.expect(cell >= FJ_CELL_TANH && cell <= FJ_CELL_GRU, "unknown cell") || !c.rank(x, 3) || !c.rank(h0, 2)) {
    return false;
  }
  z = {x.dims[0], x.dims[1], x.dims[2], h0.dims[1], 1, 1};
  if (cell == FJ_CELL_LSTM) {
    z.blocks = 4;
    z.saved = 5;
  } else if (cell == FJ_CELL_GRU) {
    z.blocks = 3;
    z.saved = 4;
  }
  // Sums of sizes stay far inside 32 bits: rows of steps and of gates.
  constexpr uint32_t kMost = 1u << 24;
  return c.expect(z.t >= 1 && z.i >= 1 && z.h >= 1 && z.i <= kMost && z.h <= kMost, "sizes are out of range") &&
         check_tensor(c, x, z.n, z.t, z.i) && check_matrix(c, h0, z.n, z.h) &&
         check_weights(c, z, c.in(1), c.in(2), c.in(3), c.in(4)) &&
         (cell != FJ_CELL_LSTM || check_matrix(c, c.in(6), z.n, z.h));
}

// -> y (N, T, H), the last h, gates (T, N, S*H), and the last c of an lstm.
bool check_recurrent(Check& c) {
  if (!c.attr_size(sizeof(fj_recurrent_attrs))) return false;
  const auto& attrs = c.attrs<fj_recurrent_attrs>();
  const bool lstm = attrs.cell == FJ_CELL_LSTM;
  Sizes z{};
  if (!c.arity(lstm ? 7 : 6, lstm ? 7 : 6, lstm ? 4 : 3) || !check_layer(c, attrs.cell, z)) return false;
  return check_tensor(c, c.out(0), z.n, z.t, z.h) && check_matrix(c, c.out(1), z.n, z.h) &&
         check_tensor(c, c.out(2), z.t, z.n, z.saved * z.h) && (!lstm || check_matrix(c, c.out(3), z.n, z.h));
}

// Those inputs, y, gates, and of dy, dh, dc what `given` says -> gradients of weights, h0, c0, and x if asked for.
bool check_recurrent_grad(Check& c) {
  if (!c.attr_size(sizeof(fj_recurrent_grad_attrs))) return false;
  const auto& attrs = c.attrs<fj_recurrent_grad_attrs>();
  const bool lstm = attrs.cell == FJ_CELL_LSTM;
  const int layer = lstm ? 7 : 6;
  if (!c.expect(attrs.given >= 0 && attrs.given < (lstm ? 8 : 4), "unknown gradients") ||
      !c.expect(attrs.dx == 0 || attrs.dx == 1, "dx must be 0 or 1")) {
    return false;
  }
  const int given = (attrs.given & 1) + (attrs.given >> 1 & 1) + (attrs.given >> 2 & 1);
  Sizes z{};
  if (!c.arity(layer + 2 + given, layer + 2 + given, layer - 1 + attrs.dx) || !check_layer(c, attrs.cell, z)) {
    return false;
  }
  int next = layer;
  if (!check_tensor(c, c.in(next++), z.n, z.t, z.h)) return false;
  if (!check_tensor(c, c.in(next++), z.t, z.n, z.saved * z.h)) return false;
  if ((attrs.given & 1) && !check_tensor(c, c.in(next++), z.n, z.t, z.h)) return false;
  if ((attrs.given & 2) && !check_matrix(c, c.in(next++), z.n, z.h)) return false;
  if ((attrs.given & 4) && !check_matrix(c, c.in(next++), z.n, z.h)) return false;
  return check_weights(c, z, c.out(0), c.out(1), c.out(2), c.out(3)) && check_matrix(c, c.out(4), z.n, z.h) &&
         (!lstm || check_matrix(c, c.out(5), z.n, z.h)) &&
         (!attrs.dx || check_tensor(c, c.out(layer - 1), z.n, z.t, z.i));
}

const CheckEntry kEntries[] = {{FJ_OP_RECURRENT, check_recurrent}, {FJ_OP_RECURRENT_GRAD, check_recurrent_grad}};

}  // namespace

CheckFamily checks_recurrent() { return {kEntries, sizeof(kEntries) / sizeof(kEntries[0])}; }

}  // namespace forja
