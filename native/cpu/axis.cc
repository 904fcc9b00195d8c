// Operations along one axis: argMax, argMin, cumSum, topK, and productOfOthers over masked axes. x is seen as
// (outer, length, inner) around the axis. Ties go to the lower index; argMax and argMin put NaN before every number.
#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kColumns = 256;  // columns of the inner axes that are walked together

struct Around {
  int64_t outer = 1, length = 1, inner = 1;

  Around(const fj_value& x, int axis) {
    for (int i = 0; i < x.rank; i++) {
      (i < axis ? outer : i == axis ? length : inner) *= x.dims[i];
    }
  }
};

// Whether a ranks before b; kSign is -1 where small elements come first.
template <int kSign, class T>
FJ_INLINE bool before(T a, T b) {
  return (kSign > 0 ? a > b : a < b) | ((a != a) & (b == b));
}

template <int kSign, class T>
void run_arg(const Call& call, Team& team) {
  const Operand& x = call.in[0];
  if (x.value->bytes == 0) return;
  const Around around(*x.value, call.attrs<fj_arg_max_attrs>().axis);
  const int64_t pieces = ceil_div(around.inner, kColumns);
  const Range range = split(around.outer * pieces, team);
  for (int64_t item = range.begin; item < range.end; item++) {
    const int64_t outer = item / pieces, column = item % pieces * kColumns;
    const int64_t width = smaller(kColumns, around.inner - column);
    const T* from = x.as<const T>() + outer * around.length * around.inner + column;
    int32_t* y = call.out[0].as<int32_t>() + outer * around.inner + column;
    if (around.inner == 1) {
      T best = from[0];
      int32_t at = 0;
      for (int64_t i = 1; i < around.length; i++) {
        if (before<kSign>(from[i], best)) best = from[i], at = static_cast<int32_t>(i);
      }
      *y = at;
      continue;
    }
    T best[kColumns];
    for (int64_t j = 0; j < width; j++) best[j] = from[j], y[j] = 0;
    for (int64_t i = 1; i < around.length; i++) {
      const T* row = from + i * around.inner;
      for (int64_t j = 0; j < width; j++) {
        const bool better = before<kSign>(row[j], best[j]);
        best[j] = better ? row[j] : best[j];
        y[j] = better ? static_cast<int32_t>(i) : y[j];
      }
    }
  }
}

// Total: float64 for floats, and unsigned for integers, which wrap.
template <class T, class Total>
void run_cum_sum(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_cum_sum_attrs>();
  const Operand& x = call.in[0];
  if (x.value->bytes == 0) return;
  const Around around(*x.value, attrs.axis);
  const int64_t pieces = ceil_div(around.inner, kColumns);
  const Range range = split(around.outer * pieces, team);
  for (int64_t item = range.begin; item < range.end; item++) {
    const int64_t column = item % pieces * kColumns;
    const int64_t width = smaller(kColumns, around.inner - column);
    const int64_t at = item / pieces * around.length * around.inner + column;
    const int64_t step = attrs.reverse ? -around.inner : around.inner;
    const int64_t first = attrs.reverse ? at + (around.length - 1) * around.inner : at;
    const T* from = x.as<const T>() + first;
    T* to = call.out[0].as<T>() + first;
    Total total[kColumns];
    for (int64_t j = 0; j < width; j++) total[j] = 0;
    for (int64_t i = 0; i < around.length; i++, from += step, to += step) {
      for (int64_t j = 0; j < width; j++) {
        total[j] += static_cast<Total>(from[j]);
        to[j] = static_cast<T>(total[j]);
      }
    }
  }
}

// --- topK: the k best so far form a heap in the output itself, the last of them on top ---------------------------

// The order of sorting: NaN as the largest of all, first or last.
template <int kSign, class T>
FJ_INLINE bool precedes(T a, T b) {
  return kSign > 0 ? before<1>(a, b) : ((a < b) | ((b != b) & (a == a)));
}

template <int kSign, class T>
struct Heap {
  T* value;
  int32_t* index;

  // Whether entry a ranks behind entry b.
  FJ_INLINE_MEMBER bool behind(int64_t a, int64_t b) const {
    return precedes<kSign>(value[b], value[a]) || (!precedes<kSign>(value[a], value[b]) && index[b] < index[a]);
  }
  FJ_INLINE_MEMBER void swap(int64_t a, int64_t b) const {
    const T v = value[a];
    const int32_t i = index[a];
    value[a] = value[b], index[a] = index[b];
    value[b] = v, index[b] = i;
  }
  FJ_INLINE_MEMBER void sift_down(int64_t top, int64_t size) const {
    for (;;) {
      int64_t child = 2 * top + 1;
      if (child >= size) return;
      if (child + 1 < size && behind(child + 1, child)) child++;
      if (!behind(child, top)) return;
      swap(child, top);
      top = child;
    }
  }
};

// x (rows, length) → values, indices (rows, k), sorted.
template <int kSign, class T>
FJ_INLINE void top_rows(const Call& call, Team& team) {
  const int64_t k = call.attrs<fj_top_k_attrs>().k;
  const Operand& x = call.in[0];
  if (call.out[0].value->bytes == 0) return;
  const Around around(*x.value, x.value->rank - 1);
  const Range range = split(around.outer, team);
  for (int64_t row = range.begin; row < range.end; row++) {
    const T* from = x.as<const T>() + row * around.length;
    const Heap<kSign, T> heap{call.out[0].as<T>() + row * k, call.out[1].as<int32_t>() + row * k};
    for (int64_t i = 0; i < k; i++) heap.value[i] = from[i], heap.index[i] = static_cast<int32_t>(i);
    for (int64_t i = k / 2 - 1; i >= 0; i--) heap.sift_down(i, k);
    for (int64_t i = k; i < around.length; i++) {
      if (!precedes<kSign>(from[i], heap.value[0])) continue;
      heap.value[0] = from[i], heap.index[0] = static_cast<int32_t>(i);
      heap.sift_down(0, k);
    }
    for (int64_t size = k - 1; size > 0; size--) {
      heap.swap(0, size);
      heap.sift_down(0, size);
    }
  }
}

template <class T>
void run_top_k(const Call& call, Team& team) {
  if (call.attrs<fj_top_k_attrs>().smallest) {
    top_rows<-1, T>(call, team);
  } else {
    top_rows<1, T>(call, team);
  }
}

// --- productOfOthers ------------------------------------------------------------------------------------------------

// The elements that are reduced together: what comes before each is multiplied in on the way forward, what comes after
// on the way back.
void run_product_of_others(const Call& call, Team& team) {
  const int32_t* mask = call.attrs<fj_product_of_others_attrs>().mask;
  const fj_value& x = *call.in[0].value;
  if (x.bytes == 0) return;
  int64_t kept = 1, reduced = 1, stride = 1, strides[FJ_MAX_RANK];
  for (int axis = x.rank - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= x.dims[axis];
    (mask[axis] ? reduced : kept) *= x.dims[axis];
  }
  const auto offset = [&](int64_t index, bool masked) {
    int64_t at = 0;
    for (int axis = x.rank - 1; axis >= 0; axis--) {
      if ((mask[axis] != 0) != masked) continue;
      at += index % x.dims[axis] * strides[axis];
      index /= x.dims[axis];
    }
    return at;
  };
  const float* from = call.in[0].as<const float>();
  float* to = call.out[0].as<float>();
  const Range range = split(kept, team);
  for (int64_t item = range.begin; item < range.end; item++) {
    const int64_t base = offset(item, false);
    double product = 1;
    for (int64_t i = 0; i < reduced; i++) {
      const int64_t at = base + offset(i, true);
      to[at] = static_cast<float>(product);
      product *= static_cast<double>(from[at]);
    }
    product = 1;
    for (int64_t i = reduced - 1; i >= 0; i--) {
      const int64_t at = base + offset(i, true);
      to[at] = static_cast<float>(static_cast<double>(to[at]) * product);
      product *= static_cast<double>(from[at]);
    }
  }
}

template <int kDType>
bool has_dtype(const Call& call) {
  return call.in[0].value->dtype == kDType;
}

}  // namespace

void register_axis(KernelTable& table) {
  table.add({FJ_OP_ARG_MAX, 0, "argMax", run_arg<1, float>, nullptr, has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_ARG_MAX, 0, "argMax int32", run_arg<1, int32_t>, nullptr, has_dtype<FJ_INT32>});
  table.add({FJ_OP_ARG_MAX, 0, "argMax uint8", run_arg<1, uint8_t>, nullptr, has_dtype<FJ_UINT8>});
  table.add({FJ_OP_ARG_MIN, 0, "argMin", run_arg<-1, float>, nullptr, has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_ARG_MIN, 0, "argMin int32", run_arg<-1, int32_t>, nullptr, has_dtype<FJ_INT32>});
  table.add({FJ_OP_ARG_MIN, 0, "argMin uint8", run_arg<-1, uint8_t>, nullptr, has_dtype<FJ_UINT8>});
  table.add({FJ_OP_CUM_SUM, 0, "cumSum", run_cum_sum<float, double>, nullptr, has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_CUM_SUM, 0, "cumSum int32", run_cum_sum<int32_t, uint32_t>, nullptr, has_dtype<FJ_INT32>});
  table.add({FJ_OP_TOP_K, 0, "topK", run_top_k<float>, nullptr, has_dtype<FJ_FLOAT32>});
  table.add({FJ_OP_TOP_K, 0, "topK int32", run_top_k<int32_t>, nullptr, has_dtype<FJ_INT32>});
  table.add({FJ_OP_PRODUCT_OF_OTHERS, 0, "productOfOthers", run_product_of_others, nullptr, has_dtype<FJ_FLOAT32>});
}

}  // namespace forja::FJ_ISA
