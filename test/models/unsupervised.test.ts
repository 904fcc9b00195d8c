/** Autoencoders, Boltzmann machines, and stacks of them. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { compareWithReference, expectClose, randomTensor } from '../helpers/compare.js'

const { models } = fj
const error = (code: string, part: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(part) })
const numbers = async (tensor: fj.Tensor) => [...((await tensor.data()) as Float32Array)]

/** 6×6 pictures with one or two full rows, 21 kinds; the label is the upper one. */
function bars(count: number) {
  const x = new Float32Array(count * 36)
  const y = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const rows = [i % 6, Math.floor(i / 6) % 6]
    for (const row of rows) x.fill(1, i * 36 + row * 6, i * 36 + row * 6 + 6)
    y[i] = Math.min(...rows)
  }
  return fj.data.fromArrays({ x, y, shape: [1, 6, 6], classes: 6 })
}

const adam = (model: fj.nn.Module<never[], unknown>, lr: number) => new fj.optim.Adam(model.parameters(), { lr })

describe('an autoencoder', () => {
  it('reconstructs, in the shape of the sample, from a code', async () => {
    fj.setSeed(1)
    const model = models.autoencoder({ inputs: 36, hidden: [24], code: 8 })
    const data = bars(240)
    const history = await models.fitUnsupervised(model, data, {
      epochs: 30,
      batchSize: 24,
      optimizer: adam(model, 0.01),
      validation: data,
      verbose: 0,
      seed: 1,
    })
    expect(history.loss.at(-1)).toBeLessThan(0.1)
    expect(history.valLoss.at(-1)).toBeLessThan(history.valLoss[0]! / 4)
    const x = fj.tensor(data.x.slice(0, 72), { shape: [2, 1, 6, 6] })
    expect(model.encode(x).shape).toEqual([2, 8])
    expect(model.forward(x).shape).toEqual([2, 1, 6, 6])
    expectClose(await model.eval().forward(x).data(), data.x.slice(0, 72) as Float32Array, 'picture', { atol: 0.3 })
    expect(model.namedParameters().map(([name]) => name)).toEqual([
      'encoder.1.weight',
      'encoder.1.bias',
      'encoder.3.weight',
      'encoder.3.bias',
      'decoder.0.weight',
      'decoder.0.bias',
      'decoder.2.weight',
      'decoder.2.bias',
    ])
  })

  it('has the loss of its output: cross entropy or squared error', async () => {
    const x = fj.sigmoid(randomTensor([5, 36], 1))
    for (const [output, loss] of [
      ['sigmoid', fj.binaryCrossEntropy],
      ['linear', fj.mseLoss],
    ] as const) {
      const model = models.autoencoder({ inputs: 36, code: 4, output })
      expect(await model.loss(x).item()).toBeCloseTo(await loss(model.forward(x), x).item(), 5)
    }
  })

  it('corrupts in training only: a share of zeros, noise of a deviation', async () => {
    fj.setSeed(2)
    const x = fj.ones([50, 784])
    const masked = models.autoencoder({ corruption: 0.3 })
    const values = await numbers(masked.corrupt(x))
    expect(new Set(values)).toEqual(new Set([0, 1]))
    expect(values.filter((value) => value === 0).length / values.length).toBeCloseTo(0.3, 1)
    const noisy = models.autoencoder({ noise: 0.5 })
    const deviation = await fj.variance(noisy.corrupt(x)).item()
    expect(deviation).toBeCloseTo(0.25, 1)
    expect(masked.eval().corrupt(x)).toBe(x)
    // The loss compares with the clean sample: with everything masked the output knows nothing of x.
    const blind = models.autoencoder({ corruption: 1 })
    const target = fj.sigmoid(randomTensor([3, 784], 3))
    const blank = await blind
      .eval()
      .forward(fj.zeros([3, 784]))
      .data()
    const expected = fj.binaryCrossEntropy(fj.tensor(blank, { shape: [3, 784] }), target)
    expect(await blind.train().loss(target).item()).toBeCloseTo(await expected.item(), 5)
  })

  it('learns a sparse code', async () => {
    const mean = async (weight: number) => {
      fj.setSeed(3)
      const model = models.autoencoder({
        inputs: 36,
        hidden: [],
        code: 20,
        codeActivation: 'sigmoid',
        sparsity: { target: 0.1, weight },
      })
      const data = bars(240)
      await models.fitUnsupervised(model, data, { epochs: 20, optimizer: adam(model, 0.02), verbose: 0, seed: 1 })
      return await fj.mean(model.encode(fj.tensor(data.x, { shape: [240, 36] }))).item()
    }
    expect(await mean(0.5)).toBeCloseTo(0.1, 1)
    expect(await mean(0)).toBeGreaterThan(0.25)
  })

  it('of convolutions halves twice and doubles twice', async () => {
    const model = models.convAutoencoder({ code: 3 })
    const x = fj.sigmoid(randomTensor([2, 1, 28, 28], 4))
    expect(model.encode(x).shape).toEqual([2, 3])
    expect(model.forward(x).shape).toEqual([2, 1, 28, 28])
    const step = fj.compile((images: fj.Tensor) => {
      const loss = model.loss(images)
      optimizer.minimize(loss)
      return loss
    })
    const optimizer = adam(model, 0.01)
    const first = await (await step(x)).item()
    let last = first
    for (let i = 0; i < 20; i++) last = await (await step(x)).item()
    expect(last).toBeLessThan(first - 0.005)
    step.dispose()
  })

  it('is refused with options that do not fit', () => {
    expect(() => models.autoencoder({ output: 'tanh' as never })).toThrow(
      error('ERR_ARGUMENT', /'sigmoid' or 'linear'/),
    )
    expect(() => models.autoencoder({ corruption: 2 })).toThrow(
      error('ERR_ARGUMENT', /corruption 2; expected a number from 0 to 1/),
    )
    expect(() => models.autoencoder({ sparsity: {} })).toThrow(
      error('ERR_ARGUMENT', /sparsity needs a code from 0 to 1, got a linear one[\s\S]*codeActivation: 'sigmoid'/),
    )
    expect(() => models.autoencoder({ sparsity: { target: 1 }, codeActivation: 'sigmoid' })).toThrow(
      error('ERR_ARGUMENT', /sparsity\.target is 1; expected a number between 0 and 1/),
    )
    expect(() => models.autoencoder({ codeActivation: 'step' as never })).toThrow(
      error('ERR_ARGUMENT', /unknown activation 'step'/),
    )
    expect(() => models.autoencoder({ hidden: 3 as never })).toThrow(error('ERR_ARGUMENT', /hidden must be an array/))
    expect(() => models.convAutoencoder({ input: [1, 30, 28] })).toThrow(error('ERR_SHAPE', /divide by 4/))
  })
})

describe('the sparsity penalty', () => {
  it('is Σ KL(ρ ‖ ρ̂)', async () => {
    const activations = fj.tensor([
      [0.1, 0.5],
      [0.3, 0.9],
    ])
    const kl = (p: number, q: number) => p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q))
    expect(await models.sparsityPenalty(activations, 0.1).item()).toBeCloseTo(kl(0.1, 0.2) + kl(0.1, 0.7), 5)
    expect(await models.sparsityPenalty(fj.full([3, 2], 0.05)).item()).toBeCloseTo(0, 5)
    await compareWithReference((x) => models.sparsityPenalty(fj.sigmoid(x), 0.2), [randomTensor([7, 5], 5)])
  })

  it('is finite where a unit is never or always active', async () => {
    const x = fj.tensor([[0, 1]])
    expect(await models.sparsityPenalty(x).item()).toBeGreaterThan(1)
    const [gradient] = fj.grad(models.sparsityPenalty(x), [x])
    expect((await numbers(gradient!)).every(Number.isFinite)).toBe(true)
    expect(() => models.sparsityPenalty(x, 0)).toThrow(error('ERR_ARGUMENT', /target is 0/))
  })
})

describe('a restricted Boltzmann machine', () => {
  const weights = {
    weight: randomTensor([2, 3], 6),
    visible_bias: randomTensor([3], 7),
    hidden_bias: randomTensor([2], 8),
  }

  it('has the free energy -log Σ_h exp(-E(v, h))', async () => {
    const machine = models.rbm({ visible: 3, hidden: 2 })
    await machine.loadStateDict(weights)
    const [w, b, c] = (await Promise.all(Object.values(weights).map(numbers))) as [number[], number[], number[]]
    const bits = (n: number, count: number) => Array.from({ length: count }, (_, i) => (n >> i) & 1)
    const all = Array.from({ length: 8 }, (_, n) => bits(n, 3))
    const expected = all.map((v) => {
      const likelihoods = [0, 1, 2, 3].map((n) => {
        const h = bits(n, 2)
        const visible = v.reduce((sum, on, i) => sum + on * b[i]!, 0)
        return Math.exp(
          h.reduce((sum, on, j) => sum + on * (c[j]! + v.reduce((s, v_i, i) => s + v_i * w[3 * j + i]!, 0)), visible),
        )
      })
      return -Math.log(likelihoods.reduce((sum, value) => sum + value))
    })
    expectClose(await machine.freeEnergy(fj.tensor(all)).data(), expected, 'free energy', { rtol: 1e-5 })
  })

  it.each([1, 3])('learns by the gradient of CD-%i: ⟨h v⟩ of the chain’s end minus that of the data', async (k) => {
    const machine = models.rbm({ visible: 3, hidden: 2, k })
    await machine.loadStateDict(weights)
    const x = fj.sigmoid(randomTensor([11, 3], 9))
    const byLoss = fj.compile((v: fj.Tensor) => fj.grad(machine.loss(v), machine.parameters()))
    const byHand = fj.compile((v: fj.Tensor) => {
      const end = machine.chain(v)
      const statistics = (samples: fj.Tensor) => {
        const h = machine.encode(samples)
        return [fj.matmul(h, samples, { transposeA: true }), fj.sum(samples, { axes: 0 }), fj.sum(h, { axes: 0 })]
      }
      const [data, model] = [statistics(v), statistics(end)]
      return data.map((value, i) => fj.mul(fj.sub(model[i]!, value), 1 / 11))
    })
    fj.setSeed(4)
    const found = await byLoss(x)
    fj.setSeed(4)
    const expected = await byHand(x)
    for (const [i, gradient] of found.entries()) {
      expect(Math.max(...(await numbers(gradient)).map(Math.abs))).toBeGreaterThan(0.005)
      expectClose(await gradient.data(), await expected[i]!.data(), machine.namedParameters()[i]![0])
    }
  })

  it('lowers the error of its reconstructions', async () => {
    fj.setSeed(5)
    const machine = models.rbm({ visible: 36, hidden: 16 })
    const data = bars(240)
    const x = fj.tensor(data.x, { shape: [240, 1, 6, 6] })
    const wrong = async () => await fj.mseLoss(machine.reconstruct(x), x).item()
    const before = await wrong()
    await models.fitUnsupervised(machine, data, {
      epochs: 40,
      batchSize: 20,
      optimizer: new fj.optim.SGD(machine.parameters(), { lr: 0.1, momentum: 0.5 }),
      verbose: 0,
      seed: 1,
    })
    expect(before).toBeGreaterThan(0.2)
    expect(await wrong()).toBeLessThan(0.05)
    expect(machine.reconstruct(x).shape).toEqual([240, 1, 6, 6])
  })

  it('is refused with options that do not fit', () => {
    expect(() => models.rbm({ k: 0 })).toThrow(error('ERR_ARGUMENT', /RBM: k 0; expected an integer from 1/))
    expect(() => models.rbm({ visible: 4 }).forward(fj.zeros([2, 5]))).toThrow(error('ERR_SHAPE', /5 ≠ 4/))
  })
})

describe.each([
  ['deepBeliefNetwork', () => models.deepBeliefNetwork({ sizes: [36, 20, 12] })],
  ['stackedAutoencoder', () => models.stackedAutoencoder({ sizes: [36, 20, 12], corruption: 0.1 })],
] as const)('%s', (_name, make) => {
  it('trains layer after layer, the lower ones resting, and begins a classifier', async () => {
    fj.setSeed(6)
    const stack = make() as fj.models.GreedyStack
    const data = bars(120)
    const layerNames: string[] = []
    let lower: Float32Array | undefined
    const values = async () => (await stack.layers[0]!.encoding.weight.data()) as Float32Array
    const initial = await values()
    const histories = await stack.pretrain(data, {
      epochs: 3,
      batchSize: 20,
      optimizer: (parameters, layer) => {
        layerNames.push(`${layer}: ${parameters.length}`)
        return new fj.optim.SGD(parameters, { lr: 0.1 })
      },
      verbose: 0,
      seed: 1,
      callbacks: [
        {
          onTrainBegin: async () => {
            lower = await values()
          },
        },
      ],
    })
    const each = stack.layers[0]!.parameters().length
    expect(layerNames).toEqual([`0: ${each}`, `1: ${each}`])
    expect(histories.map((history) => history.loss.length)).toEqual([3, 3])
    expect(lower).not.toEqual(initial)
    expect(await values()).toEqual(lower)

    const network = await stack.classifier({ classes: 6 })
    const x = fj.tensor(data.x.slice(0, 360), { shape: [10, 1, 6, 6] })
    const top = fj.linear(stack.forward(x), network.layers[2]!.weight, network.layers[2]!.bias)
    expectClose(await network.forward(x).data(), await top.data(), 'logits', { rtol: 1e-5 })
    await fj.fit(network, data, { epochs: 40, batchSize: 20, optimizer: adam(network, 0.02), verbose: 0, seed: 1 })
    const { accuracy } = await fj.evaluateModel(network, data, { metrics: ['accuracy'] })
    expect(accuracy).toBeGreaterThan(0.85)
    expect(await values()).toEqual(lower)
  })
})

it('callbacks see the network itself: its names, its mode, its state', async () => {
  fj.setSeed(7)
  const model = models.autoencoder({ inputs: 36, hidden: [], code: 4, corruption: 0.2 })
  const decoder = model.decoder.eval()
  let seen: fj.nn.Module | undefined
  await models.fitUnsupervised(model.eval(), bars(20), {
    optimizer: adam(model, 0.01),
    verbose: 0,
    callbacks: [
      {
        onEpochEnd: (_logs, context) => {
          seen = context.model as fj.nn.Module
        },
      },
    ],
  })
  expect(seen).toBeInstanceOf(fj.nn.Module)
  const [found, expected] = [await seen!.stateDict(), await model.stateDict()]
  expect(Object.keys(found)).toEqual(Object.keys(expected))
  for (const [name, value] of Object.entries(found)) expect(await value.data()).toEqual(await expected[name]!.data())
  const own = new Set(model.parameters())
  expect(seen!.parameters().every((parameter) => own.has(parameter))).toBe(true)
  expect([model.training, decoder.training, seen!.training]).toEqual([false, false, false])
})

it('is measured without labels, in inference mode', async () => {
  const data = bars(36)
  const machine = models.rbm({ visible: 36, hidden: 4 })
  for (const parameter of machine.parameters()) await parameter.assign(fj.zeros(parameter.shape))
  expect(await models.reconstructionError(machine, data)).toBeCloseTo(0.25, 6) // it says 0.5 of every pixel
  expect((await models.evaluateUnsupervised(machine, data)).loss).toBeCloseTo(0, 6)
  const model = models.denoisingAutoencoder({ inputs: 36, code: 5, corruption: 1 })
  const x = fj.tensor(data.x, { shape: [36, 1, 6, 6] })
  const inference = await fj.mseLoss(model.eval().forward(x), x).item()
  const error = await models.reconstructionError(model.train(), data, { batchSize: 7 })
  expect(error).toBeCloseTo(inference, 6)
  expect((await models.evaluateUnsupervised(model, data)).loss).toBeCloseTo(await model.eval().loss(x).item(), 5)
  await expect(models.evaluateUnsupervised(models.lenet5() as never, data)).rejects.toThrow(
    'a method loss(x) was expected',
  )
})

it('refuses what cannot be trained without labels', async () => {
  const data = bars(10)
  const options = { optimizer: adam(models.lenet5(), 0.1) }
  await expect(models.fitUnsupervised(models.lenet5() as never, data, options)).rejects.toThrow(
    error('ERR_ARGUMENT', /a network with a method loss\(x\) was expected/),
  )
  expect(() => models.deepBeliefNetwork({ sizes: [36] })).toThrow(
    error('ERR_ARGUMENT', /at least one layer, got \[36\]/),
  )
  expect(() => models.stackedAutoencoder({ sizes: [36, 0] })).toThrow(
    error('ERR_ARGUMENT', /sizes 0; expected an integer/),
  )
  expect(() => new models.GreedyStack([])).toThrow(error('ERR_ARGUMENT', /at least one layer/))
  const stack = models.deepBeliefNetwork({ sizes: [36, 4] })
  await expect(stack.pretrain(data, options as never)).rejects.toThrow(
    error('ERR_ARGUMENT', /pretrain: optimizer must be a function/),
  )
})

it('a detached variable is a constant to differentiation, and reads the same memory', async () => {
  const w = fj.variable(randomTensor([2, 3, 1, 1], 10), { name: 'w', storageAxes: [2, 3, 1, 0] })
  const sgd = new fj.optim.SGD([w], { lr: 1 })
  const before = await numbers(w)
  const step = fj.compile(() => {
    const loss = fj.sum(fj.mul(w, w.detach()))
    sgd.minimize(loss)
    return loss
  })
  expect(w.detach().shape).toEqual([2, 3, 1, 1])
  expect(await (await step()).item()).toBeCloseTo(
    before.reduce((sum, value) => sum + value * value, 0),
    4,
  )
  // The gradient is the detached factor alone: w - w.
  expectClose(
    await w.data(),
    before.map(() => 0),
    'w',
  )
  expectClose(
    await w.detach().data(),
    before.map(() => 0),
    'detached',
  )
})
