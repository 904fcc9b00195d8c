// Parts of tensors: slice, place, concat.
#include "simd/vec.h"
#include "strided.h"

namespace forja::FJ_ISA {
namespace {

// y[i..] = x[starts + i * steps]: strided loops over x.
void run_slice(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_slice_attrs>();
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  const int64_t size = element_size(x);
  Loops loops;
  int64_t first = 0, from[FJ_MAX_RANK], to[FJ_MAX_RANK], from_stride = 1, to_stride = 1;
  for (int axis = x.rank - 1; axis >= 0; axis--) {
    first += attrs.starts[axis] * from_stride;
    from[axis] = attrs.steps[axis] * from_stride, to[axis] = to_stride;
    from_stride *= x.dims[axis], to_stride *= y.dims[axis];
  }
  for (int axis = 0; axis < y.rank; axis++) loops.add(y.dims[axis], from[axis], to[axis]);
  move_all(loops, call.out[0].as<uint8_t>(), call.in[0].as<const uint8_t>() + first * size, size, team);
}

template <class T>
FJ_INLINE void fill(T* y, int64_t n, T value) {
  for (int64_t i = 0; i < n; i++) y[i] = value;
}

// One row of y: `value` everywhere, but x's row (null for none) at start, start + step, ..
template <class T>
FJ_INLINE void place_row(T* y, int64_t columns, const T* x, int64_t n, int64_t start, int64_t step, T value) {
  if (x == nullptr || n == 0) return fill(y, columns, value);
  if (step == 1) {
    fill(y, start, value);
    move_line(y + start, 1, x, 1, n);
    return fill(y + start + n, columns - start - n, value);
  }
  fill(y, columns, value);
  move_line(y + start, step, x, 1, n);
}

// y is `value` everywhere but at starts + i * steps, where it is x[i..]; every row is written once.
template <class T>
FJ_INLINE void place(const Call& call, Team& team, T value) {
  const auto& attrs = call.attrs<fj_place_attrs>();
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  const int outer = y.rank > 0 ? y.rank - 1 : 0;
  const int64_t columns = y.rank > 0 ? y.dims[outer] : 1, n = y.rank > 0 ? x.dims[outer] : 1;
  int64_t rows = 1;
  for (int axis = 0; axis < outer; axis++) rows *= y.dims[axis];
  const int64_t start = y.rank > 0 ? attrs.starts[outer] : 0, step = y.rank > 0 ? attrs.steps[outer] : 1;
  const Range range = split(rows, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    int64_t rest = row, x_row = 0, stride = 1;
    bool inside = x.bytes > 0;
    for (int axis = outer - 1; axis >= 0 && inside; axis--) {
      const int64_t distance = rest % y.dims[axis] - attrs.starts[axis], index = distance / attrs.steps[axis];
      rest /= y.dims[axis];
      inside = distance % attrs.steps[axis] == 0 && index >= 0 && index < x.dims[axis];
      x_row += index * stride;
      stride *= x.dims[axis];
    }
    const T* from = inside ? call.in[0].as<const T>() + x_row * n : nullptr;
    place_row(call.out[0].as<T>() + row * columns, columns, from, n, start, step, value);
  }
}

void run_place(const Call& call, Team& team) {
  const float value = call.attrs<fj_place_attrs>().value;
  if (call.out[0].value->bytes == 0) return;
  switch (call.out[0].value->dtype) {
    case FJ_FLOAT32:
      return place<float>(call, team, value);
    case FJ_INT32:
      return place<int32_t>(call, team, static_cast<int32_t>(value));
    default:
      return place<uint8_t>(call, team, static_cast<uint8_t>(value));
  }
}

// Around the axis, y is (outer, bytes of all inputs) and each input (outer, its bytes).
void run_concat(const Call& call, Team& team) {
  const int axis = call.attrs<fj_concat_attrs>().axis;
  const fj_value& y = *call.out[0].value;
  if (y.bytes == 0) return;
  int64_t outer = 1;
  for (int i = 0; i < axis; i++) outer *= y.dims[i];
  const int64_t row = static_cast<int64_t>(y.bytes) / outer;
  int64_t column = 0;
  for (int i = 0; i < call.n_in; i++) {
    const int64_t width = static_cast<int64_t>(call.in[i].value->bytes) / outer;
    if (width == 0) continue;
    const Range range = split(outer * width, team, 64);
    const uint8_t* x = call.in[i].as<const uint8_t>();
    for (int64_t at = range.begin; at < range.end;) {
      const int64_t within = at % width, n = smaller(width - within, range.end - at);
      memcpy(call.out[0].as<uint8_t>() + at / width * row + column + within, x + at, static_cast<size_t>(n));
      at += n;
    }
    column += width;
  }
}

}  // namespace

void register_slice(KernelTable& table) {
  table.add({FJ_OP_SLICE, 0, "slice", run_slice, nullptr, nullptr});
  table.add({FJ_OP_PLACE, 0, "place", run_place, nullptr, nullptr});
  table.add({FJ_OP_CONCAT, 0, "concat", run_concat, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
