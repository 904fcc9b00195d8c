import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import {
  checkGolden,
  compareWithReference,
  expectClose,
  goldenCases,
  ROWS_TO_SHARE,
  randomTensor,
} from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

const OPS = { softmax: fj.softmax, logSoftmax: fj.logSoftmax }

describe.each(DEVICES)('golden on %s', (device) => {
  for (const [name, op] of Object.entries(OPS)) {
    it.each(goldenCases(name))('$name', (test) => checkGolden(test, ({ x }, attrs) => op(x!, attrs), device))
  }
})

describe.each(Object.entries(OPS))('%s', (_name, op) => {
  it.each([[[1]], [[7]], [[128, 10]], [[33, 31]], [[5, 1000]], [[3, 127, 2]], [[2, 5000]]])(
    '%j along every axis',
    async (shape) => {
      for (let axis = 0; axis < shape.length; axis++) {
        await compareWithReference((x) => op(x!, { axis }), [randomTensor(shape, 1)])
      }
    },
  )

  it.each(ROWS_TO_SHARE)('%i rows of %i', (...shape) => compareWithReference((x) => op(x!), [randomTensor(shape, 1)]))

  it('is differentiated correctly, twice', async () => {
    await fj.gradcheck((x) => op(x!, { axis: 0 }), [randomTensor([3, 4], 2)])
    const twice = (x: fj.Tensor) => fj.grad(fj.sum(fj.mul(op(x), randomTensor([3, 4], 5))), [x])[0]!
    await fj.gradcheck((x) => twice(x!), [randomTensor([3, 4], 2)])
  })

  it('does not overflow or lose small differences', async () => {
    const big = fj.tensor([1e4, 1e4 - 1, -1e30])
    const small = fj.tensor([0, -1, Number.NEGATIVE_INFINITY])
    const [a, b] = [await op(big).data(), await op(small).data()]
    expectClose(a.slice(0, 2), b.slice(0, 2), 'shifted logits')
    for (const v of a) expect(v).not.toBeNaN()
  })

  it.each([0, 40])('of a row with an infinite maximum is NaN, as PyTorch has it, in rows of %i more', async (more) => {
    const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN]
    const rows = [
      [inf, 1, 2],
      [1, inf, inf],
      [inf, -inf, 0],
      [inf, nan, 0],
      [-inf, -inf, -inf],
      [-inf, nan, 1],
      [-inf, 1, -inf],
    ].map((row) => [...row, ...new Array<number>(more).fill(-inf)])
    const y = await op(fj.tensor(rows)).array()
    for (const [i, row] of (y as number[][]).entries()) expect(row.every(Number.isNaN), `row ${i}`).toBe(i < 6)
    await compareWithReference((x) => op(x!), [fj.tensor(rows)])
  })

  it('takes empty rows and empty batches', async () => {
    expect((await op(fj.zeros([0, 5])).data()).length).toBe(0)
    expect((await op(fj.zeros([5, 0])).data()).length).toBe(0)
  })

  it('refuses integers, scalars and axes that are not there', () => {
    expect(() => op(fj.zeros([2], { dtype: 'int32' }))).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
    expect(() => op(fj.zeros([]))).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    expect(() => op(fj.zeros([2]), { axis: 1 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

it('sums a row of softmax to 1', async () => {
  const total = await fj.sum(fj.softmax(randomTensor([31, 777], 3)), { axes: 1 }).data()
  for (const t of total) expect(Math.abs(t - 1)).toBeLessThan(1e-6)
})

describe('logSumExp', () => {
  it.each(ROWS_TO_SHARE)('%i rows of %i', (...shape) =>
    compareWithReference((x) => fj.logSumExp(x!, { axes: 1 }), [randomTensor(shape, 1)]),
  )

  it.each([
    [[], []],
    [[7], [0]],
    [[3, 33, 5], [1]],
    [
      [3, 33, 5],
      [0, 2],
    ],
    [
      [2, 9000],
      [0, 1],
    ],
  ] as [number[], number[]][])('%j over %j', async (shape, axes) => {
    for (const keepDims of [false, true]) {
      await compareWithReference((x) => fj.logSumExp(x!, { axes, keepDims }), [randomTensor(shape, 4)])
    }
  })
  it.each([1, 40])('keeps NaN beside infinities, in rows of %i more', async (more) => {
    const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN]
    const rows = [
      [inf, nan, 1],
      [nan, inf, -inf],
      [-inf, nan, -inf],
      [-inf, -inf, nan],
      [1, inf, 2],
      [-inf, -inf, -inf],
    ].map((row) => [...row, ...new Array<number>(more).fill(-inf)])
    expect([...(await fj.logSumExp(fj.tensor(rows), { axes: 1 }).data())]).toEqual([nan, nan, nan, nan, inf, -inf])
    await compareWithReference((x) => fj.logSumExp(x!, { axes: 1 }), [fj.tensor(rows)])
    const labels = fj.full([rows.length], 2, { dtype: 'int32' })
    const losses = (x: fj.Tensor) => fj.crossEntropy(x, labels, { reduction: 'none' })
    expect([...(await losses(fj.tensor(rows)).data())]).toEqual(rows.map(() => nan))
    await compareWithReference((x) => losses(x!), [fj.tensor(rows)])
  })
  it('is differentiated correctly', () => fj.gradcheck((x) => fj.logSumExp(x!, { axes: 0 }), [randomTensor([3, 4], 2)]))
})
