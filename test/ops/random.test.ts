import { afterEach, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { DOMAINS, RandomStream, uniform } from '../../lib/random.js'
import { compareWithReference, expectClose, randomTensor } from '../helpers/compare.js'
import { DEVICES, TEST_DEVICE } from '../helpers/device.js'

afterEach(() => fj.setSeed(0))

const moments = (x: ArrayLike<number>) => {
  const list = Array.from(x)
  const mean = list.reduce((a, b) => a + b, 0) / list.length
  return { mean, variance: list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length }
}

describe('numbers', () => {
  it('are the words of lib/random.ts, element by element', async () => {
    fj.setSeed(2 ** 40 + 17)
    for (let draw = 0; draw < 3; draw++) {
      const size = [1, 333, 5000][draw]!
      expect(await fj.rand([size]).data()).toEqual(uniform(size, 2 ** 40 + 17, draw, DOMAINS.tensor))
    }
    const stream = new RandomStream(2 ** 40 + 17, 3)
    const expected = Float64Array.from({ length: 4999 }, () => stream.normal())
    expectClose(await fj.randn([4999]).data(), expected, 'randn', { rtol: 1e-6, atol: 1e-6 })
  })

  it('are the same on the reference device', async () => {
    const draw = () => ({
      a: fj.rand([7, 33]),
      b: fj.randn([1000]),
      c: fj.randint(-5, 12, [131]),
      d: fj.dropout(fj.ones([300]), { p: 0.3 }),
      e: fj.randint(-(2 ** 31), 2 ** 31, [9]),
    })
    const on = async (device: string) => {
      fj.setSeed(7)
      const compiled = fj.compile(draw, { device })
      await compiled()
      const second = await compiled()
      return await Promise.all(Object.values(second).map((t) => t.data()))
    }
    const [cpu, reference] = [await on(TEST_DEVICE), await on('reference')]
    cpu.forEach((x, i) => expectClose(x, reference[i]!, `draw ${i}`, { rtol: 1e-6, atol: 1e-6 }))
  })

  it('have the right moments and ranges', async () => {
    const u = await fj.rand([200, 200]).data()
    expect(Math.min(...u)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...u)).toBeLessThan(1)
    expect(moments(u).mean).toBeCloseTo(0.5, 2)
    expect(moments(u).variance).toBeCloseTo(1 / 12, 2)
    const z = await fj.randn([200, 200]).data()
    expect(moments(z).mean).toBeCloseTo(0, 1)
    expect(moments(z).variance).toBeCloseTo(1, 1)
    const i = await fj.randint(-3, 4, [20000]).data()
    expect(i).toBeInstanceOf(Int32Array)
    const counts = new Map<number, number>()
    for (const value of i) counts.set(value, (counts.get(value) ?? 0) + 1)
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-3, -2, -1, 0, 1, 2, 3])
    for (const count of counts.values()) expect(Math.abs(count - 20000 / 7)).toBeLessThan(250)
  })

  it('come in every shape and float dtype', async () => {
    expect(await fj.rand([]).item()).toBeLessThan(1)
    expect((await fj.randn([0, 3]).data()).length).toBe(0)
    expect(fj.randn([2], { dtype: 'bfloat16' }).dtype).toBe('bfloat16')
    const bad = expect.objectContaining({ code: 'ERR_ARGUMENT' })
    expect(() => fj.randint(3, 3, [1])).toThrow(bad)
    expect(() => fj.randint(0.5, 3, [1])).toThrow(bad)
    expect(() => fj.rand([-1])).toThrow(bad)
    expect(() => fj.rand([1], { dtype: 'int32' })).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
  })
})

describe('setSeed', () => {
  const data = async (t: fj.Tensor) => [...(await t.data())]

  it('makes draws repeat, each different from the one before', async () => {
    fj.setSeed(5)
    const [a, b] = [await data(fj.randn([10])), await data(fj.randn([10]))]
    fj.setSeed(5)
    expect(await data(fj.randn([10]))).toEqual(a)
    expect(await data(fj.randn([10]))).toEqual(b)
    expect(a).not.toEqual(b)
    fj.setSeed(6)
    expect(await data(fj.randn([10]))).not.toEqual(a)
  })

  it.each(DEVICES)('reaches functions that are compiled already, on %s', async (device) => {
    const draw = fj.compile(() => [fj.rand([5]), fj.rand([5])], { device })
    fj.setSeed(1)
    const run = async () => (await Promise.all((await draw()).map(data))).flat()
    const first = await run()
    const second = await run()
    expect(new Set([...first, ...second]).size).toBe(20)
    fj.setSeed(1)
    expect(await run()).toEqual(first)
    expect(await run()).toEqual(second)
  })

  it('keeps a tensor’s numbers once they are drawn', async () => {
    const x = fj.randn([4])
    const before = await data(fj.add(x, 0))
    expect(await data(x)).toEqual(before)
  })
})

describe('dropout', () => {
  it('is the identity outside training and for p = 0', () => {
    const x = fj.ones([3])
    expect(fj.dropout(x, { p: 0.5, training: false })).toBe(x)
    expect(fj.dropout(x, { p: 0 })).toBe(x)
  })

  it('drops with probability p and scales the rest, for values and gradients alike', async () => {
    const step = fj.compile((x: fj.Tensor) => {
      const y = fj.dropout(x, { p: 0.3 })
      return { y, dx: fj.grad(fj.sum(y), [x])[0]! }
    })
    const x = fj.add(fj.abs(randomTensor([100, 100], 1)), 1)
    const [input, runs] = [await x.data(), [await step(x), await step(x)]]
    const masks: string[] = []
    for (const { y, dx } of runs) {
      const [values, slopes] = [await y.data(), await dx.data()]
      const scale = Math.fround(1 / 0.7)
      const kept = slopes.filter((d) => d !== 0).length
      expect(kept / slopes.length).toBeCloseTo(0.7, 1)
      expect([...new Set(slopes)].sort()).toEqual([0, scale])
      expectClose(
        values,
        input.map((v, i) => v * slopes[i]!),
        'values',
        { rtol: 1e-6 },
      )
      masks.push(slopes.join())
    }
    expect(masks[0]).not.toBe(masks[1])
  })

  it('drops everything for p = 1 and refuses other probabilities', async () => {
    expect([...(await fj.dropout(fj.ones([5]), { p: 1 }).data())]).toEqual([0, 0, 0, 0, 0])
    for (const p of [-0.1, 1.1, Number.NaN]) {
      expect(() => fj.dropout(fj.ones([1]), { p })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    }
    expect(() => fj.dropout(fj.ones([1], { dtype: 'int32' }))).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
  })

  it('agrees with the reference, gradients included', async () => {
    fj.setSeed(11) // both devices' streams begin anew
    await compareWithReference((x) => fj.mul(fj.dropout(x!, { p: 0.4 }), x!), [randomTensor([37, 3], 2)])
  })
})
