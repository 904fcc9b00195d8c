/**
 * Random numbers by counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). The n-th block is a pure function of (seed, stream, n), so the same numbers come out on every device and
 * in any order.
 *
 *   key      = [seed mod 2^32, seed div 2^32]
 *   counter  = [n mod 2^32, n div 2^32, stream index, stream domain]
 *   uniform  = (word >>> 8) * 2^-24, in [0, 1), exact in float32
 *   normal   = Box-Muller on two uniforms, the first taken as 1 - u so that its logarithm is finite
 *
 * A stream is named by a domain (who draws) and an index (which epoch, which sample): two users never share numbers.
 */
import { allocate } from './dtype.js'
import { describeGiven, ForjaError } from './errors.js'

export type Philox4 = [number, number, number, number]

/** Who draws: the last counter word. Append only, or old seeds give other numbers. */
export const DOMAINS = { tensor: 0, shuffle: 1, data: 2, program: 3, augment: 4 } as const

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85
const ROUNDS = 10
const TWO_32 = 2 ** 32

/** The high 32 bits of a 32x32-bit product, unsigned; every partial sum stays below 2^32, so doubles hold it exactly. */
export function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  const middle = a1 * b0 + ((a0 * b0) >>> 16)
  const cross = a0 * b1 + (middle & 0xffff)
  return a1 * b1 + (middle >>> 16) + (cross >>> 16)
}

/** One block into out[0..3]. */
function block(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number, out: Uint32Array): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + WEYL_0) >>> 0
    k1 = (k1 + WEYL_1) >>> 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** The Philox4x32-10 function: four 32-bit words from a 128-bit counter and a 64-bit key. */
export function philox4x32(counter: Readonly<Philox4>, key: readonly [number, number]): Philox4 {
  const out = new Uint32Array(4)
  const [c0, c1, c2, c3] = counter
  block(c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0, key[0] >>> 0, key[1] >>> 0, out)
  return [out[0]!, out[1]!, out[2]!, out[3]!]
}

export function checkSeed(seed: unknown, what: string): asserts seed is number {
  if (!Number.isSafeInteger(seed) || (seed as number) < 0) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${what}: seed is ${describeGiven(seed)}; expected an integer from 0 to 2^53 - 1`,
    )
  }
}

/** The words of one stream in order. */
export class RandomStream {
  readonly #key0: number
  readonly #key1: number
  readonly #index: number
  readonly #domain: number
  readonly #words = new Uint32Array(4)
  #block = 0
  #at = 4
  #spare: number | undefined

  /** @param index which epoch, sample ... within the domain: an integer from 0 to 2^32 - 1 */
  constructor(seed: number, index = 0, domain: number = DOMAINS.tensor) {
    checkSeed(seed, 'random stream')
    if (!Number.isInteger(index) || index < 0 || index >= TWO_32) {
      throw new ForjaError('ERR_ARGUMENT', `random stream: index is ${index}; expected an integer from 0 to 2^32 - 1`)
    }
    this.#key0 = seed >>> 0
    this.#key1 = Math.floor(seed / TWO_32)
    this.#index = index
    this.#domain = domain
  }

  /** 32 uniformly distributed bits. */
  word(): number {
    if (this.#at === 4) {
      const n = this.#block++
      block(n >>> 0, Math.floor(n / TWO_32), this.#index, this.#domain, this.#key0, this.#key1, this.#words)
      this.#at = 0
    }
    return this.#words[this.#at++]!
  }

  /** In [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * ((this.word() >>> 8) * 2 ** -24)
  }

  /** Mean 0, variance 1. */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare
      this.#spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    const angle = 2 * Math.PI * this.uniform()
    this.#spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }

  /** An integer in [0, bound) without bias: words at or over the largest multiple of bound are drawn again. */
  below(bound: number): number {
    const limit = TWO_32 - (TWO_32 % bound)
    for (;;) {
      const word = this.word()
      if (word < limit) return word % bound
    }
  }
}

/** `length` numbers in [0, 1): element i is word i of the stream. */
export function uniform(length: number, seed: number, index = 0, domain: number = DOMAINS.tensor): Float32Array {
  const stream = new RandomStream(seed, index, domain)
  const out = new Float32Array(length)
  for (let i = 0; i < length; i++) out[i] = stream.uniform()
  return out
}

/**
 * A permutation of 0 .. length - 1 whose elements are drawn when they are asked for, so that the first batch of an epoch
 * does not wait for the last: Fisher-Yates from the front, the partner of i drawn from [i, length).
 */
export class Shuffle {
  readonly #order: Int32Array
  readonly #stream: RandomStream
  #drawn = 0

  constructor(length: number, seed: number, index = 0, domain: number = DOMAINS.shuffle) {
    this.#order = range(length)
    this.#stream = new RandomStream(seed, index, domain)
  }

  /** A copy of the elements at start .. end - 1. */
  slice(start: number, end: number): Int32Array {
    const order = this.#order
    for (const last = Math.min(end, order.length); this.#drawn < last; this.#drawn++) {
      const i = this.#drawn
      const j = i + this.#stream.below(order.length - i)
      const swapped = order[i]!
      order[i] = order[j]!
      order[j] = swapped
    }
    return order.slice(start, end)
  }
}

/** All elements of a {@link Shuffle}. */
export function permutation(length: number, seed: number, index = 0, domain: number = DOMAINS.shuffle): Int32Array {
  return new Shuffle(length, seed, index, domain).slice(0, length)
}

/** 0 .. length - 1. */
export function range(length: number): Int32Array {
  const out = allocate('int32', length)
  for (let i = 0; i < length; i++) out[i] = i
  return out
}

let packageSeed = 0
const listeners: (() => void)[] = []

/**
 * Makes every random number that follows a function of `seed`: initial weights, dropout, shuffling, data. The same seed
 * on the same device gives the same numbers, also in functions that are compiled already.
 *
 * @throws ERR_ARGUMENT unless seed is an integer from 0 to 2^53 - 1.
 */
export function setSeed(seed: number): void {
  checkSeed(seed, 'setSeed')
  packageSeed = seed
  for (const listener of listeners) listener()
}

/** The seed in force, where a call names none of its own. */
export function defaultSeed(): number {
  return packageSeed
}

/** @internal Calls `listener` after each setSeed. */
export function onSetSeed(listener: () => void): void {
  listeners.push(listener)
}
