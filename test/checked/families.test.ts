/**
 * Every kernel on small shapes with all accesses of memory checked: a race, an access out of bounds, a read of bytes that
 * nothing wrote or a misaligned one ends the run with an error that names file and line. Each case runs three times:
 * launched, recorded, replayed. Edges of tiles are met by sizes that no tile divides.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { RELU_GRAD } from '../../lib/ops/activation.js'
import { applyAll } from '../../lib/ops/apply.js'
import { conv2dMaxPoolOp } from '../../lib/ops/conv_max_pool.js'
import { conv2dPooledGradInputOp, conv2dPooledGradWeightOp } from '../../lib/ops/conv_pooled.js'
import { weightNames, weightShapes } from '../../lib/ops/recurrent_api.js'
import { allOps } from '../../lib/ops/registry.js'
import { loadAddon } from '../../lib/runtime/addon.js'
import { type CompareOptions, compareWithReference, expectClose, randomTensor } from '../helpers/compare.js'
import { BACKEND, TEST_DEVICE, variantsOf } from '../helpers/device.js'

const SITES = process.env.SIMT_SITES!
rmSync(SITES, { force: true })

const executed = new Set<string>()
function note(explained: string): void {
  for (const [, name] of explained.matchAll(/^\d+ +(\w+)/gm)) executed.add(name!)
}

type Fn = (...inputs: fj.Tensor[]) => fj.Tensor | fj.Tensor[]
const check = (fn: Fn, inputs: fj.Tensor[], options: CompareOptions = {}) =>
  compareWithReference(fn, inputs, { runs: 3, onExplained: note, ...options })

const plain = { gradients: false }
const floats = (...shape: number[]) => randomTensor(shape, shape.length + shape[0]!)
const positive = (...shape: number[]) => fj.add(fj.square(floats(...shape)), 0.1)
const integers = (below: number, ...shape: number[]) => randomTensor(shape, 7, 'int32', below)

describe('elementwise', () => {
  const unary = [
    'neg abs sign square sqrt rsqrt reciprocal exp expm1 log log1p sin cos erf',
    'relu relu6 leakyRelu elu sigmoid tanh silu gelu softplus hardswish',
  ].flatMap((names) => names.split(' '))
  it.each(unary)('%s', (name) => check((x) => (fj as unknown as Record<string, Fn>)[name]!(x!), [positive(3, 11)]))

  it('of two operands, broadcast', () =>
    check(
      (x, y) => fj.div(fj.pow(fj.maximum(x!, y!), 2), fj.add(fj.minimum(x!, y!), 3)),
      [positive(5, 7), positive(7)],
    ))

  it('results of one micro-program that are joined', () =>
    check(
      (...x) => x.map((v) => fj.cast(v, 'float16')),
      [3, 8, 1029].map((n) => floats(n)),
      {
        gradients: false,
      },
    ))

  // Whole groups of elements and cut ones, of inputs of all widths and all ways to broadcast. Of long rows there are
  // enough elements for threads that take more groups.
  it.each([8, 9, 592, 593])('chains over rows of %i', (columns) =>
    check(
      (x, row, column, mask) => {
        const half = fj.cast(fj.cast(x!, 'bfloat16'), 'float32')
        const a = fj.add(fj.mul(half, row!), column!)
        return [fj.where(fj.equal(mask!, 1), fj.mul(a, a), half), fj.cast(fj.sub(a, x!), 'bfloat16')]
      },
      [floats(3, 37, columns), floats(columns), floats(37, 1), randomTensor([3, 37, columns], 5, 'uint8', 2)],
      { gradients: false },
    ),
  )

  it('comparisons and choices', () =>
    check(
      (x, y) => [
        fj.where(
          fj.logicalAnd(fj.greater(x!, 0), fj.lessEqual(y!, 1)),
          fj.clamp(x!, { min: -1, max: 1 }),
          fj.sub(x!, y!),
        ),
        fj.cast(fj.logicalOr(fj.equal(x!, y!), fj.logicalNot(fj.notEqual(x!, y!))), 'int32'),
        fj.cast(fj.logicalOr(fj.less(x!, y!), fj.greaterEqual(x!, y!)), 'uint8'),
      ],
      [floats(33), floats(33)],
    ))
})

describe('reductions', () => {
  it.each([[[0]], [[1]], [[0, 2]], [[0, 1, 2]]])('over axes %j', (axes) =>
    check(
      (x) => [fj.sum(x!, { axes }), fj.max(x!, { axes }), fj.min(x!, { axes }), fj.prod(x!, { axes })],
      [positive(3, 35, 5)],
    ),
  )
  it('along an axis', () =>
    check(
      (x) => [
        fj.argMax(x!, { axis: 1 }),
        fj.argMin(x!, { axis: 0 }),
        fj.cumSum(x!, { axis: 1 }),
        fj.topK(x!, { k: 3, axis: 1 }).values,
        fj.logSumExp(x!, { axes: [1] }),
      ],
      [floats(4, 37)],
    ))
  it('of long lines, which several blocks share', () =>
    check(
      (x) => [
        fj.sum(x!),
        fj.max(x!),
        fj.argMax(x!, { axis: 0 }),
        fj.cumSum(fj.slice(x!, { starts: [0], ends: [2100] }), { axis: 0 }),
      ],
      [floats(40_000)],
    ))
  it('in packs along the last axis and across it', () =>
    check(
      (x) => [fj.sum(x!, { axes: [1] }), fj.sum(x!, { axes: [0, 2] }), fj.max(x!, { axes: [0] })],
      [floats(40, 6, 20)],
    ))
  it('of rows of few results, which are read as longer ones', () =>
    check(
      (x, bytes) => [fj.sum(x!, { axes: [0] }), fj.max(x!, { axes: [0] }), fj.min(bytes!, { axes: [0] })],
      [floats(1200, 6), randomTensor([1200, 6], 5, 'uint8', 200)],
      plain,
    ))
  it('softmax', () => check((x) => [fj.softmax(x!), fj.logSoftmax(x!, { axis: 0 })], [floats(5, 33)]))
  it.each([
    [5, 20],
    [2, 516],
    [2, 1028],
    [1, 8203],
    [1, 16400],
  ])('softmax of %i rows of %i', (...shape) =>
    check((x) => [fj.softmax(x!), fj.logSumExp(x!, { axes: [1] })], [floats(...shape)]),
  )
})

/** As in test/ops/matmul.test.ts. */
const tolerance = (variant: string) => (variant === 'tensorcore' ? { rtol: 5e-3, atol: 0.05 } : {})

describe('matmul', () => {
  it.each(variantsOf('matmul'))('%s', async (matmul) => {
    const options = { algorithms: { matmul }, gradients: false, ...tolerance(matmul) }
    await check((a, b) => fj.matmul(a!, b!), [floats(33, 17), floats(17, 35)], options)
    await check(
      (a, b) => fj.matmul(a!, b!, { transposeA: true, transposeB: true }),
      [floats(8, 12), floats(20, 8)],
      options,
    )
  })
  it('of a batch, with bias and activation, and its gradients', () =>
    check((a, b, c) => fj.relu(fj.add(fj.matmul(a!, b!), c!)), [floats(2, 5, 7), floats(7, 9), floats(9)]))
  it('of many tiles on tensor cores', () =>
    check((a, b) => fj.matmul(a!, b!, { transposeB: true }), [floats(132, 20), floats(260, 20)], {
      algorithms: { matmul: 'tensorcore' },
      ...tolerance('tensorcore'),
    }))
  // Which tiles these take, the fewest blocks first, follows from tile_cost in native/cuda/gemm.cuh and the four
  // multiprocessors of the emulator.
  it.each([
    ['large', 512, 128],
    ['tall', 512, 136],
    ['medium', 512, 64],
    ['small', 776, 8],
    ['grouped', 264, 132],
  ])('in %s tiles', (_, m, n) =>
    check(
      (a, b) => fj.matmul(a!, b!, { transposeB: n % 16 === 8 }),
      [floats(m, 20), n % 16 === 8 ? floats(n, 20) : floats(20, n)],
      {
        algorithms: { matmul: 'tiled' },
        gradients: false,
      },
    ),
  )
  it('of a long sum, parts of which are added up, masked by a ReLU', () =>
    check((a, b) => fj.matmul(fj.relu(a!), b!), [floats(5, 7), floats(7, 2100)], {
      algorithms: { matmul: 'tiled' },
    }))
  it.each([8, 9])('of a library, masked by a ReLU of %i columns', (columns) =>
    check((a, b) => fj.matmul(fj.relu(a!), b!), [floats(5, columns), floats(columns, 4)], {
      algorithms: { matmul: 'cublas' },
    }),
  )
  it('of few rows and many products', () => check((a, b) => fj.matmul(a!, b!), [floats(3, 300), floats(300, 4)]))
})

describe('convolution', () => {
  it('whose maps are pooled, in a first layer', () => {
    const [x, ...parameters] = [floats(2, 2, 8, 7), floats(3, 2, 3, 3), floats(3)]
    return check(
      (w, b) => {
        const p = fj.maxPool2d(fj.relu(fj.conv2d(x!, w!, b!, { padding: 1 })), { kernelSize: 2, padding: 1 })
        return fj.grad(fj.sum(fj.square(p)), [w!, b!])
      },
      parameters,
      { gradients: false },
    )
  })
  it.each([0, 1])('and max pooling as one, taps wanted: %i', async (index) => {
    const attrs = {
      ...{ stride: [2, 1], padding: [1, 0, 1, 2], size: [4, 7], activation: index, index },
      ...{ window: [3, 2], windowStride: [2, 2], windowPadding: [1, 0, 0, 1], output: [2, 4] },
    }
    const pooled = (...operands: fj.Tensor[]) => applyAll(conv2dMaxPoolOp, operands, attrs)
    await check(pooled, [floats(2, 8, 7, 3), floats(3, 3, 3, 5), ...(index ? [floats(5)] : [])], plain)
    const many = [floats(1, 8, 7, 40), floats(3, 3, 40, 36)] // filters that no block holds
    await check(pooled, many, plain)
  })
  /** The fourth operand is what a ReLU gave. */
  const activationOf = ({ length }: { length: number }) => (length === 4 ? RELU_GRAD : 0)
  it('and its gradients from pooled maps', async () => {
    const windows = {
      ...{ stride: [2, 1], padding: [1, 0, 1, 2], size: [4, 7], window: [3, 2], windowStride: [2, 2] },
      windowPadding: [1, 0, 0, 1],
    }
    const taps = Uint8Array.from({ length: 80 }, (_, i) => i % 7) // 6: none
    const index = fj.tensor(taps, { shape: [2, 2, 4, 5], dtype: 'uint8' })
    const [x, w, dp] = [floats(2, 8, 7, 3), floats(3, 3, 3, 5), floats(2, 2, 4, 5)]
    const dw = (...operands: fj.Tensor[]) =>
      applyAll(conv2dPooledGradWeightOp, operands, { ...windows, kernel: [3, 3], fitsCore: 1 })
    await check(dw, [x, dp, index], plain)
    const dx = (...operands: fj.Tensor[]) =>
      applyAll(conv2dPooledGradInputOp, operands, { ...windows, image: [8, 7], activation: activationOf(operands) })
    await check(dx, [dp, w, index], plain)
    await check(dx, [dp, w, index, x], plain)
  })
  it.each([3, 4])('and its gradients from pooled maps that lie apart, of %i filters', async (k) => {
    const windows = {
      ...{ stride: [1, 1], padding: [1, 0, 0, 2], size: [6, 7], window: [2, 2], windowStride: [2, 3] },
      windowPadding: [0, 1, 0, 0],
    }
    const taps = Uint8Array.from({ length: 2 * 3 * 3 * k }, (_, i) => i % 5) // 4: none
    const index = fj.tensor(taps, { shape: [2, 3, 3, k], dtype: 'uint8' })
    const dp = floats(2, 3, 3, k)
    const dw = (...operands: fj.Tensor[]) =>
      applyAll(conv2dPooledGradWeightOp, operands, { ...windows, kernel: [2, 3], fitsCore: 0 })
    await check(dw, [floats(2, 6, 7, 5), dp, index], plain)
    const dx = (...operands: fj.Tensor[]) =>
      applyAll(conv2dPooledGradInputOp, operands, { ...windows, image: [6, 7], activation: activationOf(operands) })
    await check(dx, [dp, floats(2, 3, 5, k), index], plain)
    await check(dx, [dp, floats(2, 3, 5, k), index, floats(2, 6, 7, 5)], plain)
  })
  it('and the gradient of more filters than a block has threads', () => {
    // And pixels so many that blocks share them.
    const inputs = [floats(4, 17, 17, 1), floats(4, 8, 8, 520), randomTensor([4, 8, 8, 520], 7, 'uint8', 4)]
    const ones = { stride: [1, 1], padding: [0, 0, 0, 0], windowStride: [2, 2], windowPadding: [0, 0, 0, 0] }
    const attrs = { ...ones, size: [16, 16], window: [2, 2], kernel: [2, 2], fitsCore: 0 }
    const dw = (...operands: fj.Tensor[]) => applyAll(conv2dPooledGradWeightOp, operands, attrs)
    return check(dw, inputs, plain)
  })
  it.each(variantsOf('conv2d'))('%s', (conv2d) =>
    check(
      (x, w, b) => fj.conv2d(x!, w!, b!, { stride: 2, padding: 1 }),
      [floats(2, 3, 7, 6), floats(5, 3, 3, 3), floats(5)],
      {
        algorithms: { conv2d },
        ...tolerance(conv2d),
      },
    ),
  )
  it('of groups, dilated', () =>
    check(
      (x, w) => fj.conv2d(x!, w!, undefined, { groups: 2, dilation: 2, padding: 2 }),
      [floats(1, 4, 6, 5), floats(6, 2, 3, 3)],
    ))
  it('depthwise', () =>
    check((x, w) => fj.conv2d(x!, w!, undefined, { groups: 4, padding: 1 }), [floats(2, 4, 5, 5), floats(4, 1, 3, 3)]))
  it('transposed', () =>
    check(
      (x, w) => fj.convTranspose2d(x!, w!, undefined, { stride: 2, padding: 1 }),
      [floats(1, 3, 4, 4), floats(3, 2, 3, 3)],
    ))
  it('im2col and col2im', () =>
    check((x) => fj.im2col(x!, { kernelSize: 3, stride: 2, padding: 1, dilation: 1 }), [floats(2, 2, 5, 6)]))
})

it('bfloat16 products and what lies between them', async () => {
  const small = (seed: number, ...shape: number[]) => fj.sub(randomTensor(shape, seed, 'int32', 3), 1)
  const inputs = [small(1, 2, 3, 6, 5), small(2, 16, 3, 3, 3), small(3, 9, 16)].map((t) => fj.cast(t, 'float32'))
  const compiled = fj.compile(
    (x: fj.Tensor, w: fj.Tensor, v: fj.Tensor) => {
      const maps = fj.relu(fj.conv2d(x, w, null, { padding: 1, stride: 2 }))
      const y = fj.linear(fj.mean(maps, { axes: [2, 3] }), v)
      return [y, ...fj.grad(fj.sum(fj.square(y)), [w, v])]
    },
    { device: TEST_DEVICE, precision: 'bfloat16' },
  )
  for (let run = 0; run < 3; run++) await compiled(...(inputs as [fj.Tensor, fj.Tensor, fj.Tensor]))
  note(compiled.explain())
  expect(compiled.explain()).toContain('conv2dGradWeight tensorcore bfloat16')
  compiled.dispose()
})

it('bfloat16 products in whole pieces: every tile, every way that operands lie', async () => {
  const small = (seed: number, ...shape: number[]) =>
    fj.cast(fj.sub(randomTensor(shape, seed, 'int32', 3), 1), 'float32')
  const products = async (fn: Fn, inputs: fj.Tensor[], kernel: string) => {
    const compiled = fj.compile((...args: fj.Tensor[]) => fn(...args), { device: TEST_DEVICE, precision: 'bfloat16' })
    for (let run = 0; run < 2; run++) await compiled(...inputs)
    expect(compiled.explain()).toContain(kernel)
    compiled.dispose()
  }
  const sizes = [
    [136, 72, 264, false, true],
    [136, 8, 264, true, false],
    [400, 8, 128, false, false],
    [512, 8, 64, true, true],
    [8, 520, 8, false, true],
  ] as const
  for (const [m, k, n, transposeA, transposeB] of sizes) {
    const operands = [
      small(1, ...(transposeA ? [k, m] : [m, k])),
      small(2, ...(transposeB ? [n, k] : [k, n])),
      small(3, n),
    ]
    await products(
      (a, b, c) => fj.relu(fj.add(fj.matmul(a!, b!, { transposeA, transposeB }), c!)),
      operands,
      'matmul tensorcore bfloat16',
    )
  }
  const convolve: Fn = (x, w) => {
    const y = fj.conv2d(x!, w!, null, { padding: 1, stride: 2 })
    return [y, ...fj.grad(fj.sum(fj.square(y)), [x!, w!])]
  }
  await products(convolve, [small(1, 2, 8, 7, 6), small(2, 16, 8, 3, 3)], 'conv2dGradInput tensorcore bfloat16')
})

it('bfloat16 products of libraries, with bias and activation', async () => {
  const small = (seed: number, ...shape: number[]) =>
    fj.cast(fj.sub(randomTensor(shape, seed, 'int32', 3), 1), 'float32')
  const inputs = [small(1, 2, 8, 5, 4), small(2, 16, 8, 3, 3), small(3, 16), small(4, 7, 96), small(5, 7)]
  const compiled = fj.compile(
    (x: fj.Tensor, w: fj.Tensor, b: fj.Tensor, v: fj.Tensor, c: fj.Tensor) => {
      const y = fj.relu(fj.conv2d(x, w, b))
      return fj.relu(fj.linear(fj.reshape(y, [2, 96]), v, c))
    },
    { device: TEST_DEVICE, precision: 'bfloat16', algorithms: { matmul: 'cublas', conv2d: 'cudnn' } },
  )
  for (let run = 0; run < 3; run++) await compiled(...(inputs as Parameters<typeof compiled>))
  note(compiled.explain())
  for (const kernel of ['matmul cublas bfloat16', 'conv2d cudnn bfloat16']) expect(compiled.explain()).toContain(kernel)
  compiled.dispose()
})

describe('pooling', () => {
  const window = { kernelSize: 3, stride: 2, padding: 1 }
  it('maximum, with second gradients', () =>
    check(
      (x) => {
        const [dx] = fj.grad(fj.sum(fj.square(fj.maxPool2d(x!, window))), [x!])
        return [fj.maxPool2d(x!, window), dx!]
      },
      [floats(2, 3, 7, 6)],
    ))
  it('average', () => check((x) => fj.avgPool2d(x!, { ...window, countIncludePad: false }), [floats(2, 3, 7, 6)]))
  it('maximum and average in packs of channels, of images too', () =>
    check((x) => [fj.maxPool2d(x!, window), fj.globalAvgPool2d(x!)], [floats(2, 8, 9, 5)]))
  it('of bfloat16', () =>
    check((x) => fj.cast(fj.maxPool2d(fj.cast(x!, 'bfloat16'), window), 'float32'), [floats(2, 16, 5, 6)], {
      rtol: 1e-2,
    }))
  it('adaptive', () => check((x) => fj.adaptiveAvgPool2d(x!, { outputSize: [2, 3] }), [floats(1, 2, 5, 7)]))
})

describe('normalisation', () => {
  it.each([true, false])('of a batch, training %s', async (training) => {
    const [runningMean, runningVar] = [fj.variable(floats(3)), fj.variable(positive(3))]
    await check(
      (x, gamma, beta) => fj.relu(fj.batchNorm(x!, { gamma, beta, runningMean, runningVar, training })),
      [floats(2, 3, 5, 5), floats(3), floats(3)],
      { runs: 1 },
    )
  })
  it('of a batch, and a residual', () =>
    check(
      (x, r, gamma, beta) =>
        fj.relu(fj.add(fj.batchNorm(x!, { gamma, beta, training: true }), fj.transpose(r!, [0, 3, 1, 2]))),
      [floats(2, 3, 5, 5), floats(2, 5, 5, 3), floats(3), floats(3)],
    ))
  it('of layers and groups', () =>
    check(
      (x, g, b) => [
        fj.layerNorm(x!, { gamma: g, beta: b, normalizedShape: [6] }),
        fj.groupNorm(x!, { groups: 2, gamma: fj.ones([4]), beta: fj.zeros([4]) }),
      ],
      [floats(3, 4, 6), floats(6), floats(6)],
    ))
  // Groups of 32, 128 and 512 threads to rows of single elements, of 8, 32, 64, 128, 256 and 512 to rows of packs.
  it.each([7, 515, 2049, 8193, 8, 132, 516, 1028, 2052, 4100])('of rows of %i', (columns) =>
    check(
      (x, gamma, beta) => [fj.layerNorm(fj.tanh(x!), { gamma, beta }), fj.layerNorm(x!)],
      [floats(columns > 1100 ? 3 : 41, columns), floats(columns), floats(columns)],
      { atol: 1e-5 },
    ),
  )
})

describe('shapes', () => {
  it('moved, cut, joined', () =>
    check(
      (x, y) => {
        const joined = fj.concat([x!, fj.transpose(y!, [1, 0])], { axis: 1 })
        return [
          joined,
          fj.slice(joined, { starts: [1, 2], ends: [5, 9], steps: [1, 3] }),
          fj.pad(x!, { pads: [[1, 2], [0, 1]], mode: 'constant', value: 2 }), // biome-ignore format: a table
          fj.pad(x!, { pads: [[1, 2], [1, 1]], mode: 'reflect' }), // biome-ignore format: a table
          fj.flip(x!, { axes: [0] }),
        ]
      },
      [floats(5, 7), floats(4, 5)],
    ))
  it('in packs, in large tiles and small ones', () =>
    check(
      (x, y) => [
        fj.transpose(x!, [0, 2, 1]),
        fj.transpose(y!, [1, 0]),
        fj.cast(fj.transpose(fj.cast(x!, 'bfloat16'), [2, 0, 1]), 'float32'),
        fj.slice(x!, { starts: [0, 3, 8], ends: [2, 20, 40] }),
        fj.concat([y!, y!], { axis: 1 }),
        fj.pad(y!, { pads: [[0, 3], [4, 8]], value: 2 }), // biome-ignore format: a table
        fj.gather(x!, fj.tensor([1, 0, 1], { dtype: 'int32' }), { axis: 0 }),
      ],
      [floats(2, 48, 72), floats(20, 36)],
    ))
  it('indices', () =>
    check(
      (x, i, j) => [
        fj.gather(x!, i!, { axis: 1 }),
        fj.embedding(i!, x!),
        fj.oneHot(i!, { depth: 6 }),
        fj.takeAlongAxis(x!, j!, { axis: 1 }),
      ],
      [floats(6, 9), integers(6, 7), integers(9, 6, 3)],
    ))
})

it.each([5, 37])('cross entropy of %i classes, with its gradient, alone, and each by itself', async (classes) => {
  const operands = [floats(9, classes), integers(5, 9)]
  const options = { labelSmoothing: 0.1, ignoreIndex: 2 }
  await check((x, labels) => fj.crossEntropy(x!, labels!, options), operands)
  await check((x, labels) => fj.crossEntropy(x!, labels!, options), operands, { gradients: false })
  await check(
    (x, labels, weight) => fj.crossEntropy(x!, labels!, { ...options, weight: fj.detach(weight!) }),
    [...operands, fj.exp(floats(classes))],
  )
})

const RECURRENT = { rnn: fj.rnn, lstm: fj.lstm, gru: fj.gru }
it.each(Object.keys(RECURRENT) as (keyof typeof RECURRENT)[])('%s, forward and backward', (name) => {
  const [steps, batch, inputs, hidden] = [3, 2, 5, 7]
  const shapes = weightShapes(name === 'rnn' ? 'tanh' : name, inputs, hidden)
  const names = weightNames(0, false)
  const weights = shapes.map((shape) => floats(...shape))
  return check(
    (x, ...rest) => {
      const { y, h } = RECURRENT[name](x!, Object.fromEntries(names.map((key, i) => [key, rest[i]!])))
      return [y, h]
    },
    [floats(batch, steps, inputs), ...weights],
  )
})

it('detection', async () => {
  const boxes = fj.tensor(Array.from({ length: 40 }, (_, i) => [i % 7, i % 5, (i % 7) + 3 + (i % 2), (i % 5) + 4]))
  await check(
    (b, s) => {
      const { indices, count } = fj.nmsPadded(b!, s!, { iouThreshold: 0.4 })
      return [indices, count]
    },
    [boxes, floats(40)],
    { gradients: false, rtol: 0, atol: 0 },
  )
  const rois = fj.tensor([[0, 1, 1, 6, 5], [1, -1, 0, 4, 9], [0, 2.5, 1.5, 3, 2]]) // biome-ignore format: a table
  await check((x) => fj.roiAlign(x!, rois, { outputSize: [2, 3], spatialScale: 1 }), [floats(2, 3, 7, 8)])
  await check((x) => fj.roiPool(x!, rois, { outputSize: [2, 2], spatialScale: 0.5 }), [floats(2, 3, 7, 8)])
})

it.each([
  ['SGD', (w: fj.Variable[]) => new fj.optim.SGD(w, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 })],
  ['Adam', (w: fj.Variable[]) => new fj.optim.Adam(w, { lr: 0.1 })],
])('%s updates', async (_, optimizerOf) => {
  const train = async (device: string) => {
    const weights = [fj.variable(floats(37)), fj.variable(floats(3, 5))]
    const optimizer = optimizerOf(weights)
    const step = fj.compile(
      () => {
        const loss = fj.add(fj.sum(fj.square(weights[0]!)), fj.sum(fj.exp(weights[1]!)))
        optimizer.minimize(loss)
        return loss
      },
      { device },
    )
    for (let i = 0; i < 3; i++) await step()
    if (device === TEST_DEVICE) note(step.explain())
    step.dispose()
    return await Promise.all(weights.map((w) => w.data()))
  }
  const [here, there] = [await train(TEST_DEVICE), await train('reference')]
  here.forEach((w, i) => expectClose(w, there[i]!, `weight ${i}`))
})

it('a commit that waits for labels to be classes', async () => {
  const count = fj.variable(fj.zeros([]))
  const step = fj.compile(
    (y: fj.Tensor) => {
      count.assign(fj.add(count, 1))
      return fj.crossEntropy(fj.zeros([2, 3]), y)
    },
    { device: TEST_DEVICE },
  )
  const labels = (...list: number[]) => fj.tensor(list, { dtype: 'int32' })
  for (const [good, bad] of [
    [0, 3],
    [1, -1],
    [2, 4],
  ]) {
    // biome-ignore format: a table
    await step(labels(good!, 0))
    await expect(step(labels(0, bad!))).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  }
  expect(await count.item()).toBe(3)
  step.dispose()
})

it("random numbers, the reference's", async () => {
  const draw = async (device: string) => {
    fj.setSeed(5)
    const run = fj.compile(
      () =>
        fj.concat([fj.randn([77]), fj.rand([9]), fj.dropout(fj.ones([50]), { p: 0.3, training: true })], { axis: 0 }),
      { device },
    )
    const data = await (await run()).data()
    if (device === TEST_DEVICE) note(run.explain())
    run.dispose()
    return data
  }
  expectClose(await draw(TEST_DEVICE), await draw('reference'), 'numbers')
})

it('times steps', async () => {
  const run = fj.compile((x: fj.Tensor) => fj.matmul(x, x), { device: TEST_DEVICE })
  expect(await run.profile(floats(5, 5))).toHaveLength(1)
  run.dispose()
})

it('leaves out no operation', () => {
  const { supports } = loadAddon()
  const kernels = allOps().filter(
    ({ traits, code }) => !traits.leaf && !traits.view && !traits.elementwise && supports(BACKEND, code, 0),
  )
  expect(
    kernels.map((op) => op.name).filter((name) => !executed.has(name)),
    'kernels that no case ran',
  ).toEqual([])
})

it('leaves out no launch of a kernel', () => {
  const folder = new URL('../../native/cuda/', import.meta.url)
  const places = readdirSync(folder)
    .filter((file) => /\.cuh?$/.test(file) && file !== 'launch.cuh' && file !== 'ceilings.cu')
    .flatMap((file) => {
      const lines = readFileSync(new URL(file, folder), 'utf8').split('\n')
      return lines.flatMap((line, i) =>
        /^ +launch\(/.test(line) && !/uint64_t[,>]/.test(line) ? [{ file, line: i + 1 }] : [],
      )
    })
  // What counts in 64 bits is left out: it needs 2^31 elements. A launch is noted with the line of its grid, which may lie below that of its name.
  const noted = readFileSync(SITES, 'utf8')
    .trim()
    .split('\n')
    .map((site) => {
      const [file, at] = [basename(site.slice(0, site.lastIndexOf(':'))), Number(site.slice(site.lastIndexOf(':') + 1))]
      return `${file}:${Math.max(...places.filter((p) => p.file === file && p.line <= at).map((p) => p.line))}`
    })
  const all = places.map(({ file, line }) => `${file}:${line}`)
  expect(all.length).toBeGreaterThan(50)
  expect(all.filter((place) => !noted.includes(place))).toEqual([])
})
