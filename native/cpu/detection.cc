// Detection: non-maximum suppression; averages (roiAlign, forward and backward) and maxima (roiPool) over the bins of
// regions. Images are (N, H, W, C), a region is [image, x1, y1, x2, y2].
//
// A region is data: one of an image that is not there, or absurdly far out, raises a fault. Coordinates are computed in
// float64, so that the edges of bins do not depend on the instruction set.
#include <cmath>
#include <cstring>

#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr double kFarthest = 65536;  // pixels; bounds the samples of a bin
constexpr int64_t kChannels = 16;    // channels that a thread takes at a time: a cache line

// --- nms: boxes (4, N) by rank. Whoever overlaps a kept one is struck out, one row of comparisons a kept box ---------

void run_nms(const Call& call, Team& team) {
  if (team.id != 0) return;
  const float threshold = call.attrs<fj_nms_attrs>().iou_threshold;
  const int64_t n = call.in[1].value->dims[0];
  const float* x1 = call.in[0].as<const float>();
  const float *y1 = x1 + n, *x2 = x1 + 2 * n, *y2 = x1 + 3 * n;
  const int32_t* order = call.in[1].as<const int32_t>();
  int32_t* indices = call.out[0].as<int32_t>();
  uint8_t* struck = call.scratch;
  memset(struck, 0, static_cast<size_t>(n));
  int32_t kept = 0;
  for (int64_t i = 0; i < n; i++) {
    if (struck[i]) continue;
    indices[kept++] = order[i];
    const float left = x1[i], top = y1[i], right = x2[i], bottom = y2[i];
    const float area = (right - left) * (bottom - top);
    for (int64_t j = i + 1; j < n; j++) {
      const float l = x1[j] > left ? x1[j] : left, r = x2[j] < right ? x2[j] : right;
      const float t = y1[j] > top ? y1[j] : top, b = y2[j] < bottom ? y2[j] : bottom;
      const float width = r > l ? r - l : 0, height = b > t ? b - t : 0;
      const float both = width * height;
      const float either = area + (x2[j] - x1[j]) * (y2[j] - y1[j]) - both;
      struck[j] |= both / either > threshold;
    }
  }
  *call.out[1].as<int32_t>() = kept;
  for (int64_t i = kept; i < n; i++) indices[i] = -1;
}

size_t nms_scratch(const Call& call, int) { return static_cast<size_t>(call.in[1].value->dims[0]); }

// --- regions ---------------------------------------------------------------------------------------------------------

struct Region {
  int64_t image;
  double x1, y1, x2, y2;  // in pixels of the map
};

// Region k of rois (K, 5); false after raising the fault.
FJ_INLINE bool region_at(const Call& call, int64_t k, int64_t images, double scale, Region* region) {
  const float* roi = call.in[1].as<const float>() + k * 5;
  const long long at = k;
  const double image = static_cast<double>(roi[0]), last = static_cast<double>(images - 1);
  if (!(image >= 0 && image <= last && image == std::floor(image))) {
    call.fault->raise(FJ_ERR_ARGUMENT, "rois[%lld] names image %g, expected 0..%g", at, image, last);
    return false;
  }
  double v[4];
  for (int i = 0; i < 4; i++) {
    v[i] = static_cast<double>(roi[i + 1]) * scale;
    if (!(v[i] >= -kFarthest && v[i] <= kFarthest)) {
      call.fault->raise(FJ_ERR_ARGUMENT, "rois[%lld] lies more than %.0f pixels away", at, kFarthest);
      return false;
    }
  }
  *region = {static_cast<int64_t>(image), v[0], v[1], v[2], v[3]};
  return true;
}

// Where the samples of one axis lie.
struct Samples {
  double start, bin;
  int64_t count;

  FJ_INLINE_MEMBER double at(int64_t p, int64_t i) const {
    return start + bin * (static_cast<double>(p) + (static_cast<double>(i) + 0.5) / static_cast<double>(count));
  }
};

template <class Attrs>
FJ_INLINE Samples samples_of(double start, double end, int64_t bins, const Attrs& attrs) {
  const double extent = attrs.aligned || end - start > 1 ? end - start : 1;
  const double bin = extent / static_cast<double>(bins);
  const int64_t whole = bin > 0 ? static_cast<int64_t>(std::ceil(bin)) : 0;
  return {start, bin, attrs.sampling_ratio > 0 ? attrs.sampling_ratio : whole};
}

// The two pixels around coordinate v and the weight of the second; false where v lies outside.
struct Between {
  int64_t low, high;
  double part;
};

FJ_INLINE bool between(double v, int64_t size, Between* result) {
  if (!(v >= -1 && v <= static_cast<double>(size))) return false;
  const double last = static_cast<double>(size - 1);
  const double inside = v < 0 ? 0 : v > last ? last : v;
  const int64_t low = static_cast<int64_t>(inside);
  *result = {low, smaller(low + 1, size - 1), inside - static_cast<double>(low)};
  return true;
}

// body(pixel, weight) for the four pixels around every sample of bin (p, q) of a region.
template <class Attrs, class Body>
FJ_INLINE void over_samples(const Region& region, const fj_value& image, int64_t p, int64_t q, const Attrs& attrs,
                            const Body& body) {
  const int64_t h = image.dims[1], w = image.dims[2];
  const double offset = attrs.aligned ? 0.5 : 0;
  const Samples rows = samples_of(region.y1 - offset, region.y2 - offset, attrs.output[0], attrs);
  const Samples columns = samples_of(region.x1 - offset, region.x2 - offset, attrs.output[1], attrs);
  const double share = 1.0 / static_cast<double>(larger(1, rows.count * columns.count));
  for (int64_t i = 0; i < rows.count; i++) {
    Between y;
    if (!between(rows.at(p, i), h, &y)) continue;
    for (int64_t j = 0; j < columns.count; j++) {
      Between x;
      if (!between(columns.at(q, j), w, &x)) continue;
      const int64_t low = (region.image * h + y.low) * w, high = (region.image * h + y.high) * w;
      body(low + x.low, static_cast<float>((1 - y.part) * (1 - x.part) * share));
      body(low + x.high, static_cast<float>((1 - y.part) * x.part * share));
      body(high + x.low, static_cast<float>(y.part * (1 - x.part) * share));
      body(high + x.high, static_cast<float>(y.part * x.part * share));
    }
  }
}

// to[c] += weight * from[c].
FJ_INLINE void accumulate(float* __restrict to, const float* __restrict from, float weight, int64_t channels) {
  for (int64_t c = 0; c < channels; c++) to[c] += weight * from[c];
}

// A thread owns whole rows of bins.
void run_roi_align(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_roi_align_attrs>();
  const fj_value &image = *call.in[0].value, &maps = *call.out[0].value;
  if (maps.bytes == 0) return;
  const int64_t oh = maps.dims[1], ow = maps.dims[2], c = maps.dims[3];
  const float* x = call.in[0].as<const float>();
  const Range range = split(maps.dims[0] * oh, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    Region region;
    if (!region_at(call, row / oh, image.dims[0], static_cast<double>(attrs.spatial_scale), &region)) return;
    for (int64_t q = 0; q < ow; q++) {
      float* y = call.out[0].as<float>() + (row * ow + q) * c;
      memset(y, 0, static_cast<size_t>(c) * sizeof(float));
      over_samples(region, image, row % oh, q, attrs,
                   [&](int64_t pixel, float weight) FJ_LAMBDA { accumulate(y, x + pixel * c, weight, c); });
    }
  }
}

// Regions overlap, so a thread owns channels, not pixels: it adds in one order whatever the number of threads.
void run_roi_align_grad(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_roi_align_grad_attrs>();
  const fj_value &maps = *call.in[0].value, &image = *call.out[0].value;
  if (image.bytes == 0) return;
  const int64_t oh = maps.dims[1], ow = maps.dims[2], c = maps.dims[3];
  const int64_t pixels = int64_t{image.dims[0]} * image.dims[1] * image.dims[2];
  const Range own = split(c, team, kChannels);
  const int64_t channels = own.end - own.begin;
  if (channels == 0) return;
  const float* dy = call.in[0].as<const float>() + own.begin;
  float* dx = call.out[0].as<float>() + own.begin;
  for (int64_t i = 0; i < pixels; i++) memset(dx + i * c, 0, static_cast<size_t>(channels) * sizeof(float));
  for (int64_t row = 0; row < maps.dims[0] * oh; row++) {
    Region region;
    if (!region_at(call, row / oh, image.dims[0], static_cast<double>(attrs.spatial_scale), &region)) return;
    for (int64_t q = 0; q < ow; q++) {
      const float* from = dy + (row * ow + q) * c;
      over_samples(region, image, row % oh, q, attrs,
                   [&](int64_t pixel, float weight) FJ_LAMBDA { accumulate(dx + pixel * c, from, weight, channels); });
    }
  }
}

// Pixels [begin, end) of bin p, cut to the image.
FJ_INLINE Range bin_of(double start, double end, int64_t bins, int64_t p, int64_t size) {
  const double first = std::round(start), extent = std::round(end) - first + 1;
  const double length = (extent > 1 ? extent : 1) / static_cast<double>(bins);
  const int64_t origin = static_cast<int64_t>(first);
  const int64_t begin = static_cast<int64_t>(std::floor(static_cast<double>(p) * length)) + origin;
  const int64_t stop = static_cast<int64_t>(std::ceil(static_cast<double>(p + 1) * length)) + origin;
  return {smaller(larger(begin, 0), size), smaller(larger(stop, 0), size)};
}

// y = largest pixel of the bin, index = its position in (N, H, W); the first wins, a NaN wins over everything.
void run_roi_pool(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_roi_pool_attrs>();
  const fj_value &image = *call.in[0].value, &maps = *call.out[0].value;
  if (maps.bytes == 0) return;
  const int64_t h = image.dims[1], w = image.dims[2], oh = maps.dims[1], ow = maps.dims[2], c = maps.dims[3];
  const float* x = call.in[0].as<const float>();
  const Range range = split(maps.dims[0] * oh, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    Region region;
    if (!region_at(call, row / oh, image.dims[0], static_cast<double>(attrs.spatial_scale), &region)) return;
    const Range rows = bin_of(region.y1, region.y2, oh, row % oh, h);
    for (int64_t q = 0; q < ow; q++) {
      const Range columns = bin_of(region.x1, region.x2, ow, q, w);
      float* y = call.out[0].as<float>() + (row * ow + q) * c;
      int32_t* index = call.out[1].as<int32_t>() + (row * ow + q) * c;
      for (int64_t k = 0; k < c; k++) y[k] = 0, index[k] = -1;
      for (int64_t i = rows.begin; i < rows.end; i++) {
        for (int64_t j = columns.begin; j < columns.end; j++) {
          const int64_t pixel = (region.image * h + i) * w + j;
          const float* from = x + pixel * c;
          for (int64_t k = 0; k < c; k++) {
            const bool wins = (index[k] < 0) | (from[k] > y[k]) | (from[k] != from[k]);
            y[k] = wins ? from[k] : y[k];
            index[k] = wins ? static_cast<int32_t>(pixel) : index[k];
          }
        }
      }
    }
  }
}

}  // namespace

void register_detection(KernelTable& table) {
  table.add({FJ_OP_NMS, 0, "nms", run_nms, nms_scratch, nullptr});
  table.add({FJ_OP_ROI_ALIGN, 0, "roiAlign", run_roi_align, nullptr, nullptr});
  table.add({FJ_OP_ROI_ALIGN_GRAD, 0, "roiAlignGrad", run_roi_align_grad, nullptr, nullptr});
  table.add({FJ_OP_ROI_POOL, 0, "roiPool", run_roi_pool, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
