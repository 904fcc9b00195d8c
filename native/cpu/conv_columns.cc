// Direct convolution of few channels to few (conv_direct.h): a first layer whose outputs would leave lanes idle. Lanes
// are neighbouring columns of an output row, a tile is all output channels of up to two vectors of them:
//
//   sums[k][column] += x[row][c][column + u] * f(t, u, c, k)
//
// Rows of x are copied channel by channel with zeros around them. A row of sums, channel by channel too, is woven to
// pixels on its way to y: a vector of y takes the pixels it covers from each channel's sums.
#include "conv_columns.h"

#include <cstring>

#include "simd/weave.h"

namespace forja::FJ_ISA {
namespace {

constexpr int64_t kMostInputs = 4;                        // channels of x, taken apart one by one
constexpr int kMostSums = kVectorRegisters > 16 ? 8 : 6;  // output channels of a tile
constexpr int kMostVectors = 2;
constexpr int64_t kStripFloats = 6 * 1024;  // copied rows: 24 KB of the L1 cache

int64_t channels_at_once(const DirectConv& d) { return even_part(d.k, kMostSums); }
// Of a copied row of one channel; the last tile may reach past what the taps see.
int64_t row_width(const DirectConv& d) { return sums_width(d) + (d.s - 1) * d.dilation_w; }

int64_t strip_rows(const DirectConv& d) {
  int64_t rows = 1;
  while (rows < d.oh && input_rows(d, rows + 1) * d.c * row_width(d) <= kStripFloats) rows++;
  return rows;
}

int64_t strip_floats(const DirectConv& d) {
  return ceil_div(input_rows(d, strip_rows(d)) * d.c * row_width(d), kLineFloats) * kLineFloats;
}

struct Tile {
  const float* x;             // first tap's row, at the tile's first column
  int64_t row, channel, tap;  // floats of x from one tap row, channel, column to the next
  const float* filter;        // (r, c, s, K)
  Range t;
  int64_t c, s;
  const float* bias;  // (K), or null
  float least;        // what sums are at least
  float* sums;        // (K, plane)
  int64_t plane;
};

template <int K, int V>
void run_tile(const Tile& tile) {
  Vec acc[K][V];
  unroll<K>([&](auto k) FJ_LAMBDA { unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = zero(); }); });
  const float* f = tile.filter + tile.t.begin * tile.c * tile.s * K;
  const float* x_row = tile.x + tile.t.begin * tile.row;
  for (int64_t t = tile.t.begin; t < tile.t.end; t++, x_row += tile.row) {
    const float* x_channel = x_row;
    for (int64_t c = 0; c < tile.c; c++, x_channel += tile.channel) {
      const float* x = x_channel;
#pragma GCC unroll 1
      for (int64_t u = 0; u < tile.s; u++, x += tile.tap, f += K) {
        Vec columns[V];
        unroll<V>([&](auto v) FJ_LAMBDA { columns[v] = in_register(load(x + v * kWidth)); });
        unroll<K>([&](auto k) FJ_LAMBDA {
          const Vec w = broadcast(f[k]);
          unroll<V>([&](auto v) FJ_LAMBDA { acc[k][v] = fma(w, columns[v], acc[k][v]); });
        });
      }
    }
  }
  unroll<K>([&](auto k) FJ_LAMBDA {
    const Vec shift = tile.bias ? broadcast(tile.bias[k]) : zero(), least = broadcast(tile.least);
    unroll<V>([&](auto v) FJ_LAMBDA { store(tile.sums + k * tile.plane + v * kWidth, max(least, acc[k][v] + shift)); });
  });
}

using RunTile = void (*)(const Tile&);

template <int V, int... K>
FJ_INLINE RunTile tile_for(int64_t channels, std::integer_sequence<int, K...>) {
  static constexpr RunTile kernels[] = {&run_tile<K + 1, V>...};
  return kernels[channels - 1];
}

// A row of y from its sums (K, plane).
template <int K>
void weave_row(const float* sums, int64_t plane, int64_t columns, float* y) {
  weave<K>(sums, plane, columns,
           [&](int64_t at, Vec v) FJ_LAMBDA { store_masked(y + at, tail_mask(columns * K - at), v); });
}

using WeaveRow = void (*)(const float*, int64_t, int64_t, float*);

template <int... K>
FJ_INLINE WeaveRow weave_for(int64_t channels, std::integer_sequence<int, K...>) {
  static constexpr WeaveRow kernels[] = {&weave_row<K + 1>...};
  return kernels[channels - 1];
}

struct MapSize {
  int64_t h, w, c, pixel;  // pixel: floats from one pixel to the next
};
// Rows of an image as (rows, c, width), columns from -pad_left on, zeros outside; the last may be written a vector
// further.
void copy_planes(const float* image, const MapSize& size, Range rows, int64_t pad_left, int64_t width, float* out) {
  const int64_t first = larger(0, -pad_left), left = smaller(width, larger(0, pad_left));
  const int64_t count = larger(0, smaller(width - left, size.w - first));
  for (int64_t i = rows.begin; i < rows.end; i++) {
    for (int64_t c = 0; c < size.c; c++, out += width) {
      const bool inside = i >= 0 && i < size.h;
      const float* from = image + (i * size.w + first) * size.pixel + c - left * size.pixel;
      if (size.pixel == 1) {
        const int64_t end = inside ? left + count : 0;
        for (int64_t j = 0; j < width; j += kWidth) {
          const bool whole = j >= left && j + kWidth <= end;
          store(out + j, load_lanes(from + j, tail_mask(end - j) & ~tail_mask(left - j), whole));
        }
        continue;
      }
      memset(out, 0, width * sizeof(float));
      for (int64_t j = left; inside && j < left + count; j++) out[j] = from[j * size.pixel];
    }
  }
}

}  // namespace

bool columns_apply(const DirectConv& d) {
  return d.groups == 1 && d.c <= kMostInputs && d.k < kWidth && d.stride_w == 1 && d.y_pixel == d.k &&
         input_rows(d, 1) * d.c * row_width(d) <= kStripFloats;
}

double columns_cost(const DirectConv& d) {
  const double weaving = 1.5 * static_cast<double>(d.k * d.k) / d.depth();
  return static_cast<double>(d.k * sums_width(d)) / d.ow + weaving;
}

int64_t columns_filter_floats(const DirectConv& d) { return d.depth() * d.k; }

int64_t columns_thread_floats(const DirectConv& d) { return strip_floats(d) + d.k * sums_width(d); }

void columns_pack(const Team& team, const DirectConv& d, float* packed) {
  const int64_t at_once = channels_at_once(d);
  const Range rows = split(d.r * d.c, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t t = row / d.c, c = row % d.c;
    for (int64_t k = 0; k < d.k; k++) {
      const int64_t first = k / at_once * at_once, channels = smaller(at_once, d.k - first);
      const float* f = d.filter + t * d.f_r + c * d.f_c + k * d.f_k;
      float* out = packed + first * d.depth() + row * d.s * channels + k - first;
      for (int64_t u = 0; u < d.s; u++) out[u * channels] = f[u * d.f_s];
    }
  }
}

ColumnRows::ColumnRows(const DirectConv& d, const float* packed, float* mine)
    : d_(d), packed_(packed), strip_(mine), width_(row_width(d)), most_rows_(strip_rows(d)) {}

void ColumnRows::hold(int64_t n, Range rows) {
  n_ = n, held_ = rows;
  const int64_t i0 = rows.begin * d_.stride_h - d_.pad_top;
  copy_planes(d_.x + n * d_.h * d_.w * d_.x_pixel, {d_.h, d_.w, d_.c, d_.x_pixel},
              {i0, i0 + input_rows(d_, rows.end - rows.begin)}, d_.pad_left, width_, strip_);
}

void ColumnRows::sum(int64_t n, int64_t p, int64_t end, float* sums, int64_t plane) {
  if (n != n_ || p < held_.begin || p >= held_.end) hold(n, {p, smaller(p + most_rows_, end)});
  const int64_t at_once = channels_at_once(d_);
  Tile tile{};
  tile.row = d_.dilation_h * d_.c * width_;
  tile.channel = width_;
  tile.tap = d_.dilation_w;
  tile.t = valid_taps(d_.r, p * d_.stride_h - d_.pad_top, d_.dilation_h, d_.h);
  tile.c = d_.c;
  tile.s = d_.s;
  tile.least = d_.epilogue.activation == kActivationRelu ? 0 : -__builtin_inff();
  tile.plane = plane;
  const float* x = strip_ + (p - held_.begin) * d_.stride_h * d_.c * width_;
  for (int64_t k = 0; k < d_.k; k += at_once) {
    const int64_t channels = smaller(at_once, d_.k - k);
    tile.filter = packed_ + k * d_.depth();
    tile.bias = d_.epilogue.bias ? d_.epilogue.bias + k : nullptr;
    const std::make_integer_sequence<int, kMostSums> counts;
    for (int64_t q = 0; q < d_.ow; q += kMostVectors * kWidth) {
      tile.x = x + q;
      tile.sums = sums + k * plane + q;
      (d_.ow - q > kWidth ? tile_for<2>(channels, counts) : tile_for<1>(channels, counts))(tile);
    }
  }
}

void columns_run(const Team& team, const DirectConv& d, const float* packed, float* mine) {
  const int64_t plane = sums_width(d);
  float* const sums = mine + strip_floats(d);
  const WeaveRow finish_row = weave_for(d.k, std::make_integer_sequence<int, kWidth - 1>{});
  ColumnRows rows(d, packed, mine);
  const Range items = split(d.n * d.oh, team);
  for (int64_t item = items.begin; item < items.end; item++) {
    const int64_t n = item / d.oh, p = item % d.oh;
    rows.sum(n, p, smaller(d.oh, p + items.end - item), sums, plane);
    finish_row(sums, plane, d.ow, d.y + n * d.y_image + p * d.y_row);
  }
}

}  // namespace forja::FJ_ISA
