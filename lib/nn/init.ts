/**
 * Initial values of weights: each function gives an initialiser, shape → tensor, drawn when it is first needed.
 *
 * Of a weight (out, in, ...window), fan-in is in · window and fan-out out · window. Xavier keeps the variance of values
 * and gradients between them, Kaiming that of one of the two behind a nonlinearity with the given gain:
 *
 *     xavier    std = gain · √(2 / (fanIn + fanOut))
 *     kaiming   std = gain / √fan
 *     uniform   in [-√3 · std, √3 · std], the interval of that standard deviation
 */
import { full } from '../create.js'
import { describeGiven, ForjaError } from '../errors.js'
import { add, div, matmul, mul, rand, randn, reshape, sqrt, square, sub, sum, transpose } from '../ops/index.js'
import { checkChoice, checkNumber, checkOptions } from '../options.js'
import { checkShape, formatShape, type Shape, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'

export type Initializer = (shape: Shape) => Tensor

/** How much a nonlinearity shrinks the variance, as the factor that undoes it. */
const GAINS = {
  linear: 1,
  conv: 1,
  sigmoid: 1,
  tanh: 5 / 3,
  relu: Math.SQRT2,
  selu: 3 / 4,
} as const

export type Nonlinearity = keyof typeof GAINS | 'leakyRelu'

/** @param alpha the slope of leakyRelu below zero; default 0.01 */
export function gain(nonlinearity: Nonlinearity, alpha = 0.01): number {
  if (nonlinearity === 'leakyRelu') return Math.sqrt(2 / (1 + alpha * alpha))
  if (!Object.hasOwn(GAINS, nonlinearity)) {
    const known = [...Object.keys(GAINS), 'leakyRelu'].join(', ')
    throw new ForjaError(
      'ERR_ARGUMENT',
      `gain: unknown nonlinearity ${describeGiven(nonlinearity)}; expected one of ${known}`,
    )
  }
  return GAINS[nonlinearity]
}

export function constant(value: number): Initializer {
  checkNumber('init.constant', 'value', value)
  return (shape) => full(shape, value)
}

export function zeros(): Initializer {
  return constant(0)
}

export function ones(): Initializer {
  return constant(1)
}

export function normal(options: { mean?: number; std?: number } = {}): Initializer {
  const { mean = 0, std = 1 } = checkOptions('init.normal', options, ['mean', 'std'])
  checkNumber('init.normal', 'mean', mean)
  checkNumber('init.normal', 'std', std, 0)
  return (shape) => {
    const scaled = mul(randn(shape), std)
    return mean === 0 ? scaled : add(scaled, mean)
  }
}

/** Evenly distributed in [low, high). */
export function uniform(options: { low?: number; high?: number } = {}): Initializer {
  const { low = 0, high = 1 } = checkOptions('init.uniform', options, ['low', 'high'])
  checkNumber('init.uniform', 'low', low)
  checkNumber('init.uniform', 'high', high, low)
  return (shape) => add(mul(rand(shape), high - low), low)
}

function symmetric(bound: number): Initializer {
  return uniform({ low: -bound, high: bound })
}

export interface XavierOptions {
  /** Default 1; `gain('tanh')` behind a tanh. */
  gain?: number
}

const XAVIER = ['gain'] as const

export function xavierNormal(options: XavierOptions = {}): Initializer {
  checkOptions('init.xavierNormal', options, XAVIER)
  return (shape) => normal({ std: xavierStd('xavierNormal', shape, options) })(shape)
}

export function xavierUniform(options: XavierOptions = {}): Initializer {
  checkOptions('init.xavierUniform', options, XAVIER)
  return (shape) => symmetric(Math.sqrt(3) * xavierStd('xavierUniform', shape, options))(shape)
}

function xavierStd(name: string, shape: Shape, { gain = 1 }: XavierOptions): number {
  checkNumber(`init.${name}`, 'gain', gain)
  const { fanIn, fanOut } = fans(name, shape)
  return gain * Math.sqrt(2 / (fanIn + fanOut))
}

export interface KaimingOptions {
  /** Keep the variance of values (fanIn, the default) or of gradients (fanOut). */
  mode?: 'fanIn' | 'fanOut'
  /** Default leakyRelu, which with the default alpha of 0 is relu. */
  nonlinearity?: Nonlinearity
  /** Slope of leakyRelu below zero. Default 0. */
  alpha?: number
}

const KAIMING = ['mode', 'nonlinearity', 'alpha'] as const

export function kaimingNormal(options: KaimingOptions = {}): Initializer {
  checkOptions('init.kaimingNormal', options, KAIMING)
  return (shape) => normal({ std: kaimingStd('kaimingNormal', shape, options) })(shape)
}

export function kaimingUniform(options: KaimingOptions = {}): Initializer {
  checkOptions('init.kaimingUniform', options, KAIMING)
  return (shape) => symmetric(Math.sqrt(3) * kaimingStd('kaimingUniform', shape, options))(shape)
}

function kaimingStd(
  name: string,
  shape: Shape,
  { mode = 'fanIn', nonlinearity = 'leakyRelu', alpha = 0 }: KaimingOptions,
): number {
  checkChoice(`init.${name}`, 'mode', mode, ['fanIn', 'fanOut'])
  return gain(nonlinearity, alpha) / Math.sqrt(fans(name, shape)[mode])
}

/** Inputs that an output of a weight (out, in, ...window) sums, and outputs that an input reaches. */
function fans(name: string, shape: Shape): { fanIn: number; fanOut: number } {
  checkShape(shape, `init.${name}`)
  if (shape.length < 2) {
    throw new ForjaError('ERR_SHAPE', `init.${name}: at least 2 dimensions (out, in, ...), got ${formatShape(shape)}`)
  }
  const window = sizeOfShape(shape.slice(2))
  return { fanIn: shape[1]! * window, fanOut: shape[0]! * window }
}

/** Enough for singular values of 1e-11 of the norm: each step multiplies small ones by 1.5. */
const POLAR_STEPS = 64

/**
 * Rows (or columns, where there are fewer) of a weight (out, ...) taken as a matrix are orthonormal: the orthogonal
 * factor of a normal matrix, which is uniformly distributed. Newton-Schulz: X ← X (3 I - XᵀX) / 2 takes every singular
 * value in (0, √3) to 1.
 */
export function orthogonal(options: { gain?: number } = {}): Initializer {
  const { gain = 1 } = checkOptions('init.orthogonal', options, ['gain'])
  checkNumber('init.orthogonal', 'gain', gain)
  return (shape) => {
    const { fanIn } = fans('orthogonal', shape)
    const out = shape[0]!
    const tall = out >= fanIn
    const start = randn(tall ? [out, fanIn] : [fanIn, out])
    let x = div(start, sqrt(sum(square(start))))
    for (let step = 0; step < POLAR_STEPS; step++) {
      const gram = matmul(x, x, { transposeA: true })
      x = sub(mul(x, 1.5), mul(matmul(x, gram), 0.5))
    }
    return mul(reshape(tall ? x : transpose(x), shape), gain)
  }
}
