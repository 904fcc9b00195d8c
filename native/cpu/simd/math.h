// Elementary functions of a vector, on top of vec.h. Each holds over the whole range of float32: subnormal numbers,
// zeros, infinities and NaN in, NaN where the function has no value. Errors in units in the last place (ulp) against
// float64 over dense sweeps of all exponents, the worst of all instruction sets (test/ops/math_accuracy.test.ts):
//
//   vexp 1.0   vexpm1 1.5   vlog 1.0   vlog1p 1.5   vtanh 2.5   vsigmoid 2.5   verf 1.5   vsin vcos 1.6   vpow 0.51
//
// Polynomials are minimax fits made for these ranges; each names its interval.
#pragma once

#include <cmath>
#include <cstring>

#include "vec.h"

namespace forja::FJ_ISA {

FJ_INLINE VecI sign_bits(Vec x) { return as_int(x) & broadcast_int(INT32_MIN); }
FJ_INLINE Vec with_sign(Vec magnitude, VecI sign) { return as_float(as_int(magnitude) | sign); }
// 2^n for n in [-126, 127].
FJ_INLINE Vec power_of_two(VecI n) { return as_float(shift_left<23>(n + broadcast_int(127))); }

// x = n ln 2 + r, |r| <= ln 2 / 2; `tail` = e^r - 1. 355/512 + ln2_lo = ln 2: n times the first is exact.
struct ExpParts {
  Vec tail;
  VecI n;
};

FJ_INLINE ExpParts exp_parts(Vec x) {
  const Vec n = round(x * broadcast(1.44269504f));
  const Vec r = fnma(n, broadcast(-2.12194440e-4f), fnma(n, broadcast(0.693359375f), x));
  // (e^r - 1 - r) / r^2 on [-0.347, 0.347]
  Vec p = fma(broadcast(0.00139506003f), r, broadcast(0.00836895371f));
  p = fma(p, r, broadcast(0.0416662042f));
  p = fma(p, r, broadcast(0.166665183f));
  p = fma(p, r, broadcast(0.5f));
  return {fma(r * r, p, r), round_to_int(n)};
}

// e^x. The scale 2^n goes in two halves, so that results overflow and underflow as they should.
FJ_INLINE Vec vexp(Vec x) {
  const Vec limited = max(broadcast(-105.0f), min(broadcast(90.0f), x));
  const ExpParts parts = exp_parts(limited);
  const VecI half = shift_right_signed<1>(parts.n);
  const Vec y = (broadcast(1.0f) + parts.tail) * power_of_two(half) * power_of_two(parts.n - half);
  return select(x == x, y, x);
}

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1); from 60 on the 1 is lost anyway.
FJ_INLINE Vec vexpm1(Vec x) {
  const Vec limited = max(broadcast(-40.0f), min(broadcast(60.0f), x));
  const ExpParts parts = exp_parts(limited);
  const Vec scale = power_of_two(parts.n);
  const Vec y = fma(scale, parts.tail, scale - broadcast(1.0f));
  const Vec large = any(x > broadcast(60.0f)) ? vexp(x) : y;
  return select(x == zero(), x, select(x > broadcast(60.0f), large, select(x == x, y, x)));
}

// e ln 2 + log(1 + f) + c for f in [sqrt(1/2) - 1, sqrt(2) - 1]: s = f / (2 + f), log(1 + f) = 2 s + s^3 (...).
FJ_INLINE Vec log_core(Vec f, Vec e, Vec c) {
  const Vec s = f / (broadcast(2.0f) + f), z = s * s, half_square = broadcast(0.5f) * f * f;
  // (log((1 + s) / (1 - s)) / s - 2) / z on z in [0, 0.0295]
  Vec p = fma(broadcast(0.235840204f), z, broadcast(0.285372159f));
  p = fma(p, z, broadcast(0.400003365f));
  p = fma(p, z, broadcast(0.666666656f));
  const Vec correction = fma(s, fma(p, z, half_square), fma(e, broadcast(9.05800061e-6f), c));
  return fma(e, broadcast(0.693138123f), f - (half_square - correction));
}

// u = m 2^e with m in [sqrt(1/2), sqrt(2)); u normal and positive.
struct LogParts {
  Vec m;
  Vec e;
};

FJ_INLINE LogParts log_parts(Vec u) {
  const VecI origin = broadcast_int(0x3f3504f3);  // sqrt(1/2)
  const VecI t = as_int(u) - origin;
  return {as_float((t & broadcast_int(0x007fffff)) + origin), to_float(shift_right_signed<23>(t))};
}

FJ_INLINE Vec vlog(Vec x) {
  const Mask subnormal = x < broadcast(1.17549435e-38f);
  const LogParts parts = log_parts(select(subnormal, x * broadcast(8388608.0f), x));
  const Vec e = select(subnormal, parts.e - broadcast(23.0f), parts.e);
  const Vec y = log_core(parts.m - broadcast(1.0f), e, zero());
  const Vec special = select(x == zero(), broadcast(-INFINITY), select(x < zero(), broadcast(NAN), x));
  return select((x > zero()) & (x < broadcast(INFINITY)), y, special);
}

// log(1 + x): for small x the series in x itself; else log(u) + (what rounding u = 1 + x lost) / u.
FJ_INLINE Vec vlog1p(Vec x) {
  const Vec one = broadcast(1.0f), u = one + x;
  const LogParts parts = log_parts(u);
  const Vec lost = select(u > broadcast(2.0f), one - (u - x), x - (u - one)) / u;
  const Mask small = (x > broadcast(-0.29289f)) & (x < broadcast(0.41421f));
  const Vec y = log_core(select(small, x, parts.m - one), select(small, zero(), parts.e), select(small, zero(), lost));
  const Vec special = select(x == -one, broadcast(-INFINITY), select(x < -one, broadcast(NAN), x));
  return select((x > -one) & (x < broadcast(INFINITY)) & (x != zero()), y, special);
}

// t / (t + 2) with t = e^(2|x|) - 1: exact near 0, and nothing cancels.
FJ_INLINE Vec vtanh(Vec x) {
  const Vec limited = min(broadcast(20.0f), broadcast(2.0f) * abs(x));
  const ExpParts parts = exp_parts(limited);
  const Vec scale = power_of_two(parts.n);
  const Vec t = fma(scale, parts.tail, scale - broadcast(1.0f));
  const Vec y = with_sign(t / (t + broadcast(2.0f)), sign_bits(x));
  return select(x == x, y, x);
}

// e = exp(-|x|): 1 / (1 + e), or e / (1 + e) below 0, which keeps its relative precision down to the subnormals.
FJ_INLINE Vec vsigmoid(Vec x) {
  const Vec e = vexp(-abs(x));
  return select(x < zero(), e, broadcast(1.0f)) / (broadcast(1.0f) + e);
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|)
FJ_INLINE Vec vsoftplus(Vec x) { return max(zero(), x) + vlog1p(vexp(-abs(x))); }

// x + x q(x^2) up to 0.9; from there 1 - exp(-g(|x|)), which is 1 in float32 from 3.95 on.
FJ_INLINE Vec verf(Vec x) {
  const Vec a = min(broadcast(3.95f), abs(x)), z = a * a;
  Vec q = fma(broadcast(8.53883917e-5f), z, broadcast(-0.000818192729f));  // erf(a) / a - 1 on [0, 0.9]
  q = fma(q, z, broadcast(0.00520443603f));
  q = fma(q, z, broadcast(-0.0268607528f));
  q = fma(q, z, broadcast(0.112837197f));
  q = fma(q, z, broadcast(-0.376126353f));
  q = fma(q, z, broadcast(0.128379167f));
  Vec g = fma(broadcast(2.08286188e-5f), a, broadcast(-0.00043139357f));  // -log(1 - erf(a)) on [0.9, 3.95]
  g = fma(g, a, broadcast(0.00415625493f));
  g = fma(g, a, broadcast(-0.0250806165f));
  g = fma(g, a, broadcast(0.108220384f));
  g = fma(g, a, broadcast(0.633400851f));
  g = fma(g, a, broadcast(1.12948841f));
  g = fma(g, a, broadcast(-0.000169205133f));
  const Vec y = select(a < broadcast(0.9f), fma(a, q, a), broadcast(1.0f) - vexp(-g));
  return select(x == x, with_sign(y, sign_bits(x)), x);
}

FJ_INLINE Vec vgelu(Vec x) { return broadcast(0.5f) * x * (broadcast(1.0f) + verf(x * broadcast(0.707106781f))); }

// sin(r) and cos(r) for |r| <= pi / 4, then by quadrant: sine of r + quadrant * pi / 2.
FJ_INLINE Vec sin_of_quadrant(Vec r, VecI quadrant) {
  const Vec z = r * r;
  Vec s = fma(broadcast(-0.000195169765f), z, broadcast(0.00833217584f));
  s = fma(s, z, broadcast(-0.166666549f));
  s = fma(r * z, s, r);
  Vec c = fma(broadcast(2.44380891e-5f), z, broadcast(-0.00138873645f));
  c = fma(c, z, broadcast(0.0416666468f));
  c = fma(z * z, c, fnma(broadcast(0.5f), z, broadcast(1.0f)));
  const Vec y = select((quadrant & broadcast_int(1)) == broadcast_int(1), c, s);
  return as_float(as_int(y) ^ shift_left<30>(quadrant & broadcast_int(2)));
}

// Up to here x - n pi/2 is exact enough with pi/2 in four parts, three of 11 bits; beyond, and for infinities, libm
// in float64 reduces each element.
constexpr float kTrigonometryLimit = 12800.0f;
constexpr float kHalfPi1 = 0x1.92p+0f, kHalfPi2 = 0x1.fb4p-12f, kHalfPi3 = 0x1.444p-24f,
                kHalfPi4 = 2.563344151594519e-12f;

template <bool kCosine>
FJ_INLINE Vec sin_or_cos(Vec x) {
  if (!all(abs(x) <= broadcast(kTrigonometryLimit))) {
    float lanes[kWidth];
    store(lanes, x);
    for (int i = 0; i < kWidth; i++) {
      const double value = static_cast<double>(lanes[i]);
      lanes[i] = static_cast<float>(kCosine ? std::cos(value) : std::sin(value));
    }
    return load(lanes);
  }
  const Vec n = round(x * broadcast(0.636619772f));
  Vec r = fnma(n, broadcast(kHalfPi1), x);
  r = fnma(n, broadcast(kHalfPi2), r);
  r = fnma(n, broadcast(kHalfPi3), r);
  r = fnma(n, broadcast(kHalfPi4), r);
  const Vec y = sin_of_quadrant(r, round_to_int(n) + broadcast_int(kCosine ? 1 : 0));
  return kCosine ? y : select(x == zero(), x, y);
}

FJ_INLINE Vec vsin(Vec x) { return sin_or_cos<false>(x); }
FJ_INLINE Vec vcos(Vec x) { return sin_or_cos<true>(x); }

// Half a vector's lanes in float64, for what float32 cannot carry.
constexpr int kDoubles = kWidth / 2;
typedef double Double __attribute__((vector_size(8 * kDoubles)));
typedef int64_t Bits __attribute__((vector_size(8 * kDoubles)));
typedef uint64_t UnsignedBits __attribute__((vector_size(8 * kDoubles)));
typedef float HalfVec __attribute__((vector_size(4 * kDoubles)));

FJ_INLINE Double repeat(double x) { return x - Double{}; }

// a^b as C defines it, through 2^(b log2 |a|) in float64.
FJ_INLINE HalfVec power_half(HalfVec a32, HalfVec b32) {
  const Double a = __builtin_convertvector(a32, Double), b = __builtin_convertvector(b32, Double);
  const Double magic = repeat(6755399441055744.0);  // 1.5 * 2^52: adding it leaves a whole number in the low bits
  const Double infinity = repeat(static_cast<double>(INFINITY)), undefined = repeat(static_cast<double>(NAN));
  const Double x = (Double)((Bits)a & INT64_MAX), b_size = (Double)((Bits)b & INT64_MAX);
  constexpr uint64_t kOrigin = 0x3fe6a09e667f3bcd;  // sqrt(1/2)
  const UnsignedBits t = (UnsignedBits)x - kOrigin + (uint64_t{1024} << 52);
  const Double m = (Double)((t & 0x000fffffffffffff) + kOrigin);
  const Double e = (Double)((t >> 52) | 0x4330000000000000) - (4503599627370496.0 + 1024.0);
  const Double s = (m - 1.0) / (m + 1.0), z = s * s;
  Double log2 = 0.023917138161256957 * z + 0.28082754759079515;  // log2((1 + s) / (1 - s)) / s on z in [0, 0.0295]
  log2 = log2 * z + 0.3199729851590738;
  log2 = log2 * z + 0.41220824677118084;
  log2 = log2 * z + 0.5770779491449043;
  log2 = log2 * z + 0.9617966940966829;
  log2 = log2 * z + 2.8853900817778584;
  log2 = log2 * s + e;
  log2 = x == 0.0 ? -infinity : x == infinity ? infinity : log2;
  const Double product = b * log2;
  Double y = product < -200.0 ? repeat(-200.0) : product;
  y = y > 200.0 ? repeat(200.0) : y;
  const Double shifted = y + magic, f = y - (shifted - magic);
  Double p = 1.531658831655078e-05 * f + 0.00015469864406038672;  // 2^f on [-0.5, 0.5]
  p = p * f + 0.0013333422107280036;
  p = p * f + 0.009618025188894725;
  p = p * f + 0.05550410976762091;
  p = p * f + 0.2402265121670176;
  p = p * f + 0.6931471805348282;
  p = p * f + 0.9999999999592261;
  const Double scaled = (Double)((UnsignedBits)p + ((UnsignedBits)shifted << 52));
  Double result = y == y ? scaled : undefined;
  // Every float32 from 2^24 on is an even whole number.
  const Double whole = b + magic;
  const Bits is_whole = whole - magic == b;
  const Bits is_odd = is_whole & (b_size < 16777216.0) & (((Bits)whole & 1) == 1);
  const Bits sign = (Bits)a & INT64_MIN;
  result = (Double)((Bits)result ^ (sign & is_odd));
  result = (a < 0.0) & (x < infinity) & ~is_whole ? undefined : result;
  result = a == a ? result : undefined;
  const Bits is_one = (b == 0.0) | (a == 1.0) | ((a == -1.0) & (b_size == infinity));
  result = is_one ? repeat(1.0) : result;
  return __builtin_convertvector(result, HalfVec);
}

FJ_INLINE Vec vpow(Vec a, Vec b) {
  HalfVec x[2], y[2];
  memcpy(x, &a, sizeof(a));
  memcpy(y, &b, sizeof(b));
  x[0] = power_half(x[0], y[0]);
  x[1] = power_half(x[1], y[1]);
  memcpy(&a, x, sizeof(a));
  return a;
}

}  // namespace forja::FJ_ISA
