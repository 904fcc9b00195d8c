/** Networks as they were published: shapes, connections, arithmetic, and that they learn. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { Subsampling, TableConv2d } from '../../lib/models/subsampling.js'
import { compareWithReference, expectClose, randomTensor } from '../helpers/compare.js'

const error = (code: string, part: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(part) })

describe('shapes', () => {
  const shapes = (model: fj.models.Network, input: number[]) =>
    Object.fromEntries(model.summary({ input }).layers.map(({ name, outputShape }) => [name, outputShape?.slice(1)]))

  it('of Haykin’s character recogniser', () => {
    expect(shapes(fj.models.haykin(), [1, 28, 28])).toEqual({
      conv1: [4, 24, 24],
      pool1: [4, 12, 12],
      conv2: [12, 8, 8],
      pool2: [12, 4, 4],
      conv3: [26, 1, 1],
    })
  })

  it.each([28, 32])('of LeNet-5 in 1998, from %i pixels', (size) => {
    expect(shapes(fj.models.lenet1998(), [1, size, size])).toEqual({
      c1: [6, 28, 28],
      s2: [6, 14, 14],
      c3: [16, 10, 10],
      s4: [16, 5, 5],
      c5: [120, 1, 1],
      f6: [84],
      output: [10],
    })
  })

  it('of AlexNet in 2012', () => {
    const found = shapes(fj.models.alexnet2012(), [3, 227, 227])
    expect([0, 3, 4, 7, 8, 10, 12, 14].map((i) => found[`features.${i}`])).toEqual([
      [96, 55, 55],
      [96, 27, 27],
      [256, 27, 27],
      [256, 13, 13],
      [384, 13, 13],
      [384, 13, 13],
      [256, 13, 13],
      [256, 6, 6],
    ])
  })

  it('layers of LeNet-5 in 1998 have the paper’s parameters', () => {
    const { layers } = fj.models.lenet1998().summary({ input: [1, 28, 28] })
    const counts = Object.fromEntries(layers.map(({ name, parameters }) => [name, parameters]))
    expect(counts).toEqual({ c1: 156, s2: 12, c3: 1516, s4: 32, c5: 48_120, f6: 10_164, output: 0 })
  })

  it('Haykin’s network with ten classes has the connections of 1990', () => {
    const table = fj.models.haykin({ classes: 10 }).conv2.table.flat().length
    const perPixel = [4 * 26, 4 * 5, table * 25 + 12, 12 * 5, 10 * 193]
    const pixels = [24 * 24, 12 * 12, 8 * 8, 4 * 4, 1]
    expect(perPixel.reduce((sum, count, i) => sum + count * pixels[i]!, 0)).toBe(98_442)
  })
})

describe('layers', () => {
  it('subsampling sums 2×2 pixels, times a coefficient, plus a bias', async () => {
    const layer = new Subsampling(2)
    await layer.loadStateDict({ coefficient: fj.tensor([2, 3]), bias: fj.tensor([10, 20]) })
    const x = fj.tensor([1, 2, 3, 4, 5, 6, 7, 8], { shape: [1, 2, 2, 2] })
    expect(await layer.forward(x).data()).toEqual(Float32Array.of(30, 98))
    await compareWithReference((v) => layer.forward(v), [randomTensor([3, 2, 6, 8], 1)])
  })

  it('a convolution by table has only the connections of its table', async () => {
    const layer = new TableConv2d(3, [[2], [0, 1]], 3)
    const full = new fj.nn.Conv2d(3, 2, 3)
    const weight = (await layer.weight.data()) as Float32Array
    const filters = [0, 0, weight.slice(0, 9), weight.slice(9, 18), weight.slice(18, 27), 0]
    await full.loadStateDict({
      weight: fj.tensor(
        filters.flatMap((filter) => (typeof filter === 'number' ? new Array<number>(9).fill(0) : [...filter])),
        { shape: [2, 3, 3, 3] },
      ),
      bias: fj.zeros([2]),
    })
    const x = randomTensor([2, 3, 5, 7], 2)
    expectClose(await layer.forward(x).data(), await full.forward(x).data(), 'output', { rtol: 1e-6 })
    const gradient = (conv: { forward(x: fj.Tensor): fj.Tensor; weight: fj.Variable }) =>
      fj.grad(fj.sum(fj.square(conv.forward(x))), [conv.weight])[0]!.data()
    const [some, all] = [await gradient(layer), await gradient(full)]
    const expected = [...all.slice(18, 27), ...all.slice(27, 36), ...all.slice(36, 45)]
    expectClose(some, expected, 'gradient')
  })

  it('a table with a map that is not there is refused', () => {
    expect(() => new TableConv2d(3, [[0, 3]], 5)).toThrow(error('ERR_ARGUMENT', /map 0 is joined to \[0,3\]/))
    expect(() => new TableConv2d(3, [[0], [1, 1]], 5)).toThrow(error('ERR_ARGUMENT', /map 1 is joined to \[1,1\]/))
  })

  it('LeNet-5’s output in 1998 is half the squared distance to a picture of each digit', async () => {
    const { output } = fj.models.lenet1998()
    const codes = output.namedBuffers()[0]![1]
    const own = (await output.forward(codes).array()) as number[][]
    const pixels = await codes.data()
    for (let i = 0; i < 10; i++) {
      for (let j = 0; j < 10; j++) {
        const differing = [...pixels.slice(84 * i, 84 * (i + 1))].filter((p, k) => p !== pixels[84 * j + k]).length
        expect(own[i]![j]).toBeCloseTo(-2 * differing, 4)
      }
    }
    expect(own[3]![8]).toBeGreaterThan(own[3]![4]!)
  })
})

it('refuses options that do not fit, by name', () => {
  expect(() => fj.models.lenet1998({ classes: 26 })).toThrow(
    error('ERR_ARGUMENT', /output 'rbf' knows the 10 digits, got 26 classes[\s\S]*output: 'linear'/),
  )
  expect(() => fj.models.lenet1998({ output: 'svm' as never })).toThrow(error('ERR_ARGUMENT', /'rbf' or 'linear'/))
  expect(() => fj.models.mlp({ activation: 'step' as never })).toThrow(
    error('ERR_ARGUMENT', /mlp: unknown activation 'step'; expected one of relu, sigmoid, tanh/),
  )
  expect(() => fj.models.alexnet2012({ groups: 5 })).toThrow(error('ERR_ARGUMENT', /divide into 5 groups/))
})

describe('learn', () => {
  const digits = fj.data.syntheticDigits({ train: 3000, test: 300, seed: 3 })

  it.each([
    ['lenet1998', {}, 0.002, 0.9],
    ['lenet1998', { output: 'linear' }, 0.05, 0.9],
    ['haykin', { classes: 10 }, 0.05, 0.9],
    ['mlp', { activation: 'tanh' }, 0.005, 0.9],
  ] as const)('%s %j', async (name, options, lr, least) => {
    const { train, test } = await digits
    fj.setSeed(1)
    const model = fj.models.create(name, options)
    await fj.fit(model, train, {
      epochs: 3,
      optimizer: new fj.optim.SGD(model.parameters(), { lr, momentum: 0.9 }),
      verbose: 0,
      seed: 1,
    })
    const { accuracy } = await fj.evaluateModel(model, test, { metrics: ['accuracy'] })
    expect(accuracy).toBeGreaterThan(least)
    model.dispose()
  })

  it('the perceptron by its rule', async () => {
    const { train, test } = await digits
    const model = fj.models.perceptron()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05 })
    const x = fj.tensor([1, 2, 3], { shape: [1, 3] })
    const rule = fj.models.perceptron({ inputs: 3, classes: 2 })
    const step = fj.compile((input: fj.Tensor) => {
      const loss = fj.models.perceptronLoss(rule.forward(input), fj.tensor([1], { dtype: 'int32' }))
      new fj.optim.SGD(rule.parameters(), { lr: 0.5 }).minimize(loss)
      return loss
    })
    // All sums are 0, so class 0 answers: w₁ += lr x, w₀ -= lr x; then class 1 answers and nothing changes.
    for (let i = 0; i < 2; i++) {
      await step(x)
      expect(await rule.fc.weight.array()).toEqual([
        [-0.5, -1, -1.5],
        [0.5, 1, 1.5],
      ])
    }
    const loss = fj.models.perceptronLoss
    await fj.fit(model, train, { epochs: 3, optimizer, loss, verbose: 0, seed: 1 })
    const { accuracy } = await fj.evaluateModel(model, test, { loss, metrics: ['accuracy'] })
    expect(accuracy).toBeGreaterThan(0.8)
  })
})

it('residual blocks without parameters in their shortcuts: every second pixel, zeros behind', async () => {
  fj.setSeed(1)
  const model = fj.models.resnet20Cifar().eval()
  const block = (model.layer2 as fj.nn.Sequential).layers[0] as fj.nn.Module & Record<string, fj.nn.Module>
  const state = await block.stateDict()
  const zero = Object.fromEntries(
    Object.entries(state).map(([name, value]) => [name, name.endsWith('conv2.weight') ? fj.zeros(value.shape) : value]),
  )
  await block.loadStateDict(zero)
  const x = fj.abs(randomTensor([2, 16, 5, 4], 4))
  const y = block.forward(x)
  expect(y.shape).toEqual([2, 32, 3, 2])
  const kept = fj.slice(x, { steps: [1, 1, 2, 2] })
  expectClose(await fj.slice(y, { ends: [2, 16] }).data(), await kept.data(), 'kept channels', { rtol: 1e-6 })
  expect(new Set(await fj.slice(y, { starts: [0, 16] }).data())).toEqual(new Set([0]))
})

it('GoogLeNet’s auxiliary heads get a gradient in training and cost nothing in inference', async () => {
  const model = fj.models.googlenet({ classes: 5, auxiliary: true, dropout: 0 })
  const step = fj.compile((x: fj.Tensor, y: fj.Tensor) => {
    const { logits, auxiliary } = model.heads(x)
    const [main, ...others] = [logits, ...auxiliary].map((output) => fj.crossEntropy(output, y))
    const loss = fj.add(main!, fj.mul(fj.add(others[0]!, others[1]!), 0.3))
    new fj.optim.SGD(model.parameters(), { lr: 0.001 }).minimize(loss)
    return { loss }
  })
  const before = await model.aux1!.fc2.weight.data()
  // From 64 pixels 4×4 are left at 4a, which the adaptive pooling takes as they are.
  const { loss } = await step(randomTensor([2, 3, 64, 64], 5), fj.tensor([1, 4], { dtype: 'int32' }))
  expect(await loss.item()).toBeGreaterThan(1)
  expect(await model.aux1!.fc2.weight.data()).not.toEqual(before)
  const forward = fj.compile((x: fj.Tensor) => model.forward(x))
  model.eval()
  await forward(randomTensor([1, 3, 64, 64], 6))
  expect(forward.explain()).not.toMatch(/aux/)
  expect(step.explain()).toMatch(/aux/)
  expect(() => model.heads(fj.zeros([1, 4, 64, 64]))).toThrow(/conv2d \(conv1\.conv\)/)
  step.dispose()
  forward.dispose()
  model.dispose()
})
