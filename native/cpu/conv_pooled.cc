// conv2dPooledGradWeight (lib/ops/conv_pooled.ts): the weight gradient of a convolution from the gradient dp of its
// pooled maps and the taps that were chosen,
//
//   dw[r][s][c][k] = sum over pooled pixels of dp[p][q][k] * x[i * stride + r - pad][j * stride + s - pad][c]
//
// with (i, j) the pixel of the maps that window (p, q) chose for channel k. Lanes are numbers of x: the (s, c) of a
// filter row are one run of a padded copy of the image, read where it lies. Runs are short and begin anywhere, so they
// are read by halves of vectors; where those of an image fit a core's cache, which the plan knows, they are copied to
// where they are aligned (conv_pooled_runs.h). The sums of a few channels of dp stay in registers over all windows of
// an image.
//
// Images are cut into chunks (chunked_sum.h). Taps are data: one outside its window, or outside the maps, counts
// nothing.
#include <cstring>

#include "chunked_sum.h"
#include "conv_pooled_runs.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostParts = 3;  // of a run at a time
constexpr int kMostRows = 5;   // of the filter at a time; then 3, then 1

// Channels of dp whose sums fit into registers beside one broadcast, `parts` of them each.
constexpr int most_filters(int parts) {
  return parts > kVectorRegisters - 2 ? 1 : (kVectorRegisters - 2) / parts > 6 ? 6 : (kVectorRegisters - 2) / parts;
}

// What a run is made of: halves of vectors where it lies anywhere, whole ones where it is aligned.
struct Halves {
  using Part = Half;
  static constexpr int kFloats = kHalfWidth;
  static FJ_INLINE_MEMBER Half get(const float* p) { return load_half(p); }
  static FJ_INLINE_MEMBER Half all(float x) { return broadcast_half(x); }
};
struct Wholes {
  using Part = Vec;
  static constexpr int kFloats = kWidth;
  static FJ_INLINE_MEMBER Vec get(const float* p) { return load(p); }
  static FJ_INLINE_MEMBER Vec all(float x) { return broadcast(x); }
};

struct Plan {
  Runs runs;
  bool by_runs = false;         // the copy of an image: runs, or its rows
  int64_t row = 0, column = 0;  // floats of the copy from one row of x, column of the maps to the next
  int64_t run = 0, patch = 0;   // floats of sums: of a filter row, in whole halves, and of all rows
  int64_t copy_floats = 0;
  ChunkedSum sum{};                          // (k, patch)
  float *copy = nullptr, *padded = nullptr;  // this thread's; a row of x, with by_runs
  size_t bytes = 0;
};

Plan make_plan(const Call& call, const Team& team, uint8_t* scratch) {
  const auto& attrs = call.attrs<fj_conv2d_pooled_grad_weight_attrs>();
  Plan plan{Runs(pooled_conv_geometry(call.in[0], call.out[0], call.in[1], attrs))};
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  plan.by_runs = attrs.fits_core != 0;
  plan.row = plan.by_runs ? runs.run : runs.width;
  plan.column = plan.by_runs ? runs.column : g.stride_w * g.c;
  plan.run = plan.by_runs ? runs.run : ceil_div(g.s * g.c, kHalfWidth) * kHalfWidth;
  plan.patch = g.r * plan.run;
  // Whole halves are read past the end.
  plan.copy_floats = plan.by_runs ? runs.floats : runs.padded_h * runs.width + kHalfWidth;
  ScratchCursor cursor(scratch);
  plan.sum.chunks = smaller(g.n, kMaxChunks);
  plan.sum.floats = plan.patch * g.k;
  plan.sum.partial = cursor.take(plan.sum.chunks * plan.sum.floats);
  plan.copy = cursor.take_own(plan.copy_floats, team);
  plan.padded = cursor.take_own(plan.by_runs ? runs.row_floats : 0, team);
  plan.bytes = cursor.used();
  return plan;
}

// One image, some channels of dp, some rows of the filter and parts of a run.
struct Task {
  const Plan& plan;
  const Target* targets;  // (kTaps)
  const float* x;         // the copy, at the first row and part
  const float* dp;        // (PH, PW, k) at the first channel
  const uint8_t* index;   // likewise
  float* sums;            // (channels, r, run) at the first row and part
};

template <class P, int K, int R, int V>
void add_windows(const Task& task) {
  const Plan& plan = task.plan;
  const Runs& runs = plan.runs;
  const int64_t row = plan.row, down = runs.g.conv.stride_h * row, column = plan.column;
  typename P::Part acc[K][R][V];
  const auto over_sums = [&](auto body) FJ_LAMBDA {
    unroll<K>([&](auto k) FJ_LAMBDA {
      unroll<R>([&](auto r) FJ_LAMBDA {
        unroll<V>([&](auto v)
                      FJ_LAMBDA { body(acc[k][r][v], task.sums + k * plan.patch + r * plan.run + v * P::kFloats); });
      });
    });
  };
  over_sums([](auto& sum, float* at) FJ_LAMBDA { sum = P::get(at); });
  runs.over_windows([&](int64_t window, int64_t top, int64_t left, bool all_inside) FJ_LAMBDA {
    const float* origin = task.x + (top * down + left * column);
    const float* dp = task.dp + window * runs.g.conv.k;
    const uint8_t* index = task.index + window * runs.g.conv.k;
    const auto add = [&](bool inside) FJ_LAMBDA {
      unroll<K>([&](auto k) FJ_LAMBDA {
        const Target& target = task.targets[index[k]];
        if (target.exists && (inside || runs.is_pixel(top + target.row, left + target.column))) {
          const float* patch = origin + target.patch;
          const auto value = P::all(dp[k]);
          unroll<R>([&](auto r) FJ_LAMBDA {
            unroll<V>([&](auto v) FJ_LAMBDA {
              acc[k][r][v] = fma(value, P::get(patch + r * row + v * P::kFloats), acc[k][r][v]);
            });
          });
        }
      });
    };
    if (all_inside) {
      add(true);
    } else {
      add(false);
    }
  });
  over_sums([](auto& sum, float* at) FJ_LAMBDA { store(at, sum); });
}

using AddWindows = void (*)(const Task&);
template <class P, int R, int V, int... K>
FJ_INLINE AddWindows add_windows_for(int64_t channels, std::integer_sequence<int, K...>) {
  static constexpr AddWindows kernels[] = {&add_windows<P, K + 1, R, V>...};
  return kernels[channels - 1];
}

// Rows, parts and at most so many channels: a kernel, and how many channels it takes.
template <class P, int R>
AddWindows add_windows_for(int64_t parts, int64_t& channels) {
  const auto of = [&](auto v) {
    constexpr int kMost = most_filters(R * v);
    channels = smaller(channels, kMost);
    return add_windows_for<P, R, v>(channels, std::make_integer_sequence<int, kMost>{});
  };
  return parts == 1 ? of(Index<1>{}) : parts == 2 ? of(Index<2>{}) : of(Index<3>{});
}

template <class P>
AddWindows add_windows_for(int64_t rows, int64_t parts, int64_t& channels) {
  static_assert(kMostRows == 5 && kMostParts == 3, "kernels are instantiated for these");
  return rows == 1   ? add_windows_for<P, 1>(parts, channels)
         : rows == 3 ? add_windows_for<P, 3>(parts, channels)
                     : add_windows_for<P, 5>(parts, channels);
}

FJ_INLINE void copy_floats(const float* from, int64_t count, float* to) {
  for (int64_t e = 0; e < count; e += kWidth) {
    const Mask mask = tail_mask(count - e);
    store_masked(to + e, mask, load_masked(mask, from + e));
  }
}

// The rows of an image that some filter sees; what lies outside of it is zero already.
void copy_image(const Plan& plan, const float* image) {
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  const int64_t before = g.pad_left * g.c, floats = smaller(g.w * g.c, runs.width - before);
  const int64_t last = smaller(g.h, runs.padded_h - g.pad_top);
  for (int64_t i = larger(0, -g.pad_top); i < last; i++) {
    float* to = plan.copy + (i + g.pad_top) * plan.row;
    copy_floats(image + i * g.w * g.c, floats, (plan.by_runs ? plan.padded : to) + before);
    for (int64_t j = 0; plan.by_runs && j < g.ow; j++, to += plan.column) {
      const float* seen = plan.padded + j * g.stride_w * g.c;
      for (int64_t e = 0; e < plan.run; e += kWidth) store(to + e, load(seen + e));
    }
  }
}

template <class P>
void add_image(const Plan& plan, const Target* targets, const float* dp, const uint8_t* index, float* sums) {
  const ConvGeometry& g = plan.runs.g.conv;
  const int64_t most = even_part(plan.run / P::kFloats, kMostParts);
  int64_t rows = 0, channels = 0;
  for (int64_t r = 0; r < g.r; r += rows) {
    rows = g.r - r >= kMostRows ? kMostRows : g.r - r >= 3 ? 3 : 1;
    for (int64_t v = 0; v < plan.run; v += most * P::kFloats) {
      const int64_t parts = smaller(most, (plan.run - v) / P::kFloats);
      for (int64_t k = 0; k < g.k; k += channels) {
        channels = g.k - k;
        const AddWindows add = add_windows_for<P>(rows, parts, channels);
        add({plan, targets, plan.copy + r * plan.row + v, dp + k, index + k, sums + k * plan.patch + r * plan.run + v});
      }
    }
  }
}

size_t scratch_bytes(const Call& call, int threads) { return make_plan(call, Team{0, threads}, nullptr).bytes; }

void run(const Call& call, Team& team) {
  const Plan plan = make_plan(call, team, call.scratch);
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  float* dw = call.out[0].as<float>();
  if (g.n == 0) {  // an empty sum
    if (team.id == 0) memset(dw, 0, call.out[0].value->bytes);
    return;
  }
  const float* x = call.in[0].as<const float>();
  const float* dp = call.in[1].as<const float>();
  const uint8_t* index = call.in[2].as<const uint8_t>();
  Target targets[kTaps];
  runs.find_targets(plan.row, plan.column, targets);
  const auto add = plan.by_runs ? add_image<Wholes> : add_image<Halves>;
  const Range chunks = split(plan.sum.chunks, team);
  if (chunks.begin < chunks.end) {
    memset(plan.copy, 0, plan.copy_floats * sizeof(float));
    if (plan.by_runs) memset(plan.padded, 0, runs.row_floats * sizeof(float));
  }
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    float* sums = plan.sum.partial + chunk * plan.sum.floats;
    memset(sums, 0, plan.sum.floats * sizeof(float));
    const Range images = split(g.n, static_cast<int>(chunk), static_cast<int>(plan.sum.chunks));
    for (int64_t n = images.begin; n < images.end; n++) {
      copy_image(plan, x + n * g.h * g.w * g.c);
      add(plan, targets, dp + n * runs.windows * g.k, index + n * runs.windows * g.k, sums);
    }
  }
  sum_chunks(team, plan.sum, plan.sum.partial);
  team.barrier();
  const Range parts = split(g.r * g.s * g.c, team);
  for (int64_t part = parts.begin; part < parts.end; part++) {
    const float* from = plan.sum.partial + part / (g.s * g.c) * plan.run + part % (g.s * g.c);
    for (int64_t k = 0; k < g.k; k++) dw[part * g.k + k] = from[k * plan.patch];
  }
}

}  // namespace

void register_conv_pooled(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
