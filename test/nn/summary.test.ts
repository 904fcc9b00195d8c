import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

it('prints LeNet-5', () => {
  expect(`\n${fj.models.lenet5().summary({ input: [1, 28, 28] })}\n`).toBe(`
 LeNet5
 ────────────────────────────────────────────────────
 Layer (type)        Output shape     Params     MACs
 ────────────────────────────────────────────────────
 conv1 (Conv2d 5×5)  (N, 6, 28, 28)      156  117,600
 conv2 (Conv2d 5×5)  (N, 16, 10, 10)   2,416  240,000
 fc1 (Linear)        (N, 120)         48,120   48,000
 fc2 (Linear)        (N, 84)          10,164   10,080
 fc3 (Linear)        (N, 10)             850      840
 ────────────────────────────────────────────────────
 Total params 61,706 (241.0 KiB) · trainable 61,706 · MACs/sample 416,520
`)
})

it('gives the object that the command line writes', () => {
  const net = new fj.nn.Sequential(
    new fj.nn.Conv2d(3, 8, [3, 1], { stride: 2 }),
    new fj.nn.ReLU(),
    new fj.nn.MaxPool2d(2),
    new fj.nn.Flatten(),
    new fj.nn.Linear(8 * 3 * 4, 5),
  )
  net.freeze()
  net.layers[4]!.unfreeze()
  const summary = net.summary({ input: [4, 3, 15, 16], name: 'tiny' })
  expect(JSON.parse(JSON.stringify(summary))).toEqual({
    model: 'tiny',
    parameters: 80 + 485,
    trainableParameters: 485,
    macs: 8 * 7 * 8 * 9 + 480,
    layers: [
      { name: '0', type: 'Conv2d', outputShape: [4, 8, 7, 8], parameters: 80, macs: 8 * 7 * 8 * 9 },
      { name: '1', type: 'ReLU', outputShape: [4, 8, 7, 8], parameters: 0, macs: 0 },
      { name: '2', type: 'MaxPool2d', outputShape: [4, 8, 3, 4], parameters: 0, macs: 0 },
      { name: '3', type: 'Flatten', outputShape: [4, 96], parameters: 0, macs: 0 },
      { name: '4', type: 'Linear', outputShape: [4, 5], parameters: 485, macs: 480 },
    ],
  })
  expect(summary.toString()).toContain('0 (Conv2d 3×1 /2)')
})

it('takes a sample or a batch', () => {
  const model = fj.models.lenet5()
  const [sample, batch] = [model.summary({ input: [1, 28, 28] }), model.summary({ input: [32, 1, 28, 28] })]
  expect(batch.macs).toBe(sample.macs)
  expect(sample.layers[0]!.outputShape).toEqual([1, 6, 28, 28])
  expect(batch.layers[0]!.outputShape).toEqual([32, 6, 28, 28])
  expect(batch.toString()).toBe(sample.toString())
  expect(fj.models.mlp().summary({ input: [784] }).macs).toBe(406_528)
})

it('counts shared layers once, shows idle ones and what a container computes itself', () => {
  class Net extends fj.nn.Module {
    shared = new fj.nn.Linear(4, 4)
    unused = new fj.nn.Linear(2, 2)
    w = fj.variable(fj.ones([4, 3]))
    override forward(x: fj.Tensor) {
      return fj.matmul(this.shared.forward(this.shared.forward(x)), this.w)
    }
  }
  const summary = new Net().summary({ input: [4] })
  expect(summary.layers).toEqual([
    { name: '', type: 'Net', outputShape: [1, 3], parameters: 12, macs: 12 },
    { name: 'shared', type: 'Linear', outputShape: [1, 4], parameters: 20, macs: 32 },
    { name: 'shared', type: 'Linear', outputShape: [1, 4], parameters: 0, macs: 0 },
    { name: 'unused', type: 'Linear', outputShape: null, parameters: 6, macs: 0 },
  ])
  expect(summary.parameters).toBe(38)
  expect(summary.macs).toBe(44)
})

it('leaves modes as they were and computes nothing', () => {
  const net = new fj.nn.Sequential(new fj.nn.Dropout(0.3), new fj.nn.Linear(3, 3).eval())
  net.summary({ input: [3] })
  expect(net.namedModules().map(([, module]) => module.training)).toEqual([true, true, false])
  expect(net.parameters()[0]!.state.placed).toBe(null)
})

it('fails as forward does, of the batch it was given', () => {
  expect(() => fj.models.lenet5().summary({ input: [2, 3, 28, 28] })).toThrow(/conv2d \(conv1\): input has 3 channels/)
  expect(() => fj.models.lenet5().summary({ input: [] })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => fj.models.lenet5().summary({ input: [-1, 2] })).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
})
