/** Gradients are graph like any other: the gradient of a gradient is right, or an error names what has none. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { randomTensor } from '../helpers/compare.js'

const weight = randomTensor([4, 3, 2, 2], 11)
const labels = fj.tensor([0, 2], { dtype: 'int32' })

/** Each with the shape of its argument. */
const FUNCTIONS: Record<string, [(x: fj.Tensor) => fj.Tensor, number[]]> = {
  'a chain of elementwise functions': [(x) => fj.tanh(fj.mul(fj.sigmoid(x), fj.exp(fj.sin(x)))), [2, 3]],
  division: [(x) => fj.div(x, fj.add(fj.square(x), 1)), [2, 3]],
  softplus: [(x) => fj.softplus(x), [2, 3]],
  gelu: [(x) => fj.gelu(x), [2, 3]],
  silu: [(x) => fj.silu(x), [2, 3]],
  matmul: [(x) => fj.matmul(x, x, { transposeB: true }), [3, 4]],
  'batched matmul': [(x) => fj.matmul(x, fj.tanh(x), { transposeA: true }), [2, 3, 2]],
  linear: [(x) => fj.linear(x, fj.tanh(fj.reshape(x, [2, 3]))), [2, 3]],
  conv1d: [(x) => fj.conv1d(fj.reshape(x, [1, 2, 6]), fj.tanh(fj.reshape(x, [2, 2, 3]))), [12]],
  conv2d: [(x) => fj.conv2d(fj.tanh(x), weight, null, { padding: 1 }), [1, 3, 3, 3]],
  convTranspose2d: [(x) => fj.convTranspose2d(fj.tanh(x), weight, null, { stride: 2 }), [1, 4, 2, 2]],
  im2col: [(x) => fj.im2col(fj.tanh(x), { kernelSize: 2 }), [1, 2, 3, 3]],
  maxPool2d: [(x) => fj.maxPool2d(fj.tanh(x), { kernelSize: 2 }), [1, 2, 4, 4]],
  avgPool2d: [(x) => fj.avgPool2d(fj.tanh(x), { kernelSize: 2, padding: 'same' }), [1, 2, 3, 3]],
  batchNorm: [(x) => fj.batchNorm(x, { training: true }), [4, 2]],
  layerNorm: [(x) => fj.layerNorm(x), [3, 4]],
  groupNorm: [(x) => fj.groupNorm(x, { groups: 2 }), [2, 4, 2]],
  localResponseNorm: [(x) => fj.localResponseNorm(x, { size: 3 }), [1, 4, 2]],
  softmax: [(x) => fj.softmax(x), [2, 3]],
  logSoftmax: [(x) => fj.logSoftmax(x), [2, 3]],
  logSumExp: [(x) => fj.logSumExp(x, { axes: 1 }), [2, 3]],
  crossEntropy: [(x) => fj.crossEntropy(x, labels, { labelSmoothing: 0.1 }), [2, 3]],
  mseLoss: [(x) => fj.mseLoss(fj.tanh(x), fj.zeros([2, 3])), [2, 3]],
  binaryCrossEntropyWithLogits: [(x) => fj.binaryCrossEntropyWithLogits(x, fj.full([2, 3], 0.3)), [2, 3]],
  variance: [(x) => fj.variance(x, { axes: 1 }), [2, 4]],
  'maximum and max': [(x) => fj.mul(fj.max(x, { axes: 1 }), fj.sum(fj.maximum(x, 0))), [2, 3]],
  cumSum: [(x) => fj.cumSum(fj.tanh(x)), [2, 3]],
  topK: [(x) => fj.tanh(fj.topK(x, { k: 2 }).values), [2, 4]],
  gather: [(x) => fj.tanh(fj.gather(x, labels, { axis: 1 })), [2, 3]],
  takeAlongAxis: [(x) => fj.tanh(fj.takeAlongAxis(x, fj.tensor([[1], [0]], { dtype: 'int32' }))), [2, 3]],
  'pad by reflection': [(x) => fj.pad(fj.tanh(x), { pads: [[1, 2]], mode: 'reflect' }), [2, 3]],
  'pad around': [(x) => fj.pad(fj.tanh(x), { pads: [[3, 1]], mode: 'circular' }), [2, 3]],
  'slice, flip and concat': [
    (x) => fj.concat([fj.flip(fj.tanh(x)), fj.slice(fj.exp(x), { steps: [1, 2] })], { axis: 1 }),
    [2, 3],
  ],
}

describe('the gradient of a gradient', () => {
  it.each(Object.keys(FUNCTIONS))('%s', async (name) => {
    const [fn, shape] = FUNCTIONS[name]!
    const gradient = (x?: fj.Tensor) => {
      const y = fn(x!)
      return fj.grad(fj.sum(fj.mul(y, fj.add(y, 1))), [x!])[0]!
    }
    await fj.gradcheck(gradient, [randomTensor(shape, 7)], { tolerance: 1e-4 })
  })

  it.each([fj.elu, fj.selu])('$name has no NaN where exp overflows', async (activation) => {
    const x = fj.tensor([-1, 0.5, 100])
    const first = fj.grad(fj.sum(activation(x)), [x])[0]!
    const [negative, ...positive] = await fj.grad(fj.sum(first), [x])[0]!.data()
    expect(negative).toBeGreaterThan(0.3)
    expect(positive).toEqual([0, 0])
  })

  it('of x² - 2 is 2, and the next one 0', async () => {
    const x = fj.tensor(1.5)
    const [first] = fj.grad(fj.sub(fj.square(x), 2), [x])
    const [second] = fj.grad(first!, [x])
    const [third] = fj.grad(second!, [x])
    expect([await first!.item(), await second!.item(), await third!.item()]).toEqual([3, 2, 0])
  })

  it('is refused by name where there is none', () => {
    const x = fj.ones([2, 3])
    const [dx] = fj.grad(fj.sum(fj.prod(x, { axes: 1 })), [x])
    expect(() => fj.grad(fj.sum(dx!), [x])).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED_OP', message: 'grad: productOfOthers is not differentiable' }),
    )
  })
})
