// Convolution as products of matrices that are never written down: the tiles of gemm.cuh gather them from the images.
// One product a group; with pixels in the order of memory and taps r, s outside of channels:
//
//   forward      A rows = output pixels, along taps and input channels    B = filters               C = y
//   grad input   A rows = input pixels, along taps and output channels    B = filters, transposed   C = dx
//   grad weight  A rows = taps and input channels, along output pixels    B = dy                    C = dw
//
// Taps outside the image give zeros.
#pragma once

#include "conv.cuh"
#include "gemm_tensorcore.cuh"

namespace forja::cuda {

// The numbers that pixels and taps are taken apart with.
struct Steps {
  Divisor channels, taps, out_w, out_h, in_w, in_h, stride_h, stride_w;

  Steps(const ConvGeometry& g, int64_t channels_of_a_tap)
      : channels(channels_of_a_tap),
        taps(g.s),
        out_w(g.ow),
        out_h(g.oh),
        in_w(g.w),
        in_h(g.h),
        stride_h(g.stride_h),
        stride_w(g.stride_w) {}
};

// A row before all images, however far a tap reaches.
constexpr int kNowhere = INT32_MIN;

// Whether 0 <= i < size.
__device__ __forceinline__ bool is_below(int i, int64_t size) {
  return static_cast<unsigned>(i) < static_cast<unsigned>(size);
}

// Pixel (i, j) behind `rows` rows of w pixels of so many channels; it means nothing where that is outside.
template <class E>
__device__ __forceinline__ const E* pixel_at(const E* maps, int rows, int i, int64_t w, int j, int64_t channels) {
  const unsigned row = static_cast<unsigned>(rows) + static_cast<unsigned>(i);
  const auto pixel = static_cast<int>(row * static_cast<unsigned>(w) + static_cast<unsigned>(j));
  return ptx::at_step(maps, pixel, static_cast<int>(channels) * static_cast<int>(sizeof(E)));
}

// Forward, A: what the filter sees at an output pixel.
template <class E>
struct SeenPixels {
  using Element = E;
  static constexpr bool kAlongK = true;
  ConvGeometry g;
  Steps steps;
  const E* x;  // at the first channel of the group
  int count, end;

  struct Line {
    int rows;  // of pixels before the image
    int i, j;  // pixel of tap 0
  };
  __device__ __forceinline__ Line line(int index) const {
    int n = index;
    const int q = steps.out_w.split(n), p = steps.out_h.split(n);
    const int i = p * static_cast<int>(g.stride_h) - static_cast<int>(g.pad_top);
    return {n * static_cast<int>(g.h), index < count ? i : kNowhere,
            q * static_cast<int>(g.stride_w) - static_cast<int>(g.pad_left)};
  }
  __device__ __forceinline__ Place<E> find(const Line& line, int k) const {
    int r = k;
    const int c = steps.channels.split(r), s = steps.taps.split(r);
    const int i = line.i + r * static_cast<int>(g.dilation_h), j = line.j + s * static_cast<int>(g.dilation_w);
    return {pixel_at(x + c, line.rows, i, g.w, j, g.c), k < end && is_below(i, g.h) && is_below(j, g.w)};
  }
};

// Grad input, A: the output pixels that saw an input pixel; kEach, with stride 1, where every one that a tap reaches
// did.
template <class E, bool kEach>
struct SeeingPixels {
  using Element = E;
  static constexpr bool kAlongK = true;
  ConvGeometry g;
  Steps steps;
  const E* dy;  // at the first output channel of the group
  int count, end;

  struct Line {
    int rows;  // of pixels before the maps
    int i, j;  // counted from the padding's edge
  };
  __device__ __forceinline__ Line line(int index) const {
    int n = index;
    const int j = steps.in_w.split(n), i = steps.in_h.split(n);
    return {n * static_cast<int>(g.oh), index < count ? i + static_cast<int>(g.pad_top) : -1,
            j + static_cast<int>(g.pad_left)};
  }
  __device__ __forceinline__ Place<E> find(const Line& line, int k) const {
    int r = k;
    const int channel = steps.channels.split(r), s = steps.taps.split(r);
    int p = line.i - r * static_cast<int>(g.dilation_h), q = line.j - s * static_cast<int>(g.dilation_w);
    const bool ahead = k < end && p >= 0 && q >= 0;
    int between = 0;  // pixels of the maps
    if constexpr (!kEach) between = steps.stride_h.split(p) | steps.stride_w.split(q);
    return {pixel_at(dy + channel, line.rows, p, g.ow, q, g.k),
            ahead && between == 0 && is_below(p, g.oh) && is_below(q, g.ow)};
  }
};

// Grad input, B: columns are input channels; w (R, S, C/groups, K) along taps and output channels.
template <class E>
struct TurnedFilters {
  using Element = E;
  static constexpr bool kAlongK = true;
  ConvGeometry g;
  Steps steps;
  const E* w;  // at the first output channel of the group
  int64_t stride;
  int count, end;

  using Line = int;  // its number
  __device__ __forceinline__ Line line(int index) const { return index; }
  __device__ __forceinline__ Place<E> find(Line line, int k) const {
    int tap = k;
    const int channel = steps.channels.split(tap);
    const int bytes = static_cast<int>(stride) * static_cast<int>(sizeof(E));
    return {ptx::at_step(w + channel, tap * count + line, bytes), line < count && k < end};
  }
};

// Grad weight, A: rows are taps and input channels, along output pixels.
template <class E>
struct SeenTaps {
  using Element = E;
  static constexpr bool kAlongK = false;
  ConvGeometry g;
  Steps steps;
  const E* x;  // at the first channel of the group
  int count, end;

  struct Line {
    const E* data;
    int i, j;  // pixel that the tap sees from output pixel (0, 0)
  };
  __device__ __forceinline__ Line line(int index) const {
    int r = index;
    const int c = steps.channels.split(r), s = steps.taps.split(r);
    const int i = r * static_cast<int>(g.dilation_h) - static_cast<int>(g.pad_top);
    return {x + c, index < count ? i : kNowhere, s * static_cast<int>(g.dilation_w) - static_cast<int>(g.pad_left)};
  }
  __device__ __forceinline__ Place<E> find(const Line& line, int k) const {
    int n = k;
    const int q = steps.out_w.split(n), p = steps.out_h.split(n);
    const int i = line.i + p * static_cast<int>(g.stride_h), j = line.j + q * static_cast<int>(g.stride_w);
    return {pixel_at(line.data, n * static_cast<int>(g.h), i, g.w, j, g.c),
            k < end && is_below(i, g.h) && is_below(j, g.w)};
  }
};

template <class E>
struct ForwardProblem {
  static constexpr bool kSameChannels = false;  // that A and B lie along
  ConvGeometry g;
  Steps steps;
  ConvForwardOf<E> of;
  __device__ __forceinline__ SeenPixels<E> a(int group, int end) const {
    return {g, steps, of.x + group * g.cg(), static_cast<int>(g.n * g.oh * g.ow), end};
  }
  __device__ __forceinline__ Lines<false, E> b(int group, int end) const {
    return {of.w + group * g.kg(), g.k, static_cast<int>(g.kg()), end};
  }
  __device__ __forceinline__ EpilogueOf<E> epilogue(int group) const {
    return {of.y + group * g.kg(), g.k, of.bias != nullptr ? of.bias + group * g.kg() : nullptr, of.relu};
  }
};

template <class E, bool kEach>
struct GradInputProblem {
  static constexpr bool kSameChannels = true;  // the output channels of a group
  ConvGeometry g;
  Steps steps;
  ConvGradInputOf<E> of;
  __device__ __forceinline__ SeeingPixels<E, kEach> a(int group, int end) const {
    return {g, steps, of.dy + group * g.kg(), static_cast<int>(g.n * g.h * g.w), end};
  }
  __device__ __forceinline__ TurnedFilters<E> b(int group, int end) const {
    return {g, steps, of.w + group * g.kg(), g.k, static_cast<int>(g.cg()), end};
  }
  __device__ __forceinline__ EpilogueOf<E> epilogue(int group) const {
    return {of.dx + group * g.cg(), g.c, nullptr, false};
  }
};

template <class E>
struct GradWeightProblem {
  static constexpr bool kSameChannels = false;
  ConvGeometry g;
  Steps steps;
  ConvGradWeightOf<E> of;
  __device__ __forceinline__ SeenTaps<E> a(int group, int end) const {
    return {g, steps, of.x + group * g.cg(), static_cast<int>(g.r * g.s * g.cg()), end};
  }
  __device__ __forceinline__ Lines<false, E> b(int group, int end) const {
    return {of.dy + group * g.kg(), g.k, static_cast<int>(g.kg()), end};
  }
  __device__ __forceinline__ EpilogueOf<E> epilogue(int group) const {
    return {of.dw + group * g.kg(), g.k, nullptr, false};
  }
};

// Channels of a group along A and B: 16 bytes of neighbouring ones are one load where every group begins at a multiple
// of that many; so does every pixel then.
template <class E, bool kCores, class Problem>
void run_problem(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t a_channels,
                 int64_t b_channels, float* scratch) {
  const int64_t groups = problem.g.groups;
  const auto run = [&](auto va, auto vb) {
    if constexpr (kCores) {
      run_core_gemm<E, va(), vb()>(to, problem, m, n, k, groups, scratch);
    } else {
      run_gemm<va(), vb()>(to, problem, m, n, k, groups, scratch);
    }
  };
  const std::integral_constant<int, 1> one;
  const std::integral_constant<int, kPack<E>> pack;
  if (a_channels % pack == 0 && b_channels % pack == 0) return run(pack, pack);
  if constexpr (!Problem::kSameChannels) {
    if (b_channels % pack == 0) return run(one, pack);
  }
  run(one, one);
}

template <bool kCores, class E>
void run_direction(Launcher& to, const ConvGeometry& g, const ConvForwardOf<E>& a, float* scratch) {
  const ForwardProblem<E> problem{g, Steps(g, g.cg()), a};
  run_problem<E, kCores>(to, problem, g.n * g.oh * g.ow, g.kg(), g.r * g.s * g.cg(), g.cg(), g.kg(), scratch);
}

template <bool kCores, class E>
void run_direction(Launcher& to, const ConvGeometry& g, const ConvGradInputOf<E>& a, float* scratch) {
  const Steps steps(g, g.kg());
  const auto run = [&](const auto& problem) {
    run_problem<E, kCores>(to, problem, g.n * g.h * g.w, g.cg(), g.r * g.s * g.kg(), g.kg(), g.kg(), scratch);
  };
  if (g.stride_h == 1 && g.stride_w == 1) return run(GradInputProblem<E, true>{g, steps, a});
  run(GradInputProblem<E, false>{g, steps, a});
}

template <bool kCores, class E>
void run_direction(Launcher& to, const ConvGeometry& g, const ConvGradWeightOf<E>& a, float* scratch) {
  const GradWeightProblem<E> problem{g, Steps(g, g.cg()), a};
  run_problem<E, kCores>(to, problem, g.r * g.s * g.cg(), g.kg(), g.n * g.oh * g.ow, g.cg(), g.kg(), scratch);
}

}  // namespace forja::cuda
