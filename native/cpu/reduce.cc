// Reductions over masked axes: sum, max, min, prod.
//
// Neighbouring axes of one kind are collapsed first; what is left alternates between kept and reduced axes, and the
// last one decides how memory is walked:
//   last axis reduced    contiguous runs are reduced to one number each (row sums, and all of x to a scalar)
//   last axis kept       rows of that many columns are joined element by element (bias gradients over N*H*W)
// Where there are few results, what is reduced into each is cut into parts, joined in their order afterwards. The cut
// depends on the shape alone, so a result does not depend on the number of threads.
//
// Accuracy: float sums run in at least 4 kWidth lanes (or rows four at a time) over kBlock elements and are added up
// in float64 from there; int32 sums are exact modulo 2^32.
#include <limits>

#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kBlock = 256 * kWidth;  // elements of a run, or of a block of rows, that are joined without float64
constexpr int64_t kColumns = 512;         // columns joined at a time: their totals stay in the first-level cache
constexpr int64_t kMaxParts = 32;         // parts of what is reduced into one result
constexpr int64_t kPartBlocks = 4;        // blocks in the smallest part worth a thread's while
constexpr int64_t kFewResults = 16;       // below this many pieces of work the reduced axes are cut into parts

// In: elements; Acc: joined within a block; Total: joined over blocks and parts; Vectors of Acc where `lanes`.
struct SumFloat {
  using In = float;
  using Acc = float;
  using Total = double;
  static constexpr bool kLanes = true;
  static constexpr Acc kIdentity = 0;
  template <class T>
  FJ_INLINE_MEMBER static T join(T a, T b) {
    return a + b;
  }
};

struct ProdFloat : SumFloat {
  static constexpr Acc kIdentity = 1;
  template <class T>
  FJ_INLINE_MEMBER static T join(T a, T b) {
    return a * b;
  }
};

// Signed overflow wraps.
struct SumInt {
  using In = int32_t;
  using Acc = uint32_t;
  using Total = uint32_t;
  static constexpr bool kLanes = false;
  static constexpr Acc kIdentity = 0;
  FJ_INLINE_MEMBER static Acc join(Acc a, Acc b) { return a + b; }
};

struct ProdInt : SumInt {
  static constexpr Acc kIdentity = 1;
  FJ_INLINE_MEMBER static Acc join(Acc a, Acc b) { return a * b; }
};

// NaN in either operand is handed on.
struct MaxFloat {
  using In = float;
  using Acc = float;
  using Total = float;
  static constexpr bool kLanes = true;
  static constexpr Acc kIdentity = -std::numeric_limits<float>::infinity();
  FJ_INLINE_MEMBER static Acc join(Acc a, Acc b) { return (b > a) | (b != b) ? b : a; }
  FJ_INLINE_MEMBER static Vec join(Vec a, Vec b) { return select((b > a) | (b != b), b, a); }
};

struct MinFloat : MaxFloat {
  static constexpr Acc kIdentity = std::numeric_limits<float>::infinity();
  FJ_INLINE_MEMBER static Acc join(Acc a, Acc b) { return (b < a) | (b != b) ? b : a; }
  FJ_INLINE_MEMBER static Vec join(Vec a, Vec b) { return select((b < a) | (b != b), b, a); }
};

template <class T>
struct MaxInt {
  using In = T;
  using Acc = T;
  using Total = T;
  static constexpr bool kLanes = false;
  static constexpr Acc kIdentity = std::numeric_limits<T>::lowest();
  FJ_INLINE_MEMBER static Acc join(Acc a, Acc b) { return b > a ? b : a; }
};

template <class T>
struct MinInt : MaxInt<T> {
  static constexpr T kIdentity = std::numeric_limits<T>::max();
  FJ_INLINE_MEMBER static T join(T a, T b) { return b < a ? b : a; }
};

// One run of kept or of reduced axes.
struct Group {
  int64_t size, stride;
};

// x as alternating groups: `kept` and `reduced` without the innermost group, which is `last`.
struct Shape {
  Group kept[FJ_MAX_RANK], reduced[FJ_MAX_RANK], last{1, 1};
  int kept_count = 0, reduced_count = 0;
  bool last_reduced = false, empty = false;
  int64_t results = 1;

  explicit Shape(const Call& call) {
    const fj_value& x = *call.in[0].value;
    const int32_t* mask = call.attrs<fj_sum_attrs>().mask;
    empty = x.bytes == 0;
    for (int axis = 0; axis < call.out[0].value->rank; axis++) results *= call.out[0].value->dims[axis];
    if (empty) return;
    bool open = false, last_open = true;  // whether a group is being collected; whether it is the innermost
    bool kind = false;
    Group group{1, 1};
    int64_t stride = 1;
    const auto close = [&] {
      if (last_open) {
        last = group, last_reduced = kind, last_open = false;
      } else if (kind) {
        reduced[reduced_count++] = group;
      } else {
        kept[kept_count++] = group;
      }
    };
    for (int axis = x.rank - 1; axis >= 0; axis--) {
      const int64_t size = x.dims[axis];
      if (size == 1) continue;
      const bool masked = mask[axis] != 0;
      if (open && masked != kind) close(), open = false;
      if (!open) group = {1, stride}, kind = masked, open = true;
      group.size *= size;
      stride *= size;
    }
    if (open) close();
  }

  // Element offset of the index-th combination of groups, the first group fastest.
  static FJ_INLINE_MEMBER int64_t offset(const Group* groups, int count, int64_t index) {
    int64_t at = 0;
    for (int g = 0; g + 1 < count; g++) {
      at += index % groups[g].size * groups[g].stride;
      index /= groups[g].size;
    }
    return count > 0 ? at + index * groups[count - 1].stride : at;
  }
  static FJ_INLINE_MEMBER int64_t combinations(const Group* groups, int count) {
    int64_t n = 1;
    for (int g = 0; g < count; g++) n *= groups[g].size;
    return n;
  }
};

// How the work is cut: `items` pieces of results, each over `parts` ranges of `blocks` blocks.
struct Cut {
  int64_t outer;    // combinations of the outer reduced groups
  int64_t columns;  // pieces of the last axis where it is kept
  int64_t per_run;  // blocks of one outer combination
  int64_t height;   // elements (last axis reduced) or rows (kept) in a block
  int64_t blocks, items, parts;

  explicit Cut(const Shape& s) {
    if (s.last_reduced) {
      outer = Shape::combinations(s.reduced, s.reduced_count);
      columns = 1;
      height = kBlock;
      per_run = ceil_div(s.last.size, height);
      items = s.results;
    } else {
      // The innermost reduced group borders on the last one: its rows follow each other.
      outer = s.reduced_count > 0 ? Shape::combinations(s.reduced + 1, s.reduced_count - 1) : 1;
      columns = ceil_div(s.last.size, kColumns);
      height = larger(kBlock / s.last.size, 64);
      per_run = ceil_div(s.reduced_count > 0 ? s.reduced[0].size : 1, height);
      items = s.results / s.last.size * columns;
    }
    blocks = outer * per_run;
    const int64_t work = s.last_reduced ? blocks : blocks * larger(1, smaller(s.last.size, kColumns) * height / kBlock);
    parts = items >= kFewResults ? 1 : larger(1, smaller(smaller(kMaxParts, blocks), work / kPartBlocks));
  }
};

// n contiguous elements, n <= kBlock.
template <class Op>
FJ_INLINE typename Op::Total join_run(const typename Op::In* x, int64_t n) {
  typename Op::Acc total = Op::kIdentity;
  int64_t i = 0;
  if constexpr (Op::kLanes) {
    if (n >= 4 * kWidth) {
      Vec acc[4];
      unroll<4>([&](auto v) FJ_LAMBDA { acc[v] = load(x + v * kWidth); });
      for (i = 4 * kWidth; i + 4 * kWidth <= n; i += 4 * kWidth) {
        unroll<4>([&](auto v) FJ_LAMBDA { acc[v] = Op::join(acc[v], load(x + i + v * kWidth)); });
      }
      float lanes[kWidth];
      store(lanes, Op::join(Op::join(acc[0], acc[1]), Op::join(acc[2], acc[3])));
      for (int half = kWidth / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < half; lane++) lanes[lane] = Op::join(lanes[lane], lanes[lane + half]);
      }
      total = lanes[0];
    }
  }
  for (; i < n; i++) total = Op::join(total, static_cast<typename Op::Acc>(x[i]));
  return static_cast<typename Op::Total>(total);
}

// acc[j] joined with `rows` rows of `width` columns; four rows at a time, as a tree.
template <class Op>
FJ_INLINE void join_rows(typename Op::Acc* __restrict acc, int64_t width, const typename Op::In* x, int64_t stride,
                         int64_t rows) {
  using Acc = typename Op::Acc;
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * stride) {
    const typename Op::In *a = x, *b = x + stride, *c = b + stride, *d = c + stride;
    int64_t j = 0;
    if constexpr (Op::kLanes) {
      for (; j + kWidth <= width; j += kWidth) {
        const Vec ab = Op::join(load(a + j), load(b + j)), cd = Op::join(load(c + j), load(d + j));
        store(acc + j, Op::join(load(acc + j), Op::join(ab, cd)));
      }
    }
    for (; j < width; j++) {
      const Acc ab = Op::join(static_cast<Acc>(a[j]), static_cast<Acc>(b[j]));
      const Acc cd = Op::join(static_cast<Acc>(c[j]), static_cast<Acc>(d[j]));
      acc[j] = Op::join(acc[j], Op::join(ab, cd));
    }
  }
  for (; row < rows; row++, x += stride) {
    for (int64_t j = 0; j < width; j++) acc[j] = Op::join(acc[j], static_cast<Acc>(x[j]));
  }
}

// totals[j] joined with a dense block of rows (rows, width). Narrow rows are taken several at once, as one row of a
// whole number of vectors, and folded at the end.
template <class Op>
FJ_INLINE void join_block(typename Op::Total* totals, int64_t width, const typename Op::In* x, int64_t stride,
                          int64_t rows) {
  using Total = typename Op::Total;
  typename Op::Acc acc[kColumns];
  int64_t together = 1;
  while (stride == width && together * 2 * width <= kColumns && together < 16 && rows >= together * 8) together *= 2;
  const int64_t wide = together * width;
  for (int64_t j = 0; j < wide; j++) acc[j] = Op::kIdentity;
  const int64_t whole = rows / together;
  join_rows<Op>(acc, wide, x, together * stride, whole);
  join_rows<Op>(acc, width, x + whole * together * stride, stride, rows - whole * together);
  for (int64_t j = 0; j < wide; j += width) {
    for (int64_t k = 0; k < width; k++) totals[k] = Op::join(totals[k], static_cast<Total>(acc[j + k]));
  }
}

// Blocks [range) of one item into totals (1, or the item's columns).
template <class Op>
FJ_INLINE void join_blocks(const Shape& s, const Cut& cut, const typename Op::In* x, int64_t item, Range range,
                           typename Op::Total* totals, int64_t width) {
  const int64_t from = Shape::offset(s.kept, s.kept_count, item / cut.columns) + item % cut.columns * kColumns;
  for (int64_t block = range.begin; block < range.end; block++) {
    const int64_t run = block / cut.per_run, first = block % cut.per_run * cut.height;
    if (s.last_reduced) {
      const int64_t at = from + Shape::offset(s.reduced, s.reduced_count, run) + first;
      totals[0] = Op::join(totals[0], join_run<Op>(x + at, smaller(cut.height, s.last.size - first)));
    } else {
      const bool any = s.reduced_count > 0;
      const int64_t stride = any ? s.reduced[0].stride : s.last.size, size = any ? s.reduced[0].size : 1;
      const int64_t at = from + (any ? Shape::offset(s.reduced + 1, s.reduced_count - 1, run) : 0) + first * stride;
      join_block<Op>(totals, width, x + at, stride, smaller(cut.height, size - first));
    }
  }
}

// The collapsed kept groups run with the innermost fastest, as results do, so results of an item are contiguous.
template <class Op>
void run_reduce(const Call& call, Team& team) {
  using Total = typename Op::Total;
  const Shape s(call);
  const auto* x = call.in[0].as<const typename Op::In>();
  auto* y = call.out[0].as<typename Op::In>();
  if (s.empty) {
    const Range range = split(s.results, team);
    for (int64_t i = range.begin; i < range.end; i++) y[i] = static_cast<typename Op::In>(Op::kIdentity);
    return;
  }
  const Cut cut(s);
  if (s.last_reduced && cut.blocks == 1 && s.kept_count <= 1) {  // short rows: no divisions
    const int64_t stride = s.kept_count > 0 ? s.kept[0].stride : 0;
    const Range range = split(s.results, team, 16);
    for (int64_t i = range.begin; i < range.end; i++) {
      y[i] = static_cast<typename Op::In>(join_run<Op>(x + i * stride, s.last.size));
    }
    return;
  }
  auto* partial = reinterpret_cast<Total*>(call.scratch);  // (parts, results)
  const int64_t last = s.last_reduced ? 1 : s.last.size;
  const Range range = split(cut.items * cut.parts, team);
  for (int64_t work = range.begin; work < range.end; work++) {
    const int64_t item = work / cut.parts, part = work % cut.parts;
    const int64_t width = smaller(kColumns, last - item % cut.columns * kColumns);
    const int64_t result = item / cut.columns * last + item % cut.columns * kColumns;
    Total totals[kColumns];
    for (int64_t j = 0; j < width; j++) totals[j] = static_cast<Total>(Op::kIdentity);
    join_blocks<Op>(s, cut, x, item, split(cut.blocks, static_cast<int>(part), static_cast<int>(cut.parts)), totals,
                    width);
    for (int64_t j = 0; j < width; j++) {
      if (cut.parts == 1) {
        y[result + j] = static_cast<typename Op::In>(totals[j]);
      } else {
        partial[part * s.results + result + j] = totals[j];
      }
    }
  }
  if (cut.parts == 1) return;
  team.barrier();
  const Range mine = split(s.results, team, 16);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    Total total = static_cast<Total>(Op::kIdentity);
    for (int64_t part = 0; part < cut.parts; part++) total = Op::join(total, partial[part * s.results + i]);
    y[i] = static_cast<typename Op::In>(total);
  }
}

size_t scratch_bytes(const Call& call, int) {
  const Shape s(call);
  if (s.empty) return 0;
  const Cut cut(s);
  return cut.parts == 1 ? 0 : static_cast<size_t>(cut.parts * s.results) * sizeof(double);
}

template <int kDType>
bool has_dtype(const Call& call) {
  return call.in[0].value->dtype == kDType;
}

// One kernel for each dtype.
template <class Op, int kDType>
void add_kernel(KernelTable& table, uint16_t opcode, const char* name) {
  table.add({opcode, 0, name, run_reduce<Op>, scratch_bytes, has_dtype<kDType>});
}

}  // namespace

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

}  // namespace forja::FJ_ISA
