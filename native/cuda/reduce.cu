// Reductions over masked axes: sum, max, min, prod.
//
// Neighbouring axes of one kind are collapsed first; what is left alternates between kept and reduced axes, and the
// last one decides how a block of kThreads lies over results and what is reduced into them:
//   last axis reduced    256 threads (or 32, for short rows) to a result, neighbours on neighbouring elements
//   last axis kept       32 neighbouring packs of results, 8 threads to each
// Where there are few results, what is reduced into each is cut into parts, which a second pass of the same kernel
// joins; rows of a few results each are then read as longer ones, whose ends the second pass joins too. No atomics: a
// result depends on the shape and the device only.
//
// Bound by memory: neighbours along the last axis are read in packs, 128 bits where it and all steps are multiples of
// such, and a thread asks for kRun of them before it uses one: 64 bytes.
//
// Accuracy: float sums and products are taken in float64, which memory-bound kernels have time for; int32 ones are
// exact modulo 2^32.
#include "device/block.cuh"
#include "device/divide.cuh"
#include "device/element.cuh"
#include "kernel.cuh"
#include "reduce.cuh"

namespace forja::cuda {
namespace {

constexpr int64_t kMaxParts = 1024;
constexpr int kBlocks = 4;     // of a multiprocessor, which keep 64 KB under way
constexpr int kRun = 4;        // packs whose loads are under way together
constexpr int kMinTerms = 16;  // of a thread; for less a second pass does not pay

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
  bool is_short = true;  // all of them together have less than 2^31 places
  int64_t size[FJ_MAX_RANK], stride[FJ_MAX_RANK];
  Divisor by[FJ_MAX_RANK];

  void add(int64_t n, int64_t step) {
    size[count] = n, stride[count] = step;
    count++;
  }
  // Whether neighbours are V by V in memory: those of the innermost group where `along`, else nothing is said of it.
  bool keeps_to(int V, bool along) const {
    if (along && (count == 0 || stride[0] != 1 || size[0] % V != 0)) return false;
    for (int i = along ? 1 : 0; i < count; i++) {
      if (stride[i] % V != 0) return false;
    }
    return true;
  }
  // Before a launch: counts V neighbours of the innermost group as one place.
  void finish(int V) {
    if (count > 0) size[0] /= V, stride[0] *= V;
    int64_t places = 1;
    for (int i = 0; i < count; i++) places *= size[i];
    is_short = places < INT32_MAX;
    for (int i = 0; is_short && places > 0 && i < count; i++) by[i] = Divisor(size[i]);
  }
  __device__ __forceinline__ int64_t offset(int64_t index) const {
    if (count <= 1) return count > 0 ? index * stride[0] : 0;
    int64_t at = 0;
#pragma unroll 1
    for (int i = 0; i < count; i++) {
      const bool last = i + 1 == count;
      const int64_t quotient = last ? 0 : is_short ? by[i].quotient(static_cast<int>(index)) : index / size[i];
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
  // The parts of each result, neighbours, where so many rows were one.
  static Shape of_parts(int64_t results, int64_t parts, int64_t rows) {
    Shape s(1, 1);
    s.kept = s.reduced = Groups();
    s.kept.add(results, parts);
    s.reduced.add(parts, 1);
    if (rows > 1) s.reduced.add(rows, results * parts);
    s.results = results, s.terms = parts * rows, s.last_reduced = true;
    return s;
  }
  // How many rows that are summed can be taken as one, no longer than what the threads of a block that lie across
  // results read of it: of a few columns most of these threads would have none.
  int64_t rows_as_one(int pack) const {
    if (last_reduced || kept.count != 1 || reduced.count != 1) return 1;
    int64_t rows = 1;
    while (results * rows * 2 <= kWarp * pack && terms % (rows * 2) == 0) rows *= 2;
    return rows;
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

// How a block lies: `across` results (or packs of V results), kThreads / across threads to each; the terms of a result
// (or packs of V terms) cut into parts.
struct Cut {
  int across, V;
  int64_t parts, per_part;

  // Of a shape whose groups it finishes.
  Cut(Shape& s, int pack, int multiprocessors) {
    Groups &along = s.last_reduced ? s.reduced : s.kept, &other = s.last_reduced ? s.kept : s.reduced;
    V = along.keeps_to(pack, true) && other.keeps_to(pack, false) ? pack : 1;
    along.finish(V), other.finish(1);
    (s.last_reduced ? s.terms : s.results) /= V;
    across = !s.last_reduced ? kWarp : s.terms * V >= 512 ? 1 : kThreads / kWarp;
    const int64_t blocks = ceil_div(s.results, across), down = kThreads / across, enough = kBlocks * multiprocessors;
    const int64_t most = s.terms / (down * kMinTerms / (s.last_reduced ? V : 1));
    parts = blocks >= enough ? 1 : ceil_div(enough, blocks);
    if (parts > kMaxParts) parts = kMaxParts;
    if (parts > most) parts = most > 0 ? most : 1;
    per_part = ceil_div(s.terms, parts);
    parts = ceil_div(s.terms > 0 ? s.terms : 1, per_part > 0 ? per_part : 1);
  }
};

// Grid: (blocks of kAcross results, parts). y: (results, parts).
template <class Op, class In, class Out, int kAcross, int V>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(const In* x, Out* y, const __grid_constant__ Shape s, int64_t per_part) {
  using Total = typename Op::Total;
  constexpr int kDown = kThreads / kAcross;
  // Neighbouring threads are neighbours in memory: results where the last axis is kept, else terms.
  constexpr bool kColumns = kAcross == kWarp;
  constexpr int kResults = kColumns ? V : 1;  // of a thread
  const int i = kColumns ? threadIdx.x % kAcross : threadIdx.x / kDown;
  const int j = kColumns ? threadIdx.x / kAcross : threadIdx.x % kDown;
  const int64_t result = static_cast<int64_t>(blockIdx.x) * kAcross + i;
  const int64_t begin = blockIdx.y * per_part, end = begin + per_part < s.terms ? begin + per_part : s.terms;
  Total total[V];
#pragma unroll
  for (int e = 0; e < V; e++) total[e] = Op::identity();
  if (result < s.results) {
    const In* from = x + s.kept.offset(result);
    int64_t k = begin + j;
    for (; k + (kRun - 1) * kDown < end; k += kRun * kDown) {
      In v[kRun][V];
#pragma unroll
      for (int run = 0; run < kRun; run++) read_pack<V>(from + s.reduced.offset(k + run * kDown), v[run]);
#pragma unroll
      for (int run = 0; run < kRun; run++) {
#pragma unroll
        for (int e = 0; e < V; e++) total[e] = Op::join(total[e], static_cast<Total>(v[run][e]));
      }
    }
    for (; k < end; k += kDown) {
      In v[V];
      read_pack<V>(from + s.reduced.offset(k), v);
#pragma unroll
      for (int e = 0; e < V; e++) total[e] = Op::join(total[e], static_cast<Total>(v[e]));
    }
  }
  if constexpr (!kColumns) {
#pragma unroll
    for (int e = 1; e < V; e++) total[0] = Op::join(total[0], total[e]);
  }
  __shared__ Total totals[kThreads];  // neighbouring threads' are neighbours: each in banks of its own
  Total* own = totals + threadIdx.x;
  constexpr int kNext = kColumns ? kAcross : 1;  // to the thread with the result's next terms
#pragma unroll
  for (int e = 0; e < kResults; e++) {
    if (e > 0) __syncthreads();
    *own = total[e];
    __syncthreads();
#pragma unroll
    for (int half = kDown / 2; half > 0; half /= 2) {
      if (j < half) *own = Op::join(*own, own[half * kNext]);
      __syncthreads();
    }
    if (j == 0 && result < s.results) {
      y[(result * kResults + e) * gridDim.y + blockIdx.y] = static_cast<Out>(*own);
    }
  }
}

template <class Op, class In, class Out>
void launch_reduce(Launcher& to, const Shape& s, const Cut& cut, const In* x, Out* y) {
  constexpr int kFew = kThreads / kWarp, V = kPack<In>;
  const dim3 grid(static_cast<unsigned>(ceil_div(s.results, cut.across)), static_cast<unsigned>(cut.parts));
  const auto with = [&](auto across, auto width) {
    launch(to, reduce_kernel<Op, In, Out, decltype(across)::value, decltype(width)::value>, grid, kThreads, x, y, s,
           cut.per_part);
  };
  const auto with_across = [&](auto across) {
    if (cut.V == 1) return with(across, std::integral_constant<int, 1>());
    with(across, std::integral_constant<int, V>());
  };
  if (cut.across == kWarp) return with_across(std::integral_constant<int, kWarp>());
  if (cut.across == kFew) return with_across(std::integral_constant<int, kFew>());
  with_across(std::integral_constant<int, 1>());
}

// rows: how many may be taken as one; scratch: as many bytes as partial_bytes says of results * rows.
template <class Op>
void reduce(Launcher& to, const Shape& s, int64_t rows, const typename Op::In* x, typename Op::In* y, void* scratch) {
  using In = typename Op::In;
  using Total = typename Op::Total;
  const int pack = reinterpret_cast<uintptr_t>(x) % 16 == 0 ? kPack<In> : 1;
  Shape plain = s;
  const Cut whole(plain, pack, to.multiprocessors);
  if (whole.parts == 1) return launch_reduce<Op, In, In>(to, plain, whole, x, y);
  Shape long_rows = rows > 1 ? Shape(s.terms / rows, s.results * rows) : s;
  const Cut cut(long_rows, pack, to.multiprocessors);
  auto* partial = static_cast<Total*>(scratch);
  launch_reduce<Op, In, Total>(to, long_rows, cut, x, partial);
  Shape parts = Shape::of_parts(s.results, cut.parts, rows);
  Cut joined(parts, kPack<Total>, to.multiprocessors);
  joined.parts = 1, joined.per_part = parts.terms;
  launch_reduce<Op, Total, In>(to, parts, joined, partial, y);
}

template <class Op>
void run_reduce(const Call& call, Launcher& to) {
  const Shape s(call);
  if (s.results == 0) return;
  reduce<Op>(to, s, s.rows_as_one(kPack<typename Op::In>), call.in[0].as<const typename Op::In>(),
             call.out[0].as<typename Op::In>(), call.scratch);
}

// There are parts only where blocks are fewer than kBlocks to a multiprocessor, of which no device has kMostProcessors;
// a block has at most kWarp packs of results.
size_t partial_bytes(int64_t results, int pack) {
  constexpr int64_t kMostProcessors = 1024;
  const int64_t most = kBlocks * kMostProcessors * kWarp * pack;
  if (results > most) return 0;
  const int64_t partial = results * kMaxParts < most + results ? results * kMaxParts : most + results;
  return static_cast<size_t>(partial) * sizeof(double);
}

size_t scratch_bytes(const Call& call) {
  const Shape s(call);
  const int pack = static_cast<int>(16 / element_size(*call.in[0].value));
  const int64_t results = s.results * s.rows_as_one(pack);
  // Parts are of kMinTerms for each of at least kThreads / kWarp threads.
  const int64_t parts = element_count(*call.in[0].value) / (kMinTerms * (kThreads / kWarp));
  const size_t most = static_cast<size_t>(results + parts) * sizeof(double), bytes = partial_bytes(results, pack);
  return most < bytes ? most : bytes;
}

// One kernel for each dtype.
template <class Op, int kDType>
void add_kernel(KernelTable& table, uint16_t opcode, const char* name) {
  table.add({opcode, 0, name, run_reduce<Op>, scratch_bytes, input_has_dtype<kDType>, false});
}

}  // namespace

void sum_rows(Launcher& to, const float* x, int64_t rows, int64_t columns, float* y, void* scratch) {
  reduce<SumFloat>(to, Shape(rows, columns), 1, x, y, scratch);
}

size_t sum_rows_scratch(int64_t columns) { return partial_bytes(columns, kPack<float>); }

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
