// The transforms of Winograd's minimal filtering F(M x M, 3 x 3): an output tile of M x M pixels costs (M+2)^2
// products a pair of channels instead of 9 * M^2.
//
//   forward          y  = A^T [ sum over c of  (G w G^T) . (B^T d B) ] A     d: the (M+2) x (M+2) pixels a tile reads
//   weight gradient  dw = G^T [ sum over tiles of  (A dy A^T) . (B^T d B) ] G
//
// M = 4 interpolates at 0, +-5/8, +-3/2 and infinity: every entry of A and B is exact in float32 and the error is
// less than half that of the usual 0, +-1, +-2. Pairs of points +-p share their even and odd parts. M = 2: 0, +-1, inf.
// A vector holds one number of kWidth channels.
#pragma once

#include "vec.h"

namespace forja::FJ_ISA {

template <int M>
struct Winograd;

template <>
struct Winograd<2> {
  static constexpr int kPoints = 4;

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
struct Winograd<4> {
  static constexpr int kPoints = 6;
  static constexpr double a = 0.625, b = 1.5, a2 = a * a, b2 = b * b;
  // One over the product of a point's distances to the other finite points.
  static constexpr double f0 = 1 / (a2 * b2), fa = 1 / (2 * a2 * (a2 - b2)), fb = 1 / (2 * b2 * (b2 - a2));

  static FJ_INLINE_MEMBER Vec number(double x) { return broadcast(static_cast<float>(x)); }

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

// put(i, j, T X T^T) for the IN x IN numbers X = at(i, j) and a transform T of OUT rows: columns first, then rows.
// What does not fit in registers is made in two halves, X being read twice: a store costs more than a load.
template <int IN, int OUT, class At, class Transform, class Put>
FJ_INLINE void transform_2d(const At& at, const Transform& transform, const Put& put) {
  constexpr int kParts = IN * OUT > kVectorRegisters && OUT % 2 == 0 ? 2 : 1, kRows = OUT / kParts;
  unroll<kParts>([&](auto part) FJ_LAMBDA {
    Vec half[kRows][IN];
    unroll<IN>([&](auto j) FJ_LAMBDA {
      Vec column[IN], out[OUT];
      unroll<IN>([&](auto i) FJ_LAMBDA { column[i] = at(i, j); });
      transform(column, out);
      unroll<kRows>([&](auto i) FJ_LAMBDA { half[i][j] = out[part * kRows + i]; });
    });
    unroll<kRows>([&](auto i) FJ_LAMBDA {
      Vec out[OUT];
      transform(half[i], out);
      unroll<OUT>([&](auto j) FJ_LAMBDA { put(Index<part * kRows + i>{}, j, out[j]); });
    });
  });
}

}  // namespace forja::FJ_ISA
