/**
 * Gradients of convolutions from pooled maps, which no user writes: passes make them (test/passes/pooled.test.ts). Images
 * N,H,W,C, filters R,S,C,K, pooled maps N,PH,PW,K.
 */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { RELU_GRAD } from '../../lib/ops/activation.js'
import { apply } from '../../lib/ops/apply.js'
import { outputSizes } from '../../lib/ops/conv.js'
import { conv2dPooledGradInputOp, conv2dPooledGradWeightOp } from '../../lib/ops/conv_pooled.js'
import { expectClose, randomTensor } from '../helpers/compare.js'
import { TEST_DEVICE } from '../helpers/device.js'

interface Layer {
  x: [number, number, number, number]
  /** [R, S, K]. */
  filter: [number, number, number]
  stride?: number[]
  /** Top, left, bottom, right; likewise for windows. */
  padding?: number[]
  window: [number, number]
  windowStride?: number[]
  windowPadding?: number[]
}

function windowsOf({ x, filter, stride = [1, 1], padding = [0, 0, 0, 0], window, ...layer }: Layer) {
  const { windowStride = window, windowPadding = [0, 0, 0, 0] } = layer
  const size = outputSizes(x.slice(1, 3), filter, { stride, padding, dilation: [1, 1] })
  const output = outputSizes(size, window, { stride: windowStride, padding: windowPadding, dilation: [1, 1] })
  return { attrs: { stride, padding, size, window, windowStride, windowPadding }, output }
}

/** Random operands; the taps are those of pixels inside the maps, but `none` in some places. */
async function operands(layer: Layer, none?: number) {
  const { attrs, output } = windowsOf(layer)
  const [r, s, k] = layer.filter
  const shape = [layer.x[0], ...output, k]
  const random = await randomTensor(shape, 4).data()
  const [rows, columns] = layer.window
  const taps = Uint8Array.from(random, (value, at) => {
    const [p, q] = [Math.floor(at / (k * output[1]!)) % output[0]!, Math.floor(at / k) % output[1]!]
    const inside = Array.from({ length: rows * columns }, (_, tap) => tap).filter((tap) => {
      const i = p * attrs.windowStride[0]! - attrs.windowPadding[0]! + Math.floor(tap / columns)
      const j = q * attrs.windowStride[1]! - attrs.windowPadding[1]! + (tap % columns)
      return i >= 0 && i < attrs.size[0]! && j >= 0 && j < attrs.size[1]!
    })
    return inside[Math.floor(Math.abs(value) * 1e4) % inside.length]!
  })
  const dp = Float32Array.from(await randomTensor(shape, 3).data())
  if (none !== undefined) for (let at = 0; at < taps.length; at += 3) taps[at] = none
  return {
    x: randomTensor(layer.x, 1),
    w: randomTensor([r, s, layer.x[3], k], 2),
    dp: fj.tensor(dp, { shape }),
    index: fj.tensor(taps, { shape, dtype: 'uint8' }),
    /** Without what chose no tap. */
    chosen: fj.tensor(
      dp.map((value, at) => (none !== undefined && at % 3 === 0 ? 0 : value)),
      { shape },
    ),
  }
}

type Operands = Awaited<ReturnType<typeof operands>>

async function gradients(layer: Layer, { x, w, dp, index }: Omit<Operands, 'chosen'>, device = TEST_DEVICE) {
  const { attrs } = windowsOf(layer)
  const kernel = layer.filter.slice(0, 2)
  const image = { ...attrs, image: layer.x.slice(1, 3) }
  const compiled = fj.compile(
    (x, w, dp, index) => [
      apply(conv2dPooledGradInputOp, [dp, w, index], { ...image, activation: 0 }),
      apply(conv2dPooledGradInputOp, [dp, w, index, x], { ...image, activation: RELU_GRAD }),
      apply(conv2dPooledGradWeightOp, [x, dp, index], { ...attrs, kernel, fitsCore: 0 }),
      apply(conv2dPooledGradWeightOp, [x, dp, index], { ...attrs, kernel, fitsCore: 1 }),
    ],
    { device },
  )
  const results = await Promise.all((await compiled(x, w, dp, index)).map((result) => result.data()))
  compiled.dispose()
  const [dx, masked, dw, copied] = results
  expect(copied).toEqual(dw)
  const y = await x.data()
  expect(masked).toEqual(dx!.map((value, at) => (y[at]! <= 0 ? 0 : value)))
  return [dx!, dw!]
}

// Filter rows that fill vectors, or a part of one; patches of more vectors than are added at a time, more filters and more
// than a word's bits of them; images past the chunks; windows that overlap, leave gaps, hang over, see all; strides.
const LAYERS: Layer[] = [
  { x: [1, 14, 14, 6], filter: [5, 5, 16], window: [2, 2] },
  { x: [37, 14, 14, 6], filter: [5, 5, 16], window: [2, 2] },
  {
    x: [3, 9, 10, 4],
    filter: [3, 4, 7],
    padding: [1, 2, 1, 1],
    window: [3, 3],
    windowStride: [2, 2],
    windowPadding: [1, 1, 1, 1],
  },
  { x: [2, 13, 12, 12], filter: [7, 5, 3], padding: [3, 0, 3, 2], window: [2, 3], windowStride: [3, 2] },
  { x: [2, 11, 9, 8], filter: [3, 2, 70], stride: [2, 1], window: [2, 2], windowStride: [1, 1] },
  { x: [2, 12, 13, 5], filter: [2, 3, 1], stride: [1, 3], padding: [0, 0, 2, 1], window: [2, 2] },
  { x: [5, 28, 28, 1], filter: [5, 5, 6], padding: [2, 2, 2, 2], window: [2, 2] },
  { x: [1, 40, 6, 1], filter: [2, 1, 3], window: [16, 6] },
  { x: [1, 8, 8, 16], filter: [1, 1, 9], stride: [2, 2], window: [4, 4] },
]

describe.each(LAYERS)('%j', (layer) => {
  it('gives the sums of what was chosen', async () => {
    const given = await operands(layer)
    const expected = await gradients(layer, given, 'reference')
    for (const [i, result] of (await gradients(layer, given)).entries()) {
      expectClose(result, expected[i]!, ['dx', 'dw'][i]!, { rtol: 1e-5, atol: 1e-4 })
    }
  })

  it('counts nothing for a tap that no window has', async () => {
    const none = layer.window[0] * layer.window[1]
    const given = await operands(layer, none)
    const expected = await gradients(layer, { ...given, ...(await operands(layer)), dp: given.chosen })
    expect(await gradients(layer, given)).toEqual(expected)
  })
})

it('counts nothing for a tap outside the maps', async () => {
  const layer: Layer = {
    x: [2, 7, 8, 6],
    filter: [2, 4, 5],
    window: [3, 3],
    windowStride: [2, 2],
    windowPadding: [2, 2, 2, 2],
  }
  const given = await operands(layer)
  const outside = { ...given, index: fj.cast(fj.zeros(given.index.shape), 'uint8') } // inside from the second row and column of windows on
  const { output } = windowsOf(layer)
  const counts = Float32Array.from({ length: given.dp.size }, (_, at) => {
    const [p, q] = [Math.floor(at / (5 * output[1]!)) % output[0]!, Math.floor(at / 5) % output[1]!]
    return p > 0 && q > 0 ? 1 : 0
  })
  const dp = fj.mul(given.dp, fj.tensor(counts, { shape: given.dp.shape }))
  expect(await gradients(layer, outside)).toEqual(await gradients(layer, { ...outside, dp }))
})

it('sums no images to zeros', async () => {
  const given = await operands({ x: [1, 14, 14, 6], filter: [5, 5, 16], window: [2, 2] })
  const layer: Layer = { x: [0, 14, 14, 6], filter: [5, 5, 16], window: [2, 2] }
  const none = { dp: fj.zeros([0, 5, 5, 16]), index: fj.cast(fj.zeros([0, 5, 5, 16]), 'uint8') }
  const [dx, dw] = await gradients(layer, { ...given, x: fj.zeros([0, 14, 14, 6]), ...none })
  expect(dx).toHaveLength(0)
  expect(dw!.every((value) => value === 0)).toBe(true)
})

it.runIf(TEST_DEVICE === 'cpu')('gives the same bits for any number of threads', async () => {
  const [cpu] = (await fj.devices()).filter((d) => d.kind === 'cpu')
  const bits = async () => {
    const all = []
    for (const layer of LAYERS) all.push(await gradients(layer, await operands(layer)))
    return all.map((results) => results.map((result) => Buffer.from(result.buffer).toString('hex')))
  }
  try {
    await fj.setThreads(1)
    const alone = await bits()
    for (const threads of [2, 3, 5, 7]) {
      await fj.setThreads(threads)
      expect(await bits(), `${threads} threads`).toEqual(alone)
    }
  } finally {
    await fj.setThreads(cpu!.threads)
  }
})
