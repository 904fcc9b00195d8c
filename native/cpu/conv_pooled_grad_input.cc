// conv2dPooledGradInput (lib/ops/conv_pooled.ts): the input gradient of a convolution from the gradient dp of its
// pooled maps and the taps that were chosen,
//
//   dx[i * stride + r - pad][j * stride + s - pad][c] += sum over k of dp[p][q][k] * w[r][s][c][k]
//
// with (i, j) the pixel of the maps that window (p, q) chose for channel k. Filters are packed as runs
// (conv_pooled_runs.h), channels apart. Of a window, the channels that chose a tap are added up in registers and then
// to that pixel's runs; those of an image are added up to rows of dx in the end.
//
// Taps are data: one outside its window, or outside the maps, counts nothing. Where x is what a ReLU gave, only what it
// let through gets a gradient.
#include <cstring>

#include "conv_pooled_runs.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostVectors = kVectorRegisters > 16 ? 24 : 12;  // of a patch at a time
constexpr int64_t kBlock = 64;                                 // channels at a time

struct Plan {
  Runs runs;
  float* filters;       // (k, patch)
  float *image, *rows;  // runs of an image; its rows (padded_h, width), with slack for whole vectors
  int64_t rows_floats;
  size_t bytes;
};

Plan make_plan(const Call& call, const Team& team, uint8_t* scratch) {
  const auto& attrs = call.attrs<fj_conv2d_pooled_grad_input_attrs>();
  Plan plan{Runs(pooled_conv_geometry(call.out[0], call.in[1], call.in[0], attrs)), nullptr, nullptr, nullptr, 0, 0};
  plan.rows_floats = (plan.runs.padded_h - 1) * plan.runs.width + plan.runs.row_floats;
  ScratchCursor cursor(scratch);
  plan.filters = cursor.take(plan.runs.patch * plan.runs.g.conv.k);
  plan.image = cursor.take_own(plan.runs.floats, team);
  plan.rows = cursor.take_own(plan.rows_floats, team);
  plan.bytes = cursor.used();
  return plan;
}

void pack(const Team& team, const Plan& plan, const float* w) {
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  const Range filters = split(g.k, team);
  for (int64_t k = filters.begin; k < filters.end; k++) {
    for (int64_t r = 0; r < g.r; r++) {
      float* to = plan.filters + k * runs.patch + r * runs.run;
      const float* from = w + r * g.s * g.c * g.k + k;
      for (int64_t e = 0; e < g.s * g.c; e++) to[e] = from[e * g.k];
      memset(to + g.s * g.c, 0, (runs.run - g.s * g.c) * sizeof(float));
    }
  }
}

// to[V vectors] += the sum over the channels of the set of dp * filter.
template <int V>
void add_filters(uint64_t set, const float* dp, const float* filters, int64_t patch, float* to) {
  Vec acc[V];
  unroll<V>([&](auto v) FJ_LAMBDA { acc[v] = load(to + v * kWidth); });
  do {
    const int k = __builtin_ctzll(set);
    set &= set - 1;
    const Vec value = broadcast(dp[k]);
    const float* filter = filters + k * patch;
    unroll<V>([&](auto v) FJ_LAMBDA { acc[v] = fma(value, load(filter + v * kWidth), acc[v]); });
  } while (set != 0);
  unroll<V>([&](auto v) FJ_LAMBDA { store(to + v * kWidth, acc[v]); });
}

using AddFilters = void (*)(uint64_t, const float*, const float*, int64_t, float*);
template <int... V>
FJ_INLINE AddFilters add_filters_for(int64_t vectors, std::integer_sequence<int, V...>) {
  static constexpr AddFilters kernels[] = {&add_filters<V + 1>...};
  return kernels[vectors - 1];
}

// Which of up to kBlock channels chose the tap, as bits. Eight at a time: a byte of `equal` is 0x80 where it did, and
// the product brings the top bits of all bytes, the first one's lowest, to the top byte.
uint64_t choosers(const uint8_t* index, int64_t channels, int64_t tap) {
  constexpr uint64_t kOnes = 0x0101010101010101, kLow = 0x7f * kOnes, kGather = 0x0102040810204080;
  uint64_t set = 0;
  for (int64_t k = 0; k < channels; k += 8) {
    uint64_t word = 0;
    if (channels - k >= 8) {
      memcpy(&word, index + k, 8);
    } else {
      memcpy(&word, index + k, channels - k);
    }
    const uint64_t other = word ^ (static_cast<uint64_t>(tap) * kOnes);
    const uint64_t equal = ~(((other & kLow) + kLow) | other | kLow);
    set |= ((equal >> 7) * kGather >> 56) << k;
  }
  return channels < kBlock ? set & ((uint64_t{1} << channels) - 1) : set;
}

void add_windows(const Plan& plan, const Target* targets, const float* dp, const uint8_t* index) {
  const Runs& runs = plan.runs;
  const int64_t vectors = runs.patch / kWidth, most = even_part(vectors, kMostVectors), filters = runs.g.conv.k;
  const std::make_integer_sequence<int, kMostVectors> counts;
  const AddFilters add = add_filters_for(most, counts), add_last = add_filters_for((vectors - 1) % most + 1, counts);
  runs.over_windows([&](int64_t window, int64_t top, int64_t left, bool inside) FJ_LAMBDA {
    float* const origin = plan.image + (top * runs.g.conv.stride_h * runs.run + left * runs.column);
    for (int64_t k = 0; k < filters; k += kBlock) {
      const int64_t channels = smaller(kBlock, filters - k);
      const float *value = dp + window * filters + k, *filter = plan.filters + k * runs.patch;
      for (int64_t tap = 0; tap < runs.taps; tap++) {
        const uint64_t set = choosers(index + window * filters + k, channels, tap);
        const Target& target = targets[tap];
        if (set == 0 || !(inside || runs.is_pixel(top + target.row, left + target.column))) continue;
        float* to = origin + target.patch;
        int64_t v = 0;
        for (; v + most < vectors; v += most) add(set, value, filter + v * kWidth, runs.patch, to + v * kWidth);
        add_last(set, value, filter + v * kWidth, runs.patch, to + v * kWidth);
      }
    }
  });
}

// Column by column, so that the numbers that neighbours share are written long before they are read again.
// y: the image where ReLU gave it, or null.
void add_runs(const Plan& plan, const float* y, float* dx) {
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  memset(plan.rows, 0, plan.rows_floats * sizeof(float));
  const float* run = plan.image;
  for (int64_t j = 0; j < g.ow; j++) {
    float* row = plan.rows + j * g.stride_w * g.c;
    for (int64_t i = 0; i < runs.padded_h; i++, row += runs.width, run += runs.run) {
      for (int64_t e = 0; e < runs.run; e += kWidth) {
        store(row + e, load(row + e) + load_masked(tail_mask(g.s * g.c - e), run + e));
      }
    }
  }
  const int64_t left = smaller(g.pad_left * g.c, runs.width), inside = smaller(g.w * g.c, runs.width - left);
  for (int64_t i = 0; i < g.h; i++, dx += g.w * g.c) {
    const int64_t from = i + g.pad_top;
    const int64_t seen = from < runs.padded_h ? inside : 0;
    const float* row = plan.rows + from * runs.width + left;
    if (y == nullptr) {
      memcpy(dx, row, seen * sizeof(float));
    } else {
      for (int64_t e = 0; e < seen; e += kWidth) {
        const Mask lanes = tail_mask(seen - e);
        store_masked(dx + e, lanes, select(load_masked(lanes, y + e) <= zero(), zero(), load_masked(lanes, row + e)));
      }
      y += g.w * g.c;
    }
    memset(dx + seen, 0, (g.w * g.c - seen) * sizeof(float));
  }
}

size_t scratch_bytes(const Call& call, int threads) { return make_plan(call, Team{0, threads}, nullptr).bytes; }

void run(const Call& call, Team& team) {
  const Plan plan = make_plan(call, team, call.scratch);
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  pack(team, plan, call.in[1].as<const float>());
  team.barrier();
  Target targets[kTaps];
  runs.find_targets(runs.run, runs.column, targets);
  const float* dp = call.in[0].as<const float>();
  const uint8_t* index = call.in[2].as<const uint8_t>();
  const float* y = call.n_in == 4 ? call.in[3].as<const float>() : nullptr;
  float* dx = call.out[0].as<float>();
  const Range images = split(g.n, team);
  for (int64_t n = images.begin; n < images.end; n++) {
    memset(plan.image, 0, runs.floats * sizeof(float));
    add_windows(plan, targets, dp + n * runs.windows * g.k, index + n * runs.windows * g.k);
    const int64_t image = n * g.h * g.w * g.c;
    add_runs(plan, y == nullptr ? y : y + image, dx + image);
  }
}

}  // namespace

void register_conv_pooled_grad_input(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_INPUT, 0, "conv2dPooledGradInput", run, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
