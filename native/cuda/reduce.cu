// Reductions over masked axes: sum, max, min, prod.
//
// Neighbouring axes of one kind are collapsed first; what is left alternates between kept and reduced axes, and the
// last one decides how a block of kThreads lies over results and what is reduced into them:
//   last axis reduced    256 threads (or 32, for short rows) to a result, neighbours on neighbouring elements
//   last axis kept       32 neighbouring results, 8 threads to each
// Where there are few results, what is reduced into each is cut into parts, which a second kernel joins in their order.
// No atomics: a result depends on the shape only.
//
// Accuracy: float sums and products are taken in float64, which memory-bound kernels have time for; int32 ones are
// exact modulo 2^32.
#include "device/block.cuh"
#include "kernel.cuh"
#include "reduce.cuh"

namespace forja::cuda {
namespace {

constexpr int64_t kMaxParts = 64;

// In: elements; Total: what they are joined in.
struct SumFloat {
  using In = float;
  using Total = double;
  __host__ __device__ static Total identity() { return 0; }
  __device__ static Total join(Total a, Total b) { return a + b; }
};
struct ProdFloat : SumFloat {
  __host__ __device__ static Total identity() { return 1; }
  __device__ static Total join(Total a, Total b) { return a * b; }
};
// Signed overflow wraps.
struct SumInt {
  using In = int32_t;
  using Total = uint32_t;
  __host__ __device__ static Total identity() { return 0; }
  __device__ static Total join(Total a, Total b) { return a + b; }
};
struct ProdInt : SumInt {
  __host__ __device__ static Total identity() { return 1; }
  __device__ static Total join(Total a, Total b) { return a * b; }
};
// NaN in either operand is handed on.
struct MaxFloat {
  using In = float;
  using Total = float;
  __host__ __device__ static Total identity() { return -HUGE_VALF; }
  __device__ static Total join(Total a, Total b) { return b > a || b != b ? b : a; }
};
struct MinFloat : MaxFloat {
  __host__ __device__ static Total identity() { return HUGE_VALF; }
  __device__ static Total join(Total a, Total b) { return b < a || b != b ? b : a; }
};
template <class T>
struct MaxInt {
  using In = T;
  using Total = T;
  __host__ __device__ static Total identity() { return std::is_signed<T>::value ? T(INT32_MIN) : T(0); }
  __device__ static Total join(Total a, Total b) { return b > a ? b : a; }
};
template <class T>
struct MinInt : MaxInt<T> {
  __host__ __device__ static T identity() { return std::is_signed<T>::value ? T(INT32_MAX) : T(255); }
  __device__ static T join(T a, T b) { return b < a ? b : a; }
};

// One run of kept or of reduced axes, the innermost first.
struct Groups {
  int count = 0;
  int64_t size[FJ_MAX_RANK], stride[FJ_MAX_RANK];

  void add(int64_t n, int64_t step) {
    size[count] = n, stride[count] = step;
    count++;
  }
  __device__ __forceinline__ int64_t offset(int64_t index) const {
    int64_t at = 0;
    for (int i = 0; i < count; i++) {
      const int64_t quotient = i + 1 < count ? index / size[i] : 0;
      at += (index - quotient * size[i]) * stride[i];
      index = quotient;
    }
    return at;
  }
};

struct Shape {
  Groups kept, reduced;
  int64_t results = 1, terms = 1;  // terms of each result
  bool last_reduced = false;

  // The sum of rows.
  Shape(int64_t rows, int64_t columns) : results(columns), terms(rows) {
    kept.add(columns, 1);
    reduced.add(rows, columns);
  }
  explicit Shape(const Call& call) {
    const fj_value& x = *call.in[0].value;
    const int32_t* mask = call.attrs<fj_sum_attrs>().mask;
    results = element_count(*call.out[0].value);
    int64_t stride = 1;
    int last = -1;  // kind of the axis before: 0 kept, 1 reduced
    for (int axis = x.rank - 1; axis >= 0; axis--) {
      const int64_t size = x.dims[axis];
      const int kind = mask[axis] != 0 ? 1 : 0;
      if (kind == 1) terms *= size;
      if (size == 1) continue;
      Groups& groups = kind == 1 ? reduced : kept;
      if (last == -1) last_reduced = kind == 1;
      if (last == kind) {
        groups.size[groups.count - 1] *= size;
      } else {
        groups.add(size, stride);
      }
      last = kind;
      stride *= size;
    }
  }
};

// How a block lies: `across` results, kThreads / across threads to each; the terms of a result cut into parts.
struct Cut {
  int across;
  int64_t parts, per_part;

  Cut(const Shape& s, int multiprocessors) {
    across = !s.last_reduced ? kWarp : s.terms >= 512 ? 1 : kThreads / kWarp;
    const int64_t blocks = ceil_div(s.results, across), down = kThreads / across;
    // Two blocks to a multiprocessor are enough; for less than 16 terms to a thread a second kernel does not pay.
    const int64_t most = s.terms / (down * 16);
    parts = blocks >= 2 * multiprocessors ? 1 : ceil_div(2 * multiprocessors, blocks);
    if (parts > kMaxParts) parts = kMaxParts;
    if (parts > most) parts = most > 0 ? most : 1;
    per_part = ceil_div(s.terms, parts);
    parts = ceil_div(s.terms > 0 ? s.terms : 1, per_part > 0 ? per_part : 1);
  }
};

// Grid: (blocks of kAcross results, parts). y (results) of In, or partial (parts, results) of Total where kPartial.
template <class Op, int kAcross, bool kPartial>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(const typename Op::In* x, void* y, const __grid_constant__ Shape s, int64_t per_part) {
  using Total = typename Op::Total;
  constexpr int kDown = kThreads / kAcross;
  // Neighbouring threads are neighbours in memory: results where the last axis is kept, else terms.
  const bool columns = kAcross == kWarp;
  const int i = columns ? threadIdx.x % kAcross : threadIdx.x / kDown;
  const int j = columns ? threadIdx.x / kAcross : threadIdx.x % kDown;
  const int64_t result = static_cast<int64_t>(blockIdx.x) * kAcross + i;
  const int64_t begin = blockIdx.y * per_part, end = begin + per_part < s.terms ? begin + per_part : s.terms;
  Total total = Op::identity();
  if (result < s.results) {
    const typename Op::In* from = x + s.kept.offset(result);
    if (s.reduced.count <= 1) {
      const int64_t stride = s.reduced.count > 0 ? s.reduced.stride[0] : 0;
      for (int64_t k = begin + j; k < end; k += kDown) total = Op::join(total, static_cast<Total>(from[k * stride]));
    } else {
      for (int64_t k = begin + j; k < end; k += kDown) {
        total = Op::join(total, static_cast<Total>(from[s.reduced.offset(k)]));
      }
    }
  }
  __shared__ Total totals[kThreads];
  totals[i * kDown + j] = total;
  __syncthreads();
#pragma unroll
  for (int half = kDown / 2; half > 0; half /= 2) {
    if (j < half) totals[i * kDown + j] = Op::join(totals[i * kDown + j], totals[i * kDown + j + half]);
    __syncthreads();
  }
  if (j != 0 || result >= s.results) return;
  if constexpr (kPartial) {
    static_cast<Total*>(y)[blockIdx.y * s.results + result] = totals[i * kDown];
  } else {
    static_cast<typename Op::In*>(y)[result] = static_cast<typename Op::In>(totals[i * kDown]);
  }
}

// y[i] = partial[0, i] joined with partial[1, i], ...
template <class Op>
__global__ void join_parts_kernel(const typename Op::Total* partial, typename Op::In* y, int64_t results,
                                  int64_t parts) {
  const int64_t at = thread_index();
  if (at >= results) return;
  typename Op::Total total = partial[at];
  for (int64_t part = 1; part < parts; part++) total = Op::join(total, partial[part * results + at]);
  y[at] = static_cast<typename Op::In>(total);
}

template <class Op, int kAcross>
void reduce(Launcher& to, const Shape& s, const Cut& cut, const typename Op::In* x, typename Op::In* y, void* scratch) {
  using Total = typename Op::Total;
  const dim3 grid(static_cast<unsigned>(ceil_div(s.results, kAcross)), static_cast<unsigned>(cut.parts));
  if (cut.parts == 1) {
    launch(to, reduce_kernel<Op, kAcross, false>, grid, kThreads, x, static_cast<void*>(y), s, cut.per_part);
    return;
  }
  auto* partial = static_cast<Total*>(scratch);
  launch(to, reduce_kernel<Op, kAcross, true>, grid, kThreads, x, static_cast<void*>(partial), s, cut.per_part);
  launch(to, join_parts_kernel<Op>, blocks_for(s.results), kThreads, partial, y, s.results, cut.parts);
}

template <class Op>
void run_reduce(const Call& call, Launcher& to) {
  const Shape s(call);
  if (s.results == 0) return;
  const Cut cut(s, to.multiprocessors);
  const auto* x = call.in[0].as<const typename Op::In>();
  auto* y = call.out[0].as<typename Op::In>();
  switch (cut.across) {
    case 1:
      return reduce<Op, 1>(to, s, cut, x, y, call.scratch);
    case kWarp:
      return reduce<Op, kWarp>(to, s, cut, x, y, call.scratch);
    default:
      return reduce<Op, kThreads / kWarp>(to, s, cut, x, y, call.scratch);
  }
}

// There are parts only where blocks are fewer than two to a multiprocessor, of which no device has kMostProcessors.
size_t partial_bytes(int64_t results) {
  constexpr int64_t kMostProcessors = 1024, kMostResults = 2 * kMostProcessors * kWarp;
  if (results > kMostResults) return 0;
  const int64_t partial = results * kMaxParts < kMostResults + results ? results * kMaxParts : kMostResults + results;
  return static_cast<size_t>(partial) * sizeof(double);
}

size_t scratch_bytes(const Call& call) { return partial_bytes(element_count(*call.out[0].value)); }

// One kernel for each dtype.
template <class Op, int kDType>
void add_kernel(KernelTable& table, uint16_t opcode, const char* name) {
  table.add({opcode, 0, name, run_reduce<Op>, scratch_bytes, input_has_dtype<kDType>, false});
}

}  // namespace

void sum_rows(Launcher& to, const float* x, int64_t rows, int64_t columns, float* y, void* scratch) {
  const Shape s(rows, columns);
  reduce<SumFloat, kWarp>(to, s, Cut(s, to.multiprocessors), x, y, scratch);
}

size_t sum_rows_scratch(int64_t columns) { return partial_bytes(columns); }

void register_reduce(KernelTable& table) {
  add_kernel<SumFloat, FJ_FLOAT32>(table, FJ_OP_SUM, "sum");
  add_kernel<SumInt, FJ_INT32>(table, FJ_OP_SUM, "sum int32");
  add_kernel<ProdFloat, FJ_FLOAT32>(table, FJ_OP_PROD, "prod");
  add_kernel<ProdInt, FJ_INT32>(table, FJ_OP_PROD, "prod int32");
  add_kernel<MaxFloat, FJ_FLOAT32>(table, FJ_OP_MAX, "max");
  add_kernel<MaxInt<int32_t>, FJ_INT32>(table, FJ_OP_MAX, "max int32");
  add_kernel<MaxInt<uint8_t>, FJ_UINT8>(table, FJ_OP_MAX, "max uint8");
  add_kernel<MaxInt<uint8_t>, FJ_BOOL>(table, FJ_OP_MAX, "max bool");
  add_kernel<MinFloat, FJ_FLOAT32>(table, FJ_OP_MIN, "min");
  add_kernel<MinInt<int32_t>, FJ_INT32>(table, FJ_OP_MIN, "min int32");
  add_kernel<MinInt<uint8_t>, FJ_UINT8>(table, FJ_OP_MIN, "min uint8");
  add_kernel<MinInt<uint8_t>, FJ_BOOL>(table, FJ_OP_MIN, "min bool");
}

}  // namespace forja::cuda
