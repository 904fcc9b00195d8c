import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, goldenCases, randomTensor } from '../helpers/compare.js'

const DEVICES = ['reference']

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('conv2d'))('$name', (test) =>
    checkGolden(test, ({ x, weight, bias }, attrs) => fj.conv2d(x!, weight!, bias, attrs), device),
  )
  it.each(goldenCases('conv1d'))('$name', (test) =>
    checkGolden(test, ({ x, weight, bias }, attrs) => fj.conv1d(x!, weight!, bias, attrs), device),
  )
  it.each(goldenCases('convTranspose2d'))('$name', (test) =>
    checkGolden(test, ({ x, weight, bias }, attrs) => fj.convTranspose2d(x!, weight!, bias, attrs), device),
  )
})

describe('gradients', () => {
  const x = randomTensor([2, 4, 5, 4], 1)
  const weight = randomTensor([4, 2, 3, 2], 2)
  const bias = randomTensor([4], 3)
  const options = { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 } as const

  it('of conv2d', () => fj.gradcheck((x, w, b) => fj.conv2d(x!, w!, b!, options), [x, weight, bias]))

  it('of convTranspose2d', () =>
    fj.gradcheck(
      (x, w, b) => fj.convTranspose2d(x!, w!, b!, { stride: 2, padding: 1, outputPadding: [1, 0], groups: 2 }),
      [randomTensor([1, 4, 3, 2], 1), randomTensor([4, 2, 3, 3], 2), bias],
    ))

  it('of im2col and col2im', async () => {
    const window = { kernelSize: [2, 3], stride: [2, 1], padding: [0, 1], dilation: [2, 1] } as const
    await fj.gradcheck((x) => fj.im2col(x!, window), [x])
    const columns = randomTensor([1, 12, 8], 4)
    await fj.gradcheck((c) => fj.col2im(c!, { ...window, outputSize: [5, 4] }), [columns])
  })

  it('of the gradients: second derivatives', () =>
    fj.gradcheck(
      (x, w) => {
        const y = fj.conv2d(x!, w!, null, options)
        const [dx, dw] = fj.grad(fj.sum(fj.mul(y, fj.mul(y, y))), [x!, w!])
        return fj.add(fj.sum(fj.mul(dx!, x!)), fj.sum(fj.mul(dw!, dw!)))
      },
      [x, weight],
      { tolerance: 1e-4 },
    ))
})

describe('padding', () => {
  it("'same' keeps ⌈size / stride⌉ pixels, the odd one at the bottom and right", async () => {
    const x = fj.ones([1, 1, 5, 4])
    const y = fj.conv2d(x, fj.ones([1, 1, 2, 4]), null, { padding: 'same' })
    expect(y.shape).toEqual([1, 1, 5, 4])
    // Rows: none above, one below; columns: one left, two right.
    expect(await y.array()).toEqual([[...new Array(4).fill([6, 8, 6, 4]), [3, 4, 3, 2]]])
    expect(fj.conv2d(x, fj.ones([1, 1, 3, 3]), null, { padding: 'same', stride: 2 }).shape).toEqual([1, 1, 3, 2])
    expect(fj.conv2d(x, fj.ones([1, 1, 3, 3]), null, { padding: 'valid' }).shape).toEqual([1, 1, 3, 2])
    expect(fj.conv1d(fj.ones([1, 1, 6]), fj.ones([1, 1, 4]), null, { padding: 'same' }).shape).toEqual([1, 1, 6])
  })
})

it('im2col lays columns out as (N, C·R·S, L), and a product with them is a convolution', async () => {
  const x = fj.reshape(fj.arange(0, 18), [1, 2, 3, 3])
  expect(await fj.im2col(x, { kernelSize: 2 }).array()).toEqual([
    [
      [0, 1, 3, 4],
      [1, 2, 4, 5],
      [3, 4, 6, 7],
      [4, 5, 7, 8],
      [9, 10, 12, 13],
      [10, 11, 13, 14],
      [12, 13, 15, 16],
      [13, 14, 16, 17],
    ],
  ])
})

describe('errors', () => {
  const x = fj.zeros([1, 32, 8, 8])
  const fails = (make: () => unknown, code: string, text: string) =>
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }))

  it('name the operation, the shapes and what was expected', () => {
    const weight = fj.zeros([64, 16, 3, 3])
    fails(() => fj.conv2d(x, weight), 'ERR_SHAPE', 'conv2d: input has 32 channels, weight (64, 16, 3, 3) expects 16')
    fails(() => fj.conv2d(x, fj.zeros([4, 32, 9, 9])), 'ERR_SHAPE', 'reaches over 9 x 9 pixels does not fit 8 x 8')
    fails(() => fj.conv2d(fj.zeros([32, 8, 8]), weight), 'ERR_SHAPE', 'input must have 4 dimensions (N, C, H, W)')
    fails(() => fj.conv2d(x, fj.zeros([6, 8, 3, 3]), null, { groups: 4 }), 'ERR_SHAPE', '6 filters do not divide')
    fails(() => fj.conv2d(x, fj.zeros([6, 32, 3, 3]), fj.zeros([5])), 'ERR_SHAPE', 'bias has shape (5,); (6,) expected')
    fails(() => fj.conv2d(x, fj.zeros([6, 32, 3, 3]), null, { stride: 0 }), 'ERR_ARGUMENT', 'stride')
    fails(() => fj.conv2d(x, fj.zeros([6, 32, 3, 3]), null, { padding: -1 }), 'ERR_ARGUMENT', 'padding')
    fails(() => fj.conv2d(x, fj.zeros([6, 32, 3, 3], { dtype: 'int32' })), 'ERR_DTYPE', 'float32 expected, got int32')
    fails(() => fj.convTranspose2d(x, weight), 'ERR_SHAPE', 'input has 32 channels, weight (64, 16, 3, 3) expects 64')
    fails(() => fj.col2im(fj.zeros([1, 8, 5]), { kernelSize: 2, outputSize: 3 }), 'ERR_SHAPE', '(N, C·4, 4) expected')
  })
})
