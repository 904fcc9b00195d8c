// Parts of tensors: slice, place, concat.
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

struct Places {
  int rank;
  bool empty;  // x has no elements
  int64_t y_dims[FJ_MAX_RANK], x_dims[FJ_MAX_RANK], starts[FJ_MAX_RANK], steps[FJ_MAX_RANK];
};

// y is `value` everywhere but at starts + i * steps, where it is x[i..]; every element is written once.
template <class T>
__global__ void place_kernel(T* y, const T* x, const __grid_constant__ Places p, int64_t count, T value) {
  const int64_t at = thread_index();
  if (at >= count) return;
  int64_t rest = at, from = 0, stride = 1;
  bool inside = !p.empty;
  for (int axis = p.rank - 1; axis >= 0 && inside; axis--) {
    const int64_t distance = rest % p.y_dims[axis] - p.starts[axis], index = distance / p.steps[axis];
    rest /= p.y_dims[axis];
    inside = distance % p.steps[axis] == 0 && index >= 0 && index < p.x_dims[axis];
    from += index * stride;
    stride *= p.x_dims[axis];
  }
  y[at] = inside ? x[from] : value;
}

template <class T>
void place(const Call& call, Launcher& to, T value) {
  const auto& attrs = call.attrs<fj_place_attrs>();
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  Places p{};
  p.rank = y.rank;
  p.empty = x.bytes == 0;
  for (int axis = 0; axis < y.rank; axis++) {
    p.y_dims[axis] = y.dims[axis], p.x_dims[axis] = x.dims[axis];
    p.starts[axis] = attrs.starts[axis], p.steps[axis] = attrs.steps[axis];
  }
  const int64_t count = element_count(y);
  launch(to, place_kernel<T>, blocks_for(count), kThreads, call.out[0].as<T>(), call.in[0].as<const T>(), p, count,
         value);
}

void run_place(const Call& call, Launcher& to) {
  const float value = call.attrs<fj_place_attrs>().value;
  if (call.out[0].value->bytes == 0) return;
  switch (call.out[0].value->dtype) {
    case FJ_FLOAT32:
      return place<float>(call, to, value);
    case FJ_INT32:
      return place<int32_t>(call, to, static_cast<int32_t>(value));
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
