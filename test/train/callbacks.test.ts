import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { everything, network, waves } from '../helpers/training.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-callbacks-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Calls a callback with these figures of successive epochs, as fit() would; what it did. */
async function feed(callback: fj.Callback, figures: readonly object[], mode: 'min' | 'max' = 'min') {
  const model = network()
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 1 })
  const rates: number[] = []
  let stopped: string | undefined
  const context: fj.TrainingContext = {
    model,
    optimizer,
    dataset: waves,
    history: new fj.History(),
    measured: new Map([
      ['loss', 'min'],
      ['valLoss', mode],
    ]),
    stop: (reason) => {
      stopped = reason
    },
    saveCheckpoint: async () => {},
  }
  await callback.onTrainBegin?.(context)
  let epoch = 0
  for (const figure of figures) {
    await callback.onEpochEnd?.({ epoch: ++epoch, loss: 0, lr: 1, seconds: 1, samplesPerSecond: 1, ...figure }, context)
    rates.push(optimizer.lr)
    if (stopped !== undefined) break
  }
  await callback.onTrainEnd?.(context)
  return { stopped, epoch, rates }
}

const losses = (...values: number[]) => values.map((valLoss) => ({ valLoss }))

describe('earlyStopping', () => {
  const { earlyStopping } = fj.callbacks

  it('stops at the first epoch without improvement, unless patient', async () => {
    expect(await feed(earlyStopping(), losses(3, 2, 2, 1))).toMatchObject({
      epoch: 3,
      stopped: 'valLoss did not improve for 1 epoch (best 2.000 at epoch 2)',
    })
    expect((await feed(earlyStopping({ patience: 2 }), losses(3, 2, 2, 1, 1, 1))).epoch).toBe(6)
    expect((await feed(earlyStopping({ patience: 2 }), losses(3, 2, 2, 1))).stopped).toBeUndefined()
  })

  it('knows minDelta, mode, baseline and startFromEpoch', async () => {
    expect((await feed(earlyStopping({ minDelta: 0.5 }), losses(3, 2.6))).epoch).toBe(2)
    expect((await feed(earlyStopping({ minDelta: 0.5 }), losses(3, 2.4))).stopped).toBeUndefined()
    expect((await feed(earlyStopping({ mode: 'max' }), losses(1, 2, 3))).stopped).toBeUndefined()
    expect((await feed(earlyStopping(), losses(1, 2, 3), 'max')).stopped).toBeUndefined() // auto: as the metric says
    expect((await feed(earlyStopping({ baseline: 1, patience: 2 }), losses(3, 2, 0.5))).epoch).toBe(2)
    expect((await feed(earlyStopping({ startFromEpoch: 2 }), losses(1, 2, 3, 2, 5))).epoch).toBe(5)
    expect((await feed(earlyStopping({ patience: 2 }), losses(Number.NaN, Number.NaN))).stopped).toMatch(
      /never a number/,
    )
  })

  it('says in the beginning when the figure is not measured', async () => {
    await expect(feed(earlyStopping({ monitor: 'valR2' }), losses(1))).rejects.toThrow(
      'earlyStopping: valR2 is not measured; measured are loss, valLoss',
    )
    expect(() => earlyStopping({ mode: 'up' as never })).toThrow("mode 'up'; expected 'auto', 'min' or 'max'")
  })
})

describe('reduceLROnPlateau', () => {
  const { reduceLROnPlateau } = fj.callbacks

  it('lowers the rate after `patience` epochs without improvement', async () => {
    const { rates } = await feed(reduceLROnPlateau({ patience: 2 }), losses(3, 3, 3, 3, 3, 2))
    expect(rates.map((rate) => Number(rate.toPrecision(6)))).toEqual([1, 1, 0.1, 0.1, 0.01, 0.01])
  })

  it('knows factor, minDelta, minLr, cooldown', async () => {
    const options = { factor: 0.5, patience: 1, minDelta: 0.1, minLr: 0.2 }
    expect((await feed(reduceLROnPlateau(options), losses(3, 2.95, 2.8, 2.75, 2.75, 2.75))).rates).toEqual([
      1, 0.5, 0.5, 0.25, 0.2, 0.2,
    ])
    const slow = reduceLROnPlateau({ factor: 0.5, patience: 1, cooldown: 1 })
    expect((await feed(slow, losses(3, 3, 3, 3))).rates).toEqual([1, 0.5, 0.5, 0.25])
  })

  it('is patient for 10 epochs and divides by 10', async () => {
    const { rates } = await feed(reduceLROnPlateau(), losses(...new Array<number>(12).fill(1)))
    expect(rates.findIndex((rate) => rate < 1)).toBe(10)
    expect(rates.at(-1)).toBeCloseTo(0.1, 12)
  })
})

describe('csvLogger', () => {
  it('writes a line an epoch, and goes on with a file that is there', async () => {
    const filename = join(folder, 'logs', 'run.csv')
    await feed(fj.callbacks.csvLogger({ filename }), losses(3, 2))
    expect(readFileSync(filename, 'utf8')).toBe(
      'epoch,loss,lr,seconds,samplesPerSecond,valLoss\n1,0,1,1,1,3\n2,0,1,1,1,2\n',
    )
    await feed(fj.callbacks.csvLogger({ filename, append: true }), [{ valLoss: 1, extra: 5 }, {}])
    expect(readFileSync(filename, 'utf8').split('\n').slice(2)).toEqual([
      '2,0,1,1,1,2',
      '1,0,1,1,1,1',
      '2,0,1,1,1,',
      '',
    ])
    await feed(fj.callbacks.csvLogger({ filename, separator: ';' }), losses(7))
    expect(readFileSync(filename, 'utf8')).toBe('epoch;loss;lr;seconds;samplesPerSecond;valLoss\n1;0;1;1;1;7\n')
  })

  it('says which file cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '')
    await expect(feed(fj.callbacks.csvLogger({ filename: join(folder, 'file', 'x.csv') }), losses(1))).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(/x\.csv cannot be written/) }),
    )
    expect(() => fj.callbacks.csvLogger({} as never)).toThrow('filename undefined; expected the path of a file')
  })
})

describe('modelCheckpoint', () => {
  const fit = async (callback: fj.Callback, more: object = {}) => {
    const model = network()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05 })
    const options = { optimizer, epochs: 3, batchSize: 10, validation: waves, seed: 1, verbose: 0 } as const
    const history = await fj.fit(model, waves, { ...options, callbacks: [callback], ...more })
    return { model, history }
  }

  it('fills names and figures into the path', async () => {
    const filepath = join(folder, 'named', 'net-{epoch:02d}-{valLoss:.3f}-{lr}.safetensors')
    const { history } = await fit(fj.callbacks.modelCheckpoint({ filepath, saveWeightsOnly: true }))
    expect(readdirSync(join(folder, 'named')).sort()).toEqual(
      history.valLoss.map((loss, i) => `net-0${i + 1}-${loss.toFixed(3)}-0.05.safetensors`),
    )
  })

  it('keeps the best epoch only', async () => {
    const path = join(folder, 'best.safetensors')
    const weights: object[] = []
    const spoil: fj.Callback = {
      async onEpochEnd({ epoch }, { model, optimizer }) {
        weights.push(await everything(model as fj.nn.Module))
        if (epoch === 2) optimizer.lr = 20 // the third epoch is a bad one
      },
    }
    const best = fj.callbacks.modelCheckpoint({ filepath: path, saveBestOnly: true, saveWeightsOnly: true })
    const { history } = await fit({}, { callbacks: [spoil, best] })
    expect(Math.min(...history.valLoss)).toBe(history.valLoss[1])
    const read = network()
    await fj.load(read, path)
    expect(await everything(read)).toEqual(weights[1])
    const never = join(folder, 'never.safetensors')
    await fit(fj.callbacks.modelCheckpoint({ filepath: never, saveBestOnly: true, initialValueThreshold: 0 }))
    expect(readdirSync(folder)).not.toContain('never.safetensors')
  })

  it('refuses what cannot be', async () => {
    const { modelCheckpoint } = fj.callbacks
    expect(() => modelCheckpoint({ filepath: '' })).toThrow('expected the path of a file')
    expect(() => modelCheckpoint({ filepath: 'x', saveFreq: 0 })).toThrow("saveFreq 0; expected 'epoch' or an integer")
    expect(() => modelCheckpoint({ filepath: 'x', saveFreq: 5, saveBestOnly: true })).toThrow(
      'needs the figures of an epoch',
    )
    await expect(fit(modelCheckpoint({ filepath: join(folder, '{f1}.safetensors') }))).rejects.toThrow(
      /\{f1\} names no figure of the logs\n {2}hint {2}there are epoch, loss, valLoss/,
    )
    const w = fj.variable(fj.zeros([3, 16]))
    const bare = { forward: (x: fj.Tensor) => fj.linear(x.flatten({ startAxis: 1 }), w), parameters: () => [w] }
    const optimizer = new fj.optim.SGD([w])
    await expect(
      fj.fit(bare, waves, { optimizer, verbose: 0, callbacks: [modelCheckpoint({ filepath: 'x' })] }),
    ).rejects.toThrow('the model must be a Module')
  })
})

it('terminateOnNaN ends training where fit() would throw', async () => {
  const model = network()
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 1e30 })
  const calls: string[] = []
  const history = await fj.fit(model, waves, {
    optimizer,
    epochs: 3,
    batchSize: 10,
    verbose: 0,
    callbacks: [
      fj.callbacks.terminateOnNaN(),
      { onEpochEnd: () => void calls.push('epoch'), onTrainEnd: () => void calls.push('end') },
    ],
  })
  expect(history.stopped).toMatch(/^the loss is (NaN|Infinity) in epoch 1, step [2-4]$/)
  expect(history.epochs).toEqual([])
  expect(calls).toEqual(['end'])
})

it('stop() in onBatchEnd ends the epoch there', async () => {
  const model = network()
  const optimizer = new fj.optim.SGD(model.parameters())
  const steps: number[] = []
  const callback: fj.Callback = {
    onBatchEnd({ step }, { stop }) {
      steps.push(step)
      if (step === 3) stop('three will do')
    },
  }
  const options = { optimizer, epochs: 3, batchSize: 4, verbose: 0, callbacks: [callback], validation: waves } as const
  const history = await fj.fit(model, waves, options)
  expect(steps).toEqual([1, 2, 3])
  expect(history).toMatchObject({ stopped: 'three will do', epochs: [{ epoch: 1, valLoss: expect.any(Number) }] })
})
