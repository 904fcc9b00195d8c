/**
 * Random numbers: one operation that reads a state (runtime/random_state.ts) and nothing else, and dropout.
 *
 * Element i of a result is made of word i of a Philox4x32-10 stream (lib/random.ts): four elements a counter,
 *
 *   key = seed (low, high)      counter = [i div 4, stream, draw, domain]      seed, draw, domain: the state
 *
 * so numbers depend on nothing but their place, and are the same for any number of threads and on every device:
 *
 *   uniform   (word >>> 8) · 2^-24
 *   normal    Box-Muller on two words: 2k gives the radius √(-2 log(1 - u)), 2k + 1 the angle 2πu; elements 2k and
 *             2k + 1 are radius · cos and radius · sin
 *   integer   low + the high half of word · range
 *   mask      true where word >>> 8 is at least `range` = round(p · 2^24): true with probability 1 - p
 */
import { checkDType, type DType, isFloat } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { checkNumber, checkOptions } from '../options.js'
import { multiplyHigh, philox4x32 } from '../random.js'
import { refArray } from '../reference/array.js'
import { nextRandom } from '../runtime/random_state.js'
import { checkShape, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { cast } from './cast.js'
import { requireTensors } from './check_call.js'
import { where } from './compare.js'
import { mul } from './elementwise.js'
import { defineOp } from './registry.js'

/** Values of the attribute `kind`; the index is the code. */
export const RANDOM_KINDS = ['uniform', 'normal', 'integer', 'mask'] as const
type Kind = (typeof RANDOM_KINDS)[number]

const KIND_DTYPES: Record<Kind, DType> = { uniform: 'float32', normal: 'float32', integer: 'int32', mask: 'bool' }

export const randomOp = defineOp({
  name: 'random',
  code: 216,
  inputs: ['state'],
  attrs: { kind: 'i32', stream: 'i32', low: 'i32', range: 'i32', shape: 'i32[]' },
  infer: ([state], { kind, shape }, site) => {
    if (state!.dtype !== 'int32' || state!.size !== 4) site.fail('ERR_DTYPE', 'the state must be four int32')
    return [{ shape, dtype: KIND_DTYPES[RANDOM_KINDS[kind]!] }]
  },
  grad: () => [null],
  reference: ([state], { kind, stream, low, range }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const [seedLow, seedHigh, draw, domain] = [...state!.data] as [number, number, number, number]
    for (let at = 0; at < out.data.length; at += 4) {
      const words = philox4x32([at / 4, stream, draw, domain], [seedLow, seedHigh])
      const numbers = words.map((word, i) => {
        if (kind === 1) return normal(words[i & ~1]!, words[i | 1]!, i % 2 === 0)
        if (kind === 2) return (low + multiplyHigh(word, range >>> 0)) | 0
        return kind === 3 ? Number(word >>> 8 >= range) : unit(word)
      })
      out.data.set(numbers.slice(0, out.data.length - at), at)
    }
    return [out]
  },
})

function unit(word: number): number {
  return (word >>> 8) * 2 ** -24
}

function normal(first: number, second: number, cosine: boolean): number {
  const angle = 2 * Math.PI * unit(second)
  return Math.sqrt(-2 * Math.log(1 - unit(first))) * (cosine ? Math.cos(angle) : Math.sin(angle))
}

function draw(kind: Kind, shape: Shape, low = 0, range = 0): Tensor {
  const { state, stream } = nextRandom()
  return apply(randomOp, [state], {
    kind: RANDOM_KINDS.indexOf(kind),
    stream,
    low,
    range: range | 0,
    shape: [...shape],
  })
}

export interface RandomOptions {
  /** A float dtype. Default float32. */
  dtype?: DType
}

function drawFloats(what: string, kind: Kind, shape: Shape, options: RandomOptions): Tensor {
  const { dtype = 'float32' } = checkOptions(what, options, ['dtype'])
  checkShape(shape, what)
  checkDType(dtype, what)
  if (!isFloat(dtype)) throw new ForjaError('ERR_DTYPE', `${what}: dtype must be a float one, got ${dtype}`)
  return cast(draw(kind, shape), dtype)
}

/** Normal random numbers of mean 0 and variance 1. */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  return drawFloats('randn', 'normal', shape, options)
}

/** Uniform random numbers in [0, 1). */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  return drawFloats('rand', 'uniform', shape, options)
}

/** int32 random numbers from low to high - 1, uniform but for less than (high - low) / 2^32. */
export function randint(low: number, high: number, shape: Shape): Tensor {
  checkShape(shape, 'randint')
  const whole = Number.isInteger(low) && Number.isInteger(high)
  if (!whole || low >= high || low < -(2 ** 31) || high > 2 ** 31) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `randint: int32 numbers from low to high - 1 are drawn, got ${describeGiven(low)} and ${describeGiven(high)}`,
    )
  }
  // A range of all 2^32 numbers would be 0 in 32 bits; the largest number goes without.
  return draw('integer', shape, low, Math.min(high - low, 2 ** 32 - 1))
}

export interface DropoutOptions {
  /** Probability that an element becomes 0. Default 0.5. */
  p?: number
  /** false: nothing happens. Default true. */
  training?: boolean
}

/**
 * Inverted dropout: each element becomes 0 with probability p, others are divided by 1 - p. The mask (one byte an
 * element) is kept for the gradient; a compiled function draws a new one at every run.
 */
export function dropout(x: Tensor, options: DropoutOptions = {}): Tensor {
  requireTensors('dropout', { x })
  const { p = 0.5, training = true } = checkOptions('dropout', options, ['p', 'training'])
  checkNumber('dropout', 'p', p, 0, 1)
  if (!isFloat(x.dtype)) {
    throw new ForjaError('ERR_DTYPE', `dropout: x must have a float dtype, got ${x.dtype}`, {
      hint: "use cast(x, 'float32')",
    })
  }
  if (!training || p === 0) return x
  const keep = draw('mask', x.shape, 0, Math.round(p * 2 ** 24))
  return where(keep, p === 1 ? x : mul(x, 1 / (1 - p)), 0)
}
