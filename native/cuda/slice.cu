// Parts of tensors: slice, place, concat.
#include <cstring>

#include "strided.cuh"

namespace forja::cuda {
namespace {

// y[i..] = x[starts + i * steps]: strided loops over x.
void run_slice(const Call& call, Launcher& to) {
  const auto& attrs = call.attrs<fj_slice_attrs>();
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  const int64_t size = element_size(x);
  Loops loops;
  int64_t first = 0, from[FJ_MAX_RANK], step[FJ_MAX_RANK], from_stride = 1, to_stride = 1;
  for (int axis = x.rank - 1; axis >= 0; axis--) {
    first += attrs.starts[axis] * from_stride;
    from[axis] = attrs.steps[axis] * from_stride, step[axis] = to_stride;
    from_stride *= x.dims[axis], to_stride *= y.dims[axis];
  }
  for (int axis = 0; axis < y.rank; axis++) loops.add(y.dims[axis], from[axis], step[axis]);
  move_all(to, loops, call.out[0].data, call.in[0].as<const uint8_t>() + first * size, size);
}

// I: int where y has less than 2^31 elements.
template <class I>
struct Places {
  int rank;
  bool empty;  // x has no elements
  I y_dims[FJ_MAX_RANK], x_dims[FJ_MAX_RANK], starts[FJ_MAX_RANK];
  I steps[FJ_MAX_RANK];    // their size
  bool back[FJ_MAX_RANK];  // towards lower places
  Divide<I> by_dim[FJ_MAX_RANK], by_step[FJ_MAX_RANK];
};

// y is `value` everywhere but at starts + i * steps, where it is x[i..]; every element is written once. A thread's
// loads are under way together.
template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    place_kernel(T* y, const T* x, const __grid_constant__ Places<I> p, int64_t count, T value) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads * kMoves + threadIdx.x;
  T v[kMoves];
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    if (first + k * kThreads >= count) break;
    I rest = static_cast<I>(first + k * kThreads), from = 0, stride = 1;
    bool inside = !p.empty;
    for (int axis = p.rank - 1; axis >= 0 && inside; axis--) {
      const I quotient = p.by_dim[axis](rest), place = rest - quotient * p.y_dims[axis];
      const I distance = p.back[axis] ? p.starts[axis] - place : place - p.starts[axis];
      const I index = distance < 0 ? -1 : p.by_step[axis](distance);
      rest = quotient;
      inside = index >= 0 && index * p.steps[axis] == distance && index < p.x_dims[axis];
      from += index * stride;
      stride *= p.x_dims[axis];
    }
    v[k] = value;
    if (inside) v[k] = x[from];
  }
#pragma unroll
  for (int k = 0; k < kMoves; k++) {
    if (first + k * kThreads < count) y[first + k * kThreads] = v[k];
  }
}

// With units of `width` elements along the last axis.
template <class T, class I>
void place(const Call& call, Launcher& to, int width, T value) {
  const auto& attrs = call.attrs<fj_place_attrs>();
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  Places<I> p{};
  p.rank = y.rank;
  p.empty = x.bytes == 0;
  for (int axis = 0; axis < y.rank; axis++) {
    const int unit = axis == y.rank - 1 ? width : 1;
    p.y_dims[axis] = static_cast<I>(y.dims[axis] / unit), p.x_dims[axis] = static_cast<I>(x.dims[axis] / unit);
    // Of a single place the step says nothing, and may be any number.
    const int64_t step = p.empty || x.dims[axis] == 1 ? 1 : attrs.steps[axis];
    p.starts[axis] = static_cast<I>(attrs.starts[axis] / unit), p.steps[axis] = static_cast<I>(step < 0 ? -step : step);
    p.back[axis] = step < 0;
    p.by_dim[axis] = Divide<I>(p.y_dims[axis]), p.by_step[axis] = Divide<I>(p.steps[axis]);
  }
  const int64_t count = element_count(y) / width;
  launch(to, place_kernel<T, I>, ceil_div(count, kThreads * kMoves), kThreads, call.out[0].as<T>(),
         call.in[0].as<const T>(), p, count, value);
}

// Elements of type T with the bits of `value`, or 16 bytes of them where the last axis keeps to such.
template <class T>
void place(const Call& call, Launcher& to, T value) {
  const auto& attrs = call.attrs<fj_place_attrs>();
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  const int last = y.rank - 1;
  constexpr int kWidth = 16 / sizeof(T);
  const bool wide = last >= 0 && attrs.steps[last] == 1 && attrs.starts[last] % kWidth == 0 &&
                    x.dims[last] % kWidth == 0 && y.dims[last] % kWidth == 0;
  if (element_count(y) >= INT32_MAX) return place<T, int64_t>(call, to, 1, value);
  if (!wide) return place<T, int>(call, to, 1, value);
  const uint32_t word = sizeof(T) == 4 ? value : value * 0x01010101u;
  place<uint4, int>(call, to, kWidth, make_uint4(word, word, word, word));
}

void run_place(const Call& call, Launcher& to) {
  const float value = call.attrs<fj_place_attrs>().value;
  if (call.out[0].value->bytes == 0) return;
  uint32_t bits;
  switch (call.out[0].value->dtype) {
    case FJ_FLOAT32:
      memcpy(&bits, &value, sizeof(bits));
      return place<uint32_t>(call, to, bits);
    case FJ_INT32:
      return place<uint32_t>(call, to, static_cast<uint32_t>(static_cast<int32_t>(value)));
    default:
      return place<uint8_t>(call, to, static_cast<uint8_t>(value));
  }
}

// Around the axis, y is (outer, elements of all inputs) and each input (outer, its elements).
void run_concat(const Call& call, Launcher& to) {
  const int axis = call.attrs<fj_concat_attrs>().axis;
  const fj_value& y = *call.out[0].value;
  if (y.bytes == 0) return;
  const int64_t outer = element_count(y, 0, axis), row = element_count(y, axis, y.rank), size = element_size(y);
  int64_t column = 0;
  for (int i = 0; i < call.n_in; i++) {
    const fj_value& x = *call.in[i].value;
    const int64_t width = element_count(x, axis, x.rank);
    if (width == 0) continue;
    Loops loops;
    loops.add(outer, width, row);
    loops.add(width, 1, 1);
    move_all(to, loops, call.out[0].as<uint8_t>() + column * size, call.in[i].data, size);
    column += width;
  }
}

}  // namespace

void register_slice(KernelTable& table) {
  table.add({FJ_OP_SLICE, 0, "slice", run_slice, nullptr, nullptr, false});
  table.add({FJ_OP_PLACE, 0, "place", run_place, nullptr, nullptr, false});
  table.add({FJ_OP_CONCAT, 0, "concat", run_concat, nullptr, nullptr, false});
}

}  // namespace forja::cuda
