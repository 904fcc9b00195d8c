import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, expectClose, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

const REDUCTIONS = { sum: fj.sum, mean: fj.mean, max: fj.max, min: fj.min, prod: fj.prod }

describe.each(DEVICES)('golden on %s', (device) => {
  for (const [name, op] of Object.entries({ ...REDUCTIONS, logSumExp: fj.logSumExp, variance: fj.variance })) {
    if (name === 'prod') continue // PyTorch's vectors have none
    it.each(goldenCases(name))('$name', (test) => checkGolden(test, ({ x }, attrs) => op(x!, attrs), device))
  }
  it.each(goldenCases('argMax'))('$name', (test) => checkGolden(test, ({ x }, attrs) => fj.argMax(x!, attrs), device))
})

/** Shapes and axes that reach every way of walking: runs, rows, narrow rows, several groups, parts. */
const CASES: [shape: number[], axes: number[]][] = [
  [[], []],
  [[1], [0]],
  [[7], [0]],
  [[127, 31], [1]],
  [[127, 31], [0]],
  [
    [33, 1, 7],
    [0, 1],
  ],
  [
    [2, 3, 5, 7],
    [0, 2, 3],
  ],
  [
    [2, 3, 5, 7],
    [0, 2],
  ],
  [
    [2, 3, 5, 7],
    [1, 3],
  ],
  [[2, 3, 5, 7], [1]],
  [
    [3, 2, 2, 3, 2, 2],
    [0, 2, 4],
  ],
  [[9000], [0]],
  [
    [70, 200],
    [0, 1],
  ],
  [[3000, 6], [0]],
  [[3000, 10], [0]],
  [[2000, 17], [0]],
  [[300, 64], [0]],
  [[40, 700], [0]],
  [[5, 4100], [1]],
  [[2, 1300, 3], [1]],
  [[10000], [0]],
  [[2, 8196], [1]],
  [[67, 96], [1]],
  [[700, 132], [0]],
  [
    [4, 5, 3, 24],
    [0, 2],
  ],
  [
    [6, 5, 3, 20],
    [1, 3],
  ],
  [
    [20, 2, 260],
    [0, 2],
  ],
]

describe.each(Object.entries(REDUCTIONS))('%s', (name, op) => {
  it.each(CASES)('%j over %j', async (shape, axes) => {
    // Products of many numbers leave float32's range: numbers near 1 keep them in.
    const x = name === 'prod' ? fj.add(1, fj.mul(randomTensor(shape, 1), 0.01)) : randomTensor(shape, 1)
    const [input] = [await materialize(x)]
    for (const keepDims of [false, true]) {
      await compareWithReference((t) => op(t!, { axes, keepDims }), [input])
    }
  })

  it('is differentiated correctly', async () => {
    const x = randomTensor([2, 3, 4], 7)
    await fj.gradcheck((t) => op(t!, { axes: [0, 2] }), [x])
    await fj.gradcheck((t) => op(t!), [x])
  })
})

async function materialize(x: fj.Tensor): Promise<fj.Tensor> {
  return fj.tensor(await x.data(), { shape: x.shape })
}

it('sums many numbers accurately', async () => {
  const n = 3_000_000
  const data = new Float32Array(n).fill(0.1)
  const x = fj.tensor(data)
  expect(await fj.sum(x).item()).toBeCloseTo(n * Math.fround(0.1), 0)
  const columns = await fj.sum(fj.reshape(x, [n / 6, 6]), { axes: 0 }).data()
  for (const total of columns) expect(Math.abs(total / ((n / 6) * Math.fround(0.1)) - 1)).toBeLessThan(2e-7)
})

describe('integers', () => {
  it('sums int32 exactly, beyond the precision of floats', async () => {
    const x = fj.tensor(Int32Array.of(16777217, 1, -3, 2 ** 30, 5, 7, 11), { dtype: 'int32' })
    expect(await fj.sum(x).item()).toBe(16777217 + 1 - 3 + 2 ** 30 + 5 + 7 + 11)
    expect((await fj.sum(x)).dtype).toBe('int32')
  })

  it.each(['int32', 'uint8', 'bool'] as const)('max, min, sum, any, all of %s', async (dtype) => {
    // Rows of odd lengths, and of packs of four and of sixteen elements, few and many.
    for (const shape of [
      [33, 31],
      [9, 64],
      [300, 64],
      [2, 3200],
    ]) {
      for (const axes of [[0], [1], [0, 1]]) {
        const x = randomTensor(shape, 4, dtype, dtype === 'bool' ? 2 : 200)
        await compareWithReference(
          (t) => [
            fj.max(t!, { axes }),
            fj.min(t!, { axes }),
            fj.sum(t!, { axes }),
            fj.any(t!, { axes }),
            fj.all(t!, { axes }),
          ],
          [x],
        )
      }
    }
    expect(fj.sum(fj.zeros([3], { dtype })).dtype).toBe('int32')
  })

  it('multiplies int32', async () => {
    for (const shape of [
      [7, 5],
      [3, 400],
      [400, 3],
      [5, 3200],
      [200, 64],
    ]) {
      for (const axes of [[0], [1]]) {
        await compareWithReference((t) => fj.prod(t!, { axes }), [randomTensor(shape, 4, 'int32', 6)])
      }
    }
  })
})

describe('NaN and infinities', () => {
  it.each([3, 40, 5000])('max and min of %i elements hand NaN on', async (n) => {
    for (const at of [0, 1, n >> 1, n - 1]) {
      const data = new Float32Array(n).map((_, i) => i % 7)
      data[at] = Number.NaN
      for (const op of [fj.max, fj.min, fj.sum]) {
        expect(await op(fj.tensor(data)).item()).toBeNaN()
        expect([...(await op(fj.tensor(data, { shape: [n, 1] }), { axes: 0 }).data())]).toEqual([Number.NaN])
      }
      const rows = await fj
        .max(fj.concat([fj.tensor(data, { shape: [n, 1] }), fj.zeros([n, 2])], { axis: 1 }), { axes: 0 })
        .data()
      expect(rows[0]).toBeNaN()
      expect(rows[1]).toBe(0)
    }
  })

  it('max of infinities', async () => {
    expect(await fj.max(fj.tensor([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY])).item()).toBe(
      Number.NEGATIVE_INFINITY,
    )
    expect(await fj.logSumExp(fj.tensor([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY])).item()).toBe(
      Number.NEGATIVE_INFINITY,
    )
    expect(await fj.logSumExp(fj.tensor([1, Number.POSITIVE_INFINITY])).item()).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('no elements', () => {
  it('sums to 0, multiplies to 1, and averages to NaN', async () => {
    expect([...(await fj.sum(fj.zeros([2, 0]), { axes: 1 }).data())]).toEqual([0, 0])
    expect([...(await fj.prod(fj.zeros([0, 3]), { axes: 0 }).data())]).toEqual([1, 1, 1])
    expect(await fj.mean(fj.zeros([0])).item()).toBeNaN()
    expect((await fj.sum(fj.zeros([0, 3]), { axes: 1 }).data()).length).toBe(0)
    expect((await fj.max(fj.zeros([0, 3]), { axes: 1 }).data()).length).toBe(0)
    expect((await fj.cumSum(fj.zeros([0, 3])).data()).length).toBe(0)
  })

  it('has all of none true, and none of them', async () => {
    for (const dtype of ['float32', 'bool'] as const) {
      const x = fj.zeros([2, 0], { dtype })
      expect([...(await fj.any(x, { axes: 1 }).data())]).toEqual([0, 0])
      expect([...(await fj.all(x, { axes: 1 }).data())]).toEqual([1, 1])
      expect(fj.all(x, { axes: 0, keepDims: true }).shape).toEqual([1, 0])
    }
  })

  it('refuses the largest of none', () => {
    expect(() => fj.max(fj.zeros([2, 0]), { axes: 1 })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => fj.argMax(fj.zeros([2, 0]), { axis: 1 })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  })
})

it('shares the gradient of max among ties', async () => {
  const x = fj.tensor([
    [1, 3, 3],
    [2, 2, 2],
  ])
  const [dx] = fj.grad(fj.sum(fj.max(x, { axes: 1 })), [x])
  expectClose(await dx!.data(), [0, 0.5, 0.5, 1 / 3, 1 / 3, 1 / 3], 'dx')
})

it('differentiates prod (productOfOthers) where elements are 0', async () => {
  const x = fj.tensor([
    [0, 2, 3],
    [0, 0, 5],
    [1, 2, 4],
  ])
  const [dx] = fj.grad(fj.sum(fj.prod(x, { axes: 1 })), [x])
  expect([...(await dx!.data())]).toEqual([6, 0, 0, 0, 0, 0, 8, 4, 2])
  await fj.gradcheck((t) => fj.prod(t!, { axes: 1 }), [x])
})

describe('variance', () => {
  it('agrees with the reference and differentiates', async () => {
    const x = randomTensor([7, 31], 5)
    for (const correction of [0, 1]) {
      await compareWithReference((t) => fj.variance(t!, { axes: 1, correction }), [x])
      await compareWithReference((t) => fj.variance(t!, { axes: 0, keepDims: true, correction }), [x])
    }
    await fj.gradcheck((t) => fj.variance(t!, { axes: 0 }), [randomTensor([4, 3], 6)])
  })

  it('does not lose a small variance beside a large mean', async () => {
    expectClose(await fj.variance(fj.tensor([10000, 10001, 10002])).data(), [1], 'variance')
  })
})

describe('argMax and argMin', () => {
  it.each([[[7]], [[127, 10]], [[3, 5, 300]], [[1, 1]], [[2, 8199]]])('%j along every axis', async (shape) => {
    const x = randomTensor(shape, 8)
    const ties = randomTensor(shape, 8, 'int32', 3)
    for (let axis = 0; axis < shape.length; axis++) {
      for (const t of [x, ties]) {
        await compareWithReference((v) => [fj.argMax(v!, { axis }), fj.argMin(v!, { axis, keepDims: true })], [t], {
          gradients: false,
        })
      }
    }
  })

  it('flattens without an axis, takes the first of equals and puts NaN first', async () => {
    expect(
      await fj
        .argMax(
          fj.tensor([
            [1, 5],
            [5, 2],
          ]),
        )
        .item(),
    ).toBe(1)
    expect(await fj.argMax(fj.tensor([1, Number.NaN, 7, Number.NaN])).item()).toBe(1)
    expect(await fj.argMin(fj.tensor([1, Number.NaN, 7, -1])).item()).toBe(1)
    expect(fj.argMax(fj.zeros([2, 3]), { axis: -1 }).shape).toEqual([2])
  })
})

describe('cumSum', () => {
  it.each([[[7]], [[33, 31]], [[3, 127, 5]], [[2, 3, 300]]])('%j along every axis', async (shape) => {
    for (let axis = 0; axis < shape.length; axis++) {
      for (const reverse of [false, true]) {
        await compareWithReference((t) => fj.cumSum(t!, { axis, reverse }), [randomTensor(shape, 9)])
      }
      await compareWithReference((t) => fj.cumSum(t!, { axis }), [randomTensor(shape, 9, 'int32')])
    }
  })
  it('is differentiated correctly', () => fj.gradcheck((t) => fj.cumSum(t!, { axis: 0 }), [randomTensor([4, 3], 1)]))
})

describe('topK', () => {
  it.each([
    [[7], 3],
    [[5, 127], 5],
    [[31, 33], 33],
    [[3, 1], 1],
    [[4, 6], 0],
  ] as [number[], number][])('%j, k = %i', async (shape, k) => {
    for (const smallest of [false, true]) {
      for (const x of [randomTensor(shape, 3), randomTensor(shape, 3, 'int32', 4)]) {
        await compareWithReference(
          (t) => {
            const { values, indices } = fj.topK(t!, { k, smallest })
            return [values, indices]
          },
          [x],
        )
      }
    }
  })

  it('works along other axes and differentiates', async () => {
    const x = randomTensor([5, 3, 2], 4)
    await compareWithReference((t) => fj.topK(t!, { k: 2, axis: 0 }).values, [x])
    await fj.gradcheck((t) => fj.topK(t!, { k: 2, axis: 1 }).values, [x])
  })

  it('counts NaN as larger than every number', async () => {
    const x = fj.tensor([1, Number.NaN, 3, Number.NaN, Number.NEGATIVE_INFINITY])
    expect(await fj.topK(x, { k: 3 }).indices.array()).toEqual([1, 3, 2])
    expect(await fj.topK(x, { k: 4, smallest: true }).indices.array()).toEqual([4, 0, 2, 1])
    await compareWithReference((t) => fj.topK(t!, { k: 5, smallest: true }).indices, [x])
  })

  it('refuses more than there are', () => {
    expect(() => fj.topK(fj.zeros([3]), { k: 4 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    expect(() => fj.topK(fj.zeros([]), { k: 0 })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  })
})

describe('sort', () => {
  it.each([[[1]], [[7]], [[33, 31]], [[3, 500, 2]], [[4, 0]]])('%j along every axis', async (shape) => {
    for (let axis = 0; axis < shape.length; axis++) {
      for (const descending of [false, true]) {
        for (const x of [randomTensor(shape, 5), randomTensor(shape, 5, 'int32', 4)]) {
          const sorted = (t?: fj.Tensor) => Object.values(fj.sort(t!, { axis, descending }))
          await compareWithReference(sorted, [x])
        }
      }
    }
  })

  it('keeps the order of equal elements, in both directions', async () => {
    const x = fj.tensor([2, 1, 2, Number.NaN, 1])
    expect(await fj.sort(x).values.array()).toEqual([1, 1, 2, 2, Number.NaN])
    expect(await fj.sort(x).indices.array()).toEqual([1, 4, 0, 2, 3])
    expect(await x.sort({ descending: true }).indices.array()).toEqual([3, 0, 2, 1, 4])
  })

  it('sends the gradient back to where elements came from', async () => {
    await fj.gradcheck((t) => fj.sort(t!, { axis: 0 }).values, [randomTensor([5, 3], 6)])
    expect(() => fj.sort(fj.zeros([]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => fj.sort(fj.zeros([2]), { axis: 1 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

it('names bad arguments', () => {
  const x = fj.zeros([2, 3])
  expect(() => fj.sum(x, { axes: 2 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => fj.sum(x, { axes: [0, 0] })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => fj.mean(fj.zeros([2], { dtype: 'int32' }))).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
})
