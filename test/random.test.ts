import { describe, expect, it } from 'vitest'
import {
  DOMAINS,
  defaultSeed,
  type Philox4,
  permutation,
  philox4x32,
  RandomStream,
  Shuffle,
  setSeed,
  uniform,
} from '../lib/random.js'

const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ')

describe('philox4x32', () => {
  // The known answers published with Random123 for ten rounds.
  const cases: [string, Philox4, [number, number], string][] = [
    ['zeros', [0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [
      'ones',
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    ],
    [
      'digits of pi',
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ]
  it.each(cases)('answers %s', (_, counter, key, expected) => {
    expect(hex(philox4x32(counter, key))).toBe(expected)
  })
})

describe('RandomStream', () => {
  it('is the blocks of its counter in order', () => {
    const seed = 5 * 2 ** 32 + 7
    const stream = new RandomStream(seed, 3, DOMAINS.data)
    const words = Array.from({ length: 8 }, () => stream.word())
    expect(words).toEqual([...philox4x32([0, 0, 3, 2], [7, 5]), ...philox4x32([1, 0, 3, 2], [7, 5])])
  })

  it('gives uniform numbers in [0, 1) that float32 holds exactly', () => {
    const numbers = uniform(40_000, 1)
    const first = philox4x32([0, 0, 0, 0], [1, 0]).map((word) => (word >>> 8) / 2 ** 24)
    expect([...numbers.slice(0, 4)]).toEqual(first)
    expect(numbers.every((value) => value >= 0 && value < 1)).toBe(true)
    const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length
    // Four standard errors of the mean of 40,000 uniforms are 0.0058.
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.0058)
  })

  it('gives normal numbers of mean 0 and variance 1', () => {
    const stream = new RandomStream(2)
    const numbers = Array.from({ length: 40_000 }, () => stream.normal())
    const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length
    const variance = numbers.reduce((sum, value) => sum + value * value, 0) / numbers.length
    expect(Math.abs(mean)).toBeLessThan(4 / 200)
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2) * 0.005)
    expect(numbers.every(Number.isFinite)).toBe(true)
  })

  it('draws every integer below a bound about as often', () => {
    const stream = new RandomStream(3)
    const counts = new Array<number>(6).fill(0)
    for (let i = 0; i < 60_000; i++) counts[stream.below(6)]!++
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(4 * Math.sqrt(10_000 * (5 / 6)))
  })

  it.each([-1, 1.5, Number.NaN, 2 ** 53, '1'])('refuses the seed %s', (seed) => {
    expect(() => new RandomStream(seed as number)).toThrowError(/seed is .*; expected an integer/)
    expect(() => setSeed(seed as number)).toThrowError(/setSeed/)
  })
})

describe('permutation', () => {
  it('holds every index once, and depends on seed, index and domain', () => {
    const order = permutation(1000, 1, 0)
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(permutation(1000, 1, 0)).toEqual(order)
    for (const other of [permutation(1000, 2, 0), permutation(1000, 1, 1), permutation(1000, 1, 0, DOMAINS.data)]) {
      expect(other).not.toEqual(order)
    }
  })

  it('gives all orders of three about as often', () => {
    const counts = new Map<string, number>()
    for (let seed = 0; seed < 6000; seed++) {
      const order = permutation(3, seed).join('')
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(4 * Math.sqrt(1000 * (5 / 6)))
  })

  it('is the same however it is asked for', () => {
    const shuffle = new Shuffle(1000, 1, 2)
    const parts = [shuffle.slice(0, 32), shuffle.slice(32, 64), shuffle.slice(900, 2000), shuffle.slice(64, 900)]
    const order = [parts[0]!, parts[1]!, parts[3]!, parts[2]!].flatMap((part) => [...part])
    expect(order).toEqual([...permutation(1000, 1, 2)])
  })

  it.each([0, 1])('does %s elements', (length) => {
    expect(permutation(length, 1)).toEqual(new Int32Array(length))
  })
})

describe('setSeed', () => {
  it('is what defaultSeed gives', () => {
    const before = defaultSeed()
    setSeed(42)
    expect(defaultSeed()).toBe(42)
    setSeed(before)
  })
})
