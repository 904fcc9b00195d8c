import { describe, expect, it } from 'vitest'
import {
  asyncContender,
  type Contender,
  checkParity,
  median,
  race,
  ratioOf,
  type Timing,
} from '../../lib/bench/harness.js'

const timing = (turns: number[]): Timing => ({ name: 'x', p50Ms: 0, minMs: 0, calls: turns.length, turns })

describe('median', () => {
  it('is the middle of an odd number, the mean of the two middles of an even one', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([9, 1, 5, 2])).toBe(3.5)
    expect(median([10, 9])).toBe(9.5)
  })
})

describe('ratioOf', () => {
  it('compares turn by turn, so that a machine that slows down does not count', () => {
    // Both get ten times slower in the last turn: absolute medians would say 4 / 2 or 40 / 2.
    expect(ratioOf(timing([4, 6, 40]), timing([2, 2, 20]))).toEqual({ median: 2, min: 2, max: 3 })
  })
})

describe('race', () => {
  it('lets contenders take turns and leaves the first turn of each out', async () => {
    const order: string[] = []
    const contender = (name: string, seconds: number[]): Contender => ({
      name,
      turn: async () => {
        order.push(name)
        return seconds
      },
    })
    const [a, b] = await race([contender('a', [0.004, 0.002, 0.003]), contender('b', [0.001])], 1, 3)
    expect(order.join('')).toBe('abababab')
    expect(a).toEqual({ name: 'a', p50Ms: 3, minMs: 2, calls: 9, turns: [0.003, 0.003, 0.003] })
    expect(b).toEqual({ name: 'b', p50Ms: 1, minMs: 1, calls: 3, turns: [0.001, 0.001, 0.001] })
  })

  it('times a function that does not time itself', async () => {
    const contender = asyncContender('sleep', () => new Promise((resolve) => setTimeout(() => resolve(undefined), 20)))
    const samples = await contender.turn(0.05)
    expect(samples.length).toBeGreaterThan(0)
    expect(Math.min(...samples)).toBeGreaterThan(0.015)
  })

  it('takes the seconds that a function measured itself', async () => {
    const samples = await asyncContender('own', async () => 42).turn(0.001)
    expect(new Set(samples)).toEqual(new Set([42]))
  })

  it('passes on what a contender throws', async () => {
    const broken = asyncContender('broken', async () => {
      throw new Error('out of iron')
    })
    await expect(broken.turn(0.001)).rejects.toThrow(/broken: .*out of iron/)
  })
})

describe('checkParity', () => {
  it('gives the largest difference relative to the largest number', () => {
    expect(checkParity('case', [1, 2.02], [1, 2], 0.02)).toBeCloseTo(0.01, 10)
  })

  it.each([
    ['a wrong number', [1, 2.1], [1, 2], /case: results differ by 5\.00e-2 of the largest, 0\.02 is allowed/],
    ['NaN', [1, Number.NaN], [1, 2], /differ by NaN/],
    ['a shorter result', [1], [1, 2], /case: 1 numbers, 2 were expected/],
  ])('refuses %s', (_, ours, theirs, message) => {
    expect(() => checkParity('case', ours, theirs, 0.02)).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL', message: expect.stringMatching(message) }),
    )
  })
})
