// conv2dPooledGradWeight (lib/ops/conv_pooled.ts): the weight gradient of a convolution from the gradient dp of its
// pooled maps and the taps that were chosen,
//
//   dw[r][s][c][k] = sum over pooled pixels of dp[p][q][k] * x[i * stride + r - pad][j * stride + s - pad][c]
//
// with (i, j) the pixel of the maps that window (p, q) chose for channel k. Lanes are numbers of x: the (s, c) of a
// filter row are one run of a padded copy of the image, read where it lies. Runs are short and begin anywhere, so they
// are read by halves of vectors. The sums of a few channels of dp stay in registers over all windows of an image.
//
// Images are cut into chunks by their number alone; each has its own sum, added in order: results do not depend on the
// number of threads. Taps are data: one outside its window, or outside the maps, counts nothing.
#include <cstring>

#include "conv_direct.h"
#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostHalves = 3;  // of a run at a time
constexpr int kMostRows = 5;    // of the filter at a time; then 3, then 1
constexpr int kTaps = 256;      // that a uint8 can name

// Channels of dp whose sums fit into registers beside one broadcast, `halves` of them each.
constexpr int most_filters(int halves) {
  return halves > kVectorRegisters - 2 ? 1 : (kVectorRegisters - 2) / halves > 6 ? 6 : (kVectorRegisters - 2) / halves;
}

struct Plan {
  PooledConvGeometry g;
  int64_t padded_h, row;     // rows of the copy of an image, and floats of one
  int64_t run, sums_floats;  // floats of a filter row in whole halves; of all sums of a channel of dp
  int64_t chunks, dw_floats;
  float *partial, *copy, *sums;  // one part a chunk, then one a thread
  int64_t copy_floats, thread_sums;
  size_t bytes;
};

Plan make_plan(const Call& call, int threads, uint8_t* scratch) {
  Plan plan{};
  plan.g = pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
  const ConvGeometry& g = plan.g.conv;
  plan.padded_h = (g.oh - 1) * g.stride_h + g.r;
  plan.row = ((g.ow - 1) * g.stride_w + g.s) * g.c;
  plan.run = ceil_div(g.s * g.c, kHalfWidth) * kHalfWidth;
  plan.sums_floats = g.r * plan.run;
  plan.chunks = smaller(g.n, kMaxChunks);
  plan.dw_floats = g.r * g.s * g.c * g.k;
  // Whole halves are read past the end.
  plan.copy_floats = ceil_div(plan.padded_h * plan.row + kHalfWidth, kLineFloats) * kLineFloats;
  plan.thread_sums = ceil_div(plan.sums_floats * g.k, kLineFloats) * kLineFloats;
  ScratchCursor cursor(scratch);
  plan.partial = cursor.take(plan.chunks * plan.dw_floats);
  plan.copy = cursor.take(plan.copy_floats * threads);
  plan.sums = cursor.take(plan.thread_sums * threads);
  plan.bytes = cursor.used();
  return plan;
}

// Pixel (row, column) of a window, and where the patch begins that it saw, from that of the window's first pixel on.
// Negative: there is no such tap.
struct Target {
  int64_t row, column, patch;
};

// One image, some channels of dp, some rows and halves of the filter.
struct Task {
  const Plan& plan;
  const Target* targets;  // (kTaps)
  const float* x;         // the copy, at the first row and half
  const float* dp;        // (PH, PW, k) at the first channel
  const uint8_t* index;   // likewise
  float* sums;            // (channels, r, run) at the first row and half
};

template <int K, int R, int V>
void add_windows(const Task& task) {
  const Plan& plan = task.plan;
  const ConvGeometry& g = plan.g.conv;
  const PoolAxis &rows = plan.g.rows, &columns = plan.g.columns;
  const int64_t row = plan.row, column = g.stride_w * g.c;
  Half acc[K][R][V];
  const auto over_sums = [&](auto body) FJ_LAMBDA {
    unroll<K>([&](auto k) FJ_LAMBDA {
      unroll<R>([&](auto r) FJ_LAMBDA {
        unroll<V>([&](auto v) FJ_LAMBDA {
          body(acc[k][r][v], task.sums + k * plan.sums_floats + r * plan.run + v * kHalfWidth);
        });
      });
    });
  };
  over_sums([](Half& sum, float* at) FJ_LAMBDA { sum = load_half(at); });
  const float* dp = task.dp;
  const uint8_t* index = task.index;
  for (int64_t p = 0; p < rows.out; p++) {
    const int64_t top = p * rows.stride - rows.before;
    const bool rows_inside = top >= 0 && top + rows.kernel <= rows.size;
    int64_t left = -columns.before;
    for (int64_t q = 0; q < columns.out; q++, left += columns.stride, dp += g.k, index += g.k) {
      const int64_t origin = top * g.stride_h * row + left * column;
      const auto add = [&](bool inside) FJ_LAMBDA {
        unroll<K>([&](auto k) FJ_LAMBDA {
          const Target& target = task.targets[index[k]];
          const int64_t i = top + target.row, j = left + target.column;
          if (target.patch >= 0 && (inside || (i >= 0 && i < rows.size && j >= 0 && j < columns.size))) {
            const float* patch = task.x + (origin + target.patch);
            const Half value = broadcast_half(dp[k]);
            unroll<R>([&](auto r) FJ_LAMBDA {
              unroll<V>([&](auto v) FJ_LAMBDA {
                acc[k][r][v] = fma(value, load_half(patch + r * row + v * kHalfWidth), acc[k][r][v]);
              });
            });
          }
        });
      };
      if (rows_inside && left >= 0 && left + columns.kernel <= columns.size) {
        add(true);
      } else {
        add(false);
      }
    }
  }
  over_sums([](Half& sum, float* at) FJ_LAMBDA { store(at, sum); });
}

using AddWindows = void (*)(const Task&);
template <int R, int V, int... K>
FJ_INLINE AddWindows add_windows_for(int64_t channels, std::integer_sequence<int, K...>) {
  static constexpr AddWindows kernels[] = {&add_windows<K + 1, R, V>...};
  return kernels[channels - 1];
}

// Rows, halves and at most so many channels: a kernel, and how many channels it takes.
template <int R>
AddWindows add_windows_for(int64_t halves, int64_t& channels) {
  const auto of = [&](auto v) {
    constexpr int kMost = most_filters(R * v);
    channels = smaller(channels, kMost);
    return add_windows_for<R, v>(channels, std::make_integer_sequence<int, kMost>{});
  };
  return halves == 1 ? of(Index<1>{}) : halves == 2 ? of(Index<2>{}) : of(Index<3>{});
}

AddWindows add_windows_for(int64_t rows, int64_t halves, int64_t& channels) {
  static_assert(kMostRows == 5 && kMostHalves == 3, "kernels are instantiated for these");
  return rows == 1   ? add_windows_for<1>(halves, channels)
         : rows == 3 ? add_windows_for<3>(halves, channels)
                     : add_windows_for<5>(halves, channels);
}

// The rows of an image that some filter sees, each between its zeros, which are there already.
void copy_image(const Plan& plan, const float* image, float* copy) {
  const ConvGeometry& g = plan.g.conv;
  const int64_t before = g.pad_left * g.c, floats = smaller(g.w * g.c, plan.row - before);
  const int64_t last = smaller(g.h, plan.padded_h - g.pad_top);
  for (int64_t i = larger(0, -g.pad_top); i < last; i++) {
    const float* from = image + i * g.w * g.c;
    float* to = copy + (i + g.pad_top) * plan.row + before;
    for (int64_t e = 0; e < floats; e += kWidth) {
      const Mask mask = tail_mask(floats - e);
      store_masked(to + e, mask, load_masked(mask, from + e));
    }
  }
}

void add_image(const Plan& plan, const Target* targets, const float* copy, const float* dp, const uint8_t* index,
               float* sums) {
  const ConvGeometry& g = plan.g.conv;
  int64_t rows = 0, channels = 0;
  for (int64_t r = 0; r < g.r; r += rows) {
    rows = g.r - r >= kMostRows ? kMostRows : g.r - r >= 3 ? 3 : 1;
    for (int64_t v = 0; v < plan.run; v += kMostHalves * kHalfWidth) {
      const int64_t halves = smaller(kMostHalves, (plan.run - v) / kHalfWidth);
      for (int64_t k = 0; k < g.k; k += channels) {
        channels = g.k - k;
        const AddWindows add = add_windows_for(rows, halves, channels);
        add({plan, targets, copy + r * plan.row + v, dp + k, index + k,
             sums + k * plan.sums_floats + r * plan.run + v});
      }
    }
  }
}

size_t scratch_bytes(const Call& call, int threads) { return make_plan(call, threads, nullptr).bytes; }

void run(const Call& call, Team& team) {
  const Plan plan = make_plan(call, team.count, call.scratch);
  const ConvGeometry& g = plan.g.conv;
  float* dw = call.out[0].as<float>();
  if (g.n == 0) {  // an empty sum
    if (team.id == 0) memset(dw, 0, call.out[0].value->bytes);
    return;
  }
  const float* x = call.in[0].as<const float>();
  const float* dp = call.in[1].as<const float>();
  const uint8_t* index = call.in[2].as<const uint8_t>();
  const int64_t pooled = plan.g.rows.out * plan.g.columns.out * g.k;
  Target targets[kTaps];
  for (int64_t tap = 0; tap < kTaps; tap++) {
    const int64_t i = tap / plan.g.columns.kernel, j = tap % plan.g.columns.kernel;
    const int64_t patch = i * g.stride_h * plan.row + j * g.stride_w * g.c;
    targets[tap] = {i, j, i < plan.g.rows.kernel ? patch : -1};
  }
  float *copy = plan.copy + team.id * plan.copy_floats, *sums = plan.sums + team.id * plan.thread_sums;
  const Range chunks = split(plan.chunks, team);
  if (chunks.begin < chunks.end) memset(copy, 0, plan.copy_floats * sizeof(float));
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    memset(sums, 0, plan.sums_floats * g.k * sizeof(float));
    const Range images = split(g.n, static_cast<int>(chunk), static_cast<int>(plan.chunks));
    for (int64_t n = images.begin; n < images.end; n++) {
      copy_image(plan, x + n * g.h * g.w * g.c, copy);
      add_image(plan, targets, copy, dp + n * pooled, index + n * pooled, sums);
    }
    float* out = plan.partial + chunk * plan.dw_floats;
    for (int64_t r = 0; r < g.r; r++) {
      for (int64_t e = r * plan.run; e < r * plan.run + g.s * g.c; e++) {
        for (int64_t k = 0; k < g.k; k++) *out++ = sums[k * plan.sums_floats + e];
      }
    }
  }
  team.barrier();
  sum_chunks(team, plan.partial, plan.chunks, plan.dw_floats, dw);
}

}  // namespace

void register_conv_pooled(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
