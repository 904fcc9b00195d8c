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

// x, filters, options of the convolution and of the pooling: more images than chunks, patches of more vectors than are
// added at a time, more filters too, strides, padding on both sides, rows and columns that no window sees.
const FIRST_LAYERS: [number[], number[], fj.Conv2dOptions, fj.MaxPool2dOptions][] = [
  [[18, 1, 28, 28], [6, 1, 5, 5], { padding: 2 }, { kernelSize: 2 }],
  [[2, 3, 13, 11], [9, 3, 5, 5], { padding: [0, 2] }, { kernelSize: 3, stride: 2, padding: 1 }],
  [[3, 2, 17, 19], [32, 2, 3, 7], { stride: 2, padding: [1, 3] }, { kernelSize: [2, 3], stride: [2, 1] }],
  [[1, 4, 9, 9], [2, 4, 4, 4], { stride: [1, 2] }, { kernelSize: 4, stride: 1, padding: 2 }],
  [[2, 1, 40, 6], [3, 1, 2, 1], {}, { kernelSize: [16, 6] }],
]

it.each(FIRST_LAYERS)(
  'leaves out the gradient of the maps of a first layer: x %j, filters %j, %j, %j',
  async (...layer) => {
    const [shape, filter, options, windows] = layer
    const [x, weight, bias] = [randomTensor(shape, 1), randomTensor(filter, 2), randomTensor([filter[0]!], 3)]
    const results = []
    for (const device of ['reference', TEST_DEVICE]) {
      const step = fj.compile(
        (x, w, b) => {
          const p = fj.maxPool2d(fj.relu(fj.conv2d(x, w, b, options)), windows)
          return fj.grad(fj.sum(fj.square(p)), [w, b])
        },
        { device },
      )
      results.push(await Promise.all((await step(x, weight, bias)).map((gradient) => gradient.data())))
      if (device === TEST_DEVICE) expect(step.explain()).toMatch(/conv2dPooledGradWeight /)
      step.dispose()
    }
    const [expected, given] = results
    for (const [i, values] of given!.entries()) expectClose(values, expected![i]!, `gradient ${i}`, { rtol: 1e-5 })
  },
)

// Layers behind the first, and who holds their maps: a core where patches fill vectors, a block of a GPU where windows lie
// apart and filters reach every pixel.
const LATER_LAYERS: [number[], number[], fj.Conv2dOptions, fj.MaxPool2dOptions, string[]][] = [
  [[18, 6, 14, 14], [16, 6, 5, 5], {}, { kernelSize: 2 }, ['cpu', 'cuda']],
  [
    [2, 4, 13, 11],
    [33, 4, 3, 4],
    { padding: [0, 2], stride: [2, 1] },
    { kernelSize: 3, stride: 2, padding: 1 },
    ['cpu'],
  ],
  [[3, 3, 11, 9], [7, 3, 3, 2], { padding: [2, 1] }, { kernelSize: [2, 3], padding: [1, 1] }, ['cuda']],
  [[1, 1, 9, 40], [5, 1, 4, 1], { padding: [0, 3] }, { kernelSize: 2, stride: 3 }, ['cuda']],
  [[300, 5, 4, 4], [12, 5, 2, 2], { padding: 1 }, { kernelSize: 2 }, ['cuda']],
]

it.each(LATER_LAYERS)(
  'leaves out the gradient of the maps of small images: x %j, filters %j, %j, %j',
  async (shape, filter, options, windows, holders) => {
    const [x, weight] = [randomTensor(shape, 1), randomTensor(filter, 2)]
    const compile = (more: fj.CompileFunctionOptions) =>
      fj.compile((x, w) => {
        const p = fj.maxPool2d(fj.relu(fj.conv2d(x, w, null, options)), windows)
        return fj.grad(fj.sum(fj.square(p)), [x, w])
      }, more)
    const results = []
    for (const more of [{ device: 'reference' }, { device: TEST_DEVICE }]) {
      const step = compile(more)
      results.push(await Promise.all((await step(x, weight)).map((gradient) => gradient.data())))
      if (more.device !== 'reference') {
        const held = holders.some((holder) => TEST_DEVICE.startsWith(holder))
        expect(/maxPool2dGrad /.test(step.explain())).toBe(!held)
        expect(step.explain().match(/conv2dPooledGrad\w+ (rows|images)/g)?.length).toBe(
          held && TEST_DEVICE !== 'cpu' ? 2 : undefined,
        )
      }
      step.dispose()
    }
    for (const [i, expected] of results[0]!.entries()) {
      const largest = Math.max(...Array.from(expected, (value) => Math.abs(Number(value))))
      expectClose(results[1]![i]!, expected, `gradient ${i}`, { rtol: 1e-5, atol: 1e-6 * largest })
    }
    const forced = compile({ device: TEST_DEVICE, algorithms: { conv2d: 'im2col' } })
    await forced(x, weight)
    expect(forced.explain()).toContain('conv2dGradInput im2col')
    forced.dispose()
  },
)

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
