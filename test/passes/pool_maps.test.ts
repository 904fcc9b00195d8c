/** Max pooling becomes part of the convolution before it. */
import { describe, expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { cse } from '../../lib/passes/cse.js'
import { epilogue } from '../../lib/passes/epilogue.js'
import { layout } from '../../lib/passes/layout.js'
import { poolMaps } from '../../lib/passes/pool_maps.js'
import { pooled, type SmallMaps } from '../../lib/passes/pooled.js'
import { expectClose, randomTensor } from '../helpers/compare.js'

const [x, weight, bias] = [randomTensor([2, 3, 15, 14], 1), randomTensor([20, 3, 4, 4], 2), randomTensor([20], 3)]

/** Names of the operations behind some tensors, and the attributes of the pooled convolution if there is one. */
function lowered(tensors: fj.Tensor[], where: SmallMaps = 'core') {
  const passes = [layout, cse, pooled, epilogue, (graph: Graph) => poolMaps(graph, where)]
  const graph = passes.reduce((current, pass) => pass(current), new Graph(tensors.map(({ value }) => value)))
  const nodes = graph.nodes().filter(({ op }) => !op.traits.leaf && !op.traits.view)
  return { names: nodes.map(({ op }) => op.name), attrs: nodes.find(({ op }) => op.name === 'conv2dMaxPool')?.attrs }
}

it('takes bias and ReLU along, and searches no taps that nobody wants', () => {
  const { names, attrs } = lowered([fj.maxPool2d(fj.relu(fj.conv2d(x, weight, bias)), { kernelSize: 2 })])
  expect(names).not.toContain('maxPool2d')
  expect(names).not.toContain('conv2d')
  expect(attrs).toMatchObject({ activation: 1, index: 0, size: [12, 11], output: [6, 5] })
})

it('finds the taps that a gradient asks for', () => {
  const p = fj.maxPool2d(fj.relu(fj.conv2d(x, weight, bias)), { kernelSize: 2 })
  const { names, attrs } = lowered([p, ...fj.grad(fj.sum(fj.square(p)), [weight, bias])])
  expect(names).toContain('conv2dPooledGradWeight')
  expect(names).not.toContain('maxPool2d')
  expect(attrs).toMatchObject({ index: 1 })
})

const window = { kernelSize: 2 }
const filters = (...shape: number[]) => randomTensor(shape, 4)
it.each<[string, () => fj.Tensor[]]>([
  ['maps that somebody else reads', () => [fj.conv2d(x, weight), fj.maxPool2d(fj.conv2d(x, weight), window)]],
  ['adaptive windows', () => [fj.adaptiveMaxPool2d(fj.conv2d(x, weight), { outputSize: 3 })]],
  ['averages', () => [fj.avgPool2d(fj.conv2d(x, weight), window)]],
  ['groups', () => [fj.maxPool2d(fj.conv2d(x, filters(60, 1, 4, 4), null, { groups: 3 }), window)]],
  ['dilated filters', () => [fj.maxPool2d(fj.conv2d(x, weight, null, { dilation: 2, padding: 3 }), window)]],
  ['large windows', () => [fj.maxPool2d(fj.conv2d(x, weight, null, { padding: 9 }), { kernelSize: 17 })]],
  ['many channels', () => [fj.maxPool2d(fj.conv2d(randomTensor([2, 16, 15, 14], 5), filters(20, 16, 4, 4)), window)]],
  ['small maps', () => [fj.maxPool2d(fj.conv2d(x, filters(100, 3, 6, 6)), window)]],
  ['few products', () => [fj.maxPool2d(fj.conv2d(x, filters(9, 3, 4, 4)), window)]],
])('leaves %s alone', (_, tensors) => expect(lowered(tensors()).names).not.toContain('conv2dMaxPool'))

it('asks of a GPU whether a block can hold it, not for many products', () => {
  const names = (images: fj.Tensor, filter: fj.Tensor, kernelSize = 2) =>
    lowered([fj.maxPool2d(fj.conv2d(images, filter), { kernelSize })], 'block').names
  expect(names(x, filters(9, 3, 4, 4))).toContain('conv2dMaxPool')
  expect(names(randomTensor([2, 16, 15, 14], 5), filters(16, 16, 4, 4))).toContain('conv2dMaxPool')
  expect(names(randomTensor([2, 16, 15, 14], 5), filters(17, 16, 4, 4))).not.toContain('conv2dMaxPool')
  const wide = randomTensor([1, 2, 9, 1024], 6)
  expect(names(wide, filters(3, 2, 3, 3), 2)).toContain('conv2dMaxPool')
  expect(names(wide, filters(3, 2, 4, 3), 2)).not.toContain('conv2dMaxPool')
})

describe('compiled', () => {
  it('names the layer, and takes no convolution whose variant is asked for', async () => {
    const model = fj.models.create('lenet5')
    const images = randomTensor([1, 1, 28, 28], 1)
    const explained = async (options: fj.CompileFunctionOptions) => {
      const compiled = fj.compile((x: fj.Tensor) => model.forward(x), options)
      await compiled(images)
      const text = compiled.explain()
      compiled.dispose()
      return text
    }
    expect(await explained({})).toMatch(/conv2dMaxPool .*conv1/)
    const forced = await explained({ algorithms: { conv2d: 'im2col' } })
    expect(forced).toContain('conv2d im2col')
    expect(forced).not.toContain('conv2dMaxPool')
  })

  it('trains LeNet-5 as before', async () => {
    const steps = async (options: fj.CompileFunctionOptions) => {
      fj.setSeed(7)
      const model = fj.models.create('lenet5')
      const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
      const labels = fj.tensor(Int32Array.from({ length: 6 }, (_, i) => i % 10))
      const step = fj.compile((images: fj.Tensor) => {
        const loss = fj.crossEntropy(model.forward(images), labels)
        optimizer.minimize(loss)
        return loss
      }, options)
      for (let i = 0; i < 4; i++) await step(randomTensor([6, 1, 28, 28], i))
      const fused = step.explain().match(/^\d+ +conv2dMaxPool /gm)?.length ?? 0
      step.dispose()
      return { fused, weights: await Promise.all(model.parameters().map((parameter) => parameter.data())) }
    }
    const [together, apart] = [await steps({}), await steps({ algorithms: { conv2d: 'implicit' } })]
    expect([together.fused, apart.fused]).toEqual([2, 0])
    for (const [i, weights] of together.weights.entries())
      expectClose(weights, apart.weights[i]!, `parameter ${i}`, { rtol: 1e-5 })
  })
})
