// Floating point: PTX ISA, "Floating Point Instructions". Sums and products round once; those that are approximations
// on a GPU are rounded from the exact value here. A result that is not a number may have other bits than on a GPU.
#include <cmath>

#include "table.h"

namespace forja::ptx {
namespace {

template <class T>
T next_down(T v) {
  using C = Cell<T>;
  const C bits = std::bit_cast<C>(v), sign = C{1} << (sizeof(T) * 8 - 1);
  if (v == 0) return std::bit_cast<T>(sign | 1);
  return std::bit_cast<T>(static_cast<C>(bits & sign ? bits + 1 : bits - 1));
}
// v != 0
template <class T>
T next_toward_zero(T v) {
  return std::bit_cast<T>(std::bit_cast<Cell<T>>(v) - 1);
}

// a + b - sum, exactly (Knuth's TwoSum), where `sum` is the nearest number to a + b.
double left_of(double a, double b, double sum) {
  const double of_b = sum - a, of_a = sum - of_b;
  return (a - of_a) + (b - of_b);
}

// The greatest float that is not above a b + c. The product is exact in double, and so are sum and rest.
float fma_down(float a, float b, float c) {
  const double product = double{a} * b, sum = product + c;
  const float nearest = static_cast<float>(sum);
  if (!std::isfinite(sum)) return nearest;
  const double rest = left_of(product, c, sum);
  if (sum == 0) return std::signbit(product) || std::signbit(c) ? -0.0f : 0.0f;
  return nearest > sum || (nearest == sum && rest < 0) ? next_down(nearest) : nearest;
}

// a + b without what no T between it and zero has.
template <class T>
T add_toward_zero(T a, T b) {
  const double sum = static_cast<double>(a) + b;
  const T nearest = static_cast<T>(sum);
  if (!std::isfinite(a) || !std::isfinite(b) || sum == 0) return nearest;
  if (std::isinf(nearest)) return next_toward_zero(nearest);  // the greatest finite one
  const double rest = left_of(a, b, sum);
  const bool beyond = std::abs(nearest) > std::abs(sum) || (nearest == sum && rest != 0 && (rest < 0) != (sum < 0));
  return beyond ? next_toward_zero(nearest) : nearest;
}

// Of a number and one that is none, the number; -0 is less than 0.
template <class T>
T smaller(T a, T b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T larger(T a, T b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  return a > b || (a == b && std::signbit(b)) ? a : b;
}

// .ftz: zero with its sign in place of a subnormal.
template <class T>
T flushed(T v) {
  return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(T{0}, v) : v;
}

// The upper word of 1 / a, from the upper word of a.
double rough_reciprocal(double a) {
  constexpr uint64_t kUpper = 0xffffffff00000000;
  const auto upper = [](double v) { return std::bit_cast<double>(std::bit_cast<uint64_t>(v) & kUpper); };
  return flushed(upper(1 / flushed(upper(a))));
}

template <class T>
void add_arithmetic(Table& table, const std::string& type) {
  for (const std::string rounding : {"", ".rn"}) {
    table.add("add" + rounding + "." + type, each<T(T, T)>([](T a, T b) { return a + b; }));
    table.add("sub" + rounding + "." + type, each<T(T, T)>([](T a, T b) { return a - b; }));
    table.add("mul" + rounding + "." + type, each<T(T, T)>([](T a, T b) { return a * b; }));
  }
  table.add("add.rz." + type, each<T(T, T)>([](T a, T b) { return add_toward_zero(a, b); }));
  table.add("fma.rn." + type, each<T(T, T, T)>([](T a, T b, T c) { return std::fma(a, b, c); }));
  table.add("div.rn." + type, each<T(T, T)>([](T a, T b) { return a / b; }));
  table.add("rcp.rn." + type, each<T(T)>([](T a) { return 1 / a; }));
  table.add("sqrt.rn." + type, each<T(T)>([](T a) { return std::sqrt(a); }));
  table.add("neg." + type, each<T(T)>([](T a) { return -a; }));
  table.add("abs." + type, each<T(T)>([](T a) { return std::abs(a); }));
  table.add("copysign." + type, each<T(T, T)>([](T sign, T a) { return std::copysign(a, sign); }));
  table.add("min." + type, each<T(T, T)>([](T a, T b) { return smaller(a, b); }));
  table.add("max." + type, each<T(T, T)>([](T a, T b) { return larger(a, b); }));
}

// Those that end in u hold where an operand is not a number; the others do not.
template <class T>
void add_comparisons(Table& table, const std::string& type) {
  const auto add = [&](const char* name, auto f) {
    table.add(std::string("setp.") + name + "." + type, compare<T>(f));
  };
  add_order<T>(table, type);
  add("ne", [](T a, T b) { return a < b || a > b; });
  add("equ", [](T a, T b) { return !(a < b || a > b); });
  add("neu", [](T a, T b) { return !(a == b); });
  add("ltu", [](T a, T b) { return !(a >= b); });
  add("leu", [](T a, T b) { return !(a > b); });
  add("gtu", [](T a, T b) { return !(a <= b); });
  add("geu", [](T a, T b) { return !(a < b); });
  add("num", [](T a, T b) { return a == a && b == b; });
  add("nan", [](T a, T b) { return a != a || b != b; });
}

}  // namespace

void add_floats(Table& table) {
  add_arithmetic<float>(table, "f32");
  add_arithmetic<double>(table, "f64");
  add_comparisons<float>(table, "f32");
  add_comparisons<double>(table, "f64");
  table.add("fma.rm.f32",
            each<float(float, float, float)>([](float a, float b, float c) { return fma_down(a, b, c); }));
  const auto add = [&](const char* name, auto f) { table.add(name, each<float(float)>(f)); };
  add("ex2.approx.f32", [](float a) { return std::exp2(a); });
  add("ex2.approx.ftz.f32", [](float a) { return flushed(std::exp2(flushed(a))); });
  add("lg2.approx.f32", [](float a) { return std::log2(a); });
  add("lg2.approx.ftz.f32", [](float a) { return flushed(std::log2(flushed(a))); });
  add("rcp.approx.ftz.f32", [](float a) { return flushed(1 / flushed(a)); });
  table.add("rcp.approx.ftz.f64", each<double(double)>([](double a) { return rough_reciprocal(a); }));
}

}  // namespace forja::ptx
