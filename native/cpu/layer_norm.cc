// Layer normalisation of float32 rows (R, C), and its gradient; R: all axes but the last.
//
//   mean = sum x / C    variance = sum (x - mean)^2 / C    s = 1 / sqrt(variance + eps)    h = (x - mean) * s
//   y = h * gamma + beta
//   g = dy * gamma      dx = s * (g - sum g / C - h * sum g*h / C)
//   dgamma = sum dy * h    dbeta = sum dy    over all rows
//
// Sums (layer_norm.h): a row is cut into chunks that the first-level cache holds, each is looked at twice, and chunks
// are put together in float64 in their order. The float32 nearest to the mean is subtracted first and what it misses
// after that.
//
// A row of few chunks is read from memory, and what it gives written while a cache holds it; threads take rows. Longer
// rows are taken a few at a time, first their chunks, then, behind a barrier, their columns, of which each thread has
// its own in both. dgamma and dbeta are summed in float32 over parts of the rows, in float64 over parts. The cuts
// depend on shapes alone, so results do not depend on the number of threads.
#include "layer_norm.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kChunk = 4096;        // floats: 16 KB
constexpr int64_t kMostChunks = 4;      // of a row that one thread takes
constexpr int64_t kTogether = 1 << 17;  // floats of the long rows between two barriers, at least one row
constexpr int64_t kMostOfPart = 128;    // rows whose dgamma and dbeta are summed in float32
constexpr int64_t kLeastOfPart = 4;
constexpr int64_t kFewParts = 64;  // enough for the threads of a team
constexpr int64_t kShort = 512;    // columns up to which kRun rows are taken at once

struct Layout {
  int64_t rows, columns;
  int64_t chunks;       // of a row
  int64_t batch;        // long rows between two barriers
  int64_t part, parts;  // rows of a part, number of parts

  explicit Layout(const fj_value& x) : rows(element_count(x, 0, x.rank - 1)), columns(x.dims[x.rank - 1]) {
    chunks = ceil_div(columns, kChunk);
    batch = larger(1, kTogether / larger(columns, 1));
    part = is_long() ? kMostOfPart : smaller(kMostOfPart, larger(kLeastOfPart, rows / kFewParts));
    parts = ceil_div(rows, part);
  }
  FJ_INLINE_MEMBER bool is_long() const { return chunks > kMostChunks; }
  FJ_INLINE_MEMBER int64_t width(int64_t chunk) const { return smaller(kChunk, columns - chunk * kChunk); }
};

// Scratch: moments of two batches of long rows, since threads may be one batch apart; then (parts, 2, C) sums.
size_t moments_bytes(const Layout& l) {
  return l.is_long() ? static_cast<size_t>(2 * l.batch * l.chunks) * sizeof(Moments) : 0;
}

FJ_INLINE const float* at_column(const float* vector, int64_t column) { return vector ? vector + column : nullptr; }

// Of a row, from those of its chunks.
Moments joined(const Moments* chunks, const Layout& l) {
  Moments row{0, 0, 0, 0};
  for (int64_t i = 0; i < l.chunks; i++) row.mean += chunks[i].mean * static_cast<double>(l.width(i));
  row.mean /= static_cast<double>(l.columns);
  for (int64_t i = 0; i < l.chunks; i++) {
    const Moments& chunk = chunks[i];
    const double d = chunk.mean - row.mean;
    row.squares += chunk.squares + d * d * static_cast<double>(l.width(i));
    row.g += chunk.g;
    row.gx += chunk.gx + chunk.g * d;
  }
  return row;
}

struct Forward {
  const float *x, *gamma, *beta;  // (R, C), (C) or null
  float* y;                       // (R, C)
  float eps;
  bool streams;
  static constexpr bool kGrad = false;

  FJ_INLINE_MEMBER Columns columns(int64_t at, int64_t) const { return {x + at, nullptr, nullptr}; }
  // n columns from `column` on, the first of which is element `at` of x; no sums.
  FJ_INLINE_MEMBER void write(const Normal& row, int64_t at, int64_t column, int64_t n, float*, float*) const {
    const Vec mean = broadcast(row.mean), s = broadcast(row.s), offset = broadcast(row.offset);
    const float *from = x + at, *weight = at_column(gamma, column), *bias = at_column(beta, column);
    float* to = y + at;
    over_vectors<kUnroll>(n, [&](auto, int64_t i, Mask m, bool whole) FJ_LAMBDA {
      Vec h = fma(load_lanes(from + i, m, whole) - mean, s, offset);
      if (beta) {
        h = fma(h, load_lanes(weight + i, m, whole), load_lanes(bias + i, m, whole));
      } else if (gamma) {
        h = h * load_lanes(weight + i, m, whole);
      }
      put_lanes(to + i, m, whole, streams, h);
    });
  }
};

struct Backward {
  const float *dy, *x, *gamma;  // (R, C), (C) or null
  float* dx;                    // (R, C)
  float eps;
  bool streams;
  static constexpr bool kGrad = true;

  FJ_INLINE_MEMBER Columns columns(int64_t at, int64_t column) const {
    return {x + at, dy + at, at_column(gamma, column)};
  }
  // As Forward's; dy * h and dy are added to dgamma and dbeta (n), which may be null.
  FJ_INLINE_MEMBER void write(const Normal& row, int64_t at, int64_t column, int64_t n, float* dgamma,
                              float* dbeta) const {
    const Vec mean = broadcast(row.mean), s = broadcast(row.s), offset = broadcast(row.offset);
    const Vec p = broadcast(row.p), q = broadcast(row.q);
    const float *d = dy + at, *from = x + at, *weight = at_column(gamma, column);
    float* to = dx + at;
    over_vectors<kUnroll>(n, [&](auto, int64_t i, Mask m, bool whole) FJ_LAMBDA {
      const Vec own = load_lanes(d + i, m, whole);
      const Vec h = fma(load_lanes(from + i, m, whole) - mean, s, offset);
      const Vec g = gamma ? own * load_lanes(weight + i, m, whole) : own;
      if (dgamma) {
        store_lanes(dgamma + i, m, whole, fma(own, h, load_lanes(dgamma + i, m, whole)));
        store_lanes(dbeta + i, m, whole, own + load_lanes(dbeta + i, m, whole));
      }
      put_lanes(to + i, m, whole, streams, fma(g, s, fma(h, p, q)));
    });
  }
};

// dgamma and dbeta of the parts of rows: (parts, 2, C), or null.
struct Parts {
  float* sums;

  FJ_INLINE_MEMBER float* dgamma(int64_t row, int64_t column, const Layout& l) const {
    return sums ? sums + row / l.part * 2 * l.columns + column : nullptr;
  }
  // Of a thread's own columns, before it adds to those of a row.
  FJ_INLINE_MEMBER void begin(int64_t row, Range columns, const Layout& l) const {
    if (!sums || row % l.part != 0) return;
    float* first = dgamma(row, 0, l);
    for (int64_t c = columns.begin; c < columns.end; c++) first[c] = first[l.columns + c] = 0;
  }
};

template <class Rule>
FJ_INLINE void write(const Rule& rule, const Normal& normal, const Layout& l, int64_t row, Range columns,
                     const Parts& parts) {
  parts.begin(row, columns, l);
  float* dgamma = parts.dgamma(row, columns.begin, l);
  rule.write(normal, row * l.columns + columns.begin, columns.begin, columns.end - columns.begin, dgamma,
             dgamma ? dgamma + l.columns : nullptr);
}

// Threads take rows, or where there are sums to make, parts of them.
template <class Rule>
FJ_INLINE void whole_rows(const Rule& rule, const Layout& l, Team& team, const Parts& parts) {
  const Range mine = split(parts.sums ? l.parts : l.rows, team), all{0, l.columns};
  const int64_t scale = parts.sums ? l.part : 1, end = smaller(l.rows, mine.end * scale);
  int64_t row = mine.begin * scale;
  if (l.columns > kShort) {
    for (; row < end; row++) {
      Moments chunks[kMostChunks];
      for (int64_t i = 0; i < l.chunks; i++) {
        const int64_t column = i * kChunk;
        chunks[i] = moments_of<Rule::kGrad>(rule.columns(row * l.columns + column, column), l.width(i));
      }
      write(rule, normal_of(joined(chunks, l), l.columns, rule.eps), l, row, all, parts);
    }
  }
  for (; row < end; row += kRun) {
    const int64_t rows = smaller(kRun, end - row);
    Columns columns[kRun];
    Normal normals[kRun];
    for (int64_t r = 0; r < kRun; r++) columns[r] = rule.columns((row + smaller(r, rows - 1)) * l.columns, 0);
    normals_of<Rule::kGrad>(columns, l.columns, rule.eps, normals);
    for (int64_t r = 0; r < rows; r++) write(rule, normals[r], l, row + r, all, parts);
  }
}

template <class Rule>
FJ_INLINE void long_rows(const Rule& rule, const Layout& l, Team& team, const Parts& parts, Moments* moments) {
  const Range columns = split(l.columns, team, kLineFloats);
  for (int64_t first = 0; first < l.rows; first += l.batch) {
    Moments* const of_batch = moments + first / l.batch % 2 * l.batch * l.chunks;  // (rows, chunks)
    const int64_t rows = smaller(l.batch, l.rows - first);
    const Range pieces = split(l.chunks * rows, team);
    for (int64_t piece = pieces.begin; piece < pieces.end; piece++) {
      const int64_t chunk = piece / rows, row = piece % rows, column = chunk * kChunk;
      of_batch[row * l.chunks + chunk] =
          moments_of<Rule::kGrad>(rule.columns((first + row) * l.columns + column, column), l.width(chunk));
    }
    team.barrier();
    for (int64_t row = 0; row < rows; row++) {
      const Moments of_row = joined(of_batch + row * l.chunks, l);
      write(rule, normal_of(of_row, l.columns, rule.eps), l, first + row, columns, parts);
    }
  }
}

template <class Rule>
void over_rows(const Rule& rule, const Layout& l, const Call& call, Team& team, const Parts& parts) {
  if (l.is_long()) {
    long_rows(rule, l, team, parts, reinterpret_cast<Moments*>(call.scratch));
  } else if (l.columns > 0) {
    whole_rows(rule, l, team, parts);
  }
  if (rule.streams) stream_fence();
}

bool wants_streams(const Layout& l, const Call& call) {
  return l.columns % kLineFloats == 0 && outgrows_caches(call, 0);
}

void run_forward(const Call& call, Team& team) {
  const Layout l(*call.in[0].value);
  const Forward rule{call.in[0].as<const float>(),
                     call.n_in > 1 ? call.in[1].as<const float>() : nullptr,
                     call.n_in > 2 ? call.in[2].as<const float>() : nullptr,
                     call.out[0].as<float>(),
                     call.attrs<fj_layer_norm_attrs>().eps,
                     wants_streams(l, call)};
  over_rows(rule, l, call, team, Parts{nullptr});
}

void run_backward(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_layer_norm_grad_attrs>();
  const Layout l(*call.in[1].value);
  const Backward rule{call.in[0].as<const float>(),
                      call.in[1].as<const float>(),
                      call.n_in > 2 ? call.in[2].as<const float>() : nullptr,
                      call.out[0].as<float>(),
                      attrs.eps,
                      wants_streams(l, call)};
  if (attrs.vectors == 0) return over_rows(rule, l, call, team, Parts{nullptr});
  auto* sums = reinterpret_cast<float*>(call.scratch + moments_bytes(l));
  over_rows(rule, l, call, team, Parts{sums});
  team.barrier();
  float *dgamma = call.out[1].as<float>(), *dbeta = call.out[2].as<float>();
  const Range columns = split(l.columns, team, kLineFloats);
  for (int64_t c = columns.begin; c < columns.end; c += kLineFloats) {
    const int64_t n = smaller(kLineFloats, columns.end - c);
    double weight[kLineFloats] = {}, bias[kLineFloats] = {};
    for (int64_t part = 0; part < l.parts; part++) {
      const float* from = sums + part * 2 * l.columns + c;
      for (int64_t i = 0; i < n; i++) {
        weight[i] += from[i];
        bias[i] += from[l.columns + i];
      }
    }
    for (int64_t i = 0; i < n; i++) {
      dgamma[c + i] = static_cast<float>(weight[i]);
      dbeta[c + i] = static_cast<float>(bias[i]);
    }
  }
}

size_t forward_scratch(const Call& call, int) { return moments_bytes(Layout(*call.in[0].value)); }

size_t backward_scratch(const Call& call, int) {
  const Layout l(*call.in[1].value);
  const size_t sums = static_cast<size_t>(l.parts * 2 * l.columns) * sizeof(float);
  return moments_bytes(l) + (call.attrs<fj_layer_norm_grad_attrs>().vectors == 0 ? 0 : sums);
}

}  // namespace

void register_layer_norm(KernelTable& table) {
  table.add({FJ_OP_LAYER_NORM, 0, "layerNorm", run_forward, forward_scratch, nullptr});
  table.add({FJ_OP_LAYER_NORM_GRAD, 0, "layerNormGrad", run_backward, backward_scratch, nullptr});
}

}  // namespace forja::FJ_ISA
