/**
 * Functions of one number: roots, exponentials, logarithms, trigonometry, erf, clamp. Kernels: native/cpu/simd/math.h,
 * within a few units in the last place of float32 everywhere.
 */
import { isFloat } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { apply, type TensorLike } from './apply.js'
import { requireTensors } from './check_call.js'
import { greaterEqual, lessEqual, logicalAnd, where } from './compare.js'
import { type Accepts, defineElementwise } from './define_elementwise.js'
import { add, div, maximum, minimum, mul, neg } from './elementwise.js'
import { operand, unary } from './operands.js'
import type { Op } from './registry.js'

type Gradient = (x: Tensor, y: Tensor, dy: Tensor) => Tensor | null

function unaryOp(
  name: string,
  code: number,
  scalar: (x: number) => number,
  gradient: Gradient,
  accepts: Accepts = 'float',
): Op<Record<never, never>> {
  return defineElementwise({
    name,
    code,
    inputs: ['x'],
    attrs: {},
    accepts,
    scalar: ([x]) => scalar(x!),
    integer: ([x]) => (name === 'square' ? Math.imul(x!, x!) : scalar(x!) | 0),
    grad: ({ inputs: [x], outputs: [y] }, dy) => [gradient(x!, y!, dy)],
  })
}

const absOp = unaryOp('abs', 24, Math.abs, (x, _y, dy) => mul(dy, sign(x)), 'arithmetic')
const signOp = unaryOp(
  'sign',
  25,
  (x) => (x > 0 ? 1 : x < 0 ? -1 : 0),
  () => null,
  'arithmetic',
)
const squareOp = unaryOp(
  'square',
  26,
  (x) => x * x,
  (x, _y, dy) => mul(dy, mul(x, 2)),
  'arithmetic',
)
const sqrtOp = unaryOp('sqrt', 27, Math.sqrt, (_x, y, dy) => div(mul(dy, 0.5), y))
const rsqrtOp = unaryOp(
  'rsqrt',
  28,
  (x) => 1 / Math.sqrt(x),
  (_x, y, dy) => mul(mul(dy, -0.5), mul(square(y), y)),
)
const reciprocalOp = unaryOp(
  'reciprocal',
  29,
  (x) => 1 / x,
  (_x, y, dy) => neg(mul(dy, square(y))),
)
const expOp = unaryOp('exp', 30, Math.exp, (_x, y, dy) => mul(dy, y))
const expm1Op = unaryOp('expm1', 31, Math.expm1, (_x, y, dy) => mul(dy, add(y, 1)))
const logOp = unaryOp('log', 32, Math.log, (x, _y, dy) => div(dy, x))
const log1pOp = unaryOp('log1p', 33, Math.log1p, (x, _y, dy) => div(dy, add(x, 1)))
const sinOp = unaryOp('sin', 34, Math.sin, (x, _y, dy) => mul(dy, cos(x)))
const cosOp = unaryOp('cos', 35, Math.cos, (x, _y, dy) => neg(mul(dy, sin(x))))
const erfOp = unaryOp('erf', 36, erfOf, (x, _y, dy) => mul(dy, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))))

/** erf x = 2/√π · exp(-x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·5···(2n+1)): no term is negative, so nothing cancels. */
export function erfOf(x: number): number {
  if (Number.isNaN(x)) return x
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x
  let total = x
  for (let n = 1; n < 200 && Math.abs(term) > Math.abs(total) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    total += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total
}

/** |x|; gradient 0 at 0. */
export function abs(x: TensorLike): Tensor {
  return unary(absOp, x)
}

/** -1, 0 or 1; 0 for NaN. */
export function sign(x: TensorLike): Tensor {
  return unary(signOp, x)
}

/** x². */
export function square(x: TensorLike): Tensor {
  return unary(squareOp, x)
}

/** √x; NaN below 0. */
export function sqrt(x: TensorLike): Tensor {
  return unary(sqrtOp, x)
}

/** 1 / √x. */
export function rsqrt(x: TensorLike): Tensor {
  return unary(rsqrtOp, x)
}

/** 1 / x. */
export function reciprocal(x: TensorLike): Tensor {
  return unary(reciprocalOp, x)
}

/** eˣ. */
export function exp(x: TensorLike): Tensor {
  return unary(expOp, x)
}

/** eˣ - 1, exact near 0. */
export function expm1(x: TensorLike): Tensor {
  return unary(expm1Op, x)
}

/** The natural logarithm: -∞ at 0, NaN below. */
export function log(x: TensorLike): Tensor {
  return unary(logOp, x)
}

/** log(1 + x), exact near 0. */
export function log1p(x: TensorLike): Tensor {
  return unary(log1pOp, x)
}

/** sin x, x in radians. */
export function sin(x: TensorLike): Tensor {
  return unary(sinOp, x)
}

/** cos x, x in radians. */
export function cos(x: TensorLike): Tensor {
  return unary(cosOp, x)
}

/** The error function 2/√π ∫₀ˣ exp(-t²) dt. */
export function erf(x: TensorLike): Tensor {
  return unary(erfOp, x)
}

export interface ClampOptions {
  /** Default: no lower bound. */
  min?: number
  /** Default: no upper bound; wins where it is below min. */
  max?: number
}

const clampOp = defineElementwise({
  name: 'clamp',
  code: 37,
  inputs: ['x'],
  attrs: { min: 'f32', max: 'f32' },
  accepts: 'float',
  scalar: ([x], { min, max }) => Math.min(Math.max(x!, min), max),
  grad: ({ inputs: [x], attrs: { min, max } }, dy) => [
    where(logicalAnd(greaterEqual(x!, min), lessEqual(x!, max)), dy, 0),
  ],
})

/** x limited to [min, max]; the gradient passes inside, bounds included. NaN stays. */
export function clamp(x: Tensor, options: ClampOptions): Tensor {
  requireTensors('clamp', { x })
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = checkOptions('clamp', options, [
    'min',
    'max',
  ])
  if (typeof min !== 'number' || typeof max !== 'number' || Number.isNaN(min) || Number.isNaN(max)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `clamp: min and max must be numbers, got ${describeGiven(min)} and ${describeGiven(max)}`,
    )
  }
  if (isFloat(x.dtype)) return apply(clampOp, [x], { min, max })
  const low = Number.isFinite(min) ? maximum(x, operand('clamp', min, x.dtype)) : x
  return Number.isFinite(max) ? minimum(low, operand('clamp', max, x.dtype)) : low
}
