// Detection: non-maximum suppression; averages (roiAlign, forward and backward) and maxima (roiPool) over the bins of
// regions. Images are (N, H, W, C), a region is [image, x1, y1, x2, y2]. The twin of native/cpu/detection.cc.
//
// A region is data: one of an image that is not there, or absurdly far out, raises a fault. Coordinates are computed in
// float64, as on the CPU, so that the edges of bins are the same.
#include "kernel.cuh"

namespace forja::cuda {
namespace {

constexpr double kFarthest = 65536;  // pixels; bounds the samples of a bin

// --- nms: boxes (4, N) by rank. Whoever overlaps a kept one is struck out: one block, a round for each box -----------

__global__ void __launch_bounds__(kThreads) nms_kernel(const float* boxes, const int32_t* order, int32_t* indices,
                                                       int32_t* count, uint8_t* struck, int64_t n, float threshold) {
  const float *x1 = boxes, *y1 = x1 + n, *x2 = x1 + 2 * n, *y2 = x1 + 3 * n;
  for (int64_t j = threadIdx.x; j < n; j += kThreads) struck[j] = 0;
  int32_t kept = 0;
  for (int64_t i = 0; i < n; i++) {
    __syncthreads();
    if (struck[i] != 0) continue;  // the same for the whole block
    if (threadIdx.x == 0) indices[kept] = order[i];
    kept++;
    const float left = x1[i], top = y1[i], right = x2[i], bottom = y2[i], area = (right - left) * (bottom - top);
    for (int64_t j = i + 1 + threadIdx.x; j < n; j += kThreads) {
      const float l = fmaxf(x1[j], left), r = fminf(x2[j], right), t = fmaxf(y1[j], top), b = fminf(y2[j], bottom);
      const float both = (r > l ? r - l : 0.0f) * (b > t ? b - t : 0.0f);
      const float either = area + (x2[j] - x1[j]) * (y2[j] - y1[j]) - both;
      if (both / either > threshold) struck[j] = 1;
    }
  }
  for (int64_t i = kept + threadIdx.x; i < n; i += kThreads) indices[i] = -1;
  if (threadIdx.x == 0) *count = kept;
}

void run_nms(const Call& call, Launcher& to) {
  launch(to, nms_kernel, int64_t{1}, kThreads, call.in[0].as<const float>(), call.in[1].as<const int32_t>(),
         call.out[0].as<int32_t>(), call.out[1].as<int32_t>(), call.scratch, int64_t{call.in[1].value->dims[0]},
         call.attrs<fj_nms_attrs>().iou_threshold);
}

size_t nms_scratch(const Call& call) { return call.in[1].value->dims[0]; }

// --- regions ---------------------------------------------------------------------------------------------------------

struct Regions {
  const float* rois;  // (K, 5)
  int64_t images, h, w, c;
  int64_t regions, oh, ow;
  double scale;
  FaultSink sink;
};

template <class Attrs>
Regions regions_of(const Call& call, const fj_value& image, const fj_value& maps, const Attrs& attrs) {
  return {call.in[1].as<const float>(),
          image.dims[0],
          image.dims[1],
          image.dims[2],
          image.dims[3],
          maps.dims[0],
          maps.dims[1],
          maps.dims[2],
          static_cast<double>(attrs.spatial_scale),
          call.sink};
}

struct Region {
  int64_t image;
  double x1, y1, x2, y2;  // in pixels of the map
};

// Region k; false after raising the fault.
__device__ bool region_at(const Regions& g, int64_t k, Region* region) {
  const float* roi = g.rois + k * 5;
  const double image = static_cast<double>(roi[0]), last = static_cast<double>(g.images - 1);
  if (!(image >= 0 && image <= last && image == floor(image))) {
    g.sink.raise(Fault::kRegionImage, k, __float_as_int(roi[0]), g.images);
    return false;
  }
  double v[4];
  for (int i = 0; i < 4; i++) {
    v[i] = static_cast<double>(roi[i + 1]) * g.scale;
    if (!(v[i] >= -kFarthest && v[i] <= kFarthest)) {
      g.sink.raise(Fault::kRegionPlace, k, 0, static_cast<int64_t>(kFarthest));
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

  __device__ __forceinline__ double at(int64_t p, int64_t i) const {
    return start + bin * (static_cast<double>(p) + (static_cast<double>(i) + 0.5) / static_cast<double>(count));
  }
};

template <class Attrs>
__device__ Samples samples_of(double start, double end, int64_t bins, const Attrs& attrs) {
  const double extent = attrs.aligned || end - start > 1 ? end - start : 1;
  const double bin = extent / static_cast<double>(bins);
  const int64_t whole = bin > 0 ? static_cast<int64_t>(ceil(bin)) : 0;
  return {start, bin, attrs.sampling_ratio > 0 ? attrs.sampling_ratio : whole};
}

// The two pixels around coordinate v and the weight of the second; false where v lies outside.
struct Between {
  int64_t low, high;
  double part;
};

__device__ __forceinline__ bool between(double v, int64_t size, Between* result) {
  if (!(v >= -1 && v <= static_cast<double>(size))) return false;
  const double last = static_cast<double>(size - 1);
  const double inside = v < 0 ? 0 : v > last ? last : v;
  const int64_t low = static_cast<int64_t>(inside);
  *result = {low, low + 1 < size ? low + 1 : size - 1, inside - static_cast<double>(low)};
  return true;
}

struct Grid2 {
  Samples rows, columns;
  double share;
};

template <class Attrs>
__device__ Grid2 grid_of(const Region& region, const Attrs& attrs) {
  const double offset = attrs.aligned ? 0.5 : 0;
  const Samples rows = samples_of(region.y1 - offset, region.y2 - offset, attrs.output[0], attrs);
  const Samples columns = samples_of(region.x1 - offset, region.x2 - offset, attrs.output[1], attrs);
  const int64_t count = rows.count * columns.count;
  return {rows, columns, 1.0 / static_cast<double>(count > 1 ? count : 1)};
}

// A thread to each element of y (K, OH, OW, C).
__global__ void roi_align_kernel(const float* x, float* y, const __grid_constant__ Regions g,
                                 const __grid_constant__ fj_roi_align_attrs attrs, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t c = at % g.c, bin = at / g.c, q = bin % g.ow, p = bin / g.ow % g.oh;
  Region region;
  y[at] = 0;
  if (!region_at(g, bin / (g.ow * g.oh), &region)) return;
  const Grid2 grid = grid_of(region, attrs);
  float sum = 0;
  for (int64_t i = 0; i < grid.rows.count; i++) {
    Between v;
    if (!between(grid.rows.at(p, i), g.h, &v)) continue;
    for (int64_t j = 0; j < grid.columns.count; j++) {
      Between u;
      if (!between(grid.columns.at(q, j), g.w, &u)) continue;
      const float* low = x + (region.image * g.h + v.low) * g.w * g.c + c;
      const float* high = x + (region.image * g.h + v.high) * g.w * g.c + c;
      sum += static_cast<float>((1 - v.part) * (1 - u.part) * grid.share) * low[u.low * g.c];
      sum += static_cast<float>((1 - v.part) * u.part * grid.share) * low[u.high * g.c];
      sum += static_cast<float>(v.part * (1 - u.part) * grid.share) * high[u.low * g.c];
      sum += static_cast<float>(v.part * u.part * grid.share) * high[u.high * g.c];
    }
  }
  y[at] = sum;
}

// Weight that a sample between two pixels gives to pixel i; of a pixel that is both, both.
__device__ __forceinline__ double weight_of(const Between& b, int64_t i) {
  return (b.low == i ? 1 - b.part : 0) + (b.high == i ? b.part : 0);
}

// A thread to each element of dx (N, H, W, C): it gathers from all samples that touch its pixel, in their order.
__global__ void roi_align_grad_kernel(const float* dy, float* dx, const __grid_constant__ Regions g,
                                      const __grid_constant__ fj_roi_align_grad_attrs attrs, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t c = at % g.c, pixel = at / g.c, x = pixel % g.w, y = pixel / g.w % g.h, image = pixel / (g.w * g.h);
  float sum = 0;
  for (int64_t k = 0; k < g.regions; k++) {
    Region region;
    if (!region_at(g, k, &region) || region.image != image) continue;
    const Grid2 grid = grid_of(region, attrs);
    for (int64_t p = 0; p < g.oh; p++) {
      for (int64_t i = 0; i < grid.rows.count; i++) {
        Between v;
        if (!between(grid.rows.at(p, i), g.h, &v) || (v.low != y && v.high != y)) continue;
        for (int64_t q = 0; q < g.ow; q++) {
          for (int64_t j = 0; j < grid.columns.count; j++) {
            Between u;
            if (!between(grid.columns.at(q, j), g.w, &u) || (u.low != x && u.high != x)) continue;
            const double weight = weight_of(v, y) * weight_of(u, x) * grid.share;
            sum += static_cast<float>(weight) * dy[((k * g.oh + p) * g.ow + q) * g.c + c];
          }
        }
      }
    }
  }
  dx[at] = sum;
}

struct Range {
  int64_t begin, end;
};

__device__ __forceinline__ int64_t clip(int64_t v, int64_t size) { return v < 0 ? 0 : v < size ? v : size; }

// Pixels [begin, end) of bin p, cut to the image.
__device__ Range bin_of(double start, double end, int64_t bins, int64_t p, int64_t size) {
  const double first = round(start), extent = round(end) - first + 1;
  const double length = (extent > 1 ? extent : 1) / static_cast<double>(bins);
  const int64_t origin = static_cast<int64_t>(first);
  const int64_t begin = static_cast<int64_t>(floor(static_cast<double>(p) * length)) + origin;
  const int64_t stop = static_cast<int64_t>(ceil(static_cast<double>(p + 1) * length)) + origin;
  return {clip(begin, size), clip(stop, size)};
}

// y = largest pixel of the bin, index = its position in (N, H, W); the first wins, a NaN wins over everything.
__global__ void roi_pool_kernel(const float* x, float* y, int32_t* index, const __grid_constant__ Regions g,
                                int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t c = at % g.c, bin = at / g.c, q = bin % g.ow, p = bin / g.ow % g.oh;
  float best = 0;
  int32_t chosen = -1;
  Region region;
  if (region_at(g, bin / (g.ow * g.oh), &region)) {
    const Range rows = bin_of(region.y1, region.y2, g.oh, p, g.h), columns = bin_of(region.x1, region.x2, g.ow, q, g.w);
    for (int64_t i = rows.begin; i < rows.end; i++) {
      for (int64_t j = columns.begin; j < columns.end; j++) {
        const int64_t pixel = (region.image * g.h + i) * g.w + j;
        const float v = x[pixel * g.c + c];
        if (chosen < 0 || v > best || v != v) best = v, chosen = static_cast<int32_t>(pixel);
      }
    }
  }
  y[at] = best;
  index[at] = chosen;
}

void run_roi_align(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_roi_align_attrs>();
  const Regions g = regions_of(call, *call.in[0].value, *call.out[0].value, attrs);
  const int64_t count = element_count(*call.out[0].value);
  launch(to, roi_align_kernel, blocks_for(count), kThreads, call.in[0].as<const float>(), call.out[0].as<float>(), g,
         attrs, count);
}

void run_roi_align_grad(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_roi_align_grad_attrs>();
  const Regions g = regions_of(call, *call.out[0].value, *call.in[0].value, attrs);
  const int64_t count = element_count(*call.out[0].value);
  launch(to, roi_align_grad_kernel, blocks_for(count), kThreads, call.in[0].as<const float>(), call.out[0].as<float>(),
         g, attrs, count);
}

void run_roi_pool(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_roi_pool_attrs>();
  const Regions g = regions_of(call, *call.in[0].value, *call.out[0].value, attrs);
  const int64_t count = element_count(*call.out[0].value);
  launch(to, roi_pool_kernel, blocks_for(count), kThreads, call.in[0].as<const float>(), call.out[0].as<float>(),
         call.out[1].as<int32_t>(), g, count);
}

}  // namespace

void register_detection(KernelTable& table) {
  table.add({FJ_OP_NMS, 0, "nms", run_nms, nms_scratch, nullptr, false});
  table.add({FJ_OP_ROI_ALIGN, 0, "roiAlign", run_roi_align, nullptr, nullptr, true});
  table.add({FJ_OP_ROI_ALIGN_GRAD, 0, "roiAlignGrad", run_roi_align_grad, nullptr, nullptr, true});
  table.add({FJ_OP_ROI_POOL, 0, "roiPool", run_roi_pool, nullptr, nullptr, true});
}

}  // namespace forja::cuda
