import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('interpolate'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs) => fj.interpolate(x!, attrs as never), device),
  )
})

const OPTIONS: fj.InterpolateOptions[] = [
  { size: 1 },
  { size: [7, 9] },
  { size: [14, 3] },
  { size: [13, 31], mode: 'bilinear' },
  { size: [3, 2], mode: 'bilinear' },
  { size: [7, 1], mode: 'bilinear', alignCorners: true },
  { size: [15, 17], mode: 'bilinear', alignCorners: true },
]

it.each(OPTIONS)('%o agrees with the reference', async (options) => {
  for (const shape of [
    [2, 3, 7, 9],
    [1, 33, 1, 5],
    [3, 1, 4, 1],
  ]) {
    await compareWithReference((x) => fj.interpolate(x!, options), [randomTensor(shape, 1)])
  }
})

it('repeats pixels, and mixes them in proportion', async () => {
  const x = fj.tensor([0, 10, 20, 30], { shape: [1, 1, 2, 2] })
  const nearest = await x.interpolate({ size: [2, 4] }).array()
  expect(nearest).toEqual([
    [
      [
        [0, 0, 10, 10],
        [20, 20, 30, 30],
      ],
    ],
  ]) // prettier-ignore
  // Half-pixel centres: -¼ (held at 0), ¼, ¾, 1¼ (held at 1).
  const centred = await x.interpolate({ size: [2, 4], mode: 'bilinear' }).array()
  expect(centred).toEqual([
    [
      [
        [0, 2.5, 7.5, 10],
        [20, 22.5, 27.5, 30],
      ],
    ],
  ]) // prettier-ignore
  const aligned = await x.interpolate({ size: [3, 3], mode: 'bilinear', alignCorners: true }).array()
  expect(aligned).toEqual([
    [
      [
        [0, 5, 10],
        [10, 15, 20],
        [20, 25, 30],
      ],
    ],
  ]) // prettier-ignore
})

it('has gradients of first and second order', async () => {
  const x = randomTensor([1, 2, 3, 4], 2)
  for (const options of OPTIONS.slice(2, 5)) {
    await fj.gradcheck((x) => fj.interpolate(x!, options), [x])
    const twice = (x?: fj.Tensor) => fj.grad(fj.sum(fj.pow(fj.interpolate(x!, options), 3)), [x!])[0]!
    await fj.gradcheck(twice, [x], { tolerance: 1e-4 })
  }
})

it('mixes infinite pixels', async () => {
  const x = fj.tensor([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0], { shape: [1, 1, 1, 3] })
  const y = await x.interpolate({ size: [1, 9], mode: 'bilinear' }).data()
  expect([...y.slice(2, 4), ...y.slice(5, 7)]).toEqual(new Array(4).fill(Number.NEGATIVE_INFINITY))
})

it('keeps an image whose size it has', async () => {
  const x = randomTensor([1, 2, 5, 4], 3)
  for (const mode of ['nearest', 'bilinear'] as const) {
    expect([...(await fj.interpolate(x, { size: [5, 4], mode }).data())]).toEqual([...(await x.data())])
  }
})

it('names what is wrong', () => {
  const x = fj.zeros([1, 3, 4, 4])
  const fails = (make: () => unknown, code: string, text: string) =>
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }))
  fails(() => fj.interpolate(fj.zeros([3, 4, 4]), { size: 2 }), 'ERR_SHAPE', '(N, C, H, W), got shape (3, 4, 4)')
  fails(
    () => fj.interpolate(x, { size: [0, 2] }),
    'ERR_ARGUMENT',
    'size [0, 2]; expected an integer from 1, or 2 of them',
  )
  fails(
    () => fj.interpolate(x, { size: 2, mode: 'cubic' as never }),
    'ERR_ARGUMENT',
    "mode 'cubic'; expected 'nearest' or 'bilinear'",
  )
  fails(() => fj.interpolate(x, { size: 2, alignCorners: true }), 'ERR_ARGUMENT', "needs mode 'bilinear'")
  fails(() => fj.interpolate(fj.zeros([1, 1, 0, 4]), { size: 2 }), 'ERR_SHAPE', 'the image has 0 x 4 pixels')
  fails(() => fj.interpolate(fj.zeros([1, 1, 2, 2], { dtype: 'int32' }), { size: 2 }), 'ERR_DTYPE', 'int32')
  fails(() => fj.interpolate(fj.placeholder([1, 1, null, 2]), { size: 2 }), 'ERR_UNSUPPORTED_OP', 'must be known')
})
