// Operations along one axis: argMax, argMin, cumSum, topK, and productOfOthers over masked axes. x is seen as
// (outer, length, inner) around the axis. Ties go to the lower index; argMax and argMin put NaN before every number,
// topK counts it as the largest.
#include "device/block.cuh"
#include "kernel.cuh"

namespace forja::cuda {
namespace {

struct Around {
  int64_t outer, length, inner;

  Around(const fj_value& x, int axis)
      : outer(element_count(x, 0, axis)), length(x.dims[axis]), inner(element_count(x, axis + 1, x.rank)) {}
};

// Whether a ranks before b. kSign is -1 where small elements come first; NaN ranks before every number or behind.
template <int kSign, bool kNanFirst, class T>
__device__ __forceinline__ bool before(T a, T b) {
  return (kSign > 0 ? a > b : a < b) || (kNanFirst ? a != a && b == b : b != b && a == a);
}

template <class T>
struct Entry {
  T value;
  int32_t index;  // -1: no entry
};

// The entry that ranks first; index -1 ranks behind all others.
template <int kSign, bool kNanFirst, class T>
struct First {
  __device__ __forceinline__ static bool precedes(const Entry<T>& a, const Entry<T>& b) {
    if (a.index < 0 || b.index < 0) return b.index < 0 && a.index >= 0;
    if (before<kSign, kNanFirst>(a.value, b.value)) return true;
    return !before<kSign, kNanFirst>(b.value, a.value) && a.index < b.index;
  }
};

// All threads of a warp get the entry that ranks first among theirs.
template <int kSign, bool kNanFirst, class T>
__device__ __forceinline__ Entry<T> first_of_warp(Entry<T> mine) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const Entry<T> other = {static_cast<T>(__shfl_xor_sync(kAllLanes, mine.value, distance)),
                            __shfl_xor_sync(kAllLanes, mine.index, distance)};
    if (First<kSign, kNanFirst, T>::precedes(other, mine)) mine = other;
  }
  return mine;
}

constexpr int kRowsPerBlock = kThreads / kWarp;
constexpr int kRun = 4;             // elements of a thread whose loads are under way together
constexpr int kLongGroup = 1024;    // threads
constexpr int64_t kLongRow = 8192;  // elements

// kGroup threads to each row (inner = 1), a warp or a whole block.
template <int kSign, class T, int kGroup>
__global__ void __launch_bounds__(kGroup > kThreads ? kGroup : kThreads)
    arg_row_kernel(const T* x, int32_t* y, int64_t rows, int64_t length) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kGroup;
  if (row >= rows) return;  // a whole warp leaves together
  const T* from = x + row * length;
  Entry<T> best{T(0), -1};
  for (int64_t i = threadIdx.x % kGroup; i < length; i += kRun * kGroup) {
    Entry<T> entry[kRun];
#pragma unroll
    for (int run = 0; run < kRun; run++) {
      const int64_t at = smaller(i + run * kGroup, length - 1);  // the last one again changes nothing
      entry[run] = {from[at], static_cast<int32_t>(at)};
    }
#pragma unroll
    for (int run = 0; run < kRun; run++) {
      if (First<kSign, true, T>::precedes(entry[run], best)) best = entry[run];
    }
  }
  best = first_of_warp<kSign, true>(best);
  if constexpr (kGroup > kWarp) {
    static_assert(kGroup == kWarp * kWarp, "a warp takes the first of all warps' entries");
    __shared__ T values[kWarp];
    __shared__ int32_t indices[kWarp];
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    if (lane == 0) values[warp] = best.value, indices[warp] = best.index;
    __syncthreads();
    best = first_of_warp<kSign, true>(Entry<T>{values[lane], indices[lane]});
  }
  if (threadIdx.x % kGroup == 0) y[row] = best.index;
}

// A thread to each column of the inner axes.
template <int kSign, class T>
__global__ void arg_column_kernel(const T* x, int32_t* y, const __grid_constant__ Around a) {
  const int64_t at = thread_index();
  if (at >= a.outer * a.inner) return;
  const T* from = x + at / a.inner * a.length * a.inner + at % a.inner;
  T best = from[0];
  int32_t index = 0;
  for (int64_t i = 1; i < a.length; i++) {
    const T value = from[i * a.inner];
    if (before<kSign, true>(value, best)) best = value, index = static_cast<int32_t>(i);
  }
  y[at] = index;
}

template <int kSign, class T>
void run_arg(const Call& call, Launcher& to) {
  const Operand& x = call.in[0];
  if (x.value->bytes == 0) return;
  const Around a(*x.value, call.attrs<fj_arg_max_attrs>().axis);
  int32_t* y = call.out[0].as<int32_t>();
  if (a.inner == 1 && a.length >= kLongRow) {
    launch(to, arg_row_kernel<kSign, T, kLongGroup>, a.outer, kLongGroup, x.as<const T>(), y, a.outer, a.length);
  } else if (a.inner == 1) {
    launch(to, arg_row_kernel<kSign, T, kWarp>, ceil_div(a.outer, kRowsPerBlock), kThreads, x.as<const T>(), y, a.outer,
           a.length);
  } else {
    launch(to, arg_column_kernel<kSign, T>, blocks_for(a.outer * a.inner), kThreads, x.as<const T>(), y, a);
  }
}

// Total: float64 for floats, and unsigned for integers, which wrap. A thread to each line.
template <class T, class Total>
__global__ void cum_sum_kernel(const T* x, T* y, const __grid_constant__ Around a, bool reverse) {
  const int64_t line = thread_index();
  if (line >= a.outer * a.inner) return;
  const int64_t base = line / a.inner * a.length * a.inner + line % a.inner;
  Total total = 0;
  for (int64_t i = 0; i < a.length; i++) {
    const int64_t at = base + (reverse ? a.length - 1 - i : i) * a.inner;
    total += static_cast<Total>(x[at]);
    y[at] = static_cast<T>(total);
  }
}

// A block to each line: every thread sums a stretch, the sums of the stretches before it are added on a second look.
template <class T, class Total>
__global__ void __launch_bounds__(kThreads)
    cum_sum_block_kernel(const T* x, T* y, const __grid_constant__ Around a, bool reverse) {
  __shared__ Total sums[kThreads];
  const int64_t line = blockIdx.x;
  const int64_t base = line / a.inner * a.length * a.inner + line % a.inner;
  const int64_t per = ceil_div(a.length, kThreads), begin = threadIdx.x * per;
  const int64_t end = begin + per < a.length ? begin + per : a.length;
  Total total = 0;
  for (int64_t i = begin; i < end; i++) {
    total += static_cast<Total>(x[base + (reverse ? a.length - 1 - i : i) * a.inner]);
  }
  sums[threadIdx.x] = total;
  __syncthreads();
  total = 0;
  for (unsigned i = 0; i < threadIdx.x; i++) total += sums[i];
  for (int64_t i = begin; i < end; i++) {
    const int64_t at = base + (reverse ? a.length - 1 - i : i) * a.inner;
    total += static_cast<Total>(x[at]);
    y[at] = static_cast<T>(total);
  }
}

constexpr int64_t kShortLine = 64;  // elements

template <class T, class Total>
void run_cum_sum(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_cum_sum_attrs>();
  const Operand& x = call.in[0];
  if (x.value->bytes == 0) return;
  const Around a(*x.value, attrs.axis);
  const bool reverse = attrs.reverse != 0;
  const int64_t lines = a.outer * a.inner;
  // Threads take as long as a line is, however few there are; blocks as long as there are lines for a multiprocessor.
  if (a.length >= kShortLine && lines < to.multiprocessors * a.length) {
    launch(to, cum_sum_block_kernel<T, Total>, lines, kThreads, x.as<const T>(), call.out[0].as<T>(), a, reverse);
  } else {
    launch(to, cum_sum_kernel<T, Total>, blocks_for(lines), kThreads, x.as<const T>(), call.out[0].as<T>(), a, reverse);
  }
}

// x (rows, length) -> values, indices (rows, k), sorted. A warp to each row: in every round the entry that ranks first
// of those behind the last one chosen. No memory beside the outputs.
template <int kSign, class T>
__global__ void __launch_bounds__(kThreads)
    top_k_kernel(const T* x, T* values, int32_t* indices, int64_t rows, int64_t length, int64_t k) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kWarp;
  if (row >= rows) return;  // a whole warp leaves together
  const T* from = x + row * length;
  Entry<T> last{T(0), -1};
  for (int64_t round = 0; round < k; round++) {
    Entry<T> best{T(0), -1};
    for (int64_t i = threadIdx.x % kWarp; i < length; i += kWarp) {
      const Entry<T> entry{from[i], static_cast<int32_t>(i)};
      const bool behind = last.index < 0 || First<kSign, (kSign > 0), T>::precedes(last, entry);
      if (behind && First<kSign, (kSign > 0), T>::precedes(entry, best)) best = entry;
    }
    last = first_of_warp<kSign, (kSign > 0)>(best);
    if (threadIdx.x % kWarp == 0) values[row * k + round] = last.value, indices[row * k + round] = last.index;
  }
}

template <class T>
void run_top_k(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_top_k_attrs>();
  const Operand& x = call.in[0];
  if (call.out[0].value->bytes == 0) return;
  const Around a(*x.value, x.value->rank - 1);
  launch(to, attrs.smallest ? top_k_kernel<-1, T> : top_k_kernel<1, T>, ceil_div(a.outer, kRowsPerBlock), kThreads,
         x.as<const T>(), call.out[0].as<T>(), call.out[1].as<int32_t>(), a.outer, a.length, int64_t{attrs.k});
}

struct Masked {
  int rank;
  int64_t dims[FJ_MAX_RANK];
  int64_t strides[FJ_MAX_RANK];
  bool mask[FJ_MAX_RANK];

  __device__ __forceinline__ int64_t offset(int64_t index, bool masked) const {
    int64_t at = 0;
    for (int axis = rank - 1; axis >= 0; axis--) {
      if (mask[axis] != masked) continue;
      at += index % dims[axis] * strides[axis];
      index /= dims[axis];
    }
    return at;
  }
};

// A thread to the elements that are reduced together: what comes before each is multiplied in on the way forward, what
// comes after on the way back.
__global__ void product_of_others_kernel(const float* x, float* y, const __grid_constant__ Masked m, int64_t kept,
                                         int64_t reduced) {
  const int64_t item = thread_index();
  if (item >= kept) return;
  const int64_t base = m.offset(item, false);
  double product = 1;
  for (int64_t i = 0; i < reduced; i++) {
    const int64_t at = base + m.offset(i, true);
    y[at] = static_cast<float>(product);
    product *= static_cast<double>(x[at]);
  }
  product = 1;
  for (int64_t i = reduced - 1; i >= 0; i--) {
    const int64_t at = base + m.offset(i, true);
    y[at] = static_cast<float>(static_cast<double>(y[at]) * product);
    product *= static_cast<double>(x[at]);
  }
}

void run_product_of_others(const Call& call, Launcher& to) {
  const int32_t* mask = call.attrs<fj_product_of_others_attrs>().mask;
  const fj_value& x = *call.in[0].value;
  if (x.bytes == 0) return;
  Masked m{};
  m.rank = x.rank;
  int64_t kept = 1, reduced = 1, stride = 1;
  for (int axis = x.rank - 1; axis >= 0; axis--) {
    m.dims[axis] = x.dims[axis], m.strides[axis] = stride, m.mask[axis] = mask[axis] != 0;
    stride *= x.dims[axis];
    (mask[axis] ? reduced : kept) *= x.dims[axis];
  }
  launch(to, product_of_others_kernel, blocks_for(kept), kThreads, call.in[0].as<const float>(),
         call.out[0].as<float>(), m, kept, reduced);
}

}  // namespace

void register_axis(KernelTable& table) {
  table.add({FJ_OP_ARG_MAX, 0, "argMax", run_arg<1, float>, nullptr, input_has_dtype<FJ_FLOAT32>, false});
  table.add({FJ_OP_ARG_MAX, 0, "argMax int32", run_arg<1, int32_t>, nullptr, input_has_dtype<FJ_INT32>, false});
  table.add({FJ_OP_ARG_MAX, 0, "argMax uint8", run_arg<1, uint8_t>, nullptr, input_has_dtype<FJ_UINT8>, false});
  table.add({FJ_OP_ARG_MIN, 0, "argMin", run_arg<-1, float>, nullptr, input_has_dtype<FJ_FLOAT32>, false});
  table.add({FJ_OP_ARG_MIN, 0, "argMin int32", run_arg<-1, int32_t>, nullptr, input_has_dtype<FJ_INT32>, false});
  table.add({FJ_OP_ARG_MIN, 0, "argMin uint8", run_arg<-1, uint8_t>, nullptr, input_has_dtype<FJ_UINT8>, false});
  table.add({FJ_OP_CUM_SUM, 0, "cumSum", run_cum_sum<float, double>, nullptr, input_has_dtype<FJ_FLOAT32>, false});
  table.add(
      {FJ_OP_CUM_SUM, 0, "cumSum int32", run_cum_sum<int32_t, uint32_t>, nullptr, input_has_dtype<FJ_INT32>, false});
  table.add({FJ_OP_TOP_K, 0, "topK", run_top_k<float>, nullptr, input_has_dtype<FJ_FLOAT32>, false});
  table.add({FJ_OP_TOP_K, 0, "topK int32", run_top_k<int32_t>, nullptr, input_has_dtype<FJ_INT32>, false});
  table.add({FJ_OP_PRODUCT_OF_OTHERS, 0, "productOfOthers", run_product_of_others, nullptr, input_has_dtype<FJ_FLOAT32>,
             false});
}

}  // namespace forja::cuda
