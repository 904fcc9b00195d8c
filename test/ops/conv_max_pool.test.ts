/** conv2dMaxPool, which no user writes: passes make it (test/passes/pool_maps.test.ts). Images N,H,W,C, filters R,S,C,K. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { applyAll } from '../../lib/ops/apply.js'
import { outputSizes } from '../../lib/ops/conv.js'
import { type ConvMaxPoolAttrs, conv2dMaxPoolOp } from '../../lib/ops/conv_max_pool.js'
import { expectClose, randomTensor, type Tolerance } from '../helpers/compare.js'
import { TEST_DEVICE } from '../helpers/device.js'

interface Layer {
  x: number[]
  /** [R, S, K]. */
  filter: [number, number, number]
  stride?: number[]
  /** Top, left, bottom, right; likewise for windows. */
  padding?: number[]
  window: number[]
  windowStride?: number[]
  windowPadding?: number[]
}

/** Windows are as many as fit the padded maps. */
function attrsOf(layer: Layer, index: number, activation: number): ConvMaxPoolAttrs {
  const { x, filter, stride = [1, 1], padding = [0, 0, 0, 0], window } = layer
  const { windowStride = window, windowPadding = [0, 0, 0, 0] } = layer
  const size = outputSizes(x.slice(1, 3), filter, { stride, padding, dilation: [1, 1] })
  const output = outputSizes(size, window, { stride: windowStride, padding: windowPadding, dilation: [1, 1] })
  return { stride, padding, size, window, windowStride, windowPadding, output, activation, index }
}

async function results(device: string, inputs: fj.Tensor[], attrs: ConvMaxPoolAttrs) {
  const compiled = fj.compile((...args: fj.Tensor[]) => applyAll(conv2dMaxPoolOp, args, attrs), { device })
  const outputs = await Promise.all((await compiled(...inputs)).map((output) => output.data()))
  compiled.dispose()
  return outputs
}

async function compare(inputs: fj.Tensor[], layer: Layer, tolerance: Tolerance = { rtol: 0, atol: 0 }) {
  for (const activation of [0, 1]) {
    const expected = await results('reference', inputs, attrsOf(layer, 1, activation))
    for (const index of [0, 1]) {
      const given = await results(TEST_DEVICE, inputs, attrsOf(layer, index, activation))
      const what = `activation ${activation}, index ${index}`
      expect(given.length).toBe(1 + index)
      expectClose(given[0]!, expected[0]!, what, tolerance)
      if (index === 1) expect(given[1], what).toEqual(expected[1])
    }
  }
}

/** Small integers: sums are exact, and many are equal. */
const whole = (shape: number[], seed: number) => fj.sub(fj.cast(randomTensor(shape, seed, 'int32', 5), 'float32'), 2)
const filterOf = ({ x, filter: [r, s, k] }: Layer) => [r, s, x[3]!, k]

// One to three channels to few: rows of sums pooled as they are computed, where windows are two columns apart and none
// hangs over the sides; then all other forms, and windows that overlap, leave gaps, hang over or see all.
const LAYERS: Layer[] = [
  { x: [1, 28, 28, 1], filter: [5, 5, 6], padding: [2, 2, 2, 2], window: [2, 2] },
  { x: [3, 28, 28, 1], filter: [5, 5, 6], padding: [2, 2, 2, 2], window: [2, 2] },
  { x: [17, 9, 11, 1], filter: [3, 2, 3], window: [2, 2] },
  { x: [2, 13, 75, 3], filter: [3, 3, 3], padding: [1, 2, 0, 3], window: [3, 3], windowStride: [2, 2] },
  { x: [2, 12, 20, 2], filter: [2, 3, 1], window: [3, 2], windowStride: [1, 2], windowPadding: [1, 0, 2, 0] },
  { x: [1, 14, 39, 1], filter: [3, 3, 2], stride: [2, 1], window: [2, 5], windowStride: [3, 2] },
  { x: [1, 20, 20, 1], filter: [3, 3, 3], window: [16, 16], windowStride: [2, 2] },
  { x: [2, 9, 8, 2], filter: [3, 3, 3], window: [3, 3], windowStride: [1, 1], windowPadding: [1, 1, 1, 1] },
  { x: [2, 9, 9, 1], filter: [2, 2, 2], window: [3, 3], windowStride: [2, 2], windowPadding: [1, 1, 1, 1] },
  { x: [1, 14, 14, 6], filter: [5, 5, 16], window: [2, 2] },
  { x: [17, 14, 14, 6], filter: [5, 5, 16], window: [2, 2] },
  { x: [2, 11, 9, 5], filter: [3, 3, 33], padding: [1, 1, 1, 1], window: [2, 2], windowStride: [3, 1] },
  { x: [3, 7, 31, 7], filter: [1, 1, 5], window: [3, 3], windowStride: [2, 2], windowPadding: [1, 1, 1, 1] },
  { x: [2, 12, 9, 20], filter: [5, 5, 3], padding: [0, 2, 0, 2], window: [2, 2] },
  {
    x: [1, 15, 15, 3],
    filter: [3, 3, 12],
    stride: [2, 2],
    padding: [1, 1, 1, 1],
    window: [3, 3],
    windowStride: [2, 2],
  },
  { x: [1, 63, 65, 4], filter: [3, 3, 31], padding: [1, 1, 1, 1], window: [3, 2], windowStride: [2, 2] },
  { x: [0, 8, 8, 1], filter: [3, 3, 2], window: [2, 2] },
]

describe.each(LAYERS)('%j', (layer) => {
  const filter = filterOf(layer)
  it('gives the maxima and the first taps that have them', () =>
    compare([whole(layer.x, 1), whole(filter, 2), whole([filter[3]!], 3)], layer))
  it('without bias', () => compare([whole(layer.x, 4), whole(filter, 5)], layer))
  it('of any numbers', () =>
    compare([randomTensor(layer.x, 6), randomTensor(filter, 7), randomTensor([filter[3]!], 8)], layer, { rtol: 1e-5 }))
})

describe('numbers that are none', () => {
  const layers: Layer[] = [
    { x: [2, 8, 40, 1], filter: [2, 2, 3], window: [2, 2] },
    { x: [2, 8, 41, 1], filter: [2, 2, 3], window: [3, 3], windowStride: [2, 2] },
    { x: [2, 8, 10, 2], filter: [1, 1, 17], window: [3, 3], windowStride: [2, 2], windowPadding: [1, 1, 1, 1] },
  ]
  it.each(layers)('NaN wins, and the last of them: %j', async (layer) => {
    const data = await whole(layer.x, 1).data()
    for (let i = 0; i < data.length; i += 7) data[i] = i % 3 === 0 ? Number.NaN : Number.POSITIVE_INFINITY
    await compare([fj.tensor(data, { shape: layer.x }), fj.ones(filterOf(layer))], layer)
  })
  it.each(layers)('minus infinity wins over padding: %j', (layer) =>
    compare([fj.full(layer.x, Number.NEGATIVE_INFINITY), fj.ones(filterOf(layer))], layer),
  )
})

it('gives the same bits for any number of threads', async () => {
  const [cpu] = (await fj.devices()).filter((d) => d.kind === 'cpu')
  const layers = LAYERS.filter(({ x }) => x[0]! > 0)
  const bits = async (layer: Layer) => {
    const inputs = [randomTensor(layer.x, 1), randomTensor(filterOf(layer), 2)]
    const outputs = await results(TEST_DEVICE, inputs, attrsOf(layer, 1, 1))
    return outputs.map((output) => Buffer.from(output.buffer).toString('hex'))
  }
  try {
    await fj.setThreads(1)
    const alone = await Promise.all(layers.map(bits))
    for (const threads of [2, 3, 5, 7]) {
      await fj.setThreads(threads)
      for (const [i, layer] of layers.entries())
        expect(await bits(layer), `${threads} threads: ${JSON.stringify(layer)}`).toEqual(alone[i])
    }
  } finally {
    await fj.setThreads(cpu!.threads)
  }
})

it('keeps filters that its program does not write, until somebody else does', async () => {
  for (const layer of [LAYERS[0]!, LAYERS[9]!]) {
    const [x, filters] = [whole(layer.x, 1), whole(filterOf(layer), 2)]
    const weight = fj.variable(filters)
    const compiled = fj.compile((x: fj.Tensor) => applyAll(conv2dMaxPoolOp, [x, weight], attrsOf(layer, 0, 0)), {
      device: TEST_DEVICE,
    })
    for (const factor of [1, -1, 3]) {
      await weight.assign(fj.mul(filters, factor))
      const [expected] = await results('reference', [x, fj.mul(filters, factor)], attrsOf(layer, 0, 0))
      for (let run = 0; run < 2; run++)
        expectClose(await (await compiled(x))[0]!.data(), expected!, `times ${factor}, run ${run}`)
    }
    compiled.dispose()
  }
})

// Of some 2^31 rows of maps two are pooled: a look at each of them, eight times, would take longer than is given.
it('plans maps of which windows see next to nothing', { timeout: 5000 }, async () => {
  for (let rows = 1; rows <= 8; rows++) {
    const layer: Layer = {
      x: [1, 8, 4, 1],
      filter: [rows, 3, 1],
      padding: [2 ** 31 - 9, 0, 0, 0],
      window: [2, 2],
      windowStride: [2 ** 31 - 1, 2],
    }
    const inputs = [fj.ones(layer.x), fj.ones(filterOf(layer)), fj.tensor([7])]
    expect(await results(TEST_DEVICE, inputs, attrsOf(layer, 1, 0))).toEqual([Float32Array.of(7), Uint8Array.of(0)])
  }
})

describe('refuses', () => {
  const [x, w] = [fj.zeros([1, 8, 8, 1]), fj.zeros([3, 3, 1, 2])]
  const good = attrsOf({ x: [1, 8, 8, 1], filter: [3, 3, 2], window: [2, 2] }, 0, 0)
  it.each<[string, Partial<ConvMaxPoolAttrs>, RegExp]>([
    ['maps of another size', { size: [7, 6] }, /maps are 6 x 6, not 7 x 6/],
    ['windows that do not fit', { output: [4, 3] }, /a window of 2 x 2 pixels does not fit 6 x 6 pixels/],
    [
      'windows of more taps than a uint8 holds',
      { window: [17, 17], windowPadding: [16, 16, 16, 16] },
      /uint8 expected/,
    ],
  ])('%s', (_, attrs, message) => {
    expect(() => applyAll(conv2dMaxPoolOp, [x, w], { ...good, ...attrs })).toThrow(message)
  })

  // Rows of 2^44 numbers, 2^30 columns apart: the product is a multiple of 2^64.
  it.runIf(TEST_DEVICE === 'cpu')('maps that no memory holds', async () => {
    const layer: Layer = {
      x: [1, 1, 1, 1],
      filter: [1, 1, 2 ** 14],
      padding: [0, 2 ** 29, 0, 2 ** 29 - 1],
      window: [1, 1],
      windowStride: [2 ** 30, 2 ** 30],
    }
    const inputs = [fj.zeros(layer.x), fj.zeros(filterOf(layer))]
    await expect(results('cpu', inputs, attrsOf(layer, 0, 0))).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
  })
})
