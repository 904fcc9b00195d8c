import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { compareWithReference, expectClose, randomTensor } from '../helpers/compare.js'

const { nn } = fj
const shapes = (layer: fj.nn.AnyModule) =>
  Object.fromEntries(layer.namedVariables().map(([name, v]) => [name, v.shape.join('×')]))

it.each([
  [new nn.RNN(5, 7), 1],
  [new nn.LSTM(5, 7), 4],
  [new nn.GRU(5, 7), 3],
] as const)('%s has PyTorch’s names and shapes', async (layer, blocks) => {
  const rows = blocks * 7
  expect(shapes(layer)).toEqual({
    weight_ih_l0: `${rows}×5`,
    weight_hh_l0: `${rows}×7`,
    bias_ih_l0: String(rows),
    bias_hh_l0: String(rows),
  })
  const { y, h } = layer.forward(randomTensor([2, 3, 5], 1))
  expect([y.shape, h.shape]).toEqual([
    [2, 3, 7],
    [1, 2, 7],
  ])
  await compareWithReference((x) => layer.forward(x!).y, [randomTensor([2, 3, 5], 1)])
})

it('names layers and directions, in PyTorch’s order', () => {
  const layer = new nn.LSTM(3, 4, { numLayers: 2, bidirectional: true, bias: false })
  expect(Object.entries(shapes(layer))).toEqual([
    ['weight_ih_l0', '16×3'],
    ['weight_hh_l0', '16×4'],
    ['weight_ih_l0_reverse', '16×3'],
    ['weight_hh_l0_reverse', '16×4'],
    ['weight_ih_l1', '16×8'],
    ['weight_hh_l1', '16×4'],
    ['weight_ih_l1_reverse', '16×8'],
    ['weight_hh_l1_reverse', '16×4'],
  ])
  const { y, h, c } = layer.forward(fj.zeros([2, 5, 3]))
  expect([y.shape, h.shape, c.shape]).toEqual([
    [2, 5, 8],
    [4, 2, 4],
    [4, 2, 4],
  ])
  expect(layer.parameters().length).toBe(8)
  expect(layer.detail()).toBe('3→4 ×2, both ways')
})

it('starts from a given state, and evenly within 1/√hiddenSize', async () => {
  fj.setSeed(2)
  const layer = new nn.GRU(3, 16)
  const values = Array.from(await layer.weights[1]!.data())
  expect(Math.max(...values)).toBeLessThanOrEqual(0.25)
  expect(Math.max(...values)).toBeGreaterThan(0.24)
  expect(Math.min(...values)).toBeLessThan(-0.24)
  const x = randomTensor([2, 6, 3], 3)
  const whole = layer.forward(x)
  const [front, back] = fj.split(x, 2, { axis: 1 })
  const rest = layer.forward(back!, layer.forward(front!))
  expectClose(await rest.h.data(), await whole.h.data(), 'last state')
})

it('RNN with relu, and dropout between layers in training only', async () => {
  fj.setSeed(3)
  const relu = new nn.RNN(3, 8, { nonlinearity: 'relu' })
  const y = await relu.forward(randomTensor([2, 4, 3], 1)).y.data()
  expect(Math.min(...y)).toBe(0)
  const layer = new nn.LSTM(3, 8, { numLayers: 2, dropout: 0.5 })
  const x = randomTensor([2, 4, 3], 1)
  const trained = await layer.forward(x).y.data()
  layer.eval()
  const inferred = await layer.forward(x).y.data()
  expect(inferred).not.toEqual(trained)
  expect(await layer.forward(x).y.data()).toEqual(inferred)
})

it('trains within a network, and names the layer in errors', async () => {
  fj.setSeed(1)
  class Net extends nn.Module<[x: fj.Tensor]> {
    lstm = new nn.LSTM(1, 8)
    fc = new nn.Linear(8, 1)
    override forward(x: fj.Tensor) {
      return this.fc.forward(fj.reshape(this.lstm.forward(x).h, [x.shape[0]!, 8]))
    }
  }
  const net = new Net()
  expect(() => net.forward(fj.zeros([2, 3, 2]))).toThrow(
    /^lstm \(lstm\): weight_ih_l0 has shape \(32, 1\); \(32, 2\) expected/,
  )
  expect(net.summary({ input: [6, 1] }).layers[0]).toEqual({
    name: 'lstm',
    type: 'LSTM',
    outputShape: [1, 6, 8],
    parameters: 4 * (8 + 64) + 64,
    macs: 6 * 4 * (8 + 64),
  })
  const x = randomTensor([32, 6, 1], 5)
  const optimizer = new fj.optim.Adam(net.parameters(), { lr: 0.02 })
  const step = fj.compile(
    () => {
      const loss = fj.mseLoss(net.forward(x), fj.mean(x, { axes: [1] }))
      optimizer.minimize(loss)
      return loss
    },
    { device: 'cpu' },
  )
  const first = await (await step()).item()
  for (let i = 0; i < 150; i++) await step()
  expect(await (await step()).item()).toBeLessThan(first / 20)
  step.dispose()
})

it.each([
  () => new nn.RNN(0, 3),
  () => new nn.LSTM(3, 2.5),
  () => new nn.GRU(3, 2, { numLayers: 0 }),
  () => new nn.LSTM(3, 2, { dropout: 2 }),
])('%s is refused', (make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
