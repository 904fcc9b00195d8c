// Indexing by tensors: gather, takeAlongAxis, their adjoints gatherGrad, putAlongAxis, and oneHot.
//
// Around the axis x is (outer, length, inner). An index out of range raises a fault that names it and gives zeros.
// Adjoints add in the order of the indices, each element in one thread, so results are the same every time.
#include "device/block.cuh"
#include "strided.cuh"

namespace forja::cuda {
namespace {

struct Index {
  const void* data;
  bool bytes;  // uint8, else int32
  int64_t limit;
  FaultSink sink;

  __device__ __forceinline__ int32_t read(int64_t at) const {
    return bytes ? static_cast<const uint8_t*>(data)[at] : static_cast<const int32_t*>(data)[at];
  }
  // The index i that was read at `at`, or -1 after raising the fault.
  __device__ __forceinline__ int64_t check(int64_t at, int32_t i) const {
    if (i >= 0 && i < limit) return i;
    sink.raise(Fault::kIndex, at, i, limit);
    return -1;
  }
  __device__ __forceinline__ int64_t get(int64_t at) const { return check(at, read(at)); }
};

Index index_of(const Call& call, const Operand& operand, int64_t limit) {
  return {operand.data, operand.value->dtype == FJ_UINT8, limit, call.sink};
}

// Elements around an axis.
struct Around {
  int64_t outer, length, inner;
};

// y (outer, indices, inner); T may hold several elements of the inner axes. A thread's indices are under way together,
// then its elements. I: int where y has less than 2^31 of them.
template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(T* y, const T* x, const __grid_constant__ Index index, Divide<I> by_inner, I inner,
                  Divide<I> by_indices, I indices, int64_t length, int64_t count) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads * kMoves + threadIdx.x;
  int64_t from[kMoves], place[kMoves];
  int32_t i[kMoves];
  T v[kMoves];
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    if (first + k * kThreads >= count) break;
    const I at = static_cast<I>(first + k * kThreads), slice = by_inner(at), outer = by_indices(slice);
    place[k] = slice - outer * indices;
    i[k] = index.read(place[k]);
    from[k] = outer * length * inner + (at - slice * inner);
  }
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    v[k] = T{};
    if (first + k * kThreads >= count) break;
    const int64_t row = index.check(place[k], i[k]);
    if (row >= 0) v[k] = x[from[k] + row * inner];
  }
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    if (first + k * kThreads < count) y[first + k * kThreads] = v[k];
  }
}

void run_gather(const Call& call, Launcher& to) {
  const int axis = call.attrs<fj_gather_attrs>().axis;
  const fj_value &x = *call.in[0].value, &index = *call.in[1].value;
  if (call.out[0].value->bytes == 0) return;
  const int64_t indices = element_count(index), bytes = element_count(x, axis + 1, x.rank) * element_size(x);
  const auto gather = [&](auto unit) {
    using T = decltype(unit);
    const int64_t inner = bytes / static_cast<int64_t>(sizeof(T)), length = x.dims[axis];
    const int64_t count = element_count(x, 0, axis) * indices * inner;
    const auto with = [&](auto number) {
      using I = decltype(number);
      launch(to, gather_kernel<T, I>, ceil_div(count, kThreads * kMoves), kThreads, call.out[0].as<T>(),
             call.in[0].as<const T>(), index_of(call, call.in[1], length), Divide<I>(inner), static_cast<I>(inner),
             Divide<I>(indices), static_cast<I>(indices), length, count);
    };
    if (count < INT32_MAX) return with(int{});
    with(int64_t{});
  };
  if (bytes % 16 == 0) return gather(uint4{});
  if (bytes % 4 == 0) return gather(uint32_t{});
  gather(uint8_t{});
}

// dx (outer, length, inner): a warp to kWarp * kMoves neighbours of a row, its lanes to the indices, kWarp at a time;
// of those that name the row all lanes add up what they stand for, in their order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_grad_kernel(T* dx, const T* dy, const __grid_constant__ Index index, int64_t indices,
                       const __grid_constant__ Around a, int64_t pieces) {
  const int64_t piece = thread_index() / kWarp, per_row = ceil_div(a.inner, kWarp * kMoves);
  if (piece >= pieces) return;  // a whole warp leaves together
  const int64_t row = piece / per_row, lane = threadIdx.x % kWarp;
  const int64_t k = (piece - row * per_row) * kWarp * kMoves + lane, o = row / a.length, own = row - o * a.length;
  T sums[kMoves] = {};
  for (int64_t first = 0; first < indices; first += kWarp) {
    const bool names = first + lane < indices && index.get(first + lane) == own;
    for (unsigned found = __ballot_sync(kAllLanes, names); found != 0; found &= found - 1) {
      const int64_t n = first + __ffs(static_cast<int>(found)) - 1;
#pragma unroll
      for (int move = 0; move < kMoves; move++) {
        if (k + move * kWarp < a.inner) sums[move] += dy[(o * indices + n) * a.inner + k + move * kWarp];
      }
    }
  }
#pragma unroll
  for (int move = 0; move < kMoves; move++) {
    if (k + move * kWarp < a.inner) dx[row * a.inner + k + move * kWarp] = sums[move];
  }
}

template <class T>
void run_gather_grad(const Call& call, Launcher& to) {
  const int axis = call.attrs<fj_gather_grad_attrs>().axis;
  const fj_value &index = *call.in[0].value, &y = *call.out[0].value;
  const Around a{element_count(y, 0, axis), y.dims[axis], element_count(y, axis + 1, y.rank)};
  const int64_t pieces = a.outer * a.length * ceil_div(a.inner, kWarp * kMoves);
  launch(to, gather_grad_kernel<T>, blocks_for(pieces * kWarp), kThreads, call.out[0].as<T>(), call.in[1].as<const T>(),
         index_of(call, call.in[0], a.length), element_count(index), a, pieces);
}

// y[o, i, k] = x[o, index[o, i, k], k], i < picks.
template <class T>
__global__ void take_along_axis_kernel(T* y, const T* x, Index index, int64_t picks, Around a, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t i = index.get(at);
  y[at] = i >= 0 ? x[(at / (picks * a.inner) * a.length + i) * a.inner + at % a.inner] : T{};
}

void run_take_along_axis(const Call& call, Launcher& to) {
  const int axis = call.attrs<fj_take_along_axis_attrs>().axis;
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  const Around a{element_count(x, 0, axis), x.dims[axis], element_count(x, axis + 1, x.rank)};
  const int64_t count = element_count(y);
  with_size(element_size(y), [&](auto element) {
    using T = decltype(element);
    launch(to, take_along_axis_kernel<T>, blocks_for(count), kThreads, call.out[0].as<T>(), call.in[0].as<const T>(),
           index_of(call, call.in[1], a.length), int64_t{y.dims[axis]}, a, count);
  });
}

// y[o, index[o, i, k], k] += updates[o, i, k], where y (outer, length, inner) is zero; a thread owns a line (o, k).
template <class T>
__global__ void put_along_axis_kernel(T* y, const T* updates, Index index, int64_t picks, Around a) {
  const int64_t line = thread_index();
  if (line >= a.outer * a.inner) return;
  const int64_t o = line / a.inner, k = line - o * a.inner;
  for (int64_t n = 0; n < picks; n++) {
    const int64_t at = (o * picks + n) * a.inner + k, i = index.get(at);
    if (i >= 0) y[(o * a.length + i) * a.inner + k] += updates[at];
  }
}

template <class T>
void run_put_along_axis(const Call& call, Launcher& to) {
  const int axis = call.attrs<fj_put_along_axis_attrs>().axis;
  const fj_value &index = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0 || to.error != cudaSuccess) return;
  to.error = cudaMemsetAsync(call.out[0].data, 0, y.bytes, to.stream);
  const Around a{element_count(y, 0, axis), y.dims[axis], element_count(y, axis + 1, y.rank)};
  launch(to, put_along_axis_kernel<T>, blocks_for(a.outer * a.inner), kThreads, call.out[0].as<T>(),
         call.in[1].as<const T>(), index_of(call, call.in[0], a.length), int64_t{index.dims[axis]}, a);
}

template <class T>
__global__ void one_hot_kernel(T* y, Index index, int64_t count) {
  const int64_t at = thread_index();
  if (at >= count) return;
  const int64_t row = at / index.limit;
  y[at] = index.get(row) == at - row * index.limit ? T{1} : T{0};
}

template <class T>
void run_one_hot(const Call& call, Launcher& to) {
  const fj_value& y = *call.out[0].value;
  const int64_t count = element_count(y);
  launch(to, one_hot_kernel<T>, blocks_for(count), kThreads, call.out[0].as<T>(),
         index_of(call, call.in[0], y.dims[y.rank - 1]), count);
}

bool result_is_bytes(const Call& call) {
  return call.out[0].value->dtype == FJ_UINT8 || call.out[0].value->dtype == FJ_BOOL;
}

}  // namespace

void register_indexing(KernelTable& table) {
  table.add({FJ_OP_GATHER, 0, "gather", run_gather, nullptr, nullptr, true});
  table.add({FJ_OP_GATHER_GRAD, 0, "gatherGrad", run_gather_grad<float>, nullptr, result_has_dtype<FJ_FLOAT32>, true});
  table.add(
      {FJ_OP_GATHER_GRAD, 0, "gatherGrad int32", run_gather_grad<uint32_t>, nullptr, result_has_dtype<FJ_INT32>, true});
  table.add({FJ_OP_TAKE_ALONG_AXIS, 0, "takeAlongAxis", run_take_along_axis, nullptr, nullptr, true});
  table.add({FJ_OP_PUT_ALONG_AXIS, 0, "putAlongAxis", run_put_along_axis<float>, nullptr, result_has_dtype<FJ_FLOAT32>,
             true});
  table.add({FJ_OP_PUT_ALONG_AXIS, 0, "putAlongAxis int32", run_put_along_axis<uint32_t>, nullptr,
             result_has_dtype<FJ_INT32>, true});
  table.add({FJ_OP_ONE_HOT, 0, "oneHot", run_one_hot<float>, nullptr, result_has_dtype<FJ_FLOAT32>, true});
  table.add({FJ_OP_ONE_HOT, 0, "oneHot int32", run_one_hot<int32_t>, nullptr, result_has_dtype<FJ_INT32>, true});
  table.add({FJ_OP_ONE_HOT, 0, "oneHot uint8", run_one_hot<uint8_t>, nullptr, result_is_bytes, true});
}

}  // namespace forja::cuda
