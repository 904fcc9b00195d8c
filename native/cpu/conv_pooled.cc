// conv2dPooledGradWeight (lib/ops/conv_pooled.ts): the weight gradient of a convolution from the gradient dp of its
// pooled maps and the taps that were chosen,
//
//   dw[r][s][c][k] = sum over pooled pixels of dp[p][q][k] * x[i * stride + r - pad][j * stride + s - pad][c]
//
// with (i, j) the pixel of the maps that window (p, q) chose for channel k. Lanes are the numbers of a patch of x. For
// that they must lie side by side: the rows of x that a row of maps sees are woven, pixel for pixel, so that a patch is
// one run of (s, r, c). Few sums stay in registers, a channel of dp each.
//
// Images are cut into chunks (chunked_sum.h). Taps are data: one outside its window, or outside the maps, counts
// nothing.
#include <cstring>

#include "chunked_sum.h"
#include "conv_direct.h"
#include "kernel.h"
#include "simd/weave.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostVectors = 3;                              // of a patch at a time
constexpr int kMostFilters = kVectorRegisters > 16 ? 8 : 4;  // channels of dp at a time
constexpr int kTaps = 256;                                   // that a uint8 can name

struct Plan {
  PooledConvGeometry g;
  int64_t padded_h, padded_w;  // of the copy of an image
  int64_t column, row;         // floats from one woven column, row of maps to the next
  int64_t patch, sums_floats;  // of one channel of dp, the latter in whole vectors
  int64_t chunks, dw_floats;
  float *partial, *copy, *woven, *sums;  // one part a chunk, then one a thread
  int64_t copy_floats, woven_floats;
  size_t bytes;
};

Plan make_plan(const Call& call, int threads, uint8_t* scratch) {
  Plan plan{};
  plan.g = pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
  const ConvGeometry& g = plan.g.conv;
  plan.padded_h = (g.oh - 1) * g.stride_h + g.r;
  plan.padded_w = (g.ow - 1) * g.stride_w + g.s;
  plan.column = g.r * g.c;
  plan.row = plan.padded_w * plan.column;
  plan.patch = g.s * plan.column;
  plan.sums_floats = ceil_div(plan.patch, kWidth) * kWidth;
  plan.chunks = smaller(g.n, kMaxChunks);
  plan.dw_floats = plan.patch * g.k;
  // Whole vectors are read past the end.
  plan.copy_floats = ceil_div(plan.padded_h * g.c * plan.padded_w, kLineFloats) * kLineFloats + kLineFloats;
  plan.woven_floats =
      ceil_div(plan.g.rows.kernel * plan.row, kLineFloats) * kLineFloats + 2 * kMostVectors * kLineFloats;
  ScratchCursor cursor(scratch);
  plan.partial = cursor.take(plan.chunks * plan.dw_floats);
  plan.copy = cursor.take(plan.copy_floats * threads);
  plan.woven = cursor.take(plan.woven_floats * threads);
  plan.sums = cursor.take(plan.sums_floats * g.k * threads);
  plan.bytes = cursor.used();
  return plan;
}

// planes (K, plane) -> out (pixels, K)
using WeavePlanes = void (*)(const float*, int64_t, int64_t, float*);
template <int K>
void weave_planes(const float* planes, int64_t plane, int64_t pixels, float* out) {
  weave<K>(planes, plane, pixels, [&](int64_t at, Vec v) FJ_LAMBDA { store(out + at, v); });
}
template <int... K>
FJ_INLINE WeavePlanes weave_for(int64_t count, std::integer_sequence<int, K...>) {
  static constexpr WeavePlanes kernels[] = {&weave_planes<K + 1>...};
  return kernels[count - 1];
}

// Where a tap of a row of windows leads: to the woven patch that a window at column 0 would choose (null: its row is
// outside), so many columns to the right.
struct Target {
  const float* patch;
  int64_t column;
};

// One row of windows, some channels of dp, some vectors of the patch.
struct RowTask {
  const Target* targets;  // (kTaps)
  int64_t step;           // floats from one column of maps to the next
  PoolAxis columns;
  const float* dp;       // (PW, k) at the first channel
  const uint8_t* index;  // likewise
  int64_t k;
  float* sums;  // (channels, stride) at the first vector
  int64_t stride;
  int64_t vector;  // floats into the patch
};

template <int K, int V>
void add_row(const RowTask& task) {
  Vec acc[K][V];
  unroll<K>([&](auto k) FJ_LAMBDA {
    unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = load(task.sums + k * task.stride + v * kWidth); });
  });
  const float* dp = task.dp;
  const uint8_t* index = task.index;
  const PoolAxis& columns = task.columns;
  int64_t origin = -columns.before;
  const auto add_pixel = [&](bool inside) FJ_LAMBDA {
    unroll<K>([&](auto k) FJ_LAMBDA {
      const Target& target = task.targets[index[k]];
      const int64_t column = origin + target.column;
      if (target.patch != nullptr && (inside || (column >= 0 && column < columns.size))) {
        const float* patch = target.patch + (origin * task.step + task.vector);
        const Vec value = broadcast(dp[k]);
        unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = fma(value, load(patch + v * kWidth), acc[k][v]); });
      }
    });
  };
  for (int64_t q = 0; q < columns.out; q++, dp += task.k, index += task.k, origin += columns.stride) {
    if (origin >= 0 && origin + columns.kernel <= columns.size) {
      add_pixel(true);
    } else {
      add_pixel(false);
    }
  }
  unroll<K>([&](auto k) FJ_LAMBDA {
    unroll<V>([&](auto v) FJ_LAMBDA { store(task.sums + k * task.stride + v * kWidth, acc[k][v]); });
  });
}

using AddRow = void (*)(const RowTask&);
template <int V, int... K>
FJ_INLINE AddRow add_row_for(int64_t channels, std::integer_sequence<int, K...>) {
  static constexpr AddRow kernels[] = {&add_row<K + 1, V>...};
  return kernels[channels - 1];
}

AddRow add_row_for(int64_t channels, int64_t vectors) {
  const std::make_integer_sequence<int, kMostFilters> counts;
  return vectors == 1   ? add_row_for<1>(channels, counts)
         : vectors == 2 ? add_row_for<2>(channels, counts)
                        : add_row_for<3>(channels, counts);
}

struct Own {
  float *copy, *woven, *sums;
};

void add_image(const Plan& plan, const float* image, const float* dp, const uint8_t* index, const Own& own) {
  const ConvGeometry& g = plan.g.conv;
  const PoolAxis& rows = plan.g.rows;
  copy_planes(image, {g.h, g.w, g.c, g.c}, {-g.pad_top, plan.padded_h - g.pad_top}, g.pad_left, plan.padded_w,
              own.copy);
  Target targets[kTaps] = {};
  const int64_t step = g.stride_w * plan.column;
  for (int64_t p = 0; p < rows.out; p++) {
    const PoolWindow window = window_at(rows, p);
    for (int64_t i = window.origin; i < window.origin + rows.kernel; i++) {
      const int64_t row = i - window.origin;
      float* woven = own.woven + row * plan.row;
      const bool inside = i >= window.begin && i < window.end;
      for (int64_t s = 0; s < plan.g.columns.kernel; s++) {
        targets[row * plan.g.columns.kernel + s] = {inside ? woven + s * step : nullptr, s};
      }
      if (!inside) continue;
      const float* planes = own.copy + i * g.stride_h * g.c * plan.padded_w;
      if (plan.column < kWidth) {
        const std::make_integer_sequence<int, kWidth - 1> counts;
        weave_for(plan.column, counts)(planes, plan.padded_w, plan.padded_w, woven);
      } else {
        for (int64_t j = 0; j < plan.padded_w; j++) {
          for (int64_t c = 0; c < plan.column; c++) woven[j * plan.column + c] = planes[c * plan.padded_w + j];
        }
      }
    }
    RowTask task{targets, step, plan.g.columns, nullptr, nullptr, g.k, nullptr, plan.sums_floats, 0};
    const int64_t pixel = p * plan.g.columns.out * g.k, most = kMostVectors * kWidth;
    for (int64_t k = 0; k < g.k; k += kMostFilters) {
      task.dp = dp + pixel + k;
      task.index = index + pixel + k;
      for (task.vector = 0; task.vector < plan.patch; task.vector += most) {
        task.sums = own.sums + k * plan.sums_floats + task.vector;
        const int64_t vectors = ceil_div(smaller(most, plan.patch - task.vector), kWidth);
        add_row_for(smaller(kMostFilters, g.k - k), vectors)(task);
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
  const Own own{plan.copy + team.id * plan.copy_floats, plan.woven + team.id * plan.woven_floats,
                plan.sums + team.id * plan.sums_floats * g.k};
  const Range chunks = split(plan.chunks, team);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    memset(own.sums, 0, plan.sums_floats * g.k * sizeof(float));
    const Range images = split(g.n, static_cast<int>(chunk), static_cast<int>(plan.chunks));
    for (int64_t n = images.begin; n < images.end; n++) {
      add_image(plan, x + n * g.h * g.w * g.c, dp + n * pooled, index + n * pooled, own);
    }
    float* out = plan.partial + chunk * plan.dw_floats;
    for (int64_t r = 0; r < g.r; r++) {
      for (int64_t s = 0; s < g.s; s++) {
        for (int64_t c = 0; c < g.c; c++) {
          const float* from = own.sums + (s * g.r + r) * g.c + c;
          for (int64_t k = 0; k < g.k; k++) *out++ = from[k * plan.sums_floats];
        }
      }
    }
  }
  sum_chunks(team, {plan.partial, plan.chunks, plan.dw_floats}, dw);
}

}  // namespace

void register_conv_pooled(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight", run, scratch_bytes, nullptr});
}

}  // namespace forja::FJ_ISA
