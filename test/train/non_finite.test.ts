import { describe, expect, it } from 'vitest'
import type { BatchOptions } from '../../lib/data/dataset.js'
import * as fj from '../../lib/index.js'
import { everything, network, waves } from '../helpers/training.js'

/** Square roots of sums that become negative. */
class Root extends fj.nn.Module {
  forward(x: fj.Tensor): fj.Tensor {
    return fj.sqrt(x)
  }
}

function roots(): fj.nn.Sequential {
  fj.setSeed(1)
  const model = new fj.nn.Sequential(new fj.nn.Flatten(), new fj.nn.Linear(16, 3), new Root(), new fj.nn.ReLU())
  return model
}

const fails = async (model: fj.nn.Module, options: object, data: fj.data.Dataset = waves) => {
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
  const run = fj.fit(model, data, { optimizer, epochs: 2, batchSize: 8, seed: 2, verbose: 0, ...options })
  return await run.then(
    () => {
      throw new Error('no loss was NaN')
    },
    (error: fj.ForjaError) => {
      expect(error.code).toBe('ERR_NAN_LOSS')
      return error.message
    },
  )
}

describe.each(['cpu', 'reference'])('a loss that is no number, on %s', (device) => {
  it('names the layer whose output was first', async () => {
    expect(await fails(roots(), { device })).toMatch(
      /the loss is no number \(NaN\) in epoch 1, step 1 of 5; first in layer '2': the output of sqrt\n {2}hint {2}lower the learning rate/,
    )
  })

  it('goes back to before the step: there it was, and the weights are still good', async () => {
    const model = network()
    const weights: object[] = []
    const keep: fj.Callback = {
      waitsAt: () => true,
      async onBatchEnd(_logs, context) {
        weights.push(await everything(context.model as fj.nn.Module))
      },
    }
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 1e15 })
    const text = await fails(model, { device, optimizer, callbacks: [keep] })
    const [, step, layer] = /epoch 1, step (\d) of 5; first in layer '(\d)'/.exec(text)!.map(Number)
    expect(step).toBeGreaterThan(1)
    expect([0, 1, 5]).toContain(layer)
    expect(await everything(model)).toEqual(weights[step! - 2])
  })
})

it('names the data where they are to blame', async () => {
  const x = Float32Array.from(waves.x)
  x[16 * 30 + 3] = Number.NaN
  const broken = fj.data.fromArrays({ x, y: waves.y as Int32Array, shape: [1, 4, 4] })
  expect(await fails(network(), {}, broken)).toMatch(
    /step \d of 5; the batch's input holds NaN or infinity\n {2}hint {2}look for bad numbers in the data/,
  )
  // The same read from a data set that is not kept on the device.
  const read = {
    length: broken.length,
    fields: broken.fields,
    get: (index: number) => broken.get(index),
    batches: (options?: BatchOptions) => broken.batches(options),
  }
  expect(await fails(network(), {}, read)).toMatch(/the batch's input holds NaN/)
  const target = fj.data.fromArrays({
    x,
    y: x.map((_, i) => (i === 9 ? Number.NaN : 0)),
    shape: [16],
    targetShape: [16],
  })
  const line = new fj.nn.Sequential(new fj.nn.Linear(16, 16))
  expect(await fails(line, { loss: 'mseLoss' }, target.slice(0, 8))).toMatch(/the batch's target holds NaN/)
})

it('names a parameter that an update spoiled', async () => {
  const model = network()
  const spoil: fj.Callback = {
    async onTrainBegin() {
      const { weight } = model.layers[5] as fj.nn.Linear
      await weight.assign(fj.full([3, 64], Number.NaN))
    },
  }
  expect(await fails(model, { callbacks: [spoil] })).toMatch(
    /step 1 of 5; the parameter '5.weight' held NaN or infinity/,
  )
})

it('names the loss function', async () => {
  const loss = (output: fj.Tensor) => fj.mean(fj.log(fj.neg(fj.square(output))))
  expect(await fails(network(), { loss })).toMatch(/first in the loss function: the output of log/)
})

it('finds it with accumulated gradients and in a later epoch too', async () => {
  const model = network()
  const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.01 })
  const raise: fj.Callback = {
    onEpochEnd: (_logs, context) => {
      context.optimizer.lr = 1e38
    },
  }
  expect(await fails(model, { optimizer, accumulate: 2, callbacks: [raise] })).toMatch(
    /in epoch 2, step \d of 5; first in layer '\d'/,
  )
})
