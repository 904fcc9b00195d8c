// A libcudnn that convolves on the emulator's memory: maps (N,H,W,C), filters (K,R,S,C/groups), all three directions.
#include "fake.h"

namespace {

// Those of cuDNN 9.
enum { kOk = 0, kNotInitialised = 1001, kBadParam = 2000, kNotSupported = 3000, kExecutionFailed = 5000 };

struct Tensor {
  int type, n, c, h, w;
};
struct Filter {
  int type, k, c, r, s;
};
struct Convolution {
  int pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, groups = 1, math = 0;
};
struct Found {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math;
  int reserved[3];
};
static_assert(sizeof(Found) == 48);

constexpr int kAlgorithm = 6;
constexpr int kRefusing = 5;  // recommended, and takes its work space, but not the call
constexpr size_t kWorkspace = 500;

enum class Direction { kForward, kData, kFilter };

struct Work {
  Direction direction;
  Tensor image, maps;
  Filter filter;
  Convolution convolution;
  const void *first, *second;
  void *result, *workspace;
};

size_t size_of(const Tensor& t) { return static_cast<size_t>(t.n) * t.c * t.h * t.w; }
size_t size_of(const Filter& f) { return static_cast<size_t>(f.k) * f.c * f.r * f.s; }

bool fits(const Tensor& image, const Filter& filter, const Convolution& v, const Tensor& maps) {
  const auto size = [](int in, int pad, int taps, int dilation, int stride) {
    return (in + 2 * pad - (taps - 1) * dilation - 1) / stride + 1;
  };
  return maps.n == image.n && maps.c == filter.k && filter.c * v.groups == image.c && filter.k % v.groups == 0 &&
         maps.h == size(image.h, v.pad_h, filter.r, v.dilation_h, v.stride_h) &&
         maps.w == size(image.w, v.pad_w, filter.s, v.dilation_w, v.stride_w) && image.type == maps.type &&
         image.type == filter.type;
}

// Sums into a float64 of each element of the result.
void convolve(const void* argument) {
  Work t;
  fake::be_slow();
  memcpy(&t, argument, sizeof(t));
  const Tensor &x = t.image, &y = t.maps;
  const Filter& w = t.filter;
  const Convolution& v = t.convolution;
  const bool narrow = x.type == 9, rounds = !narrow && v.math != 3;
  const size_t bytes = narrow ? 2 : 4;
  const size_t sizes[] = {size_of(x), size_of(w), size_of(y)};
  const int of_direction[3][3] = {{0, 1, 2}, {1, 2, 0}, {0, 2, 1}};  // first, second, result
  const int* roles = of_direction[static_cast<int>(t.direction)];
  fake::read(t.first, sizes[roles[0]] * bytes, "cudnn first operand");
  fake::read(t.second, sizes[roles[1]] * bytes, "cudnn second operand");
  memset(t.workspace, 0xdd, kWorkspace);
  fake::wrote(t.workspace, kWorkspace, "cudnn work space");
  auto* sums = static_cast<double*>(calloc(sizes[roles[2]], sizeof(double)));
  const auto operand = [&](const void* data, int64_t at) {
    const float value = fake::load(data, at, narrow);
    return static_cast<double>(rounds ? fake::to_tf32(value) : value);
  };
  const int kg = w.k / v.groups;
  for (int n = 0; n < y.n; n++) {
    for (int p = 0; p < y.h; p++) {
      for (int q = 0; q < y.w; q++) {
        for (int k = 0; k < w.k; k++) {
          for (int r = 0; r < w.r; r++) {
            for (int s = 0; s < w.s; s++) {
              const int i = p * v.stride_h - v.pad_h + r * v.dilation_h;
              const int j = q * v.stride_w - v.pad_w + s * v.dilation_w;
              if (i < 0 || j < 0 || i >= x.h || j >= x.w) continue;
              for (int c = 0; c < w.c; c++) {
                const int64_t at[] = {
                    ((static_cast<int64_t>(n) * x.h + i) * x.w + j) * x.c + k / kg * w.c + c,
                    ((static_cast<int64_t>(k) * w.r + r) * w.s + s) * w.c + c,
                    ((static_cast<int64_t>(n) * y.h + p) * y.w + q) * y.c + k,
                };
                sums[at[roles[2]]] += operand(t.first, at[roles[0]]) * operand(t.second, at[roles[1]]);
              }
            }
          }
        }
      }
    }
  }
  for (size_t i = 0; i < sizes[roles[2]]; i++) {
    fake::store(t.result, static_cast<int64_t>(i), narrow, static_cast<float>(sums[i]));
  }
  free(sums);
  fake::wrote(t.result, sizes[roles[2]] * bytes, "cudnn result");
}

// The first cannot do it, the second adds in another order at every run, the third wants too much memory, the fourth is
// for other shapes: all but the first two say so only when they are asked for their work space.
int find(const char* name, bool valid, const Convolution& v, int wanted, int* count, Found* found) {
  *count = 0;
  if (fake::fails(name)) return kNotSupported;
  if (!valid) return kBadParam;
  const Found all[] = {{1, kNotSupported, -1, 0, 1, v.math, {}},
                       {2, kOk, 1, 0, 0, v.math, {}},
                       {3, kOk, 2, 0, 1, v.math, {}},
                       {4, kOk, 3, 0, 1, v.math, {}},
                       {kRefusing, kOk, 4, 0, 1, v.math, {}},
                       {kAlgorithm, kOk, 5, 0, 1, v.math, {}}};
  for (int i = 0; i < 6 && i < wanted; i++) found[(*count)++] = all[i];
  return kOk;
}

int workspace_of(bool valid, int algorithm, size_t* bytes) {
  if (!valid) return kBadParam;
  if (algorithm == 4) return kNotSupported;
  *bytes = algorithm == 3 ? size_t{1} << 40 : kWorkspace;
  return kOk;
}

void* g_stream = nullptr;

int run(const char* name, const float* alpha, const float* beta, int algorithm, size_t workspace_bytes,
        const Work& work) {
  if (fake::fails(name)) return kExecutionFailed;
  if (algorithm == kRefusing) {
    fake::log("refused %s", name);
    return kNotSupported;
  }
  if (algorithm != kAlgorithm) fake::log("%s algorithm %d", name, algorithm);
  if (*alpha != 1 || *beta != 0 || algorithm != kAlgorithm || workspace_bytes < kWorkspace || g_stream == nullptr ||
      !fits(work.image, work.filter, work.convolution, work.maps)) {
    return kBadParam;
  }
  fake::log("%s type %d math %d groups %d", name, work.image.type, work.convolution.math, work.convolution.groups);
  fake::submit(g_stream, convolve, &work, sizeof(work));
  return kOk;
}

template <class T>
const T& of(const void* description) {
  return *static_cast<const T*>(description);
}

}  // namespace

FAKE size_t cudnnGetVersion() { return fake::version(91002); }
FAKE const char* cudnnGetErrorString(int status) {
  return status == kNotInitialised    ? "CUDNN_STATUS_NOT_INITIALIZED"
         : status == kNotSupported    ? "CUDNN_STATUS_NOT_SUPPORTED"
         : status == kExecutionFailed ? "CUDNN_STATUS_EXECUTION_FAILED"
                                      : "CUDNN_STATUS_BAD_PARAM";
}
FAKE int cudnnCreate(void** handle) {
  if (fake::fails("cudnnCreate")) return kNotInitialised;
  *handle = new int(1);
  fake::log("cudnnCreate");
  return kOk;
}
FAKE int cudnnDestroy(void* handle) {
  delete static_cast<int*>(handle);
  fake::log("cudnnDestroy");
  return kOk;
}
FAKE int cudnnSetStream(void*, void* stream) {
  g_stream = stream;
  return fake::fails("cudnnSetStream") ? kBadParam : kOk;
}
FAKE int cudnnCreateTensorDescriptor(void** tensor) {
  *tensor = new Tensor{};
  return kOk;
}
FAKE int cudnnDestroyTensorDescriptor(void* tensor) {
  delete static_cast<Tensor*>(tensor);
  return kOk;
}
FAKE int cudnnSetTensor4dDescriptor(void* tensor, int format, int type, int n, int c, int h, int w) {
  if (format != 1 || (type != 0 && type != 9)) return kNotSupported;
  *static_cast<Tensor*>(tensor) = {type, n, c, h, w};
  return kOk;
}
FAKE int cudnnCreateFilterDescriptor(void** filter) {
  *filter = new Filter{};
  return kOk;
}
FAKE int cudnnDestroyFilterDescriptor(void* filter) {
  delete static_cast<Filter*>(filter);
  return kOk;
}
FAKE int cudnnSetFilter4dDescriptor(void* filter, int type, int format, int k, int c, int r, int s) {
  if (format != 1 || (type != 0 && type != 9)) return kNotSupported;
  *static_cast<Filter*>(filter) = {type, k, c, r, s};
  return kOk;
}
FAKE int cudnnCreateConvolutionDescriptor(void** convolution) {
  *convolution = new Convolution{};
  return kOk;
}
FAKE int cudnnDestroyConvolutionDescriptor(void* convolution) {
  delete static_cast<Convolution*>(convolution);
  return kOk;
}
FAKE int cudnnSetConvolution2dDescriptor(void* convolution, int pad_h, int pad_w, int stride_h, int stride_w,
                                         int dilation_h, int dilation_w, int mode, int compute) {
  if (mode != 1 || compute != 0) return kNotSupported;
  *static_cast<Convolution*>(convolution) = {pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w};
  return kOk;
}
FAKE int cudnnSetConvolutionGroupCount(void* convolution, int groups) {
  static_cast<Convolution*>(convolution)->groups = groups;
  return kOk;
}
FAKE int cudnnSetConvolutionMathType(void* convolution, int math) {
  if (math < 0 || math > 3) return kBadParam;
  static_cast<Convolution*>(convolution)->math = math;
  return kOk;
}
FAKE int cudnnGetConvolutionForwardAlgorithm_v7(void*, void* x, void* w, void* v, void* y, int wanted, int* count,
                                                Found* found) {
  const bool valid = fits(of<Tensor>(x), of<Filter>(w), of<Convolution>(v), of<Tensor>(y));
  return find("cudnnGetConvolutionForwardAlgorithm_v7", valid, of<Convolution>(v), wanted, count, found);
}
FAKE int cudnnGetConvolutionBackwardDataAlgorithm_v7(void*, void* w, void* dy, void* v, void* dx, int wanted,
                                                     int* count, Found* found) {
  const bool valid = fits(of<Tensor>(dx), of<Filter>(w), of<Convolution>(v), of<Tensor>(dy));
  return find("cudnnGetConvolutionBackwardDataAlgorithm_v7", valid, of<Convolution>(v), wanted, count, found);
}
FAKE int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void*, void* x, void* dy, void* v, void* dw, int wanted,
                                                       int* count, Found* found) {
  const bool valid = fits(of<Tensor>(x), of<Filter>(dw), of<Convolution>(v), of<Tensor>(dy));
  return find("cudnnGetConvolutionBackwardFilterAlgorithm_v7", valid, of<Convolution>(v), wanted, count, found);
}
FAKE int cudnnGetConvolutionForwardWorkspaceSize(void*, void* x, void* w, void* v, void* y, int algorithm,
                                                 size_t* bytes) {
  return workspace_of(fits(of<Tensor>(x), of<Filter>(w), of<Convolution>(v), of<Tensor>(y)), algorithm, bytes);
}
FAKE int cudnnGetConvolutionBackwardDataWorkspaceSize(void*, void* w, void* dy, void* v, void* dx, int algorithm,
                                                      size_t* bytes) {
  return workspace_of(fits(of<Tensor>(dx), of<Filter>(w), of<Convolution>(v), of<Tensor>(dy)), algorithm, bytes);
}
FAKE int cudnnGetConvolutionBackwardFilterWorkspaceSize(void*, void* x, void* dy, void* v, void* dw, int algorithm,
                                                        size_t* bytes) {
  return workspace_of(fits(of<Tensor>(x), of<Filter>(dw), of<Convolution>(v), of<Tensor>(dy)), algorithm, bytes);
}
FAKE int cudnnConvolutionForward(void*, const float* alpha, void* x_desc, const void* x, void* w_desc, const void* w,
                                 void* v, int algorithm, void* workspace, size_t workspace_bytes, const float* beta,
                                 void* y_desc, void* y) {
  return run("cudnnConvolutionForward", alpha, beta, algorithm, workspace_bytes,
             {Direction::kForward, of<Tensor>(x_desc), of<Tensor>(y_desc), of<Filter>(w_desc), of<Convolution>(v), x, w,
              y, workspace});
}
FAKE int cudnnConvolutionBackwardData(void*, const float* alpha, void* w_desc, const void* w, void* dy_desc,
                                      const void* dy, void* v, int algorithm, void* workspace, size_t workspace_bytes,
                                      const float* beta, void* dx_desc, void* dx) {
  return run("cudnnConvolutionBackwardData", alpha, beta, algorithm, workspace_bytes,
             {Direction::kData, of<Tensor>(dx_desc), of<Tensor>(dy_desc), of<Filter>(w_desc), of<Convolution>(v), w, dy,
              dx, workspace});
}
FAKE int cudnnConvolutionBackwardFilter(void*, const float* alpha, void* x_desc, const void* x, void* dy_desc,
                                        const void* dy, void* v, int algorithm, void* workspace, size_t workspace_bytes,
                                        const float* beta, void* dw_desc, void* dw) {
  return run("cudnnConvolutionBackwardFilter", alpha, beta, algorithm, workspace_bytes,
             {Direction::kFilter, of<Tensor>(x_desc), of<Tensor>(dy_desc), of<Filter>(dw_desc), of<Convolution>(v), x,
              dy, dw, workspace});
}
