// conv2dPooledGradWeight (lib/ops/conv_pooled.ts) of filters whose rows fill vectors: (s, c) of a filter row are one
// run of numbers of x. For every column of the maps that run is copied, rounded up to whole vectors, and the runs of
// all rows of x lie one behind the other; so the patch of x that a chosen pixel saw is R runs side by side, aligned to
// vectors. Sums of a few channels stay in registers over the windows of an image.
//
// Images are cut into chunks (chunked_sum.h). Taps are data: one outside its window, or outside the maps, counts
// nothing.
#include <cstring>

#include "chunked_sum.h"
#include "conv_direct.h"
#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostVectors = 12;                         // of a patch at a time
constexpr int kFilters = kVectorRegisters > 16 ? 2 : 1;  // channels of dp at a time
constexpr int kTaps = 256;                               // that a uint8 can name
constexpr int64_t kMostRuns = 6 * 1024;                  // floats of an image: 24 KB of the L1 cache

// A window over the maps: where the patch begins that its first pixel saw, which of dp's pixels it is, and its origin.
struct Place {
  int64_t at, pixel;
  int64_t row, column;
};

struct Plan {
  PooledConvGeometry g;
  int64_t padded_h, width;     // rows that filters see, floats of one
  int64_t run, column, patch;  // floats of a run, of all runs of a column, of a patch
  int64_t row_floats, runs_floats, sums_floats, places_floats;
  int64_t chunks;
  float *partial, *row, *runs, *places;  // sums (k, patch), one part a chunk; then one part a thread
  size_t bytes;
};

Plan make_plan(const Call& call, int threads, uint8_t* scratch) {
  Plan plan{};
  plan.g = pooled_conv_geometry(call.in[0], call.out[0], call.in[1], call.attrs<fj_conv2d_pooled_grad_weight_attrs>());
  const ConvGeometry& g = plan.g.conv;
  const auto lines = [](int64_t floats) { return ceil_div(floats, kLineFloats) * kLineFloats; };
  plan.padded_h = (g.oh - 1) * g.stride_h + g.r;
  plan.width = ((g.ow - 1) * g.stride_w + g.s) * g.c;
  plan.run = ceil_div(g.s * g.c, kWidth) * kWidth;
  plan.column = plan.padded_h * plan.run;
  plan.patch = g.r * plan.run;
  plan.row_floats = lines(plan.width + kWidth);  // whole vectors are read past the end
  plan.runs_floats = lines(g.ow * plan.column);
  plan.sums_floats = lines(plan.patch * g.k);
  plan.places_floats =
      lines(plan.g.rows.out * plan.g.columns.out * static_cast<int64_t>(sizeof(Place) / sizeof(float)));
  plan.chunks = smaller(g.n, kMaxChunks);
  ScratchCursor cursor(scratch);
  plan.partial = cursor.take(plan.chunks * plan.sums_floats);
  plan.row = cursor.take(plan.row_floats * threads);
  plan.runs = cursor.take(plan.runs_floats * threads);
  plan.places = cursor.take(plan.places_floats * threads);
  plan.bytes = cursor.used();
  return plan;
}

void copy_runs(const Plan& plan, const float* image, float* row, float* runs) {
  const ConvGeometry& g = plan.g.conv;
  const int64_t left = smaller(g.pad_left * g.c, plan.width), inside = smaller(g.w * g.c, plan.width - left);
  memset(row, 0, plan.row_floats * sizeof(float));
  for (int64_t i = 0; i < plan.padded_h; i++, runs += plan.run) {
    const int64_t from = i - g.pad_top;
    if (from < 0 || from >= g.h) {
      for (int64_t j = 0; j < g.ow; j++) memset(runs + j * plan.column, 0, plan.run * sizeof(float));
      continue;
    }
    memcpy(row + left, image + from * g.w * g.c, inside * sizeof(float));
    for (int64_t j = 0; j < g.ow; j++) {
      const float* seen = row + j * g.stride_w * g.c;
      float* to = runs + j * plan.column;
      for (int64_t e = 0; e < plan.run; e += kWidth) store(to + e, load(seen + e));
    }
  }
}

// All windows, those that lie wholly inside the maps first.
struct Places {
  Place* list;
  int64_t inside, all;
};

Places find_places(const Plan& plan, Place* list) {
  const PoolAxis &rows = plan.g.rows, &columns = plan.g.columns;
  Places places{list, 0, 0};
  for (const bool inside : {true, false}) {
    for (int64_t p = 0; p < rows.out; p++) {
      for (int64_t q = 0; q < columns.out; q++) {
        const int64_t row = p * rows.stride - rows.before, column = q * columns.stride - columns.before;
        const bool is_inside =
            row >= 0 && row + rows.kernel <= rows.size && column >= 0 && column + columns.kernel <= columns.size;
        if (is_inside != inside) continue;
        const ConvGeometry& g = plan.g.conv;
        const int64_t at = row * g.stride_h * plan.run + column * plan.column;
        list[places.all++] = {at, (p * columns.out + q) * g.k, row, column};
      }
    }
    if (inside) places.inside = places.all;
  }
  return places;
}

// Some channels of an image, some vectors of the patch.
struct ChannelTask {
  const Plan* plan;
  Places places;
  const int64_t* offsets;  // of taps, floats
  const float* runs;       // at the first vector
  const float* dp;         // (PH, PW, k) at the first channel
  const uint8_t* index;    // likewise
  float* sums;             // (channels, patch) at the first vector
};

template <int K, int V>
void add_channels(const ChannelTask& task) {
  const PoolAxis &rows = task.plan->g.rows, &columns = task.plan->g.columns;
  const int64_t taps = rows.kernel * columns.kernel, stride = task.plan->patch;
  Vec acc[K][V];
  unroll<K>([&](auto k) FJ_LAMBDA {
    unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = load(task.sums + k * stride + v * kWidth); });
  });
  const auto add = [&](const Place& place, const auto& counts) FJ_LAMBDA {
    unroll<K>([&](auto k) FJ_LAMBDA {
      const int64_t tap = task.index[place.pixel + k];
      if (tap < taps && counts(tap)) {
        const float* patch = task.runs + (place.at + task.offsets[tap]);
        const Vec value = broadcast(task.dp[place.pixel + k]);
        unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = fma(value, load(patch + v * kWidth), acc[k][v]); });
      }
    });
  };
  const Place* place = task.places.list;
  for (const Place* end = place + task.places.inside; place < end; place++) {
    add(*place, [](int64_t) FJ_LAMBDA { return true; });
  }
  for (const Place* end = task.places.list + task.places.all; place < end; place++) {
    add(*place, [&](int64_t tap) FJ_LAMBDA {
      const int64_t i = place->row + tap / columns.kernel, j = place->column + tap % columns.kernel;
      return i >= 0 && i < rows.size && j >= 0 && j < columns.size;
    });
  }
  unroll<K>([&](auto k) FJ_LAMBDA {
    unroll<V>([&](auto v) FJ_LAMBDA { store(task.sums + k * stride + v * kWidth, acc[k][v]); });
  });
}

using AddChannels = void (*)(const ChannelTask&);
template <int K, int... V>
FJ_INLINE AddChannels add_channels_for(int64_t vectors, std::integer_sequence<int, V...>) {
  static constexpr AddChannels kernels[] = {&add_channels<K, V + 1>...};
  return kernels[vectors - 1];
}

void add_image(const Plan& plan, ChannelTask task, const float* runs, const float* dp, const uint8_t* index,
               float* sums) {
  const int64_t vectors = plan.patch / kWidth, most = even_part(vectors, kMostVectors), filters = plan.g.conv.k;
  const std::make_integer_sequence<int, kMostVectors> counts;
  for (int64_t v = 0; v < vectors; v += most) {
    const int64_t count = smaller(most, vectors - v);
    task.runs = runs + v * kWidth;
    for (int64_t k = 0; k < filters;) {
      const bool together = filters - k >= kFilters;
      task.dp = dp + k;
      task.index = index + k;
      task.sums = sums + k * plan.patch + v * kWidth;
      (together ? add_channels_for<kFilters>(count, counts) : add_channels_for<1>(count, counts))(task);
      k += together ? kFilters : 1;
    }
  }
}

size_t scratch_bytes(const Call& call, int threads) { return make_plan(call, threads, nullptr).bytes; }

bool prefers(const Call& call) {
  const Plan plan = make_plan(call, 1, nullptr);
  return 4 * plan.g.conv.s * plan.g.conv.c >= 3 * plan.run && plan.runs_floats <= kMostRuns;
}

void run(const Call& call, Team& team) {
  const Plan plan = make_plan(call, team.count, call.scratch);
  const ConvGeometry& g = plan.g.conv;
  const PoolAxis& columns = plan.g.columns;
  float* dw = call.out[0].as<float>();
  if (g.n == 0) {  // an empty sum
    if (team.id == 0) memset(dw, 0, call.out[0].value->bytes);
    return;
  }
  const float* x = call.in[0].as<const float>();
  const float* dp = call.in[1].as<const float>();
  const uint8_t* index = call.in[2].as<const uint8_t>();
  const int64_t pooled = plan.g.rows.out * columns.out * g.k;
  int64_t offsets[kTaps];
  for (int64_t tap = 0; tap < plan.g.rows.kernel * columns.kernel; tap++) {
    offsets[tap] = tap / columns.kernel * g.stride_h * plan.run + tap % columns.kernel * plan.column;
  }
  float* row = plan.row + plan.row_floats * team.id;
  float* runs = plan.runs + plan.runs_floats * team.id;
  const Places places = find_places(plan, reinterpret_cast<Place*>(plan.places + plan.places_floats * team.id));
  ChannelTask task{};
  task.plan = &plan;
  task.places = places;
  task.offsets = offsets;
  const Range chunks = split(plan.chunks, team);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    float* sums = plan.partial + chunk * plan.sums_floats;
    memset(sums, 0, plan.sums_floats * sizeof(float));
    const Range images = split(g.n, static_cast<int>(chunk), static_cast<int>(plan.chunks));
    for (int64_t n = images.begin; n < images.end; n++) {
      copy_runs(plan, x + n * g.h * g.w * g.c, row, runs);
      add_image(plan, task, runs, dp + n * pooled, index + n * pooled, sums);
    }
  }
  sum_chunks(team, {plan.partial, plan.chunks, plan.sums_floats}, plan.partial);
  team.barrier();
  const Range filter_rows = split(g.r * g.s * g.c, team);
  for (int64_t i = filter_rows.begin; i < filter_rows.end; i++) {
    const float* from = plan.partial + i / (g.s * g.c) * plan.run + i % (g.s * g.c);
    for (int64_t k = 0; k < g.k; k++) dw[i * g.k + k] = from[k * plan.patch];
  }
}

}  // namespace

void register_conv_pooled_rows(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight rows", run, scratch_bytes, nullptr, prefers});
}

}  // namespace forja::FJ_ISA
