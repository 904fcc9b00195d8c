import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('maxPool2d'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs) => fj.maxPool2d(x!, attrs as never), device),
  )
  it.each(goldenCases('avgPool2d'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs) => fj.avgPool2d(x!, attrs as never), device),
  )
  it.each(goldenCases('adaptiveAvgPool2d'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs) => fj.adaptiveAvgPool2d(x!, attrs as never), device),
  )
  it.each(goldenCases('adaptiveMaxPool2d'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs) => fj.adaptiveMaxPool2d(x!, attrs as never), device),
  )
})

// Channels around every vector width, windows that fit, overlap, leave gaps, hang over.
const CHANNELS = [1, 6, 7, 16, 31, 33, 70]
const WINDOWS: fj.AvgPool2dOptions[] = [
  { kernelSize: 2 },
  { kernelSize: 3, stride: 2, padding: 1 },
  { kernelSize: [3, 2], stride: 1, padding: [1, 1], countIncludePad: false },
  { kernelSize: 2, stride: 3 },
  { kernelSize: 3, stride: 2, ceilMode: true },
  { kernelSize: 3, stride: 3, padding: 1, ceilMode: true },
  { kernelSize: [1, 4], stride: [2, 4], ceilMode: true, countIncludePad: false },
  { kernelSize: 3, stride: 2, padding: 'same' },
  { kernelSize: [2, 4], stride: 1, padding: 'same', countIncludePad: false },
]

describe.each(WINDOWS)('window %o', (options) => {
  it.each(CHANNELS)('%i channels', async (c) => {
    for (const shape of [
      [2, c, 7, 9],
      [1, c, 4, 5],
    ]) {
      const x = randomTensor(shape, 1)
      await compareWithReference((x) => fj.maxPool2d(x!, options), [x])
      await compareWithReference((x) => fj.avgPool2d(x!, options), [x])
    }
  })
})

describe('adaptive windows', () => {
  it.each([1, 7, 33, 70])('%i channels', async (c) => {
    const x = randomTensor([2, c, 7, 10], 1)
    for (const outputSize of [1, [3, 4], [7, 10], [5, null], [9, 13], [1, 2]]) {
      await compareWithReference((x) => fj.adaptiveAvgPool2d(x!, { outputSize }), [x])
      await compareWithReference((x) => fj.adaptiveMaxPool2d(x!, { outputSize }), [x])
    }
    await compareWithReference((x) => fj.globalAvgPool2d(x!), [x])
  })

  it('keep the size for null, and globalAvgPool2d keeps one pixel', () => {
    expect(fj.adaptiveAvgPool2d(fj.ones([2, 3, 5, 6]), { outputSize: [2, null] }).shape).toEqual([2, 3, 2, 6])
    expect(fj.globalAvgPool2d(fj.ones([2, 3, 5, 6])).shape).toEqual([2, 3, 1, 1])
  })
})

// Few results of many pixels each: threads share out the pixels of a window.
it.each([1, 3, 8, 24, 130])('averages whole images of %i channels', async (c) => {
  const x = randomTensor([2, c, 9, 13], c)
  await compareWithReference((x) => fj.globalAvgPool2d(x!), [x])
  await compareWithReference((x) => fj.avgPool2d(x!, { kernelSize: [7, 5], stride: 4, padding: 2 }), [x])
  await compareWithReference((x) => fj.adaptiveAvgPool2d(x!, { outputSize: 2 }), [x])
})

describe('maxima', () => {
  it('the first of equals gets the gradient', async () => {
    const x = fj.ones([1, 2, 2, 2])
    const [dx] = fj.grad(fj.sum(fj.maxPool2d(x, { kernelSize: 2 })), [x])
    expect(await dx!.array()).toEqual([
      [
        ...new Array(2).fill([
          [1, 0],
          [0, 0],
        ]),
      ],
    ]) // prettier-ignore
  })

  it('NaN wins, -Infinity is a number', async () => {
    const x = fj.tensor([Number.NaN, 3, 1, 2, ...new Array(4).fill(Number.NEGATIVE_INFINITY)], { shape: [1, 2, 2, 2] })
    expect(await fj.maxPool2d(x, { kernelSize: 2 }).array()).toEqual([[[[Number.NaN]], [[Number.NEGATIVE_INFINITY]]]])
  })

  it.each(DEVICES)('the last NaN of a window gets the gradient, among infinities too, on %s', async (device) => {
    const data = Float32Array.from({ length: 2 * 20 * 8 * 9 }, (_, i) => {
      const kind = (i * 7919) % 23
      return kind === 0 ? Number.NaN : kind === 1 ? Number.POSITIVE_INFINITY : kind === 2 ? -(1 / 0) : (i * 31) % 17
    })
    const run = (device: string) => {
      const step = (x: fj.Tensor) => {
        const y = fj.maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 })
        return { y, dx: fj.grad([y], [x], { gradOutputs: [fj.ones(y.shape)] })[0]! }
      }
      return fj.compile(step, { device })(fj.tensor(data, { shape: [2, 20, 8, 9] }))
    }
    const [own, reference] = [await run(device), await run('reference')]
    expect(await own.y.data()).toEqual(await reference.y.data())
    expect(await own.dx.data()).toEqual(await reference.dx.data())
  })

  it('a window of more than 256 pixels keeps its index', async () => {
    const x = randomTensor([1, 5, 20, 19], 3)
    await compareWithReference((x) => fj.maxPool2d(x!, { kernelSize: [18, 17], stride: 1 }), [x])
    await compareWithReference((x) => fj.adaptiveMaxPool2d(x!, { outputSize: 1 }), [x])
  })
})

it('maps that no cache holds are pooled as their images are', async () => {
  const shape = [2, 32, 400, 400]
  for (const window of [{ kernelSize: 2 }, { kernelSize: 3, stride: 2, padding: 1 }]) {
    for (const pool of [fj.maxPool2d, fj.avgPool2d]) {
      const differences = fj.compile(
        (x: fj.Tensor) => {
          const [all, first, second] = [x, fj.slice(x, { ends: [1] }), fj.slice(x, { starts: [1] })].map((part) =>
            pool(part!, window),
          )
          const parts = fj.concat([first!, second!])
          return { most: fj.max(fj.abs(fj.sub(all!, parts))), largest: fj.max(all!) }
        },
        { device: 'cpu' },
      )
      const { most, largest } = await differences(fj.randn(shape))
      expect(await most.item()).toBe(0)
      expect(await largest.item()).toBeGreaterThan(1)
      differences.dispose()
    }
  }
})

it('has gradients of first and second order', async () => {
  const x = randomTensor([2, 3, 5, 6], 5)
  const window = { kernelSize: 3, stride: 2, padding: 1 }
  await fj.gradcheck((x) => fj.maxPool2d(x!, window), [x])
  await fj.gradcheck((x) => fj.avgPool2d(x!, { ...window, countIncludePad: false }), [x])
  await fj.gradcheck((x) => fj.adaptiveAvgPool2d(x!, { outputSize: [2, 4] }), [x])
  const twice = (pool: (x: fj.Tensor) => fj.Tensor) => (x?: fj.Tensor) => {
    const y = pool(x!)
    const [dx] = fj.grad(fj.sum(fj.mul(y, fj.mul(y, y))), [x!])
    return fj.mul(dx!, x!)
  }
  for (const pool of [
    (x: fj.Tensor) => fj.maxPool2d(x, window),
    (x: fj.Tensor) => fj.avgPool2d(x, window),
    (x: fj.Tensor) => fj.adaptiveMaxPool2d(x, { outputSize: [2, 4] }),
  ]) {
    await fj.gradcheck((x) => twice(pool)(x), [x], { tolerance: 1e-4 })
    await compareWithReference((x) => twice(pool)(x), [x])
  }
})

it("'same' gives ⌈size / stride⌉ windows, 'valid' those that fit", async () => {
  const x = fj.tensor([1, 2, 3, 4, 5], { shape: [1, 1, 1, 5] })
  const pooled = async (padding: 'same' | 'valid', options: object) => [
    ...(await fj.avgPool2d(x, { kernelSize: [1, 2], padding, ...options }).data()),
  ]
  // The odd pixel of padding lies on the right.
  expect(await pooled('same', { countIncludePad: false })).toEqual([1.5, 3.5, 5])
  expect(await pooled('same', {})).toEqual([1.5, 3.5, 2.5])
  expect(await pooled('valid', {})).toEqual([1.5, 3.5])
  expect(fj.maxPool2d(fj.ones([1, 1, 7, 8]), { kernelSize: 3, stride: 1, padding: 'same' }).shape).toEqual([1, 1, 7, 8])
})

it('ceilMode lets a window hang over an image that is smaller than it', async () => {
  for (const [shape, kernelSize] of [
    [
      [2, 7, 2, 1],
      [3, 2],
    ],
    [[1, 33, 1, 5], 2],
    [[1, 3, 3, 3], 4],
  ] as const) {
    const [x, options] = [randomTensor(shape, 1), { kernelSize, stride: 2, ceilMode: true }]
    await compareWithReference((x) => fj.maxPool2d(x!, options), [x])
    for (const countIncludePad of [true, false]) {
      await compareWithReference((x) => fj.avgPool2d(x!, { ...options, countIncludePad }), [x])
    }
  }
  // As PyTorch: pixels beyond the image neither win nor count.
  const x = fj.tensor([-1, -2, -3, -4], { shape: [1, 1, 2, 2] })
  const options = { kernelSize: 3, stride: 2, ceilMode: true }
  expect(await fj.maxPool2d(x, options).array()).toEqual([[[[-1]]]])
  expect(await fj.avgPool2d(x, options).array()).toEqual([[[[-2.5]]]])
  expect(() => fj.maxPool2d(x, { ...options, kernelSize: 4 })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
})

it('pools no images and no channels', async () => {
  expect((await fj.maxPool2d(fj.zeros([0, 3, 4, 4]), { kernelSize: 2 }).data()).length).toBe(0)
  expect((await fj.avgPool2d(fj.zeros([2, 0, 4, 4]), { kernelSize: 2 }).data()).length).toBe(0)
})

it('names what is wrong', () => {
  const x = fj.zeros([1, 3, 4, 4])
  const fails = (make: () => unknown, code: string, text: string) =>
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }))
  fails(() => fj.maxPool2d(x, { kernelSize: 5 }), 'ERR_SHAPE', 'maxPool2d: a window of 5 x 5 does not fit 4 x 4')
  fails(() => fj.maxPool2d(x, { kernelSize: 2, padding: 2 }), 'ERR_ARGUMENT', 'more than half the kernel')
  fails(
    () => fj.maxPool2d(x, { kernelSize: 2, padding: 'full' as 'same' }),
    'ERR_ARGUMENT',
    "'same' or 'valid', got 'full'",
  )
  fails(() => fj.avgPool2d(x, { kernelSize: 0 }), 'ERR_ARGUMENT', 'kernelSize')
  fails(() => fj.avgPool2d(fj.zeros([3, 4, 4]), { kernelSize: 2 }), 'ERR_SHAPE', 'must have 4 dimensions (N, C, H, W)')
  fails(() => fj.adaptiveAvgPool2d(x, { outputSize: [0, 1] }), 'ERR_ARGUMENT', 'outputSize')
  fails(() => fj.maxPool2d(fj.zeros([1, 3, 4, 4], { dtype: 'int32' }), { kernelSize: 2 }), 'ERR_DTYPE', 'int32')
})
