// Convolution over columns that are written out: each output pixel's row of what the filter sees, (R, S, C), then plain
// products of matrices. The columns of a group are every C-th run of C/groups of a row.
#include "conv.cuh"

namespace forja::cuda {
namespace {

__global__ void im2col_kernel(const __grid_constant__ ConvGeometry g, const float* x, float* columns, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t c = at % g.c, tap = at / g.c, s = tap % g.s, r = tap / g.s % g.r, pixel = tap / (g.s * g.r);
  const int64_t q = pixel % g.ow, p = pixel / g.ow % g.oh, n = pixel / (g.ow * g.oh);
  const int64_t i = p * g.stride_h - g.pad_top + r * g.dilation_h, j = q * g.stride_w - g.pad_left + s * g.dilation_w;
  const bool inside = i >= 0 && i < g.h && j >= 0 && j < g.w;
  columns[at] = inside ? x[((n * g.h + i) * g.w + j) * g.c + c] : 0.0f;
}

// Each pixel gathers from the columns that hold it, in the order of taps.
__global__ void col2im_kernel(const __grid_constant__ ConvGeometry g, const float* columns, float* x, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t c = at % g.c, pixel = at / g.c, j = pixel % g.w, i = pixel / g.w % g.h, n = pixel / (g.w * g.h);
  float sum = 0;
  for (int64_t r = 0; r < g.r; r++) {
    const int64_t pi = i + g.pad_top - r * g.dilation_h;
    if (pi < 0 || pi % g.stride_h != 0 || pi / g.stride_h >= g.oh) continue;
    for (int64_t s = 0; s < g.s; s++) {
      const int64_t qj = j + g.pad_left - s * g.dilation_w;
      if (qj < 0 || qj % g.stride_w != 0 || qj / g.stride_w >= g.ow) continue;
      sum += columns[((((n * g.oh + pi / g.stride_h) * g.ow + qj / g.stride_w) * g.r + r) * g.s + s) * g.c + c];
    }
  }
  x[at] = sum;
}

// Lines of the columns' matrix (pixels, R*S*C), of one group: along taps and channels, or (kPixels) along pixels.
template <bool kPixels>
struct ColumnLines {
  using Element = float;
  static constexpr bool kAlongK = !kPixels;
  const float* columns;  // at the group's first channel
  Divisor channels;      // of the group
  int64_t c, row;        // all channels, floats of a row
  int count, end;

  struct Line {
    const float* data;
    bool inside;
  };
  __device__ __forceinline__ int64_t place(int k) const {
    int tap = k;
    const int channel = channels.split(tap);
    return tap * c + channel;
  }
  __device__ __forceinline__ Line line(int index) const {
    return {columns + (kPixels ? place(index) : index * row), index < count};
  }
  __device__ __forceinline__ Place<float> find(const Line& line, int k) const {
    return {line.data + (kPixels ? k * row : place(k)), line.inside && k < end};
  }
};

// Where the gradient of the columns goes.
struct ColumnStore {
  float* columns;
  Divisor channels;
  int64_t c, row;
  __device__ __forceinline__ void put(int64_t pixel, int column, float sum) const {
    int tap = column;
    const int channel = channels.split(tap);
    columns[pixel * row + tap * c + channel] = sum;
  }
};

struct Columns {
  ConvGeometry g;
  Divisor channels;
  float* data;

  Columns(const ConvGeometry& geometry, float* scratch) : g(geometry), channels(geometry.cg()), data(scratch) {}
  __host__ __device__ int64_t row() const { return g.r * g.s * g.c; }
  __host__ __device__ int64_t pixels() const { return g.n * g.oh * g.ow; }
  __host__ __device__ int64_t taps() const { return g.r * g.s * g.cg(); }
};

struct ForwardProblem {
  Columns columns;
  ConvForward of;
  __device__ __forceinline__ ColumnLines<false> a(int group, int end) const {
    const ConvGeometry& g = columns.g;
    return {
        columns.data + group * g.cg(), columns.channels, g.c, columns.row(), static_cast<int>(columns.pixels()), end};
  }
  __device__ __forceinline__ Lines<false> b(int group, int end) const {
    const ConvGeometry& g = columns.g;
    return {of.w + group * g.kg(), g.k, static_cast<int>(g.kg()), end};
  }
  __device__ __forceinline__ Epilogue epilogue(int group) const {
    const ConvGeometry& g = columns.g;
    return {of.y + group * g.kg(), g.k, of.bias != nullptr ? of.bias + group * g.kg() : nullptr, of.relu};
  }
};

struct GradInputProblem {
  Columns columns;
  ConvGradInput of;
  __device__ __forceinline__ Lines<true> a(int group, int end) const {
    const ConvGeometry& g = columns.g;
    return {of.dy + group * g.kg(), g.k, static_cast<int>(columns.pixels()), end};
  }
  __device__ __forceinline__ Lines<true> b(int group, int end) const {
    const ConvGeometry& g = columns.g;
    return {of.w + group * g.kg(), g.k, static_cast<int>(columns.taps()), end};
  }
  __device__ __forceinline__ ColumnStore epilogue(int group) const {
    const ConvGeometry& g = columns.g;
    return {columns.data + group * g.cg(), columns.channels, g.c, columns.row()};
  }
};

struct GradWeightProblem {
  Columns columns;
  ConvGradWeight of;
  __device__ __forceinline__ ColumnLines<true> a(int group, int end) const {
    const ConvGeometry& g = columns.g;
    return {columns.data + group * g.cg(), columns.channels, g.c, columns.row(), static_cast<int>(columns.taps()), end};
  }
  __device__ __forceinline__ Lines<false> b(int group, int end) const {
    const ConvGeometry& g = columns.g;
    return {of.dy + group * g.kg(), g.k, static_cast<int>(g.kg()), end};
  }
  __device__ __forceinline__ Epilogue epilogue(int group) const {
    const ConvGeometry& g = columns.g;
    return {of.dw + group * g.kg(), g.k, nullptr, false};
  }
};

// Behind the columns.
float* after_columns(const ConvGeometry& g, float* scratch) { return scratch + ceil_div(column_floats(g), 64) * 64; }

}  // namespace

void im2col(Launcher& to, const ConvGeometry& g, const float* x, float* columns) {
  const int64_t count = column_floats(g);
  launch(to, im2col_kernel, blocks_for(count), kThreads, g, x, columns, count);
}

void col2im(Launcher& to, const ConvGeometry& g, const float* columns, float* x) {
  const int64_t count = g.n * g.h * g.w * g.c;
  launch(to, col2im_kernel, blocks_for(count), kThreads, g, columns, x, count);
}

void conv_im2col(Launcher& to, const ConvGeometry& g, const ConvForward& a, float* scratch) {
  const ForwardProblem problem{Columns(g, scratch), a};
  im2col(to, g, a.x, scratch);
  run_gemm<1, 1>(to, problem, problem.columns.pixels(), g.kg(), problem.columns.taps(), g.groups,
                 after_columns(g, scratch));
}

void conv_im2col(Launcher& to, const ConvGeometry& g, const ConvGradInput& a, float* scratch) {
  const GradInputProblem problem{Columns(g, scratch), a};
  run_gemm<1, 1>(to, problem, problem.columns.pixels(), problem.columns.taps(), g.kg(), g.groups,
                 after_columns(g, scratch));
  col2im(to, g, scratch, a.dx);
}

void conv_im2col(Launcher& to, const ConvGeometry& g, const ConvGradWeight& a, float* scratch) {
  const GradWeightProblem problem{Columns(g, scratch), a};
  im2col(to, g, a.x, scratch);
  run_gemm<1, 1>(to, problem, problem.columns.taps(), g.kg(), problem.columns.pixels(), g.groups,
                 after_columns(g, scratch));
}

}  // namespace forja::cuda
