// conv2dPooledGradWeight (lib/ops/conv_pooled.ts) of filters whose rows fill vectors (conv_pooled_runs.h): the runs of
// an image are copied, the patch of a chosen pixel is read from there. Sums of a few channels stay in registers over
// the windows of an image.
//
// Images are cut into chunks (chunked_sum.h). Taps are data: one outside its window, or outside the maps, counts
// nothing.
#include <cstring>

#include "chunked_sum.h"
#include "conv_pooled_runs.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kMostVectors = 12;                         // of a patch at a time
constexpr int kFilters = kVectorRegisters > 16 ? 2 : 1;  // channels of dp at a time

struct Plan {
  Runs runs;
  ChunkedSum sum;      // (k, patch)
  float *row, *image;  // of x, and its runs
  Place* places;
  size_t bytes;
};

Plan make_plan(const Call& call, const Team& team, uint8_t* scratch) {
  const auto& attrs = call.attrs<fj_conv2d_pooled_grad_weight_attrs>();
  Plan plan{Runs(pooled_conv_geometry(call.in[0], call.out[0], call.in[1], attrs)), {}, nullptr, nullptr, nullptr, 0};
  const ConvGeometry& g = plan.runs.g.conv;
  ScratchCursor cursor(scratch);
  plan.sum.chunks = smaller(g.n, kMaxChunks);
  plan.sum.floats = plan.runs.patch * g.k;
  plan.sum.partial = cursor.take(plan.sum.chunks * plan.sum.floats);
  plan.row = cursor.take_own(plan.runs.row_floats, team);
  plan.image = cursor.take_own(plan.runs.floats, team);
  plan.places = reinterpret_cast<Place*>(cursor.take_own(plan.runs.places_floats(), team));
  plan.bytes = cursor.used();
  return plan;
}

void copy_runs(const Plan& plan, const float* x) {
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  const int64_t left = smaller(g.pad_left * g.c, runs.width), inside = smaller(g.w * g.c, runs.width - left);
  memset(plan.row, 0, runs.row_floats * sizeof(float));
  for (int64_t i = 0; i < runs.padded_h; i++) {
    const int64_t from = i - g.pad_top;
    float* to = plan.image + i * runs.run;
    if (from < 0 || from >= g.h) {
      for (int64_t j = 0; j < g.ow; j++) memset(to + j * runs.column, 0, runs.run * sizeof(float));
      continue;
    }
    memcpy(plan.row + left, x + from * g.w * g.c, inside * sizeof(float));
    for (int64_t j = 0; j < g.ow; j++, to += runs.column) {
      const float* seen = plan.row + j * g.stride_w * g.c;
      for (int64_t e = 0; e < runs.run; e += kWidth) store(to + e, load(seen + e));
    }
  }
}

// Some channels of an image, some vectors of the patch.
struct ChannelTask {
  const Runs* runs;
  Places places;
  const int64_t* offsets;  // Runs::find_offsets
  const float* image;      // at the first vector
  const float* dp;         // (PH, PW, k) at the first channel
  const uint8_t* index;    // likewise
  float* sums;             // (channels, patch) at the first vector
};

template <int K, int V>
void add_channels(const ChannelTask& task) {
  const int64_t taps = task.runs->taps, stride = task.runs->patch;
  Vec acc[K][V];
  unroll<K>([&](auto k) FJ_LAMBDA {
    unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = load(task.sums + k * stride + v * kWidth); });
  });
  const auto add = [&](const Place& place, const auto& counts) FJ_LAMBDA {
    unroll<K>([&](auto k) FJ_LAMBDA {
      const int64_t tap = task.index[place.first + k];
      if (tap < taps && counts(tap)) {
        const float* patch = task.image + (place.at + task.offsets[tap]);
        const Vec value = broadcast(task.dp[place.first + k]);
        unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = fma(value, load(patch + v * kWidth), acc[k][v]); });
      }
    });
  };
  const Place* place = task.places.list;
  for (const Place* end = place + task.places.inside; place < end; place++) {
    add(*place, [](int64_t) FJ_LAMBDA { return true; });
  }
  for (const Place* end = task.places.list + task.places.all; place < end; place++) {
    add(*place, [&](int64_t tap) FJ_LAMBDA { return task.runs->is_inside(*place, tap); });
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

void add_image(const Plan& plan, ChannelTask task, const float* dp, const uint8_t* index, float* sums) {
  const int64_t vectors = plan.runs.patch / kWidth, most = even_part(vectors, kMostVectors);
  const int64_t filters = plan.runs.g.conv.k;
  const std::make_integer_sequence<int, kMostVectors> counts;
  for (int64_t v = 0; v < vectors; v += most) {
    const int64_t count = smaller(most, vectors - v);
    task.image = plan.image + v * kWidth;
    for (int64_t k = 0; k < filters;) {
      const bool together = filters - k >= kFilters;
      task.dp = dp + k;
      task.index = index + k;
      task.sums = sums + k * plan.runs.patch + v * kWidth;
      (together ? add_channels_for<kFilters>(count, counts) : add_channels_for<1>(count, counts))(task);
      k += together ? kFilters : 1;
    }
  }
}

size_t scratch_bytes(const Call& call, int threads) { return make_plan(call, Team{0, threads}, nullptr).bytes; }

bool prefers(const Call& call) { return make_plan(call, Team{}, nullptr).runs.pay(); }

void run(const Call& call, Team& team) {
  const Plan plan = make_plan(call, team, call.scratch);
  const Runs& runs = plan.runs;
  const ConvGeometry& g = runs.g.conv;
  float* dw = call.out[0].as<float>();
  if (g.n == 0) {  // an empty sum
    if (team.id == 0) memset(dw, 0, call.out[0].value->bytes);
    return;
  }
  int64_t offsets[kTaps];
  runs.find_offsets(offsets);
  ChannelTask task{};
  task.runs = &runs;
  task.places = runs.find_places(plan.places);
  task.offsets = offsets;
  const float* x = call.in[0].as<const float>();
  const float* dp = call.in[1].as<const float>();
  const uint8_t* index = call.in[2].as<const uint8_t>();
  const Range chunks = split(plan.sum.chunks, team);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    float* sums = plan.sum.partial + chunk * plan.sum.floats;
    memset(sums, 0, plan.sum.floats * sizeof(float));
    const Range images = split(g.n, static_cast<int>(chunk), static_cast<int>(plan.sum.chunks));
    for (int64_t n = images.begin; n < images.end; n++) {
      copy_runs(plan, x + n * g.h * g.w * g.c);
      add_image(plan, task, dp + n * runs.windows * g.k, index + n * runs.windows * g.k, sums);
    }
  }
  sum_chunks(team, plan.sum, plan.sum.partial);
  team.barrier();
  const Range parts = split(g.r * g.s * g.c, team);
  for (int64_t part = parts.begin; part < parts.end; part++) {
    const float* from = plan.sum.partial + part / (g.s * g.c) * runs.run + part % (g.s * g.c);
    for (int64_t k = 0; k < g.k; k++) dw[part * g.k + k] = from[k * runs.patch];
  }
}

}  // namespace

void register_conv_pooled_rows(KernelTable& table) {
  table.add({FJ_OP_CONV2D_POOLED_GRAD_WEIGHT, 0, "conv2dPooledGradWeight rows", run, scratch_bytes, nullptr, prefers});
}

}  // namespace forja::FJ_ISA
