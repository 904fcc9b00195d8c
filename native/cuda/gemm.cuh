// A product of matrices C (M, N) = A (M, K) B (K, N) in tiles, for whatever A and B are made of: matmul_tiles.cuh reads
// them from memory, conv_products.cuh gathers them from images. A block computes a tile of C; A and B pass through
// shared memory in slices of kDepth, the same Feed for the tiles here and for those on tensor cores. Here each thread
// keeps kRows x kColumns sums in registers; while one slice is multiplied the next is on its way, in registers and then
// into the other half of shared memory: one barrier a slice.
//
// An operand gives the elements of its lines (rows of A, columns of B) along K:
//
//   struct Operand {
//     using Element = float;                        // or bfloat16
//     static constexpr bool kAlongK;                // neighbours in memory: along K, or across lines
//     struct Line;                                  // what is known of a line for all of K, or int: its number
//     Line line(int index) const;                   // also of lines outside
//     Place<Element> find(const Line&, int k) const;  // where step k of it lies; outside it counts as zero
//     int64_t stride;                               // with Line = int: between lines if kAlongK, else between steps
//   };
//
// V neighbours move at once: 1, or as many as 16 bytes hold where the caller knows that so many never straddle an edge
// and lie at multiples of 16 bytes.
//
// Where C has few tiles, groups of a block's threads take slices of K in turn, each with memory of its own, and add up
// their sums at the end; and K is cut into parts, whose products go to scratch and are added in their order.
#pragma once

#include "device/ptx.cuh"
#include "kernel.cuh"

namespace forja::cuda {

template <class E>
struct Place {
  const E* at;  // means nothing where it is not inside
  bool inside;
};

template <int kM_, int kN_, int kDepth_, int kRows_, int kColumns_, int kGroups_ = 1>
struct Tile {
  static constexpr int kM = kM_, kN = kN_, kDepth = kDepth_, kRows = kRows_, kColumns = kColumns_, kGroups = kGroups_;
  static constexpr int kAcross = kN / kColumns, kFeeders = kM / kRows * kAcross, kThreads = kFeeders * kGroups;
  static constexpr int kBlocks = 512 / kThreads;  // of a multiprocessor, at least, where pieces of V move
  static constexpr size_t kDynamic = 0;           // bytes of shared memory that a launch asks for
  // For tile_cost. Of fewer sums a thread, or fewer columns, more is read for a product.
  static constexpr int kRate = kRows < 8 ? (kN < 64 ? 55 : 65) : kN < 128 ? 92 : 100;
  static constexpr double kStart = 32, kSumCost = 40, kJoinCost = 3e5;

  // The tile whose first element is (row, column), over [begin, end) of K.
  template <int VA, int VB, class A, class B, class Store>
  static __device__ __forceinline__ void multiply(const A& a, const B& b, const Store& store, int row, int column,
                                                  int begin, int end);
};
using LargeTile = Tile<128, 128, 8, 8, 8>;
using TallTile = Tile<128, 64, 8, 8, 8>;
using MediumTile = Tile<64, 64, 16, 4, 4>;
using SmallTile = Tile<32, 32, 16, 4, 4>;
using GroupedTile = Tile<32, 32, 16, 4, 4, 4>;

// How T::kFeeders threads bring kLines lines of an operand, a slice of kDepth of K, into shared memory.
template <class T, class Source, int kLines, int V>
struct Feed {
  // Neighbouring threads take neighbours in memory.
  static constexpr int kRun = (Source::kAlongK ? T::kDepth : kLines) / V;
  static constexpr int kStep = T::kFeeders / kRun;  // lines, or steps of K, between two turns of a thread
  static constexpr int kTurns = (Source::kAlongK ? kLines : T::kDepth) / kStep;
  using Element = typename Source::Element;
  using Line = typename Source::Line;
  // Places that are evenly apart are found by an addition, and their lines take no registers.
  static constexpr bool kEven = std::is_same_v<Line, int>;
  static constexpr int kLineStates = Source::kAlongK && !kEven ? kTurns : 1;
  // Neighbours of less than 4 bytes pass through registers, all others from memory to memory.
  static constexpr bool kDirect = V * sizeof(Element) >= 4;
  static_assert(V == 1 || V == kPack<Element>);
  static_assert(T::kFeeders % kRun == 0 && kTurns >= 1 && kStep * kTurns == (Source::kAlongK ? kLines : T::kDepth),
                "a tile is not shared out evenly");

  Line lines[kLineStates];
  alignas(V * sizeof(Element)) Element values[kTurns][V];
  int along, across;

  // `thread`: of the feeders.
  __device__ __forceinline__ Feed(const Source& source, int first, int thread)
      : along(thread % kRun * V), across(thread / kRun) {
#pragma unroll
    for (int i = 0; i < kLineStates; i++) {
      lines[i] = source.line(first + (Source::kAlongK ? across + i * kStep : along));
    }
  }

  // Where the neighbours of the i-th turn lie, in the slice that begins at k.
  __device__ __forceinline__ Place<Element> find(const Source& source, int k, int i) const {
    if constexpr (!Source::kAlongK) {
      return source.find(lines[0], k + across + i * kStep);
    } else if constexpr (kEven) {
      return source.find(lines[0] + i * kStep, k + along);
    } else {
      return source.find(lines[i], k + along);
    }
  }

  __device__ __forceinline__ void fetch(const Source& source, int k) {
#pragma unroll
    for (int i = 0; i < kTurns; i++) {
      const Place<Element> from = find(source, k, i);
      read<V>(from.at, from.inside, values[i]);
    }
  }

  // Begins to bring one of so many parts of the slice at k, as it lies in memory: In has the places.
  template <class In>
  __device__ __forceinline__ void bring(const Source& source, int k, Element* shared, int part, int parts) {
    int row = across;
    ptx::forget(row), ptx::forget(k);
    if constexpr (kEven) ptx::forget(lines[0]);
    const Element* last = nullptr;
#pragma unroll
    for (int i = 0; i < kTurns; i++) {
      if (i * parts / kTurns != part) continue;
      Place<Element> from = find(source, k, i);
      if constexpr (kEven) {
        if (i > 0 && (i - 1) * parts / kTurns == part) from.at = last + kStep * source.stride;
        last = from.at;
      }
      if constexpr (kDirect) {
        ptx::copy_async<V * sizeof(Element)>(&shared[In::place(row + i * kStep, along)], from.at, from.inside);
      } else {
        read<V>(from.at, from.inside, values[i]);
      }
    }
  }
  // Writes what of it came in registers.
  template <class In>
  __device__ __forceinline__ void settle(Element* shared, int part, int parts) const {
    if constexpr (!kDirect) {
      int row = across;
      ptx::forget(row);
#pragma unroll
      for (int i = 0; i < kTurns; i++) {
        if (i * parts / kTurns == part) shared[In::place(row + i * kStep, along)] = values[i][0];
      }
    }
  }

  // Turned where it lies along K: rows of `shared` are steps of K, kStride elements apart.
  template <int kStride>
  __device__ __forceinline__ void stash(Element* shared) const {
#pragma unroll
    for (int i = 0; i < kTurns; i++) {
#pragma unroll
      for (int v = 0; v < V; v++) {
        if constexpr (Source::kAlongK) {
          shared[(along + v) * kStride + across + i * kStep] = values[i][v];
        } else {
          shared[(across + i * kStep) * kStride + along + v] = values[i][v];
        }
      }
    }
  }
};

// Place of a thread's i-th row (or column) in the tile: quads, kSize / kQuads apart, so that neighbouring threads read
// neighbouring 16 bytes of shared memory.
template <int kSize, int kOwn>
__device__ __forceinline__ constexpr int own_place(int thread, int i) {
  return i / 4 * (kSize / (kOwn / 4)) + thread * 4 + i % 4;
}

template <int kM_, int kN_, int kDepth_, int kRows_, int kColumns_, int kGroups_>
template <int VA, int VB, class A, class B, class Store>
__device__ __forceinline__ void Tile<kM_, kN_, kDepth_, kRows_, kColumns_, kGroups_>::multiply(const A& a, const B& b,
                                                                                               const Store& store,
                                                                                               int row, int column,
                                                                                               int begin, int end) {
  using T = Tile;
  constexpr int kPad = 4;  // rows stay 16-byte aligned, and writing a column of A meets fewer banks twice
  constexpr int kStrideA = T::kM + kPad, kStrideB = T::kN + kPad, kHalf = T::kDepth * (kStrideA + kStrideB);
  __shared__ __align__(16) float shared[T::kGroups][2][kHalf];
  int group = 0, thread = static_cast<int>(threadIdx.x);
  if constexpr (T::kGroups > 1) group = thread / T::kFeeders, thread %= T::kFeeders;
  Feed<T, A, T::kM, VA> feed_a(a, row, thread);
  Feed<T, B, T::kN, VB> feed_b(b, column, thread);
  // A warp's threads lie 8 across and 4 down, neighbours two by two: four lanes that differ in two bits read the same
  // quad of A or of B, so that a read of 16 bytes a lane takes half as many passes over shared memory.
  constexpr int kWarpsAcross = T::kAcross / 8;
  const int warp = thread / 32, lane = thread % 32;
  const int tx = warp % kWarpsAcross * 8 + lane / 2 % 8, ty = warp / kWarpsAcross * 4 + lane / 16 * 2 + lane % 2;
  float sums[T::kRows][T::kColumns] = {};
  const auto fetch = [&](int k) {
    feed_a.fetch(a, k + group * T::kDepth);
    feed_b.fetch(b, k + group * T::kDepth);
  };
  const auto stash = [&](int half) {
    feed_a.template stash<kStrideA>(shared[group][half]);
    feed_b.template stash<kStrideB>(shared[group][half] + T::kDepth * kStrideA);
  };
  fetch(begin);
  stash(0);
  __syncthreads();
  int half = 0;
  for (int k = begin; k < end; k += T::kDepth * T::kGroups, half ^= 1) {
    fetch(k + T::kDepth * T::kGroups);  // zeros behind the last slice: under a condition it would sink to the stash
    const float *slice_a = shared[group][half], *slice_b = slice_a + T::kDepth * kStrideA;
#pragma unroll
    for (int d = 0; d < T::kDepth; d++) {
      float x[T::kRows], y[T::kColumns];
#pragma unroll
      for (int i = 0; i < T::kRows; i += 4) {
        const float4 v = *reinterpret_cast<const float4*>(&slice_a[d * kStrideA + own_place<T::kM, T::kRows>(ty, i)]);
        x[i] = v.x, x[i + 1] = v.y, x[i + 2] = v.z, x[i + 3] = v.w;
      }
#pragma unroll
      for (int j = 0; j < T::kColumns; j += 4) {
        const float4 v =
            *reinterpret_cast<const float4*>(&slice_b[d * kStrideB + own_place<T::kN, T::kColumns>(tx, j)]);
        y[j] = v.x, y[j + 1] = v.y, y[j + 2] = v.z, y[j + 3] = v.w;
      }
#pragma unroll
      for (int i = 0; i < T::kRows; i++) {
#pragma unroll
        for (int j = 0; j < T::kColumns; j++) sums[i][j] += x[i] * y[j];
      }
    }
    stash(half ^ 1);
    __syncthreads();
  }
  if constexpr (T::kGroups > 1) {
    // All groups' sums through the memory of the slices; then each adds up a share of the rows, group after group.
    static_assert(T::kColumns == 4 && T::kRows % T::kGroups == 0, "a group stores whole rows of quads");
    static_assert(T::kRows * 4 * T::kFeeders <= 2 * kHalf, "a group's sums fit where its slices were");
    constexpr int kShare = T::kRows / T::kGroups;
    auto* const quads = reinterpret_cast<float4*>(&shared[0][0][0]);
    const auto quad = [&](int of, int i) { return &quads[(of * T::kRows + i) * T::kFeeders + thread]; };
#pragma unroll
    for (int i = 0; i < T::kRows; i++) *quad(group, i) = make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
    __syncthreads();
    store.template each<4>([&](const auto& columns) {
      const auto put = columns(column + own_place<T::kN, T::kColumns>(tx, 0));
#pragma unroll
      for (int i = 0; i < kShare; i++) {
        const int own = group * kShare + i;
        float4 total = *quad(0, own);
#pragma unroll
        for (int of = 1; of < T::kGroups; of++) {
          const float4 more = *quad(of, own);
          total.x += more.x, total.y += more.y, total.z += more.z, total.w += more.w;
        }
        put(row + own_place<T::kM, T::kRows>(ty, own), &total.x);
      }
    });
  } else {
    store.template each<4>([&](const auto& columns) {
#pragma unroll
      for (int j = 0; j < T::kColumns; j += 4) {
        const auto put = columns(column + own_place<T::kN, T::kColumns>(tx, j));
#pragma unroll
        for (int i = 0; i < T::kRows; i++) put(row + own_place<T::kM, T::kRows>(ty, i), &sums[i][j]);
      }
    });
  }
}

// Lines of a matrix along K: `line` elements apart, and `k` elements from one step of K to the next, one of them 1.
template <bool kRun, class E = float>
struct Lines {
  using Element = E;
  static constexpr bool kAlongK = kRun;
  const E* data;
  int64_t stride;  // of lines if kAlongK, else of steps of K
  int count, end;

  using Line = int;  // its number
  __device__ __forceinline__ Line line(int index) const { return index; }
  __device__ __forceinline__ Place<E> find(Line line, int k) const {
    return {data + (kAlongK ? line * stride + k : k * stride + line), line < count && k < end};
  }
};

// How a product is cut: tiles, and parts of K.
struct Partition {
  int m, n, k;
  int down, across;  // tiles along M and N
  int parts;         // of K
  int per_part;      // steps of K in a part, a multiple of every kDepth
};

// Bias and activation, or the gradient of ReLU, then into C.
template <class E>
struct EpilogueOf {
  E* c;  // (M, N), rows `ldc` apart
  int64_t ldc;
  const float* bias;  // (N), or null
  bool relu;
  const E* mask = nullptr;  // as C, the result of a ReLU whose gradient the sums are; or null

  __device__ __forceinline__ void put(int64_t row, int column, float sum) const {
    if (bias != nullptr) sum += bias[column];
    if (mask != nullptr && float_of(mask[row * ldc + column]) <= 0) sum = 0;
    c[row * ldc + column] = element_of<E>(relu && sum < 0 ? 0.0f : sum);
  }

  // Whether V neighbouring columns of n can be written in one store.
  template <int V>
  __device__ __forceinline__ bool packs(int n) const {
    return n % V == 0 && ldc % V == 0 && reinterpret_cast<uintptr_t>(c) % (V * sizeof(E)) == 0;
  }
  // V neighbouring columns, their bias at hand for all rows.
  template <int V>
  struct Run {
    E* first;
    int64_t ldc;
    bool relu;
    const E* mask;
    float bias[V];
    __device__ __forceinline__ void put(int64_t row, const float* sums) const {
      E elements[V];
      float of_relu[V];
      if (mask != nullptr) read_floats<V>(&mask[row * ldc], of_relu);
#pragma unroll
      for (int j = 0; j < V; j++) {
        const float sum = sums[j] + bias[j];
        const bool drop = mask != nullptr ? of_relu[j] <= 0 : relu && sum < 0;
        elements[j] = element_of<E>(drop ? 0.0f : sum);
      }
      write_pack<V>(&first[row * ldc], elements);
    }
  };
  template <int V>
  __device__ __forceinline__ Run<V> run(int column, bool inside) const {
    Run<V> run{c + column, ldc, relu, mask != nullptr ? mask + column : nullptr, {}};
#pragma unroll
    for (int j = 0; j < V; j++) run.bias[j] = inside && bias != nullptr ? bias[column + j] : 0.0f;
    return run;
  }
};
using Epilogue = EpilogueOf<float>;

template <class Into>
constexpr bool kPacks = false;
template <class E>
constexpr bool kPacks<EpilogueOf<E>> = true;

// Where the sums of a tile go: into C, those outside left out, or as they are into a part of it (M, N).
template <class Into>
struct TileStore {
  Into c;
  float* part;  // null where there is but one
  int m, n;

  // Calls write(columns), to whom columns(column)(row, sums) takes V neighbouring sums.
  template <int V, class Write>
  __device__ __forceinline__ void each(const Write& write) const {
    if (part != nullptr) return each_into<V>(Epilogue{part, n, nullptr, false}, write);
    each_into<V>(c, write);
  }

  template <int V, class To, class Write>
  __device__ __forceinline__ void each_into(const To& to, const Write& write) const {
    if constexpr (kPacks<To>) {
      if (to.template packs<V>(n)) {
        return write([&](int column) {
          const auto run = to.template run<V>(column, column < n);
          return [this, run, column](int row, const float* sums) {
            if (row < m && column < n) run.put(row, sums);
          };
        });
      }
    }
    write([&](int column) {
      return [this, &to, column](int row, const float* sums) {
#pragma unroll
        for (int j = 0; j < V; j++) {
          if (row < m && column + j < n) to.put(row, column + j, sums[j]);
        }
      };
    });
  }
};

constexpr int kBand = 2048;  // rows of C

// Grid (tiles, parts, products); Problem gives the operands of product i, up to step `end` of K, and where its
// elements go: a(i, end), b(i, end), epilogue(i) with put(row, column, sum). Tiles are walked band by band, in a band
// column by column: those that run together share rows and columns in the L2 cache.
template <class T, int VA, int VB, class Problem>
__global__ void __launch_bounds__(T::kThreads, VA == 1 || VB == 1 ? 1 : T::kBlocks)
    gemm_kernel(const __grid_constant__ Problem problem, const __grid_constant__ Partition p, float* scratch,
                int first_product) {
  constexpr int kDown = kBand / T::kM;  // tiles of a band
  const int product = first_product + static_cast<int>(blockIdx.z), tile = static_cast<int>(blockIdx.x);
  const int first = tile / p.across / kDown * kDown, place = tile - first * p.across;
  const int down = p.down - first < kDown ? p.down - first : kDown;
  const int row = (first + place % down) * T::kM, column = place / down * T::kN;
  const int begin = static_cast<int>(blockIdx.y) * p.per_part;
  const int end = p.k - begin < p.per_part ? p.k : begin + p.per_part;
  float* part = p.parts == 1 ? nullptr : scratch + (static_cast<int64_t>(product) * p.parts + blockIdx.y) * p.m * p.n;
  const auto into = problem.epilogue(product);
  const TileStore<std::remove_cv_t<decltype(into)>> store{into, part, p.m, p.n};
  T::template multiply<VA, VB>(problem.a(product, end), problem.b(product, end), store, row, column, begin, end);
}

// Grid (blocks of quads, products): C from its parts, of which there are no more than kMaxPartFloats numbers.
template <class Problem>
__global__ void __launch_bounds__(kThreads)
    gemm_join_kernel(const __grid_constant__ Problem problem, const __grid_constant__ Partition p,
                     const float* scratch) {
  const int quads = (p.n + 3) / 4, at = static_cast<int>(thread_index());
  if (at >= p.m * quads) return;
  const int row = at / quads, column = (at - row * quads) * 4, count = p.m * p.n;
  const float* part = scratch + static_cast<int64_t>(blockIdx.y) * p.parts * count + row * p.n + column;
  float sums[4] = {};
  const auto add = [&](const auto& read) {
    constexpr int kRun = 8;  // parts whose loads are under way together
    for (int i = 0; i < p.parts; i += kRun) {
      float more[kRun][4];
#pragma unroll
      for (int run = 0; run < kRun; run++) read(part + (i + run < p.parts ? i + run : i) * count, more[run]);
#pragma unroll
      for (int run = 0; run < kRun; run++) {
#pragma unroll
        for (int j = 0; j < 4; j++) sums[j] += i + run < p.parts ? more[run][j] : 0.0f;
      }
    }
  };
  if (p.n % 4 == 0) {
    add([](const float* from, float* to) { read_pack<4>(from, to); });
  } else {
    add([&](const float* from, float* to) {
#pragma unroll
      for (int j = 0; j < 4; j++) to[j] = from[column + j < p.n ? j : 0];
    });
  }
  const auto into = problem.epilogue(static_cast<int>(blockIdx.y));
  const TileStore<std::remove_cv_t<decltype(into)>> store{into, nullptr, p.m, p.n};
  store.template each<4>([&](const auto& columns) { columns(column)(row, sums); });
}

constexpr int64_t kMaxProducts = 65535;               // of one launch
constexpr int64_t kMaxSize = INT32_MAX - 1024;        // of M, N and K, which tiles and slices reach beyond
constexpr int64_t kMaxPartFloats = int64_t{1} << 22;  // of all parts
constexpr int kPartSteps = 128;                       // of K, at least in a part, for each group of threads
constexpr int kSlice = 64;                            // of K: the largest kDepth

// What a multiprocessor has to do, in multiply-adds; of memory only the parts' way to scratch and back counts. An
// estimate of numbers that each tile has, which come from counting instructions and bytes, not from a clock: blocks
// that fit on a multiprocessor (kBlocks; it waits half the time of each that is missing), its speed (kRate, of which
// the largest tile's is 100), and as many as it could do while a tile begins and ends (kStart, in steps of K), while a
// sum of a part is written and read again (kSumCost), and while the kernel begins that adds up parts (kJoinCost).
template <class T>
double tile_cost(const Partition& p, int64_t products, int multiprocessors) {
  const int64_t blocks = static_cast<int64_t>(p.down) * p.across * p.parts * products;
  const int64_t rounds = blocks / (T::kBlocks * multiprocessors);
  const int64_t last = ceil_div(blocks - rounds * T::kBlocks * multiprocessors, multiprocessors);
  const double shares = static_cast<double>(rounds * T::kBlocks) + (last > 0 ? 0.5 * (last + T::kBlocks) : 0.0);
  const double sums = static_cast<double>(p.parts * products) * p.m * p.n;
  const double joins = p.parts == 1 ? 0.0 : T::kSumCost * sums / multiprocessors + T::kJoinCost;
  return shares * T::kM * T::kN * (p.per_part + T::kStart) * 100 / T::kRate + joins;
}

// The parts of K that are done first, for `products` products.
template <class T>
Partition partition(int64_t m, int64_t n, int64_t k, int64_t products, int multiprocessors) {
  Partition best{static_cast<int>(m),
                 static_cast<int>(n),
                 static_cast<int>(k),
                 static_cast<int>(ceil_div(m, T::kM)),
                 static_cast<int>(ceil_div(n, T::kN)),
                 1,
                 static_cast<int>(k)};
  const int64_t tiles = static_cast<int64_t>(best.down) * best.across * products;
  int64_t most = tiles > 0 ? T::kBlocks * multiprocessors / tiles : 1;
  constexpr int kLeast = kPartSteps * T::kGroups;
  if (most > k / kLeast) most = k / kLeast;
  if (most * m * n * products > kMaxPartFloats) most = kMaxPartFloats / (m * n * products);
  double least = tile_cost<T>(best, products, multiprocessors);
  for (int64_t parts = 2; parts <= most; parts++) {
    Partition p = best;
    p.per_part = static_cast<int>(ceil_div(ceil_div(k, parts), kSlice) * kSlice);
    p.parts = static_cast<int>(ceil_div(k, p.per_part));
    const double cost = tile_cost<T>(p, products, multiprocessors);
    if (cost < least) best = p, least = cost;
  }
  return best;
}

// Bytes of scratch that run_gemm may use, whatever the device.
inline size_t gemm_scratch(int64_t m, int64_t n, int64_t k, int64_t products) {
  const int64_t parts = k / kPartSteps, floats = m * n * products;
  if (parts <= 1 || floats == 0) return 0;
  return static_cast<size_t>(floats > kMaxPartFloats / parts ? kMaxPartFloats : floats * parts) * sizeof(float);
}

// Where there are several parts, their sums lie in scratch then, (products, parts, M, N).
template <class T, int VA, int VB, class Problem>
Partition run_tiles(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products,
                    float* scratch) {
  const Partition p = partition<T>(m, n, k, products, to.multiprocessors);
  const auto tiles = static_cast<unsigned>(static_cast<int64_t>(p.down) * p.across);
  for (int64_t first = 0; first < products; first += kMaxProducts) {
    const int64_t count = products - first < kMaxProducts ? products - first : kMaxProducts;
    const dim3 grid(tiles, static_cast<unsigned>(p.parts), static_cast<unsigned>(count));
    launch(to, gemm_kernel<T, VA, VB, Problem>, grid, {T::kThreads, T::kDynamic}, problem, p, scratch,
           static_cast<int>(first));
  }
  return p;
}

// Adds up the parts of a problem that was run.
template <class Problem>
void join_parts(Launcher& to, const Problem& problem, const Partition& p, int64_t products, const float* scratch) {
  if (p.parts == 1) return;
  const auto blocks = static_cast<unsigned>(blocks_for(p.m * ceil_div(p.n, 4)));
  // There are parts only where products are few.
  launch(to, gemm_join_kernel<Problem>, dim3(blocks, static_cast<unsigned>(products)), kThreads, problem, p, scratch);
}

// Of the tiles that are weighed, the one that is done first.
template <int VA, int VB, class Problem>
class FastestTile {
 public:
  FastestTile(Launcher& to, int64_t m, int64_t n, int64_t k, int64_t products)
      : to_(to), m_(m), n_(n), k_(k), products_(products) {}

  template <class T>
  void weigh() {
    const Partition p = partition<T>(m_, n_, k_, products_, to_.multiprocessors);
    const double cost = tile_cost<T>(p, products_, to_.multiprocessors);
    if (T::kDynamic > to_.block_memory || (run_ != nullptr && cost >= least_)) return;
    run_ = run_tiles<T, VA, VB, Problem>, least_ = cost;
  }
  Partition run(const Problem& problem, float* scratch) const {
    return run_(to_, problem, m_, n_, k_, products_, scratch);
  }

 private:
  Launcher& to_;
  int64_t m_, n_, k_, products_;
  double least_ = 0;
  Partition (*run_)(Launcher&, const Problem&, int64_t, int64_t, int64_t, int64_t, float*) = nullptr;
};

template <int VA, int VB, class Problem>
Partition run_parts(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products,
                    float* scratch) {
  FastestTile<VA, VB, Problem> tile(to, m, n, k, products);
  tile.template weigh<LargeTile>();
  tile.template weigh<TallTile>();
  tile.template weigh<MediumTile>();
  tile.template weigh<SmallTile>();
  tile.template weigh<GroupedTile>();
  return tile.run(problem, scratch);
}

template <int VA, int VB, class Problem>
void run_gemm(Launcher& to, const Problem& problem, int64_t m, int64_t n, int64_t k, int64_t products, float* scratch) {
  if (m == 0 || n == 0 || products == 0) return;
  join_parts(to, problem, run_parts<VA, VB>(to, problem, m, n, k, products, scratch), products, scratch);
}

}  // namespace forja::cuda
