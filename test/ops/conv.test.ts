import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, expectClose, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES, TEST_DEVICE, usableVariants, variantsOf } from '../helpers/device.js'

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

it('computes with filters that its own program writes, and after runs that failed', async () => {
  const [x, filters] = [randomTensor([2, 3, 6, 6], 1), randomTensor([5, 3, 3, 3], 2)]
  const weight = fj.variable(filters)
  const score = (x: fj.Tensor, w: fj.Tensor) => fj.mean(fj.conv2d(x, w, null, { padding: 1 }), { axes: [2, 3] })
  const doubling = fj.compile((x) => {
    const y = score(x!, weight)
    void weight.assign(fj.mul(weight, 2))
    return y
  })
  const once = await score(x, filters).data()
  for (const factor of [1, 2, 4]) {
    const expected = Float32Array.from(once, (v) => v * factor)
    expectClose(await (await doubling(x)).data(), expected, `times ${factor}`)
  }
  const loss = fj.compile((x, labels) => fj.crossEntropy(score(x!, weight), labels!))
  const labels = (first: number) => fj.tensor([first, 4], { dtype: 'int32' })
  for (const factor of [1, 3]) {
    await weight.assign(fj.mul(filters, factor))
    await expect(loss(x, labels(5))).rejects.toThrow(/label/)
    const expected = await fj.crossEntropy(score(x, fj.mul(filters, factor)), labels(1)).data()
    for (let run = 0; run < 2; run++) expectClose(await (await loss(x, labels(1))).data(), expected, `run ${run}`)
  }
})

type Padding = fj.Conv2dOptions['padding']

const all = (variant: string) => ({ conv2d: variant, conv2dGradInput: variant, conv2dGradWeight: variant })

// x, weight, options: sizes around the widths of tiles, strides, dilations, groups, depthwise, filters larger than the
// image, batches around the height of a tile.
type Geometry = [number[], number[], fj.Conv2dOptions]
const FARTHEST: Geometry = [[2, 3, 4, 5], [4, 3, 2, 3], { stride: 2 ** 31 - 1 }]
const GEOMETRIES: Geometry[] = [
  [[1, 1, 1, 1], [1, 1, 1, 1], {}],
  [[2, 3, 7, 9], [5, 3, 3, 3], { padding: 1 }],
  [[9, 6, 14, 14], [16, 6, 5, 5], {}],
  [[3, 31, 7, 5], [33, 31, 3, 3], { padding: 1 }],
  [[2, 33, 8, 8], [7, 33, 1, 1], {}],
  [[15, 7, 9, 6], [31, 7, 1, 1], { stride: 2 }],
  [[2, 4, 11, 13], [6, 4, 3, 2], { stride: [2, 3], padding: [1, 0], dilation: [2, 1] }],
  [[1, 3, 33, 31], [8, 3, 7, 7], { stride: 2, padding: 3 }],
  [[2, 8, 9, 9], [8, 1, 3, 3], { groups: 8, padding: 1 }],
  [[8, 33, 7, 7], [33, 1, 3, 3], { groups: 33, padding: 1, stride: 2 }],
  [[2, 6, 10, 9], [12, 2, 3, 3], { groups: 3, stride: [2, 1], padding: [1, 0] }],
  [[1, 2, 3, 3], [3, 2, 5, 4], { padding: 3 }],
  [[2, 5, 8, 7], [4, 5, 4, 2], { padding: 'same' }],
  [[2, 3, 9, 10], [4, 3, 2, 5], { padding: 'same', stride: [2, 3] }],
  [[1, 4, 1, 31], [127, 4, 1, 4], { dilation: [1, 3] }],
  [[3, 3, 9, 17], [70, 3, 3, 4], { padding: [1, 2] }],
  [[1, 6, 9, 14], [5, 6, 3, 5], { padding: [1, 4] }],
  // Steps past all pixels of an axis.
  ...(TEST_DEVICE === 'cpu' ? [FARTHEST] : []), // on a GPU all variants but one count pixels in 32 bits
  [[1, 2, 5, 7], [3, 2, 3, 2], { stride: [1, 9], padding: 1 }],
  // Eight images, half of the lanes.
  [[8, 6, 14, 14], [16, 6, 5, 5], {}],
  [[8, 1, 12, 13], [6, 1, 5, 5], { padding: 2 }],
  [[8, 4, 9, 11], [6, 2, 3, 3], { groups: 2, stride: [2, 1], padding: [1, 0], dilation: [1, 2] }],
  [[8, 5, 4, 3], [3, 5, 2, 3], {}],
  // Few channels to few: columns as lanes, one and several tiles of a row, rows skipped, taps apart.
  [[2, 1, 28, 30], [6, 1, 5, 5], { padding: 2 }],
  [[1, 3, 11, 37], [7, 3, 3, 5], { padding: [1, 4], stride: [2, 1] }],
  [[3, 2, 9, 19], [13, 2, 2, 3], { padding: [0, 3], dilation: [2, 3] }],
  [[9, 4, 6, 8], [1, 4, 3, 3], {}],
  // Many channels to few, the gradients of the first five too: all pixels that a column reaches as lanes. Sums cut off at
  // the image's edge, maps that reach beyond it, strides along rows, more lanes than a tile has.
  [[2, 3, 12, 13], [40, 3, 3, 4], { padding: 1 }],
  [[4, 2, 9, 7], [21, 2, 3, 4], { padding: [0, 5] }],
  [[3, 5, 10, 11], [20, 5, 3, 7], { stride: [2, 1], padding: [1, 3] }],
  [[2, 13, 8, 9], [17, 13, 2, 5], { padding: [0, 4] }],
  [[5, 3, 6, 6], [18, 3, 5, 5], { padding: 4 }],
  [[2, 24, 10, 9], [3, 24, 5, 5], { padding: 2 }],
  // Rows of the maps that no filter row reaches, where taps or groups lie apart.
  [[5, 4, 3, 5], [17, 4, 1, 1], { padding: 1, dilation: 2 }],
  [[2, 16, 3, 6], [70, 8, 1, 2], { groups: 2, padding: [2, 1] }],
  // Pixels of the image, of the maps, 4 KB apart.
  [[1, 1024, 3, 9], [5, 1024, 1, 1], {}],
  [[1, 512, 5, 17], [9, 512, 1, 1], { stride: 2 }],
  [[2, 7, 3, 9], [1024, 7, 1, 1], {}],
  // Weight gradients that pack x: taps that leave the image, groups, more than one strip of pixels.
  [[2, 72, 4, 5], [34, 72, 3, 3], { padding: 1 }],
  [[2, 288, 5, 4], [136, 144, 1, 1], { groups: 2, stride: 2 }],
  [[1, 128, 23, 24], [65, 128, 1, 1], {}],
]

/** Operands rounded to TF32, of up to 900 products: as in matmul.test.ts. */
const tolerance = (variant: string) => (variant === 'tensorcore' ? { rtol: 5e-3, atol: 0.05 } : {})

const VARIANTS = await usableVariants('conv2d', (options) => {
  const [x, weight] = [fj.tensor([[[[1]]]]), fj.tensor([[[[2]]]])]
  return fj.compile(() => fj.conv2d(x, weight), options)()
})

describe.each(VARIANTS)('variant %s', (variant) => {
  it.each(GEOMETRIES)('x %j, weight %j, %j', async (xShape, weightShape, options) => {
    const inputs = [randomTensor(xShape, 1), randomTensor(weightShape, 2), randomTensor([weightShape[0]!], 3)]
    const compare = { algorithms: all(variant), ...tolerance(variant) }
    await compareWithReference((x, w, b) => fj.conv2d(x!, w!, b!, options), inputs, compare)
    await compareWithReference((x, w, b) => fj.relu(fj.conv2d(x!, w!, b!, options)), inputs, {
      ...compare,
      gradients: variant !== 'tensorcore', // where y is next to 0 its rounding decides whether dy passes
    })
    await compareWithReference((x, w) => fj.conv2d(x!, w!, null, options), inputs.slice(0, 2), compare)
  })

  // Kernels may keep what they make of filters that lie in variables.
  it.each(GEOMETRIES)('x %j, variables %j, %j, whoever writes them', async (xShape, weightShape, options) => {
    const x = randomTensor(xShape, 1)
    const weight = fj.variable(randomTensor(weightShape, 2))
    const bias = fj.variable(randomTensor([weightShape[0]!], 3))
    const given = fj.compile((x, w, b) => fj.conv2d(x!, w!, b!, options), { algorithms: all(variant) })
    const held = fj.compile((x) => fj.conv2d(x!, weight, bias, options), { algorithms: all(variant) })
    const change = fj.compile(() => {
      void weight.assign(fj.neg(weight))
      return {}
    })
    const expectSame = async (what: string) => {
      const expected = await (await given(x, await weight.snapshot(), await bias.snapshot())).data()
      for (let run = 0; run < 3; run++) expect(await (await held(x)).data(), what).toEqual(expected)
    }
    await expectSame('as they were made')
    await weight.assign(randomTensor(weightShape, 4))
    await expectSame('after a write from the host')
    await change()
    await expectSame('after a program that writes the filters')
    await bias.assign(randomTensor(bias.shape, 5))
    await expectSame('after a write of the bias')
  })

  it('convTranspose2d', async () => {
    const options = { stride: [3, 2], padding: [1, 0], outputPadding: [2, 1], groups: 2 }
    const inputs = [randomTensor([2, 6, 5, 7], 1), randomTensor([6, 4, 3, 4], 2), randomTensor([8], 3)]
    await compareWithReference((x, w, b) => fj.convTranspose2d(x!, w!, b!, options), inputs, {
      algorithms: all(variant),
      ...tolerance(variant),
    })
  })
})

it('takes the largest stride where no variant is named', async () => {
  const [xShape, weightShape, options] = FARTHEST
  const inputs = [randomTensor(xShape, 1), randomTensor(weightShape, 2)]
  await compareWithReference((x, w) => fj.conv2d(x!, w!, null, options), inputs)
})

// So large that the phases of the gradient take turns after every few images; the last ones clear pixels past the caches.
it.each([
  [[7, 40, 41, 40], [9, 40, 3, 3], { stride: 2, padding: 1 }],
  [[7, 40, 40, 41], [9, 40, 1, 1], { stride: 2 }],
  [[7, 33, 43, 49], [3, 33, 3, 1], { stride: 3, padding: [1, 0] }],
  ...(TEST_DEVICE === 'cpu' ? [[[3, 16, 210, 211], [9, 16, 1, 1], { stride: 2 }]] : []),
  ...(TEST_DEVICE === 'cpu' ? [[[2, 48, 149, 150], [3, 48, 1, 2], { stride: 3 }]] : []),
] as [number[], number[], fj.Conv2dOptions][])(
  'gradInput of x %j, weight %j, %j',
  async (xShape, weightShape, options) => {
    const weight = randomTensor(weightShape, 2)
    const gradient = (x: fj.Tensor) => {
      const y = fj.conv2d(x, weight, null, options)
      // Maps of x's size that are dead by then leave something else than zeros where dx may come to lie.
      const before = fj.conv2d(x, randomTensor([xShape[1]!, xShape[1]!, 1, 1], 6))
      const dy = fj.mul(randomTensor(y.shape, 5), fj.mean(fj.square(before)))
      return fj.grad([y], [x], { gradOutputs: [dy] })[0]!
    }
    const [actual, expected] = await Promise.all(
      [TEST_DEVICE, 'reference'].map(async (device) => {
        const compiled = fj.compile((x) => gradient(x!), { device })
        const data = await (await compiled(randomTensor(xShape, 1))).data()
        compiled.dispose()
        return data
      }),
    )
    expectClose(actual!, expected!, 'dx')
  },
)

const hasWinograd = variantsOf('conv2d').includes('winograd')
if (!hasWinograd) console.log(`skipped: ${TEST_DEVICE} has no Winograd kernels`)

describe.runIf(hasWinograd)('winograd', () => {
  const OPS = ['conv2d', 'conv2dGradInput', 'conv2dGradWeight']

  /** y, dx and dw of `variant`, and which kernels computed them. */
  async function run(
    x: fj.Tensor,
    weight: fj.Tensor,
    padding: Padding,
    variant?: string,
    { stride = 1, device = 'cpu' } = {},
  ) {
    const compiled = fj.compile(
      (x, w) => {
        const y = fj.conv2d(x!, w!, null, { padding, stride })
        return [y, ...fj.grad([y], [x!, w!], { gradOutputs: [randomTensor(y.shape, 5)] })]
      },
      { device, ...(variant ? { algorithms: { conv2d: variant } } : {}) },
    )
    const results = await Promise.all((await compiled(x, weight)).map((t) => t.data()))
    const text = compiled.explain()
    compiled.dispose()
    return {
      results,
      kernels: OPS.map((op) => new RegExp(`${op} (naive|im2col|implicit|winograd \\dx\\d)`).exec(text)?.[1]),
    }
  }
  const tensors = (n: number, c: number, h: number, w: number, k: number): [fj.Tensor, fj.Tensor] => [
    randomTensor([n, c, h, w], 1),
    fj.mul(randomTensor([k, c, 3, 3], 2), Math.sqrt(2 / (9 * c))), // He
  ]

  // N, C, H, W, K, padding: maps smaller and larger than a tile, channels around the width of vectors and panels, one
  // and several blocks of tiles and chunks of channels.
  const SHAPES: [number, number, number, number, number, Padding][] = [
    [1, 1, 1, 1, 1, 1],
    [2, 3, 3, 4, 5, 0],
    [1, 17, 9, 7, 33, [0, 2]],
    [2, 31, 5, 13, 15, [2, 1]],
    [3, 16, 8, 12, 32, 1],
    [1, 127, 7, 6, 48, 1],
    [1, 70, 13, 14, 40, 2],
    [8, 3, 31, 33, 5, 1],
    [2, 18, 28, 13, 34, 1],
    [3, 33, 15, 17, 20, 3],
  ]
  const FORMS = [
    { variant: 'winograd', stride: 1 },
    { variant: 'winograd2x2', stride: 1 },
    { variant: 'winograd', stride: 2 },
  ]
  it.each(SHAPES)('%d x %d x %d x %d, %d filters, padding %j', async (n, c, h, w, k, padding) => {
    const inputs = [...tensors(n, c, h, w, k), randomTensor([k], 3)]
    for (const { variant, stride } of FORMS) {
      const algorithms = { conv2d: variant }
      const convolve = (x?: fj.Tensor, w?: fj.Tensor, b?: fj.Tensor) => fj.conv2d(x!, w!, b!, { padding, stride })
      await compareWithReference(convolve, inputs, { algorithms })
      await compareWithReference((...args) => fj.relu(convolve(...args)), inputs, { algorithms, gradients: false })
    }
  })

  // Of the RMS of the result, for N(0,1) maps and He weights: RMS of the errors, the largest.
  const LIMITS: [string, number, number, number][] = [
    ['winograd', 1, 1e-6, 2e-5],
    ['winograd2x2', 1, 5e-7, 5e-6],
    ['winograd', 2, 1e-6, 2e-5],
  ]
  it.each([
    [2, 64, 16, 64],
    [1, 256, 12, 32],
    [4, 32, 24, 32],
    [1, 512, 9, 17],
  ])('rounds little: %d x %d x %d², %d filters', async (n, c, h, k) => {
    const [x, weight] = tensors(n, c, h, h, k)
    const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0))
    for (const [variant, stride, rms, most] of LIMITS) {
      const { results: expected } = await run(x, weight, 1, undefined, { stride, device: 'reference' })
      const { results } = await run(x, weight, 1, variant, { stride })
      results.forEach((actual, i) => {
        const errors = Float64Array.from(actual, (v, j) => Math.abs(v - expected[i]![j]!))
        const scale = norm(expected[i]!)
        expect(norm(errors) / scale, `${OPS[i]} ${variant}, stride ${stride}: RMS`).toBeLessThan(rms)
        const largest = errors.reduce((a, b) => Math.max(a, b), 0)
        expect(
          (largest / scale) * Math.sqrt(errors.length),
          `${OPS[i]} ${variant}, stride ${stride}: largest`,
        ).toBeLessThan(most)
      })
    }
  })

  it('is chosen by the sizes', async () => {
    const chosen = async (...sizes: [number, number, number, number, number]) =>
      (await run(...tensors(...sizes), 1)).kernels
    const each = (kernel: string) => [kernel, kernel, kernel]
    expect(await chosen(1, 64, 14, 14, 64)).toEqual(each('winograd 4x4'))
    expect(await chosen(1, 64, 8, 8, 64)).toEqual(each('winograd 2x2')) // few tiles
    expect(await chosen(1, 8, 32, 32, 64)).toEqual(each('implicit')) // few channels
    expect(await chosen(8, 32, 2, 2, 64)).toEqual(each('implicit')) // most taps outside the image
    expect(await chosen(2, 16, 12, 12, 16)).toEqual(each('implicit')) // short in any case
    const strided = async (...sizes: [number, number, number, number, number]) =>
      (await run(...tensors(...sizes), 1, undefined, { stride: 2 })).kernels
    expect(await strided(2, 64, 28, 28, 64)).toEqual(each('winograd 4x4')) // 14 = 4 + 4 + 3 + 3
    expect(await strided(1, 64, 28, 28, 64)).toEqual(each('implicit')) // few tiles
    expect(await strided(8, 64, 10, 10, 64)).toEqual(each('implicit')) // 5 = 3 + 3 - 1
    expect(await strided(8, 16, 32, 32, 32)).toEqual(['winograd 4x4', 'winograd 4x4', 'implicit']) // few channels
  })

  it('is forced or avoided for a convolution and its gradients, and left out where it cannot be', async () => {
    const operands = tensors(1, 64, 14, 14, 64)
    expect((await run(...operands, 1, 'winograd2x2')).kernels).toEqual(OPS.map(() => 'winograd 2x2'))
    expect((await run(...operands, 1, 'implicit')).kernels).toEqual(OPS.map(() => 'implicit'))
    expect((await run(...operands, 1, 'winograd', { stride: 2 })).kernels).toEqual(OPS.map(() => 'winograd 4x4'))
    const left: Record<string, [stride: number, size: number, padding: number, variant: string]> = {
      'tiles of stride 1': [2, 3, 1, 'winograd2x2'],
      stride: [3, 3, 1, 'winograd'],
      filter: [1, 1, 0, 'winograd'],
    }
    for (const [what, [stride, size, padding, variant]] of Object.entries(left)) {
      const weight = randomTensor([8, 64, size, size], 2)
      expect((await run(operands[0], weight, padding, variant, { stride })).kernels, what).toEqual(
        OPS.map(() => 'implicit'),
      )
    }
  })

  it('gives the same bits for any number of threads', async () => {
    const [cpu] = (await fj.devices()).filter((d) => d.kind === 'cpu')
    try {
      for (const [n, c, size, k, stride] of [
        [3, 64, 15, 96, 1],
        [1, 96, 14, 64, 1],
        [1, 96, 14, 64, 2],
        [14, 33, 28, 40, 2], // several blocks
      ] as const) {
        const [x, weight] = tensors(n, c, size, size, k)
        await fj.setThreads(1)
        const alone = (await run(x, weight, 1, 'winograd', { stride })).results
        for (const count of [2, 3, 4]) {
          await fj.setThreads(count)
          const { results } = await run(x, weight, 1, 'winograd', { stride })
          const same = results.map((values, i) => Buffer.from(values.buffer).equals(Buffer.from(alone[i]!.buffer)))
          expect(same, `${count} threads`).toEqual([true, true, true])
        }
      }
    } finally {
      await fj.setThreads(cpu!.threads)
    }
  })
})

it('of few channels gives the same bits for any number of threads', async () => {
  const [cpu] = (await fj.devices()).filter((d) => d.kind === 'cpu')
  const x = randomTensor([8, 1, 28, 28], 1)
  const [first, second] = [randomTensor([6, 1, 5, 5], 2), randomTensor([16, 6, 5, 5], 3)]
  const gradients = fj.compile((first, second) => {
    const y = fj.conv2d(fj.conv2d(x, first, null, { padding: 2 }), second, null)
    return fj.grad(fj.sum(fj.mul(y, y)), [first, second])
  })
  const bits = async () => {
    const results = await gradients(first, second)
    return Promise.all(results.map(async (result) => Buffer.from((await result.data()).buffer).toString('hex')))
  }
  try {
    await fj.setThreads(1)
    const alone = await bits()
    for (const count of [2, 3, 5]) {
      await fj.setThreads(count)
      expect(await bits(), `${count} threads`).toEqual(alone)
    }
  } finally {
    await fj.setThreads(cpu!.threads)
  }
})

it('convolves no images', async () => {
  expect((await fj.conv2d(fj.zeros([0, 3, 8, 8]), fj.zeros([4, 3, 3, 3])).data()).length).toBe(0)
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

  it('of the gradients, on the CPU', () =>
    compareWithReference((x, w) => fj.grad(fj.sum(fj.square(fj.conv2d(x!, w!, null, options))), [x!, w!]), [x, weight]))
})

describe('padding', () => {
  it("'same' keeps ⌈size / stride⌉ pixels, the odd one at the bottom and right", async () => {
    const x = fj.ones([1, 1, 5, 4])
    const y = fj.conv2d(x, fj.ones([1, 1, 2, 4]), null, { padding: 'same' })
    expect(y.shape).toEqual([1, 1, 5, 4])
    // Rows: none above, one below; columns: one left, two right.
    expect(await y.array()).toEqual([[[...new Array(4).fill([6, 8, 6, 4]), [3, 4, 3, 2]]]])
    expect(fj.conv2d(x, fj.ones([1, 1, 3, 3]), null, { padding: 'same', stride: 2 }).shape).toEqual([1, 1, 3, 2])
    expect(fj.conv2d(x, fj.ones([1, 1, 3, 3]), null, { padding: 'valid' }).shape).toEqual([1, 1, 3, 2])
    expect(fj.conv1d(fj.ones([1, 1, 6]), fj.ones([1, 1, 4]), null, { padding: 'same' }).shape).toEqual([1, 1, 6])
  })
})

it('paddingMode mirrors the image, repeats its edge or wraps around', async () => {
  const x = fj.tensor([1, 2, 3, 4], { shape: [1, 1, 1, 4] })
  const weight = fj.tensor([1, 0, 0], { shape: [1, 1, 1, 3] }) // the pixel to the left of the left one
  const padded = (paddingMode: 'zeros' | fj.BorderMode) =>
    fj.conv2d(x, weight, null, { padding: [0, 2], paddingMode }).data()
  expect(Array.from(await padded('zeros'))).toEqual([0, 0, 1, 2, 3, 4])
  expect(Array.from(await padded('reflect'))).toEqual([3, 2, 1, 2, 3, 4])
  expect(Array.from(await padded('replicate'))).toEqual([1, 1, 1, 2, 3, 4])
  expect(Array.from(await padded('circular'))).toEqual([3, 4, 1, 2, 3, 4])
  const inputs = [randomTensor([2, 3, 5, 6], 1), randomTensor([4, 3, 3, 3], 2)]
  for (const paddingMode of ['reflect', 'replicate', 'circular'] as const) {
    const options = { padding: 'same', stride: 2, paddingMode } as const
    await compareWithReference((x, w) => fj.conv2d(x!, w!, null, options), inputs)
    const line = (x?: fj.Tensor, w?: fj.Tensor) => fj.conv1d(x!, w!, null, { padding: 2, paddingMode })
    await compareWithReference(line, [randomTensor([2, 3, 7], 1), randomTensor([4, 3, 5], 2)])
  }
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
  const window = { kernelSize: [2, 3], stride: [1, 2], padding: 1 } as const
  const [image, weight] = [randomTensor([2, 3, 5, 6], 1), randomTensor([4, 3, 2, 3], 2)]
  await compareWithReference((x) => fj.im2col(x!, window), [image])
  await compareWithReference((c) => fj.col2im(c!, { ...window, outputSize: [5, 6] }), [randomTensor([2, 18, 18], 3)])
  const product = fj.matmul(fj.reshape(weight, [4, 18]), fj.im2col(image, window))
  const direct = fj.conv2d(image, weight, null, { stride: [1, 2], padding: 1 })
  expectClose(await product.data(), await direct.data(), 'product with columns')
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
    fails(
      () => fj.conv2d(fj.zeros([1, 32, 2, 2]), weight, null, { groups: 2, padding: 2, paddingMode: 'reflect' }),
      'ERR_ARGUMENT',
      'paddingMode reflect takes padding up to [1,1] of 2 x 2 pixels, got [2,2,2,2]',
    )
    fails(() => fj.convTranspose2d(x, weight), 'ERR_SHAPE', 'input has 32 channels, weight (64, 16, 3, 3) expects 64')
    fails(() => fj.col2im(fj.zeros([1, 8, 5]), { kernelSize: 2, outputSize: 3 }), 'ERR_SHAPE', '(N, C·4, 4) expected')
  })
})
