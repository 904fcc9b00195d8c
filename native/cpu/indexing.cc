// Indexing by tensors: gather, takeAlongAxis, their adjoints gatherGrad, putAlongAxis, and oneHot.
//
// Around the axis x is (outer, length, inner). An index out of range raises a fault that names it and leaves its
// elements unset. Adjoints start from zeros; a thread owns the elements it adds to, in the order of the indices, so
// results do not depend on the number of threads.
#include "simd/vec.h"
#include "strided.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kPart = 4096;  // bytes of a slice that one thread copies at a time

FJ_INLINE int64_t count_of(const fj_value& value, int first, int last) {
  int64_t n = 1;
  for (int axis = first; axis < last; axis++) n *= value.dims[axis];
  return n;
}

// The index at `at` (int32 or uint8), or -1 after raising the fault.
FJ_INLINE int64_t index_at(const Call& call, const Operand& index, int64_t at, int64_t limit) {
  const int32_t i = index.value->dtype == FJ_UINT8 ? index.as<const uint8_t>()[at] : index.as<const int32_t>()[at];
  if (i >= 0 && i < limit) return i;
  call.fault->raise(FJ_ERR_ARGUMENT, "index[%lld] is %d, expected 0..%lld", static_cast<long long>(at), i,
                    static_cast<long long>(limit - 1));
  return -1;
}

// y (outer, indices, inner): whole slices, one memcpy each, long ones in parts.
void run_gather(const Call& call, Team& team) {
  const int axis = call.attrs<fj_gather_attrs>().axis;
  const fj_value &x = *call.in[0].value, &index = *call.in[1].value;
  if (call.out[0].value->bytes == 0) return;
  const int64_t indices = count_of(index, 0, index.rank);
  const int64_t outer = count_of(x, 0, axis), length = x.dims[axis];
  const int64_t bytes = count_of(x, axis + 1, x.rank) * element_size(x);
  const int64_t parts = ceil_div(bytes, kPart);
  const uint8_t* from = call.in[0].as<const uint8_t>();
  uint8_t* to = call.out[0].as<uint8_t>();
  const Range range = split(outer * indices * parts, team);
  for (int64_t item = range.begin; item < range.end; item++) {
    const int64_t slice = parts == 1 ? item : item / parts, begin = (item - slice * parts) * kPart;
    const int64_t o = outer == 1 ? 0 : slice / indices;
    const int64_t i = index_at(call, call.in[1], slice - o * indices, length);
    if (i < 0) continue;
    memcpy(to + slice * bytes + begin, from + (o * length + i) * bytes + begin,
           static_cast<size_t>(smaller(kPart, bytes - begin)));
  }
}

// The same rows of y are added to by one thread: pieces of the axis where there are few outer ones.
template <class T>
void run_gather_grad(const Call& call, Team& team) {
  const int axis = call.attrs<fj_gather_grad_attrs>().axis;
  const fj_value &index = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  const int64_t indices = count_of(index, 0, index.rank);
  const int64_t outer = count_of(y, 0, axis), length = y.dims[axis], inner = count_of(y, axis + 1, y.rank);
  const T* dy = call.in[1].as<const T>();
  T* dx = call.out[0].as<T>();
  const Range range = split(outer * length, team);
  for (int64_t begin = range.begin; begin < range.end;) {
    const int64_t o = begin / length, first = begin % length, end = smaller((o + 1) * length, range.end);
    const int64_t limit = end - o * length;
    memset(dx + begin * inner, 0, static_cast<size_t>((end - begin) * inner) * sizeof(T));
    for (int64_t at = 0; at < indices; at++) {
      const int64_t i = index_at(call, call.in[0], at, length);
      if (i < first || i >= limit) continue;
      T* to = dx + (o * length + i) * inner;
      const T* from = dy + (o * indices + at) * inner;
      for (int64_t k = 0; k < inner; k++) to[k] += from[k];
    }
    begin = end;
  }
}

// y[o, i, k] = x[o, index[o, i, k], k].
template <class T>
void run_take_along_axis(const Call& call, Team& team) {
  const int axis = call.attrs<fj_take_along_axis_attrs>().axis;
  const fj_value &x = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  const int64_t count = y.dims[axis], length = x.dims[axis], inner = count_of(y, axis + 1, y.rank);
  const Range range = split(count_of(y, 0, y.rank), team, 16);
  for (int64_t at = range.begin; at < range.end; at++) {
    const int64_t i = index_at(call, call.in[1], at, length);
    if (i >= 0)
      call.out[0].as<T>()[at] = call.in[0].as<const T>()[(at / (count * inner) * length + i) * inner + at % inner];
  }
}

// y (outer, length, inner) = 0, then y[o, index[o, i, k], k] += updates[o, i, k]; a thread owns whole (o, k) lines.
template <class T>
void run_put_along_axis(const Call& call, Team& team) {
  const int axis = call.attrs<fj_put_along_axis_attrs>().axis;
  const fj_value &index = *call.in[0].value, &y = *call.out[0].value;
  if (y.bytes == 0) return;
  const int64_t count = index.dims[axis], length = y.dims[axis], inner = count_of(y, axis + 1, y.rank);
  const Range range = split(count_of(y, 0, axis) * inner, team, inner > 1 ? 16 : 1);
  T* to = call.out[0].as<T>();
  for (int64_t line = range.begin; line < range.end; line++) {
    const int64_t o = line / inner, k = line % inner;
    for (int64_t i = 0; i < length; i++) to[(o * length + i) * inner + k] = 0;
    for (int64_t n = 0; n < count; n++) {
      const int64_t at = (o * count + n) * inner + k, i = index_at(call, call.in[0], at, length);
      if (i >= 0) to[(o * length + i) * inner + k] += call.in[1].as<const T>()[at];
    }
  }
}

template <class T>
void run_one_hot(const Call& call, Team& team) {
  const fj_value &index = *call.in[0].value, &y = *call.out[0].value;
  const int64_t depth = y.dims[y.rank - 1];
  const Range range = split(count_of(index, 0, index.rank), team, 16);
  for (int64_t at = range.begin; at < range.end; at++) {
    T* row = call.out[0].as<T>() + at * depth;
    for (int64_t c = 0; c < depth; c++) row[c] = 0;
    const int64_t i = index_at(call, call.in[0], at, depth);
    if (i >= 0) row[i] = 1;
  }
}

template <int kSize>
bool result_has_size(const Call& call) {
  return element_size(*call.out[0].value) == kSize;
}

template <int kDType>
bool result_has_dtype(const Call& call) {
  return call.out[0].value->dtype == kDType;
}

bool result_is_bytes(const Call& call) {
  return call.out[0].value->dtype == FJ_UINT8 || call.out[0].value->dtype == FJ_BOOL;
}

}  // namespace

void register_indexing(KernelTable& table) {
  table.add({FJ_OP_GATHER, 0, "gather", run_gather, nullptr, nullptr});
  table.add({FJ_OP_GATHER_GRAD, 0, "gatherGrad", run_gather_grad<float>, nullptr, result_has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_GATHER_GRAD, 0, "gatherGrad int32", run_gather_grad<uint32_t>, nullptr, result_has_dtype<FJ_INT32>});
  table.add({FJ_OP_TAKE_ALONG_AXIS, 0, "takeAlongAxis", run_take_along_axis<uint32_t>, nullptr, result_has_size<4>});
  table.add({FJ_OP_TAKE_ALONG_AXIS, 0, "takeAlongAxis", run_take_along_axis<uint8_t>, nullptr, result_has_size<1>});
  table.add({FJ_OP_TAKE_ALONG_AXIS, 0, "takeAlongAxis", run_take_along_axis<uint16_t>, nullptr, result_has_size<2>});
  table.add({FJ_OP_TAKE_ALONG_AXIS, 0, "takeAlongAxis", run_take_along_axis<uint64_t>, nullptr, result_has_size<8>});
  table.add(
      {FJ_OP_PUT_ALONG_AXIS, 0, "putAlongAxis", run_put_along_axis<float>, nullptr, result_has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_PUT_ALONG_AXIS, 0, "putAlongAxis int32", run_put_along_axis<uint32_t>, nullptr,
             result_has_dtype<FJ_INT32>});
  table.add({FJ_OP_ONE_HOT, 0, "oneHot", run_one_hot<float>, nullptr, result_has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_ONE_HOT, 0, "oneHot int32", run_one_hot<int32_t>, nullptr, result_has_dtype<FJ_INT32>});
  table.add({FJ_OP_ONE_HOT, 0, "oneHot uint8", run_one_hot<uint8_t>, nullptr, result_is_bytes});
}

}  // namespace forja::FJ_ISA
