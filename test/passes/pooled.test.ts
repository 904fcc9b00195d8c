/** What follows the gradient of a max pooling is done before it. */
import { expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { cse } from '../../lib/passes/cse.js'
import { layout } from '../../lib/passes/layout.js'
import { pooled } from '../../lib/passes/pooled.js'
import { expectClose, randomTensor } from '../helpers/compare.js'
import { TEST_DEVICE } from '../helpers/device.js'

const OPTIONS: fj.MaxPool2dOptions[] = [
  { kernelSize: 2 },
  { kernelSize: 3, stride: 2, padding: 1 },
  { kernelSize: [3, 2], stride: 1 },
]

/** Gradients of filter and bias of a convolution, ReLU and max pooling, and of what else reads the ReLU. */
function gradients(x: fj.Tensor, weight: fj.Tensor, bias: fj.Tensor, options: fj.MaxPool2dOptions, readTwice = false) {
  const y = fj.relu(fj.conv2d(x, weight, bias))
  const p = fj.maxPool2d(y, options)
  const score = fj.sum(fj.square(p))
  return fj.grad(readTwice ? fj.add(score, fj.sum(fj.square(y))) : score, [weight, bias])
}

const operands = () => [randomTensor([2, 3, 9, 8], 1), randomTensor([5, 3, 2, 2], 2), randomTensor([5], 3)] as const

it('masks and sums pooled maps', () => {
  const values = gradients(...operands(), { kernelSize: 2 }).map(({ value }) => value)
  const nodes = pooled(cse(layout(new Graph(values)))).nodes()
  const mask = nodes.find(({ op }) => op.name === 'reluGrad')!
  const sums = nodes.filter(({ op, inputs }) => op.name === 'sum' && inputs[0]!.shape.length === 4)
  expect(mask.outputs[0]!.shape).toEqual([2, 4, 3, 5])
  expect(sums.map(({ inputs }) => inputs[0])).toEqual([mask.outputs[0]])
})

it('leaves a mask alone that other gradients pass, too', () => {
  const values = gradients(...operands(), { kernelSize: 2 }, true).map(({ value }) => value)
  const nodes = pooled(cse(layout(new Graph(values)))).nodes()
  expect(nodes.find(({ op }) => op.name === 'reluGrad')!.outputs[0]!.shape).toEqual([2, 8, 7, 5])
})

it.each(OPTIONS.flatMap((options) => [false, true].map((readTwice) => [options, readTwice] as const)))(
  'changes no gradient: %o, read twice: %o',
  async (options, readTwice) => {
    const results = []
    for (const device of ['reference', TEST_DEVICE]) {
      const step = fj.compile((x, w, b) => gradients(x, w, b, options, readTwice), { device })
      results.push(await Promise.all((await step(...operands())).map((gradient) => gradient.data())))
      step.dispose()
    }
    const [expected, given] = results
    for (const [i, values] of given!.entries()) expectClose(values, expected![i]!, `gradient ${i}`, { rtol: 1e-5 })
  },
)
