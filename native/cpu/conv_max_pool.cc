// conv2dMaxPool (lib/ops/conv_max_pool.ts): a direct convolution (conv_direct.h) whose maps are pooled while they lie
// in the cache and are written nowhere else. Of few channels, rows of sums are pooled as they are computed
// (conv_columns_pooled.cc). Any other form computes the maps of some rows of windows of an image, a band, into the
// thread's scratch, where pool.cc's code pools them.
//
// Sums do not depend on how images are cut into bands, so results do not depend on the number of threads.
#include <cstring>

#include "conv_direct.h"
#include "kernel.h"
#include "pool.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kBandFloats = 64 * 1024;  // of maps: 256 KB of L2
constexpr int64_t kShares = 4;              // bands that a thread should have, so that all have about the same work

PooledConvGeometry geometry_of(const Call& call) {
  return pooled_conv_geometry(call.in[0], call.in[1], call.out[0], call.attrs<fj_conv2d_max_pool_attrs>());
}

// Of one image.
ConvGeometry image_geometry(const PooledConvGeometry& g) {
  ConvGeometry one = g.conv;
  one.n = 1;
  return one;
}

struct Plan {
  PooledConvGeometry g;
  ForwardPlan conv;  // of one image
  bool by_columns;
  int64_t bands;  // of an image
  float* own;     // one part a thread
  int64_t own_floats;
};

Range map_rows(const PoolAxis& rows, Range windows) {
  return {window_at(rows, windows.begin).begin, window_at(rows, windows.end - 1).end};
}

Plan make_plan(const Call& call, int threads, ScratchCursor& scratch, uint8_t* kept) {
  Plan plan{};
  plan.g = geometry_of(call);
  const ConvGeometry& g = plan.g.conv;
  const PoolAxis &rows = plan.g.rows, &columns = plan.g.columns;
  Epilogue epilogue;
  if (call.n_in == 3) epilogue.bias = call.in[2].as<const float>();
  const bool relu = call.attrs<fj_conv2d_max_pool_attrs>().activation == FJ_ACTIVATION_RELU;
  epilogue.activation = relu ? kActivationRelu : kActivationNone;
  plan.conv = plan_forward(image_geometry(plan.g), threads, call.in[0].as<const float>(), call.in[1].as<const float>(),
                           epilogue, nullptr, scratch, kept);
  plan.by_columns = columns_pool_applies(plan.conv.direct, columns);
  if (plan.by_columns) {
    plan.own_floats = columns_pool_floats(plan.conv.direct, rows, columns);
  } else {
    const int64_t row = g.ow * g.k, at_once = larger(1, kBandFloats / row / rows.stride);
    const int64_t shares = threads == 1 ? 1 : ceil_div(kShares * threads, g.n);
    plan.bands = smaller(rows.out, larger(shares, ceil_div(rows.out, at_once)));
    const int64_t most = (ceil_div(rows.out, plan.bands) - 1) * rows.stride + rows.kernel;
    plan.own_floats = smaller(g.oh, most) * row;
  }
  plan.own_floats = ceil_div(plan.own_floats, kLineFloats) * kLineFloats;
  plan.own = scratch.take(plan.own_floats * threads);
  return plan;
}

void run_bands(const Plan& plan, const Team& team, float* y, uint8_t* index) {
  const ConvGeometry& g = plan.g.conv;
  const PoolAxis &rows = plan.g.rows, &columns = plan.g.columns;
  const PoolGeometry image{1, g.k, rows, columns};
  const int64_t row = g.ow * g.k;
  const Team alone;
  float* const own = plan.own + team.id * plan.own_floats;
  const Range items = split(g.n * plan.bands, team);
  Range computed{0, 0};  // rows of maps in `own`
  for (int64_t item = items.begin; item < items.end; item++) {
    const int64_t n = item / plan.bands, band = item % plan.bands;
    const Range windows = split(rows.out, static_cast<int>(band), static_cast<int>(plan.bands));
    const Range maps = map_rows(rows, windows);
    // Where windows overlap, the first rows are the last ones of the band before.
    const int64_t seen = band == 0 ? 0 : larger(0, computed.end - maps.begin);
    if (seen > 0) memmove(own, own + (maps.begin - computed.begin) * row, seen * row * sizeof(float));
    computed = maps;
    DirectConv d = plan.conv.direct;
    d.x += n * d.h * d.w * d.x_pixel;
    d.pad_top -= (maps.begin + seen) * d.stride_h;
    d.oh = maps.end - maps.begin - seen;
    d.y = own + seen * row;
    if (d.oh > 0) direct_run(alone, d, plan.conv.filter, plan.conv.rows + team.id * plan.conv.row_floats);
    const int64_t at = n * rows.out * columns.out * g.k;
    max_pool_rows(image, windows, own - maps.begin * row, y + at, index ? index + at : nullptr);
  }
}

void run(const Call& call, Team& team) {
  if (geometry_of(call).conv.n == 0) return;
  ScratchCursor scratch(call.scratch);
  Plan plan = make_plan(call, team.count, scratch, call.kept);
  pack_forward(team, plan.conv, call.is_kept);
  float* y = call.out[0].as<float>();
  uint8_t* index = call.n_out == 2 ? call.out[1].as<uint8_t>() : nullptr;
  if (!plan.by_columns) return run_bands(plan, team, y, index);
  DirectConv d = plan.conv.direct;
  d.n = plan.g.conv.n;
  columns_pool_run(team, d, plan.g.rows, plan.g.columns, plan.conv.filter,
                   plan.conv.rows + team.id * plan.conv.row_floats, plan.own + team.id * plan.own_floats, y, index);
}

size_t scratch_bytes(const Call& call, int threads) {
  if (geometry_of(call).conv.n == 0) return 0;
  ScratchCursor scratch(nullptr);
  make_plan(call, threads, scratch, nullptr);
  return scratch.used();
}

size_t kept_bytes(const Call& call) {
  const PooledConvGeometry g = geometry_of(call);
  return g.conv.n == 0 ? 0 : forward_kept(image_geometry(g));
}

}  // namespace

void register_conv_max_pool(KernelTable& table) {
  table.add({FJ_OP_CONV2D_MAX_POOL, 0, "conv2dMaxPool", run, scratch_bytes, nullptr, nullptr, nullptr, kept_bytes});
}

}  // namespace forja::FJ_ISA
