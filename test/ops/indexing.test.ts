import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('gather'))('$name', (test) =>
    checkGolden(test, ({ x, index }, attrs) => fj.gather(x!, index!, attrs), device),
  )
  it.each(goldenCases('embedding'))('$name', (test) =>
    checkGolden(test, ({ index, weight }) => fj.embedding(index!, weight!), device),
  )
  it.each(goldenCases('oneHot'))('$name', (test) =>
    checkGolden(test, ({ index }, attrs: unknown) => fj.oneHot(index!, attrs as fj.OneHotOptions), device),
  )
})

const exact = { rtol: 0, atol: 0 }

describe('gather', () => {
  it.each(['float32', 'int32', 'uint8', 'bool'] as const)('%s along every axis', async (dtype) => {
    const x = randomTensor([5, 7, 31], 1, dtype, 2)
    for (const axis of [0, 1, 2]) {
      for (const shape of [[], [9], [2, 3], [0]]) {
        for (const type of ['int32', 'uint8'] as const) {
          const index = randomTensor(shape, 2, type, 5)
          await compareWithReference((t) => fj.gather(t!, index, { axis }), [x])
        }
      }
    }
  })

  it('copies long rows of uint8, as a data loader does', async () => {
    const images = randomTensor([50, 9000], 3, 'uint8', 256)
    await compareWithReference((t) => fj.gather(t!, randomTensor([33], 4, 'int32', 50)), [images], exact)
  })

  it('adds gradients of repeated indices, on every thread', async () => {
    const index = fj.tensor([1, 1, 0, 1], { dtype: 'int32' })
    const x = randomTensor([3, 2], 1)
    const [dx] = fj.grad(fj.sum(fj.gather(x, index)), [x])
    expect([...(await dx!.data())]).toEqual([1, 1, 3, 3, 0, 0])
    await compareWithReference((t) => fj.gather(t!, randomTensor([500], 5, 'int32', 127)), [randomTensor([127, 33], 1)])
    await compareWithReference((t) => fj.gather(t!, randomTensor([90], 5, 'int32', 5)), [randomTensor([5, 300], 1)])
    await fj.gradcheck(
      (t) => fj.gather(t!, randomTensor([2, 3], 5, 'int32', 4), { axis: 1 }),
      [randomTensor([2, 4, 3], 1)],
    )
  })

  it.each(DEVICES)('names an index out of range on %s', async (device) => {
    const read = async (values: number[], build: (index: fj.Tensor) => fj.Tensor) => {
      const run = fj.compile(build, { device })
      try {
        return await run(fj.tensor(values, { dtype: 'int32' }))
      } finally {
        run.dispose()
      }
    }
    const fault = (text: string) =>
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(text) })
    const x = randomTensor([9, 5], 1)
    await expect(read([0, 9], (i) => fj.gather(x, i))).rejects.toThrow(fault('index[1] is 9, expected 0..8'))
    await expect(read([-1], (i) => fj.embedding(i, x))).rejects.toThrow(fault('index[0] is -1, expected 0..8'))
    await expect(read([5], (i) => fj.gather(x, i, { axis: 1 }))).rejects.toThrow(fault('index[0] is 5, expected 0..4'))
    await expect(read([6], (i) => fj.oneHot(i, { depth: 6 }))).rejects.toThrow(fault('index[0] is 6, expected 0..5'))
    await expect(read([0, 7], (i) => fj.scatterAdd(fj.zeros([3]), i, fj.ones([2])))).rejects.toThrow(
      fault('index[1] is 7, expected 0..2'),
    )
    await expect(read([4], (i) => fj.takeAlongAxis(fj.zeros([3]), i))).rejects.toThrow(
      fault('index[0] is 4, expected 0..2'),
    )
    await expect(read([4], (i) => fj.putAlongAxis(i, fj.ones([1]), { length: 3 }))).rejects.toThrow(
      fault('index[0] is 4, expected 0..2'),
    )
  })
})

describe('scatterAdd', () => {
  it('adds along every axis, floats and integers', async () => {
    for (const dtype of ['float32', 'int32'] as const) {
      for (const axis of [0, 1, 2]) {
        const x = randomTensor([4, 5, 6], 1, dtype)
        const updates = randomTensor([...[4, 5, 6].slice(0, axis), 2, 7, ...[4, 5, 6].slice(axis + 1)], 2, dtype)
        const index = randomTensor([2, 7], 3, 'int32', 4)
        await compareWithReference((a, b) => fj.scatterAdd(a!, index, b!, { axis }), [x, updates])
      }
    }
    const index = fj.tensor([1, 1], { dtype: 'int32' })
    await fj.gradcheck((a, b) => fj.scatterAdd(a!, index, b!), [randomTensor([3, 2], 1), randomTensor([2, 2], 2)])
  })

  it('names updates of the wrong shape', () => {
    const index = fj.zeros([2], { dtype: 'int32' })
    expect(() => fj.scatterAdd(fj.zeros([3, 4]), index, fj.zeros([3, 4]))).toThrow(/expected \(2, 4\)/)
  })
})

describe('takeAlongAxis and putAlongAxis', () => {
  it('are adjoint along every axis', async () => {
    for (const axis of [0, 1, 2]) {
      const index = randomTensor([3, 4, 5].with(axis, 7), 2, 'int32', 3)
      for (const dtype of ['float32', 'int32', 'uint8'] as const) {
        await compareWithReference((x) => fj.takeAlongAxis(x!, index, { axis }), [randomTensor([3, 4, 5], 1, dtype)])
      }
      for (const dtype of ['float32', 'int32'] as const) {
        const updates = randomTensor([3, 4, 5].with(axis, 7), 1, dtype)
        await compareWithReference((u) => fj.putAlongAxis(index, u!, { axis, length: 6 }), [updates])
      }
    }
    const index = fj.tensor(
      [
        [1, 1],
        [0, 2],
      ],
      { dtype: 'int32' },
    )
    await fj.gradcheck((x) => fj.takeAlongAxis(x!, index), [randomTensor([2, 3], 1)])
  })
})

describe('oneHot', () => {
  it.each(['float32', 'int32', 'uint8', 'bool'] as const)('as %s', async (dtype) => {
    for (const shape of [[], [7], [3, 31], [0]]) {
      await compareWithReference((i) => fj.oneHot(i!, { depth: 9, dtype }), [randomTensor(shape, 1, 'int32', 9)])
      await compareWithReference((i) => fj.oneHot(i!, { depth: 9, dtype }), [randomTensor(shape, 1, 'uint8', 9)])
    }
  })
})

it('names bad dtypes and shapes', () => {
  const fails = (code: string, body: () => unknown) => expect(body).toThrow(expect.objectContaining({ code }))
  const index = fj.zeros([2], { dtype: 'int32' })
  fails('ERR_DTYPE', () => fj.gather(fj.zeros([3]), fj.zeros([2])))
  fails('ERR_ARGUMENT', () => fj.gather(fj.zeros([3]), index, { axis: 1 }))
  fails('ERR_SHAPE', () => fj.embedding(index, fj.zeros([3])))
  fails('ERR_DTYPE', () => fj.oneHot(fj.zeros([2]), { depth: 3 }))
  fails('ERR_ARGUMENT', () => fj.oneHot(index, { depth: -1 }))
  fails('ERR_SHAPE', () => fj.takeAlongAxis(fj.zeros([3, 2]), index))
  // What no kernel would find, since nothing is computed.
  fails('ERR_ARGUMENT', () => fj.scatterAdd(fj.zeros([0, 2]), index, fj.zeros([2, 2])))
  fails('ERR_ARGUMENT', () => fj.putAlongAxis(index, fj.zeros([2]), { length: 0 }))
  fails('ERR_ARGUMENT', () => fj.gather(fj.zeros([0, 0]), index))
})
