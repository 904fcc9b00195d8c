import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { compareWithReference, expectClose, randomTensor } from '../helpers/compare.js'

const { nn } = fj
const code = (value: string) => expect.objectContaining({ code: value })

const image = (...shape: number[]) => randomTensor(shape, 11)

/** Every layer with a shape it takes, its output's shape, and its state as PyTorch calls it. */
const LAYERS: [string, () => fj.nn.Module, number[], number[], Record<string, number[]>][] = [
  ['Linear', () => new nn.Linear(5, 3), [2, 5], [2, 3], { weight: [3, 5], bias: [3] }],
  ['Linear', () => new nn.Linear(5, 3, { bias: false }), [2, 4, 5], [2, 4, 3], { weight: [3, 5] }],
  [
    'Conv1d',
    () => new nn.Conv1d(4, 6, 3, { stride: 2, groups: 2 }),
    [2, 4, 9],
    [2, 6, 4],
    { weight: [6, 2, 3], bias: [6] },
  ],
  ['Conv2d', () => new nn.Conv2d(3, 4, 3), [2, 3, 7, 9], [2, 4, 5, 7], { weight: [4, 3, 3, 3], bias: [4] }],
  [
    'Conv2d',
    () => new nn.Conv2d(4, 4, [1, 3], { groups: 4, padding: 'same', bias: false }),
    [1, 4, 5, 5],
    [1, 4, 5, 5],
    { weight: [4, 1, 1, 3] },
  ],
  [
    'ConvTranspose2d',
    () => new nn.ConvTranspose2d(3, 2, 3, { stride: 2, padding: 1, outputPadding: 1 }),
    [1, 3, 4, 4],
    [1, 2, 8, 8],
    { weight: [3, 2, 3, 3], bias: [2] },
  ],
  ['MaxPool2d', () => new nn.MaxPool2d(3, { stride: 2, padding: 1 }), [2, 3, 7, 7], [2, 3, 4, 4], {}],
  ['AvgPool2d', () => new nn.AvgPool2d([2, 1]), [2, 3, 7, 7], [2, 3, 3, 7], {}],
  ['AdaptiveAvgPool2d', () => new nn.AdaptiveAvgPool2d([2, null]), [2, 3, 7, 5], [2, 3, 2, 5], {}],
  ['GlobalAvgPool2d', () => new nn.GlobalAvgPool2d(), [2, 3, 7, 5], [2, 3, 1, 1], {}],
  [
    'BatchNorm1d',
    () => new nn.BatchNorm1d(3),
    [4, 3],
    [4, 3],
    { weight: [3], bias: [3], running_mean: [3], running_var: [3], num_batches_tracked: [] },
  ],
  [
    'BatchNorm1d',
    () => new nn.BatchNorm1d(3, { trackRunningStats: false }),
    [4, 3, 5],
    [4, 3, 5],
    { weight: [3], bias: [3] },
  ],
  [
    'BatchNorm2d',
    () => new nn.BatchNorm2d(3, { affine: false }),
    [4, 3, 2, 2],
    [4, 3, 2, 2],
    { running_mean: [3], running_var: [3], num_batches_tracked: [] },
  ],
  ['LayerNorm', () => new nn.LayerNorm([3, 4]), [2, 5, 3, 4], [2, 5, 3, 4], { weight: [3, 4], bias: [3, 4] }],
  ['LayerNorm', () => new nn.LayerNorm(4, { elementwiseAffine: false }), [2, 4], [2, 4], {}],
  ['GroupNorm', () => new nn.GroupNorm(2, 6), [2, 6, 3, 3], [2, 6, 3, 3], { weight: [6], bias: [6] }],
  ['LocalResponseNorm', () => new nn.LocalResponseNorm(3, { alpha: 0.5, k: 2 }), [2, 6, 3, 3], [2, 6, 3, 3], {}],
  ['Dropout', () => new nn.Dropout(0.3).eval(), [2, 3], [2, 3], {}],
  ['Flatten', () => new nn.Flatten(), [2, 3, 4], [2, 12], {}],
  ['ReLU', () => new nn.ReLU(), [2, 3], [2, 3], {}],
  ['ReLU6', () => new nn.ReLU6(), [2, 3], [2, 3], {}],
  ['LeakyReLU', () => new nn.LeakyReLU(), [2, 3], [2, 3], {}],
  ['ELU', () => new nn.ELU({ alpha: 0.5 }), [2, 3], [2, 3], {}],
  ['SELU', () => new nn.SELU(), [2, 3], [2, 3], {}],
  ['GELU', () => new nn.GELU(), [2, 3], [2, 3], {}],
  ['SiLU', () => new nn.SiLU(), [2, 3], [2, 3], {}],
  ['Softplus', () => new nn.Softplus(), [2, 3], [2, 3], {}],
  ['Sigmoid', () => new nn.Sigmoid(), [2, 3], [2, 3], {}],
  ['Tanh', () => new nn.Tanh(), [2, 3], [2, 3], {}],
  ['Hardswish', () => new nn.Hardswish(), [2, 3], [2, 3], {}],
  ['Softmax', () => new nn.Softmax({ axis: 0 }), [2, 3], [2, 3], {}],
  ['LogSoftmax', () => new nn.LogSoftmax(), [2, 3], [2, 3], {}],
]

it('the table holds every layer', () => {
  const classes = Object.entries(nn)
    .filter(([, value]) => typeof value === 'function')
    .map(([name]) => name)
  const elsewhere = ['Module', 'Sequential', 'Embedding', 'RNN', 'LSTM', 'GRU']
  expect([...new Set([...LAYERS.map(([name]) => name), ...elsewhere])].sort()).toEqual(classes.sort())
})

it.each(LAYERS)('%s %s', async (name, make, input, output, state) => {
  const layer = make()
  expect(layer.constructor.name).toBe(name)
  expect(Object.fromEntries(layer.namedVariables().map(([key, v]) => [key, v.shape]))).toEqual(state)
  layer.eval()
  expect(layer.forward(image(...input)).shape).toEqual(output)
  await compareWithReference((x) => layer.forward(x!), [image(...input)])
})

it('Embedding looks rows up', async () => {
  const layer = new nn.Embedding(5, 2)
  await layer.loadStateDict({ weight: fj.reshape(fj.arange(10), [5, 2]) })
  const rows = layer.forward(fj.tensor([[4, 0]], { dtype: 'int32' }))
  expect(await rows.array()).toEqual([
    [
      [8, 9],
      [0, 1],
    ],
  ])
})

describe('options reach the operation', () => {
  it('LeakyReLU, ELU', async () => {
    const x = fj.tensor([-2, 1])
    expectClose(await new nn.LeakyReLU({ alpha: 0.3 }).forward(x).data(), [-0.6, 1], 'leaky')
    expectClose(await new nn.ELU({ alpha: 2 }).forward(x).data(), [2 * Math.expm1(-2), 1], 'elu')
  })

  it('Conv2d stride, padding, dilation, groups', async () => {
    const options = { stride: 2, padding: [1, 2], dilation: 2, groups: 2 }
    const layer = new nn.Conv2d(4, 6, 3, options)
    const x = image(2, 4, 9, 8)
    const expected = fj.conv2d(x, layer.weight, layer.bias, options)
    expect(layer.forward(x).shape).toEqual(expected.shape)
    expect(await layer.forward(x).data()).toEqual(await expected.data())
  })
})

describe('batch normalisation', () => {
  it('keeps running statistics in training, and uses them in inference', async () => {
    const layer = new nn.BatchNorm1d(2, { momentum: 0.5 })
    const x = fj.tensor([
      [0, 10],
      [2, 30],
    ])
    const train = fj.compile((input: fj.Tensor) => layer.forward(input), { device: 'cpu' })
    expectClose(await (await train(x)).data(), [-1, -1, 1, 1], 'normalised', { rtol: 1e-4 })
    // Mean half way from 0 to (1, 20); variance, of the sample, half way from 1 to (2, 200).
    expectClose(await layer.runningMean!.data(), [0.5, 10], 'running mean')
    expectClose(await layer.runningVar!.data(), [1.5, 100.5], 'running variance')
    expect(await layer.numBatchesTracked!.item()).toBe(1)
    await train(x)
    expect(await layer.numBatchesTracked!.item()).toBe(2)
    layer.eval()
    const mean = await layer.runningMean!.data()
    const variance = await layer.runningVar!.data()
    const expected = [0, 10, 2, 30].map((v, i) => (v - mean[i % 2]!) / Math.sqrt(variance[i % 2]! + 1e-5))
    expectClose(await layer.forward(x).data(), expected, 'inference')
    expect(await layer.numBatchesTracked!.item()).toBe(2)
  })

  it('counts every batch of a function that calls it twice', async () => {
    const layer = new nn.BatchNorm1d(1, { momentum: 0.5 })
    const both = fj.compile((x: fj.Tensor) => [layer.forward(x), layer.forward(fj.mul(x, 4))], { device: 'cpu' })
    await both(fj.tensor([[0], [2]]))
    expect(await layer.runningMean!.array()).toEqual([(0.5 * 1 + 4) / 2])
    expectClose(await layer.runningVar!.data(), [(1.5 + 32) / 2], 'running variance')
    expect(await layer.numBatchesTracked!.item()).toBe(2)
  })

  it('names the layer and the channels it expects', () => {
    const net = new nn.Sequential(new nn.BatchNorm2d(3))
    expect(() => net.forward(image(1, 4, 2, 2))).toThrow(
      /^BatchNorm2d \(0\): \(N, C, H, W\) with C = 3 expected, got shape \(1, 4, 2, 2\)/,
    )
    expect(() => new nn.BatchNorm1d(3).forward(image(1, 3, 2, 2))).toThrow(code('ERR_SHAPE'))
  })
})

it('Dropout drops in training only', async () => {
  fj.setSeed(3)
  const layer = new nn.Dropout(0.25)
  const x = fj.ones([4000])
  const values = Array.from(await layer.forward(x).data())
  expect(new Set(values.map((v) => v.toFixed(4)))).toEqual(new Set(['0.0000', '1.3333']))
  expect(values.filter((v) => v === 0).length / 4000).toBeCloseTo(0.25, 1)
  layer.eval()
  expect(Array.from(await layer.forward(x).data()).every((v) => v === 1)).toBe(true)
})

it.each([
  () => new nn.Linear(0, 3),
  () => new nn.Linear(3, 2.5),
  () => new nn.Linear('3' as never, 2),
  () => new nn.Conv2d(3, 4, 0),
  () => new nn.Conv2d(3, 4, [3, 3, 3]),
  () => new nn.Conv2d(3, 4, 3, { groups: 2 }),
  () => new nn.Conv2d(3, 4, 3, { stride: 0 }),
  () => new nn.Conv2d(3, 4, 3, { padding: -1 }),
  () => new nn.Conv1d(3, 4, 3, { dilation: 0.5 }),
  () => new nn.ConvTranspose2d(3, 4, 3, { outputPadding: -1 }),
  () => new nn.MaxPool2d(0),
  () => new nn.AvgPool2d(2, { stride: 0 }),
  () => new nn.AdaptiveAvgPool2d(0),
  () => new nn.BatchNorm2d(-1),
  () => new nn.BatchNorm2d(3, { momentum: 2 }),
  () => new nn.LayerNorm([]),
  () => new nn.LayerNorm([3, 0]),
  () => new nn.GroupNorm(4, 6),
  () => new nn.LocalResponseNorm(0),
  () => new nn.Dropout(1.5),
  () => new nn.Embedding(0, 3),
  () => new nn.Softmax({ axis: 0.5 }),
  () => new nn.Sequential(new nn.ReLU(), 'relu' as never),
])('%s is refused', (make) => {
  expect(make).toThrow(code('ERR_ARGUMENT'))
})
