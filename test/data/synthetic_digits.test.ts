import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { GLYPHS } from '../../lib/data/digit_glyphs.js'
import { syntheticDigits } from '../../lib/data/synthetic_digits.js'

const digest = (array: Uint8Array | Int32Array) =>
  createHash('sha256')
    .update(Buffer.from(array.buffer, array.byteOffset, array.byteLength))
    .digest('hex')

describe('syntheticDigits', () => {
  it('gives uint8 images [1, 28, 28] and as many of each digit', async () => {
    const { train, test } = await syntheticDigits({ train: 1000, test: 200, seed: 4 })
    expect([train.length, test.length]).toEqual([1000, 200])
    expect(train.fields).toMatchObject([
      { shape: [1, 28, 28], dtype: 'uint8' },
      { shape: [], dtype: 'int32', classes: 10 },
    ])
    for (const { y, length } of [train, test]) {
      const counts = new Array<number>(10).fill(0)
      for (const label of y) counts[label]!++
      expect(counts).toEqual(new Array(10).fill(length / 10))
    }
    // Not sorted, nor 0, 1, 2 ... again and again.
    expect([...train.y.slice(0, 10)]).not.toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('draws ink inside the picture and leaves most of it empty', async () => {
    const { train } = await syntheticDigits({ train: 500, test: 0 })
    for (let i = 0; i < train.length; i++) {
      const { x } = train.get(i, { raw: true })
      const inked = x.filter((value) => value > 128).length
      expect(inked).toBeGreaterThan(10)
      expect(inked).toBeLessThan(784 / 2)
    }
  })

  it('is normalised to mean 0 and deviation 1', async () => {
    const { train } = await syntheticDigits({ train: 500, test: 0 })
    const { x } = train.gather(train.order())
    const mean = (x as Float32Array).reduce((sum, value) => sum + value, 0) / x.length
    expect(mean).toBeCloseTo(0, 4)
  })

  it('depends on the seed alone, and a sample not on how many there are', async () => {
    const [a, b, other] = await Promise.all([1, 1, 2].map((seed) => syntheticDigits({ train: 50, test: 20, seed })))
    expect(digest(a!.train.x as Uint8Array)).toBe(digest(b!.train.x as Uint8Array))
    expect(digest(a!.test.x as Uint8Array)).toBe(digest(b!.test.x as Uint8Array))
    expect(digest(a!.train.x as Uint8Array)).not.toBe(digest(other!.train.x as Uint8Array))
    expect(digest(a!.train.x.subarray(0, 20 * 784) as Uint8Array)).not.toBe(digest(a!.test.x as Uint8Array))
  })

  it('draws no picture twice', async () => {
    const { train, test } = await syntheticDigits({ train: 2000, test: 500 })
    const seen = new Set<string>()
    for (const set of [train, test]) {
      for (let i = 0; i < set.length; i++) seen.add(digest(set.get(i, { raw: true }).x as Uint8Array))
    }
    expect(seen.size).toBe(2500)
  })

  it('can be told apart by the mean picture of each class, but not always', async () => {
    const { train, test } = await syntheticDigits({ train: 2000, test: 500, seed: 1 })
    const means = Array.from({ length: 10 }, () => new Float64Array(784))
    for (let i = 0; i < train.length; i++) {
      const mean = means[train.y[i]!]!
      for (let p = 0; p < 784; p++) mean[p]! += train.x[i * 784 + p]! / 200
    }
    let right = 0
    for (let i = 0; i < test.length; i++) {
      const gaps = means.map((mean) => mean.reduce((sum, value, p) => sum + (value - test.x[i * 784 + p]!) ** 2, 0))
      if (gaps.indexOf(Math.min(...gaps)) === test.y[i]) right++
    }
    // Far above chance, and far from what a network reaches.
    expect(right / test.length).toBeGreaterThan(0.6)
    expect(right / test.length).toBeLessThan(0.95)
  })

  it.each([{ train: -1 }, { test: 1.5 }, { seed: -3 }, { train: 1e9 }])('refuses %o', async (options) => {
    await expect(syntheticDigits(options)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })

  it('knows several ways of writing each digit', () => {
    expect(GLYPHS).toHaveLength(10)
    for (const variants of GLYPHS) {
      expect(variants.length).toBeGreaterThanOrEqual(3)
      for (const stroke of variants.flat()) {
        expect(stroke.length % 2).toBe(0)
        expect(stroke.length).toBeGreaterThanOrEqual(4)
        for (const value of stroke) expect(value >= 0 && value <= 100).toBe(true)
      }
    }
  })
})
