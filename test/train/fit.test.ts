import { describe, expect, it } from 'vitest'
import type { Batch, BatchOptions, Dataset } from '../../lib/data/dataset.js'
import * as fj from '../../lib/index.js'
import { RandomStream } from '../../lib/random.js'
import type { Device } from '../../lib/runtime/device.js'
import { feedOf } from '../../lib/train/feed.js'
import { expectClose, randomTensor } from '../helpers/compare.js'

/** Two layers on flattened samples. */
class Tiny {
  readonly w1: fj.Variable
  readonly w2: fj.Variable
  readonly bias: fj.Variable
  training = true
  /** The mode of every trace. */
  readonly modes: boolean[] = []

  constructor(inputs = 12, classes = 3, seed = 1) {
    this.w1 = fj.variable(fj.mul(randomTensor([16, inputs], seed), 0.3), { name: 'w1' })
    this.w2 = fj.variable(fj.mul(randomTensor([classes, 16], seed + 1), 0.3), { name: 'w2' })
    this.bias = fj.variable(fj.zeros([classes]), { name: 'bias' })
  }

  parameters(): fj.Variable[] {
    return [this.w1, this.w2, this.bias]
  }

  forward(x: fj.Tensor): fj.Tensor {
    this.modes.push(this.training)
    const flat = fj.reshape(x, [x.shape[0]!, -1])
    return fj.linear(fj.relu(fj.linear(flat, this.w1)), this.w2, this.bias)
  }

  async weights(): Promise<number[]> {
    return (await Promise.all(this.parameters().map((p) => p.data()))).flatMap((data) => [...data])
  }
}

/** uint8 images (3, 2, 2) of three classes: the channel that is bright. */
function samples(count: number, seed = 5): fj.data.ArrayDataset {
  const random = new RandomStream(seed)
  const x = new Uint8Array(count * 12)
  const y = Int32Array.from({ length: count }, (_, i) => i % 3)
  for (let i = 0; i < x.length; i++)
    x[i] = random.below(120) + (Math.floor(i / 4) % 3 === y[Math.floor(i / 12)] ? 130 : 0)
  const normalization = { scale: [1 / 64, 1 / 80, 1 / 64], offset: [-2, -1.5, -2] }
  return fj.data.fromArrays({ x, y, shape: [3, 2, 2], classes: 3, normalization })
}

/** The same data set, without anything fit() could recognise. */
function plain(dataset: fj.data.ArrayDataset): Dataset {
  return {
    length: dataset.length,
    fields: dataset.fields,
    get: (index) => dataset.get(index),
    async *batches(options?: BatchOptions): AsyncGenerator<Batch> {
      yield* dataset.batches(options)
    },
  }
}

const QUIET = { verbose: 0 } as const

describe('dataOnDevice', () => {
  const bytes = 8 * 12 + 8 * 4 // of samples(8)
  /** How many tensors a step takes: the indices of a batch that lies on the device, or images and labels. */
  const argsOf = async (memoryBytes: number, dataOnDevice?: 'auto' | boolean) => {
    const feed = feedOf(samples(8), 'fit', { memoryBytes } as Device, { dataOnDevice })
    for await (const { args } of feed.batches({ batchSize: 8 })) return args.length
  }

  it("'auto' keeps a data set there that takes at most a quarter of the memory", async () => {
    expect([await argsOf(4 * bytes), await argsOf(4 * bytes - 1)]).toEqual([1, 2])
    expect([await argsOf(4 * bytes, 'auto'), await argsOf(4 * bytes - 1, 'auto')]).toEqual([1, 2])
  })

  it('true and false decide whatever its size', async () => {
    expect([await argsOf(1, true), await argsOf(1e12, false)]).toEqual([1, 2])
  })

  it('true is refused for a data set that is read batch by batch, anything else by name', async () => {
    const model = new Tiny()
    const options = { ...QUIET, optimizer: new fj.optim.SGD(model.parameters(), { lr: 0.1 }) }
    await expect(fj.fit(model, plain(samples(8)), { ...options, dataOnDevice: true })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringMatching(/^fit: the data set is read batch by batch, so it cannot be kept on the device/),
    })
    await expect(fj.fit(model, samples(8), { ...options, dataOnDevice: 'always' as never })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: "fit: dataOnDevice 'always'; expected 'auto', true or false",
    })
  })
})

describe.each(['cpu', 'reference'])('fit on %s', (device) => {
  it('overfits 32 samples', async () => {
    const model = new Tiny()
    const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.02 })
    const options = { ...QUIET, optimizer, device, epochs: 60, batchSize: 8, metrics: ['accuracy'] as const, seed: 1 }
    const history = await fj.fit(model, samples(32), { ...options, validation: samples(32) })
    expect(history.loss.at(-1)).toBeLessThan(0.02)
    expect(history.accuracy.at(-1)).toBe(1)
    expect(history.valAccuracy.at(-1)).toBe(1)
    expect(history.valLoss).toHaveLength(60)
    const scores = await fj.evaluateModel(model, samples(32), { metrics: ['accuracy'], device })
    expect(scores.accuracy).toBe(1)
    expect(scores.loss).toBeCloseTo(history.valLoss.at(-1)!, 5)
  })

  it('gathers on the device what the host would', async () => {
    const results: number[][] = []
    const sources = [
      [samples(23), 'auto'],
      [samples(23), true],
      [samples(23), false],
      [plain(samples(23)), 'auto'],
    ] as const
    for (const [data, dataOnDevice] of sources) {
      const model = new Tiny()
      const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
      const history = await fj.fit(model, data, {
        ...QUIET,
        optimizer,
        device,
        epochs: 3,
        batchSize: 5, // the last batch has 3
        metrics: ['accuracy'],
        seed: 4,
        dataOnDevice,
      })
      results.push([...history.loss, ...history.accuracy, ...(await model.weights())])
    }
    expect(results[1]).toEqual(results[0])
    expectClose(results[2]!, results[0]!, 'losses and weights', { rtol: 1e-5 })
    expect(results[3]).toEqual(results[2])
  })

  it.each([true, false])(
    'hands indices to an Embedding and bytes as numbers, dataOnDevice %s',
    async (dataOnDevice) => {
      // Of five words the last two are of class 1.
      const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 5)
      const y = tokens.map((token) => (token > 2 ? 1 : 0))
      const table = new fj.nn.Sequential(new fj.nn.Embedding(5, 4), new fj.nn.Linear(4, 2))
      const bytes = new fj.nn.Sequential(new fj.nn.Linear(1, 8), new fj.nn.ReLU(), new fj.nn.Linear(8, 2))
      for (const [model, x, shape] of [
        [table, tokens, []],
        [bytes, Uint8Array.from(tokens), [1]],
      ] as const) {
        const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.05 })
        const options = {
          ...QUIET,
          optimizer,
          device,
          epochs: 40,
          batchSize: 8,
          metrics: ['accuracy'] as const,
          seed: 1,
        }
        const history = await fj.fit(model, fj.data.fromArrays({ x, y, shape }), { ...options, dataOnDevice })
        expect(history.accuracy.at(-1)).toBe(1)
      }
    },
  )

  it('is the same twice for one seed, another for another', async () => {
    const run = async (seed: number) => {
      const model = new Tiny()
      const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
      const history = await fj.fit(model, samples(50), { ...QUIET, optimizer, device, epochs: 2, batchSize: 8, seed })
      return [...history.loss, ...(await model.weights())]
    }
    const first = await run(7)
    expect(await run(7)).toEqual(first)
    expect(await run(8)).not.toEqual(first)
  })

  it('goes on from an epoch as if it had not stopped', async () => {
    const run = async (parts: readonly [from: number, to: number][]) => {
      const model = new Tiny()
      let optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.01 })
      const losses: number[] = []
      for (const [initialEpoch, epochs] of parts) {
        const state = await optimizer.stateDict()
        optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.5 })
        await optimizer.loadStateDict(state)
        const options = { ...QUIET, optimizer, device, batchSize: 8, seed: 2 }
        const history = await fj.fit(model, samples(30), { ...options, initialEpoch, epochs })
        losses.push(...history.loss)
      }
      return [...losses, ...(await model.weights())]
    }
    const halves: [number, number][] = [
      [0, 2],
      [2, 4],
    ]
    const [resumed, whole] = [await run(halves), await run([[0, 4]])]
    // The reference keeps its state in float64, more than a state dictionary holds.
    if (device === 'reference') expectClose(resumed, whole, 'losses and weights', { rtol: 1e-6 })
    else expect(resumed).toEqual(whole)
  })

  it('names epoch and step of a loss that is no number', async () => {
    const model = new Tiny()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 1e30 })
    const options = { ...QUIET, optimizer, device, epochs: 2, batchSize: 8 }
    await expect(fj.fit(model, samples(64), options)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_NAN_LOSS',
        message: expect.stringMatching(
          /epoch 1, step [2-4] of 8; first in forward\(\): the output of matmul\n {2}hint {2}lower the learning rate, it is 1e\+30/,
        ),
      }),
    )
  })

  it('stops when told to, between steps', async () => {
    const controller = new AbortController()
    const model = new Tiny()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
    const reason = new Error('enough')
    const seen: number[] = []
    const onBatchEnd = (logs: fj.BatchLogs) => {
      seen.push(logs.step)
      if (logs.step === 3) controller.abort(reason)
    }
    const options = { ...QUIET, optimizer, device, epochs: 5, batchSize: 4, seed: 3 }
    const run = fj.fit(model, samples(80), { ...options, callbacks: [{ onBatchEnd }], signal: controller.signal })
    await expect(run).rejects.toBe(reason)
    expect(seen.at(-1)).toBeLessThan(10)
    // Each step happened whole or not at all: the weights are those after some number of steps.
    const stopped = await model.weights()
    const done = (await (await optimizer.stateDict()).step!.data())[0]!
    const again = new Tiny()
    const twin = new fj.optim.SGD(again.parameters(), { lr: 0.1 })
    const first = samples(80)
      .order({ shuffle: true, seed: 3 })
      .slice(0, 4 * done)
    const data = samples(80).gather(first, { raw: true })
    const { normalization } = samples(1).fields[0]
    const subset = fj.data.fromArrays({
      x: data.x,
      y: data.y as Int32Array,
      shape: [3, 2, 2],
      classes: 3,
      normalization,
    })
    await fj.fit(again, subset, { ...QUIET, optimizer: twin, device, batchSize: 4, shuffle: false })
    expect(await again.weights()).toEqual(stopped)
    // And the model is usable.
    expect((await fj.predict(model, randomTensor([2, 12], 1), { device })).shape).toEqual([2, 3])
  })

  it('predicts in batches what it predicts at once, in inference mode', async () => {
    const model = new Tiny()
    const x = randomTensor([11, 12], 3)
    const once = await fj.predict(model, x, { device })
    const parts = await fj.predict(model, x, { device, batchSize: 4 })
    expect(parts.shape).toEqual([11, 3])
    expectClose(await parts.data(), await once.data(), 'prediction')
    expect(model.modes).toEqual([false, false, false, false])
    expect(model.training).toBe(true)
  })

  it('trains in training mode, validates in inference mode, and leaves the mode alone', async () => {
    const model = new Tiny()
    model.training = false
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
    await fj.fit(model, samples(8), { ...QUIET, optimizer, device, batchSize: 8, validation: samples(8) })
    expect(model.modes).toEqual([true, false])
    expect(model.training).toBe(false)
  })
})

it('calls callbacks in order, with their figures', async () => {
  const model = new Tiny()
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
  const calls: string[] = []
  const callback: fj.Callback = {
    onTrainBegin: () => void calls.push('begin'),
    onEpochBegin: (epoch) => void calls.push(`epoch ${epoch}`),
    onBatchEnd: ({ epoch, step, steps }) => void calls.push(`batch ${epoch}.${step}/${steps}`),
    onEpochEnd: (logs, { stop }) => {
      calls.push(`end ${logs.epoch}`)
      expect(logs).toMatchObject({ lr: 0.1, loss: expect.any(Number), valLoss: expect.any(Number) })
      expect(logs.samplesPerSecond).toBeCloseTo(20 / logs.seconds, 3)
      if (logs.epoch === 2) stop('twice is enough')
    },
    onTrainEnd: () => void calls.push('done'),
  }
  const options = { ...QUIET, optimizer, epochs: 9, batchSize: 10, callbacks: [callback], validation: samples(6) }
  const history = await fj.fit(model, samples(20), options)
  const epochs = [1, 2].flatMap((e) => [`epoch ${e}`, `batch ${e}.1/2`, `batch ${e}.2/2`, `end ${e}`])
  expect(calls).toEqual(['begin', ...epochs, 'done'])
  expect(JSON.parse(JSON.stringify(history))).toMatchObject({
    stopped: 'twice is enough',
    epochs: [{ epoch: 1 }, { epoch: 2 }],
  })
})

it('stops early and gives the best weights back', async () => {
  const model = new Tiny()
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05 })
  const weights: number[][] = []
  const raise: fj.Callback = {
    async onEpochEnd(logs) {
      weights.push(await model.weights())
      if (logs.epoch === 3) optimizer.lr = 50 // it gets worse from here
    },
  }
  const stop = fj.callbacks.earlyStopping({ patience: 2, restoreBestWeights: true })
  const history = await fj.fit(model, samples(30), {
    ...QUIET,
    optimizer,
    epochs: 20,
    batchSize: 6,
    callbacks: [raise, stop],
    validation: samples(30, 6),
    seed: 1,
  })
  expect(history.stopped).toMatch(/valLoss did not improve for 2 epochs \(best .* at epoch 3, weights restored\)/)
  expect(history.epochs).toHaveLength(5)
  expect(await model.weights()).toEqual(weights[2])
})

it('takes a loss of its own, and names of losses', async () => {
  const target = fj.data.fromArrays({ x: [0, 1, 2, 3], y: [1, 3, 5, 7], shape: [1], targetShape: [1] })
  const [w, b] = [fj.variable(fj.zeros([1, 1])), fj.variable(fj.zeros([1]))]
  const line = { forward: (x: fj.Tensor) => fj.linear(x, w, b), parameters: () => [w, b] }
  const squares: fj.LossFunction = (output, wanted) => {
    const error = fj.sub(output, wanted)
    return fj.mul(fj.sum(fj.mul(error, error)), 1 / output.shape[0]!)
  }
  for (const loss of [squares, 'mseLoss' as const]) {
    const optimizer = new fj.optim.SGD([w, b], { lr: 0.1 })
    await fj.fit(line, target, { ...QUIET, optimizer, loss, epochs: 150, batchSize: 4 })
    expect(await w.item()).toBeCloseTo(2, 2)
    await w.assign(fj.zeros([1, 1]))
  }
})

it('refuses bad input by name', async () => {
  const model = new Tiny()
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
  const bad = async (options: object, text: RegExp, data: Dataset = samples(4)) => {
    const run = fj.fit(model, data, { ...QUIET, optimizer, ...options })
    await expect(run).rejects.toThrow(
      expect.objectContaining({ name: 'ForjaError', message: expect.stringMatching(text) }),
    )
  }
  await bad({ optimizer: undefined }, /an optimizer was expected, got undefined/)
  await bad({ optimizer: 'adam' }, /an optimizer was expected, got 'adam'/)
  await bad({ validation: 0.2 }, /^fit: validation must be a data set with length and batches\(\), got 0.2/)
  await bad({ callbacks: [() => {}] }, /^fit: callback 0 must be an object, got a function/)
  await bad({ callbacks: fj.callbacks.earlyStopping() }, /^fit: callbacks must be an array, got Object/)
  await bad({ schedule: 'cosine' }, /^fit: a schedule with step\(\) was expected, got 'cosine'/)
  await bad({ epochs: 1.5 }, /epochs 1.5; expected an integer/)
  await bad({ epochs: '3' }, /epochs '3'; expected an integer/)
  await bad({ batchSize: 0 }, /batchSize 0/)
  await bad({ batchSize: '32' }, /batchSize '32'/)
  await bad({ loss: 'crossentropy' }, /unknown loss 'crossentropy'; expected a function or one of crossEntropy/)
  await bad({ metrics: ['f1'] }, /unknown metric 'f1'/)
  await bad({ loss: (x: fj.Tensor) => x }, /the loss has shape \(4, 3\)/)
  await bad({ loss: () => 3 }, /^fit: the loss must be a tensor, got 3/)
  await bad({ loss: async (x: fj.Tensor) => x }, /^fit: the loss must be a tensor, got Promise/)
  await bad({}, /must be a data set/, [] as unknown as Dataset)
  await bad({}, /has no samples/, samples(4).slice(0, 0))
  await expect(fj.predict(model, fj.tensor(1))).rejects.toThrow(/a tensor \(N, \.\.\.\) was expected, got a scalar/)
  await expect(fj.predict(model, samples(4) as never)).rejects.toThrow(
    /expected, got ArrayDataset\n {2}hint {2}make one/,
  )
  const sequences = new fj.nn.LSTM(3, 4) as never
  await expect(fj.predict(sequences, fj.ones([1, 2, 3]))).rejects.toThrow(
    'predict: forward() must give a tensor, got Object',
  )
  const text = 'a network with forward() and parameters() was expected, got'
  await expect(fj.fit(samples(4) as never, samples(4), { optimizer })).rejects.toThrow(`fit: ${text} ArrayDataset`)
  await expect(fj.evaluateModel(Tiny as never, samples(4))).rejects.toThrow(`evaluateModel: ${text} a function`)
  await expect(fj.predict(undefined as never, fj.ones([1, 12]))).rejects.toThrow(`predict: ${text} undefined`)
})

it('names what a data set of the user gave that is no batch', async () => {
  const model = new Tiny()
  const { x, xShape, y, yShape, indices, length } = samples(4).gather(Int32Array.of(0, 1, 2, 3))
  const run = async (changed: object) => {
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
    const batches = async function* () {
      yield { x, xShape, y, yShape, indices, length, ...changed }
    }
    return await fj.fit(model, { ...plain(samples(4)), batches }, { ...QUIET, optimizer })
  }
  expect((await run({})).epochs).toHaveLength(1)
  await expect(run({ xShape: [4, 7] })).rejects.toMatchObject({
    code: 'ERR_SHAPE',
    message: `batches(): x of a batch has ${x.length} elements, its xShape is [4, 7]`,
  })
  await expect(run({ y: [0, 1, 2, 0] })).rejects.toMatchObject({
    code: 'ERR_DTYPE',
    message: 'batches(): y of a batch must be a Float32Array, Int32Array or Uint8Array, got Array',
  })
})

describe('a data set of a user', () => {
  const fields = [{ name: 'x', shape: [2], dtype: 'float32' }, { name: 'y', shape: [], dtype: 'int32' }] // biome-ignore format: pairs
  const good = { x: new Float32Array(2), xShape: [1, 2], y: new Int32Array(1), yShape: [1], indices: [0], length: 1 }
  const giving = (batches: () => unknown, length = 4) => ({ length, fields, get: () => undefined, batches }) as never
  const train = (dataset: never) => {
    const model = new fj.nn.Linear(2, 2)
    return fj.fit(model, dataset, { optimizer: new fj.optim.SGD(model.parameters()), epochs: 1, verbose: 0 })
  }

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /batches\(\) must give an iterable of batches, got undefined/],
    ['no batch', [], /batches\(\) gave no batch of a data set of 4 samples/],
    ['undefined in place of a batch', [undefined], /a batch must be an object, got undefined/],
    ['another number of samples', [{ ...good, length: 3 }], /length 3 of a batch whose x is \(1, 2\) and y is \(1,\)/],
  ])('that gives %s is told so', async (_, batches, message) => {
    await expect(train(giving(() => batches))).rejects.toMatchObject({ message: expect.stringMatching(message) })
  })

  it('without a length is none', async () => {
    await expect(train(giving(() => [good], Number.NaN))).rejects.toThrow('fit: the data set must be a data set')
  })

  it('whose memory went to someone else is told so', async () => {
    const dataset = fj.data.fromArrays({ x: new Float32Array(4), y: Int32Array.of(0, 1), shape: [2] })
    structuredClone(dataset.x.buffer, { transfer: [dataset.x.buffer as ArrayBuffer] })
    await expect(train(dataset as never)).rejects.toThrow('fit: the data set: x has 0 elements left of 4')
  })
})
