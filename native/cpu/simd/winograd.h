// The transforms of Winograd's minimal filtering along one axis, F(M, T): M outputs of T taps from M + T - 1 products,
// which are values of polynomials at as many points. In two dimensions, of 3 x 3 filters with stride 1:
//
//   forward          y  = A^T [ sum over c of  (G w G^T) . (B^T d B) ] A     d: the (M+2) x (M+2) pixels a tile reads
//   weight gradient  dw = G^T [ sum over tiles of  (A dy A^T) . (B^T d B) ] G
//
// F(4,3) interpolates at 0, +-5/8, +-3/2 and infinity: every entry of A and B is exact in float32 and the error is
// less than half that of the usual 0, +-1, +-2. Pairs of points +-p share their even and odd parts. F(2,3): 0, +-1,
// inf.
//
// Stride 2 splits taps and pixels into those of even and of odd number: y[p] = (x[2p] w0 + x[2p+2] w2) + x[2p+1] w1,
// F(M,2) and F(M,1), M = 4 or 3. F(M,2) interpolates at +-1/2, +-3/2 and infinity, F(M,1) at its finite points, so both
// are summed before A. F(3,.) leaves out -3/2; what it would change in G is in its B, and filters are the same for
// both. A vector holds one number of kWidth channels.
#pragma once

#include "vec.h"

namespace forja::FJ_ISA {

FJ_INLINE Vec number(double x) { return broadcast(static_cast<float>(x)); }

template <int M, int T>
struct Winograd;

template <>
struct Winograd<2, 3> {
  // B^T d
  static FJ_INLINE_MEMBER void input(const Vec (&d)[4], Vec (&o)[4]) {
    o[0] = d[2] - d[0];
    o[1] = d[2] + d[1];
    o[2] = d[2] - d[1];
    o[3] = d[3] - d[1];
  }
  // A^T m
  static FJ_INLINE_MEMBER void output(const Vec (&m)[4], Vec (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) + m[3];
  }
  // G w
  static FJ_INLINE_MEMBER void filter(const Vec (&w)[3], Vec (&o)[4]) {
    const Vec half = broadcast(0.5f);
    const Vec even = half * (w[0] + w[2]), odd = half * w[1];
    o[0] = zero() - w[0];
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = w[2];
  }
  // A dy
  static FJ_INLINE_MEMBER void output_grad(const Vec (&dy)[2], Vec (&o)[4]) {
    o[0] = dy[0];
    o[1] = dy[0] + dy[1];
    o[2] = dy[0] - dy[1];
    o[3] = dy[1];
  }
  // G^T s
  static FJ_INLINE_MEMBER void filter_grad(const Vec (&s)[4], Vec (&dw)[3]) {
    const Vec half = broadcast(0.5f);
    const Vec even = half * (s[1] + s[2]);
    dw[0] = even - s[0];
    dw[1] = half * (s[1] - s[2]);
    dw[2] = even + s[3];
  }
};

template <>
struct Winograd<4, 3> {
  static constexpr double a = 0.625, b = 1.5, a2 = a * a, b2 = b * b;
  // One over the product of a point's distances to the other finite points.
  static constexpr double f0 = 1 / (a2 * b2), fa = 1 / (2 * a2 * (a2 - b2)), fb = 1 / (2 * b2 * (b2 - a2));

  static FJ_INLINE_MEMBER void input(const Vec (&d)[6], Vec (&o)[6]) {
    const Vec even_a = fnma(number(b2), d[2], d[4]), odd_a = fnma(number(b2), d[1], d[3]);
    const Vec even_b = fnma(number(a2), d[2], d[4]), odd_b = fnma(number(a2), d[1], d[3]);
    o[0] = fma(number(a2 * b2), d[0], fnma(number(a2 + b2), d[2], d[4]));
    o[1] = fma(number(a), odd_a, even_a);
    o[2] = fnma(number(a), odd_a, even_a);
    o[3] = fma(number(b), odd_b, even_b);
    o[4] = fnma(number(b), odd_b, even_b);
    o[5] = fma(number(a2 * b2), d[1], fnma(number(a2 + b2), d[3], d[5]));
  }
  static FJ_INLINE_MEMBER void output(const Vec (&m)[6], Vec (&y)[4]) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = fma(number(b), odd_b, number(a) * odd_a);
    y[2] = fma(number(b2), even_b, number(a2) * even_a);
    y[3] = fma(number(b * b2), odd_b, fma(number(a * a2), odd_a, m[5]));
  }
  static FJ_INLINE_MEMBER void filter(const Vec (&w)[3], Vec (&o)[6]) {
    const Vec even_a = number(fa) * fma(number(a2), w[2], w[0]), odd_a = number(fa * a) * w[1];
    const Vec even_b = number(fb) * fma(number(b2), w[2], w[0]), odd_b = number(fb * b) * w[1];
    o[0] = number(f0) * w[0];
    o[1] = even_a + odd_a;
    o[2] = even_a - odd_a;
    o[3] = even_b + odd_b;
    o[4] = even_b - odd_b;
    o[5] = w[2];
  }
  static FJ_INLINE_MEMBER void output_grad(const Vec (&dy)[4], Vec (&o)[6]) {
    const Vec even_a = fma(number(a2), dy[2], dy[0]), odd_a = fma(number(a2), dy[3], dy[1]);
    const Vec even_b = fma(number(b2), dy[2], dy[0]), odd_b = fma(number(b2), dy[3], dy[1]);
    o[0] = dy[0];
    o[1] = fma(number(a), odd_a, even_a);
    o[2] = fnma(number(a), odd_a, even_a);
    o[3] = fma(number(b), odd_b, even_b);
    o[4] = fnma(number(b), odd_b, even_b);
    o[5] = dy[3];
  }
  static FJ_INLINE_MEMBER void filter_grad(const Vec (&s)[6], Vec (&dw)[3]) {
    const Vec even_a = number(fa) * (s[1] + s[2]), odd_a = number(fa * a) * (s[1] - s[2]);
    const Vec even_b = number(fb) * (s[3] + s[4]), odd_b = number(fb * b) * (s[3] - s[4]);
    dw[0] = fma(number(f0), s[0], even_a + even_b);
    dw[1] = odd_a + odd_b;
    dw[2] = fma(number(a2), even_a, fma(number(b2), even_b, s[5]));
  }
};

// Of stride 2, T = 1 or 2. G belongs to +-a, +-b.
struct StridedPoints {
  static constexpr double a = 0.5, b = 1.5, a2 = a * a, b2 = b * b;
  static constexpr double fa = 1 / (2 * a * (a2 - b2)), fb = 1 / (2 * b * (b2 - a2));
};

template <int T>
struct Winograd<4, T> : StridedPoints {
  static FJ_INLINE_MEMBER void input(const Vec (&d)[T + 3], Vec (&o)[T + 3]) {
    const Vec even_a = fnma(number(b2), d[0], d[2]), odd_a = fnma(number(b2), d[1], d[3]);
    const Vec even_b = fnma(number(a2), d[0], d[2]), odd_b = fnma(number(a2), d[1], d[3]);
    o[0] = fma(number(a), even_a, odd_a);
    o[1] = fnma(number(a), even_a, odd_a);
    o[2] = fma(number(b), even_b, odd_b);
    o[3] = fnma(number(b), even_b, odd_b);
    if constexpr (T == 2) o[4] = fma(number(a2 * b2), d[0], fnma(number(a2 + b2), d[2], d[4]));
  }
  static FJ_INLINE_MEMBER void output(const Vec (&m)[T + 3], Vec (&y)[4]) {
    const Vec even_a = m[0] + m[1], odd_a = m[0] - m[1], even_b = m[2] + m[3], odd_b = m[2] - m[3];
    y[0] = even_a + even_b;
    y[1] = fma(number(b), odd_b, number(a) * odd_a);
    y[2] = fma(number(b2), even_b, number(a2) * even_a);
    y[3] = fma(number(b * b2), odd_b, number(a * a2) * odd_a);
    if constexpr (T == 2) y[3] = y[3] + m[4];
  }
  static FJ_INLINE_MEMBER void filter(const Vec (&w)[T], Vec (&o)[T + 3]) {
    const Vec even_a = number(fa) * w[0], even_b = number(fb) * w[0];
    const Vec odd_a = T == 2 ? number(fa * a) * w[T - 1] : zero(), odd_b = T == 2 ? number(fb * b) * w[T - 1] : zero();
    o[0] = odd_a + even_a;
    o[1] = odd_a - even_a;
    o[2] = odd_b + even_b;
    o[3] = odd_b - even_b;
    if constexpr (T == 2) o[4] = w[1];
  }
  static FJ_INLINE_MEMBER void output_grad(const Vec (&dy)[4], Vec (&o)[T + 3]) {
    const Vec even_a = fma(number(a2), dy[2], dy[0]), odd_a = fma(number(a2), dy[3], dy[1]);
    const Vec even_b = fma(number(b2), dy[2], dy[0]), odd_b = fma(number(b2), dy[3], dy[1]);
    o[0] = fma(number(a), odd_a, even_a);
    o[1] = fnma(number(a), odd_a, even_a);
    o[2] = fma(number(b), odd_b, even_b);
    o[3] = fnma(number(b), odd_b, even_b);
    if constexpr (T == 2) o[4] = dy[3];
  }
  static FJ_INLINE_MEMBER void filter_grad(const Vec (&s)[T + 3], Vec (&dw)[T]) {
    dw[0] = fma(number(fa), s[0] - s[1], number(fb) * (s[2] - s[3]));
    if constexpr (T == 2) dw[1] = fma(number(fa * a), s[0] + s[1], fma(number(fb * b), s[2] + s[3], s[4]));
  }
};

// At a, -a, b and infinity.
template <int T>
struct Winograd<3, T> : StridedPoints {
  static FJ_INLINE_MEMBER void input(const Vec (&d)[T + 2], Vec (&o)[T + 2]) {
    const Vec low = fnma(number(b), d[0], d[1]), high = fnma(number(b), d[1], d[2]);
    o[0] = fma(number(b + a), high, number((b + a) * a) * low);
    o[1] = fma(number(b - a), high, number((a - b) * a) * low);
    o[2] = number(2 * b) * fnma(number(a2), d[0], d[2]);
    if constexpr (T == 2) o[3] = fnma(number(a2), low, fnma(number(b), d[2], d[3]));
  }
  static FJ_INLINE_MEMBER void output(const Vec (&m)[T + 2], Vec (&y)[3]) {
    const Vec even_a = m[0] + m[1], odd_a = m[0] - m[1];
    y[0] = even_a + m[2];
    y[1] = fma(number(b), m[2], number(a) * odd_a);
    y[2] = fma(number(b2), m[2], number(a2) * even_a);
    if constexpr (T == 2) y[2] = y[2] + m[3];
  }
  static FJ_INLINE_MEMBER void output_grad(const Vec (&dy)[3], Vec (&o)[T + 2]) {
    const Vec even_a = fma(number(a2), dy[2], dy[0]);
    o[0] = fma(number(a), dy[1], even_a);
    o[1] = fnma(number(a), dy[1], even_a);
    o[2] = fma(number(b), dy[1], fma(number(b2), dy[2], dy[0]));
    if constexpr (T == 2) o[3] = dy[2];
  }
};

// put(i, j, D X C^T) for the rows x columns numbers X = at(i, j): `down` is D, which makes ROWS of `rows` numbers,
// `across` is C. Columns first, then rows. What does not fit in registers is made in two halves, X being read twice: a
// store costs more than a load.
template <int IN_ROWS, int IN_COLUMNS, int ROWS, int COLUMNS, class At, class Down, class Across, class Put>
FJ_INLINE void transform_2d(const At& at, const Down& down, const Across& across, const Put& put) {
  constexpr int kParts = ROWS * IN_COLUMNS > kVectorRegisters ? 2 : 1, kPart = (ROWS + kParts - 1) / kParts;
  unroll_constants<kParts>([&](auto part) FJ_LAMBDA {
    constexpr int kFirst = part * kPart, kRows = part == kParts - 1 ? ROWS - kFirst : kPart;
    Vec half[kRows][IN_COLUMNS];
    unroll<IN_COLUMNS>([&](auto j) FJ_LAMBDA {
      Vec column[IN_ROWS], out[ROWS];
      unroll<IN_ROWS>([&](auto i) FJ_LAMBDA { column[i] = at(i, j); });
      down(column, out);
      unroll<kRows>([&](auto i) FJ_LAMBDA { half[i][j] = out[kFirst + i]; });
    });
    unroll<kRows>([&](auto i) FJ_LAMBDA {
      Vec out[COLUMNS];
      across(half[i], out);
      unroll<COLUMNS>([&](auto j) FJ_LAMBDA { put(kFirst + i, j, out[j]); });
    });
  });
}

}  // namespace forja::FJ_ISA
