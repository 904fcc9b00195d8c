import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { type Checkpoint, loadCheckpoint } from '../../lib/io/checkpoint.js'
import { spawnChild } from '../helpers/child.js'
import { everything, network, waves } from '../helpers/training.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-resume-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Maker = () => Checkpoint & { model: fj.nn.Sequential; schedule: { step(metric?: number): void } }

const SCHEDULES: Record<string, (optimizer: fj.optim.Optimizer) => { step(metric?: number): void }> = {
  CosineAnnealingLR: (optimizer) => new fj.schedule.CosineAnnealingLR(optimizer, { tMax: 9 }),
  ReduceLROnPlateau: (optimizer) => new fj.schedule.ReduceLROnPlateau(optimizer, { patience: 0, threshold: 0.3 }),
}

/** Model, optimizer and schedule as a new process would make them, other random numbers being in use. */
const maker = (schedule: string, lr = 0.01): Maker => {
  return () => {
    const model = network()
    fj.setSeed(99)
    const optimizer = new fj.optim.Adam(model.parameters(), { lr })
    return { model, optimizer, schedule: SCHEDULES[schedule]!(optimizer) }
  }
}

const options = { batchSize: 4, validation: waves, metrics: ['accuracy', 'top2Accuracy'], verbose: 0, seed: 5 } as const
const figures = (history: fj.History) =>
  history.epochs.map(({ seconds: _seconds, samplesPerSecond: _rate, ...rest }) => rest)

describe.each([
  // 10 batches an epoch
  { saveFreq: 'epoch', at: 'epoch-2.safetensors', schedule: 'CosineAnnealingLR', scheduleEvery: 'epoch', more: {} },
  { saveFreq: 'epoch', at: 'epoch-1.safetensors', schedule: 'ReduceLROnPlateau', scheduleEvery: 'epoch', more: {} },
  { saveFreq: 3, at: 'epoch-2-6.safetensors', schedule: 'CosineAnnealingLR', scheduleEvery: 'batch', more: {} },
  { saveFreq: 10, at: 'epoch-2-10.safetensors', schedule: 'CosineAnnealingLR', scheduleEvery: 'epoch', more: {} },
  {
    saveFreq: 4,
    at: 'epoch-2-8.safetensors',
    schedule: 'CosineAnnealingLR',
    scheduleEvery: 'batch',
    more: { accumulate: 4 },
  },
] as const)('saved every $saveFreq, resumed from $at, $schedule every $scheduleEvery', (row) => {
  it('equals the run that never stopped, bit for bit', async () => {
    const make = maker(row.schedule)
    const dir = mkdtempSync(join(folder, 'run-'))
    const name = row.saveFreq === 'epoch' ? 'epoch-{epoch}.safetensors' : 'epoch-{epoch}-{step}.safetensors'
    const save = fj.callbacks.modelCheckpoint({ filepath: join(dir, name), saveFreq: row.saveFreq })
    const shared = { ...options, ...row.more, epochs: 3, scheduleEvery: row.scheduleEvery }
    const run = ({ model, ...own }: ReturnType<typeof make>, more: Partial<fj.FitOptions>) =>
      fj.fit(model, waves, { ...shared, ...own, ...more })
    const whole = make()
    const history = await run(whole, { callbacks: [save] })

    const rest = make()
    // The checkpoint knows the seed.
    const resumed = await run(rest, { seed: undefined, resume: join(dir, row.at) })
    expect(figures(resumed)).toEqual(figures(history).slice(3 - resumed.epochs.length))
    expect(resumed.epochs.length).toBe(row.at === 'epoch-2.safetensors' ? 1 : 2)
    expect(await everything(rest.model)).toEqual(await everything(whole.model))
    expect(rest.optimizer.lr).toBe(whole.optimizer.lr)
  })
})

describe('callbacks go on with what they have seen', () => {
  /** Everything of a run that is decided by figures of earlier epochs. */
  const begin = (dir: string, more: readonly fj.Callback[] = []) => {
    const model = network()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.3, momentum: 0.9 })
    const { earlyStopping, modelCheckpoint, reduceLROnPlateau } = fj.callbacks
    const filepath = join(dir, 'best-{epoch}.safetensors')
    const callbacks = [
      ...more, // sees every epoch before the others, and saves after them
      reduceLROnPlateau({ patience: 1, factor: 0.5, cooldown: 1 }),
      earlyStopping({ patience: 4, restoreBestWeights: true }),
      earlyStopping({ monitor: 'loss', patience: 7 }),
      modelCheckpoint({ filepath, monitor: 'valAccuracy', saveBestOnly: true, saveWeightsOnly: true }),
    ]
    const fit = (options: object = {}) =>
      fj.fit(model, waves, {
        ...{ optimizer, callbacks, epochs: 30, batchSize: 10, validation: waves, metrics: ['accuracy'] },
        ...{ verbose: 0, seed: 5, ...options },
      })
    return { model, optimizer, fit }
  }
  const best = (dir: string) => readdirSync(dir).filter((name) => name.startsWith('best'))

  it('interrupted at any step, a run ends when the whole one does, with its rates, files and weights', async () => {
    const dir = mkdtempSync(join(folder, 'callbacks-'))
    const { modelCheckpoint } = fj.callbacks
    const steps = modelCheckpoint({ filepath: join(dir, 'run-{epoch}-{step}.safetensors'), saveFreq: 1 })
    const epochs = modelCheckpoint({ filepath: join(dir, 'run-{epoch}.safetensors') })
    const whole = begin(dir, [steps, epochs])
    const history = await whole.fit()
    const count = history.epochs.length
    expect(history.stopped).toMatch(/^valLoss did not improve for 4 epochs \(best .* at epoch \d+, weights restored\)$/)
    expect(count).toBeLessThan(30)
    expect(new Set(history.epochs.map(({ lr }) => lr)).size).toBeGreaterThan(2)
    expect(best(dir).length).toBeGreaterThan(1)
    expect(best(dir).length).toBeLessThan(count)
    const weights = await everything(whole.model)

    const files = readdirSync(dir).filter((name) => name.startsWith('run'))
    expect(files).toHaveLength(count * 5)
    for (const file of files) {
      const [epoch, step] = file.match(/\d+/g)!.map(Number) as [number, number?]
      const complete = step === undefined ? epoch : epoch - 1
      const rest = mkdtempSync(join(folder, 'rest-'))
      const { model, optimizer, fit } = begin(rest)
      const resumed = await fit({ resume: join(dir, file) })
      expect(resumed.stopped, file).toBe(history.stopped)
      expect(figures(resumed), file).toEqual(figures(history).slice(complete))
      expect(optimizer.lr, file).toBe(whole.optimizer.lr)
      expect(await everything(model), file).toEqual(weights)
      const later = best(dir).filter((name) => Number(name.match(/\d+/)![0]) > complete)
      expect(best(rest), file).toEqual(later)
    }
  })

  it('by name and order; what has no state in the checkpoint begins anew, what is gone is left out', async () => {
    const path = join(folder, 'counted.safetensors')
    const log: string[] = []
    const counter = (id: string): fj.Callback => {
      let seen = Number.NEGATIVE_INFINITY
      let kept: fj.Tensor | undefined
      return {
        name: 'counter',
        stateDict: () => ({ id, seen, deep: [{ kept }] }),
        async loadStateDict(state: { id: string; seen: number; deep: [{ kept: fj.Tensor }] }) {
          ;({ seen } = state)
          log.push(`${id} takes ${state.id}, ${seen}, ${await state.deep[0].kept.array()}`)
        },
        onTrainBegin() {
          log.push(`${id} begins`)
        },
        onEpochEnd({ epoch }) {
          seen = epoch === 1 ? seen : epoch // infinite after the first epoch
          kept = fj.tensor([epoch, 0.5])
        },
      }
    }
    const save: fj.Callback = { onSave: (context) => context.saveCheckpoint(path) }
    const fit = (callbacks: fj.Callback[], epochs: number, more: object = {}) => {
      const model = network()
      const optimizer = new fj.optim.SGD(model.parameters())
      return fj.fit(model, waves, { optimizer, epochs, batchSize: 40, verbose: 0, callbacks, ...more })
    }
    const other = fj.callbacks.earlyStopping({ monitor: 'loss', patience: 9 })
    const atEpochs: fj.Callback = { ...save, waitsAt: () => true }
    await fit([counter('a'), other, counter('b'), atEpochs], 1)
    await fit([counter('A'), counter('B'), counter('C')], 2, { resume: path })
    expect(log.slice(2)).toEqual([
      ...['A begins', 'B begins', 'C begins'],
      'A takes a, -Infinity, 1,0.5',
      'B takes b, -Infinity, 1,0.5',
    ])
    const read = network()
    await fj.load(read, path) // the network alone

    await expect(fit([{ stateDict: () => ({}) }], 1)).rejects.toThrow(
      /a callback with stateDict\(\) needs a name and loadStateDict\(\)\n {2}hint {2}its name is undefined/,
    )
  })

  it('a state of other figures is refused', async () => {
    const { earlyStopping, modelCheckpoint, reduceLROnPlateau } = fj.callbacks
    const path = join(folder, 'figures.safetensors')
    const fit = (callbacks: fj.Callback[], more: object = {}) => {
      const model = network()
      const optimizer = new fj.optim.SGD(model.parameters())
      return fj.fit(model, waves, { optimizer, validation: waves, verbose: 0, callbacks, ...more })
    }
    const filepath = join(folder, 'best.safetensors')
    await fit([
      ...[earlyStopping(), reduceLROnPlateau(), modelCheckpoint({ filepath, saveBestOnly: true })],
      modelCheckpoint({ filepath: path }),
    ])
    const resume = (callback: fj.Callback) => expect(fit([callback], { epochs: 2, resume: path })).rejects
    const monitor = 'loss'
    await resume(earlyStopping({ monitor })).toThrow(
      /^earlyStopping: the checkpoint's watched valLoss, this one loss\n {2}hint {2}go on with the callbacks/,
    )
    await resume(reduceLROnPlateau({ monitor })).toThrow(/^reduceLROnPlateau: the checkpoint's watched valLoss/)
    await resume(modelCheckpoint({ filepath, monitor, saveBestOnly: true })).toThrow(
      /^modelCheckpoint: the checkpoint's watched valLoss/,
    )
    await resume(earlyStopping({ restoreBestWeights: true })).toThrow(
      /^earlyStopping: the checkpoint holds no best weights to restore/,
    )
    await fit([earlyStopping({ patience: 3 })], { epochs: 2, resume: path }) // the same figure: other patience is fine
  })
})

describe('in the middle of an epoch', () => {
  const path = join(folder, 'middle.safetensors')
  const half = async (more: object = {}) => {
    const { model, optimizer, schedule } = maker('CosineAnnealingLR')()
    const save: fj.Callback = {
      waitsAt: (step) => step === 4,
      async onBatchEnd({ step }, context) {
        if (step !== 4) return
        await context.saveCheckpoint(path)
        context.stop('half')
      },
    }
    return await fj.fit(model, waves, { ...options, optimizer, schedule, callbacks: [save], ...more })
  }

  it('other batches are refused, naming what differs', async () => {
    await half()
    const { model, optimizer, schedule } = maker('CosineAnnealingLR')()
    const resume = (more: object) =>
      expect(fj.fit(model, waves, { ...options, optimizer, schedule, resume: path, ...more })).rejects
    await resume({ batchSize: 5, seed: 6 }).toThrow(
      /in the middle of an epoch of other batches: seed was 5 and is 6, batchSize was 4 and is 5, steps was 10 and is 8/,
    )
    await resume({ shuffle: false }).toThrow(/shuffle was true and is false/)
    await resume({ initialEpoch: 1 }).toThrow(/resume and initialEpoch both say where to begin/)
    expect((await loadCheckpoint(path, { model, optimizer, schedule })).step).toBe(4)
  })

  it('saving needs a step that nothing runs after, and whole groups of gradients', async () => {
    const hasty: fj.Callback = { onBatchEnd: (_logs, run) => run.saveCheckpoint(path) }
    await expect(half({ callbacks: [hasty] })).rejects.toThrow(
      /steps after step 1 are running already\n {2}hint {2}give the callback a method waitsAt/,
    )
    await expect(half({ accumulate: 3 })).rejects.toThrow(
      /at step 4 gradients of 1 of 3 batches wait for their update\n {2}hint {2}save at steps that 3 divides/,
    )
  })
})

describe('a checkpoint that does not fit', () => {
  const path = join(folder, 'other.safetensors')

  it('of another network: lists missing, unexpected and mis-shaped names, and changes nothing', async () => {
    const { model, optimizer } = maker('CosineAnnealingLR')()
    await fj.saveCheckpoint(path, { model, optimizer, epoch: 1 })
    const other = new fj.nn.Sequential(
      new fj.nn.Conv2d(1, 5, 3, { padding: 1 }),
      new fj.nn.ReLU(),
      new fj.nn.Flatten(),
      new fj.nn.Linear(80, 3),
    )
    const adam = new fj.optim.Adam(other.parameters(), { lr: 0.5 })
    const before = await everything(other)
    await expect(fj.loadCheckpoint(path, { model: other, optimizer: adam })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_ARGUMENT',
        message: expect.stringMatching(
          /2 missing: 3\.weight, 3\.bias; 7 unexpected: .*1\.running_mean.*5\.weight.*; 2 of another shape: '0\.weight' has shape \(4, 1, 3, 3\), the model's \(5, 1, 3, 3\), '0\.bias'/,
        ),
      }),
    )
    expect(await everything(other)).toEqual(before)
    expect(adam.lr).toBe(0.5)
  })

  it('of an optimizer over other parameters: the network is not changed either', async () => {
    const { model, optimizer } = maker('CosineAnnealingLR')()
    await fj.saveCheckpoint(path, { model, optimizer, epoch: 1 })
    const twin = network()
    await (twin.layers[0] as fj.nn.Conv2d).weight.assign(fj.zeros([4, 1, 3, 3]))
    const before = await everything(twin)
    const some = new fj.optim.Adam(twin.parameters().slice(2))
    await expect(fj.loadCheckpoint(path, { model: twin, optimizer: some })).rejects.toThrow(/unexpected \[/)
    expect(await everything(twin)).toEqual(before)
  })

  it('without a schedule, or broken', async () => {
    const { model, optimizer, schedule } = maker('CosineAnnealingLR')()
    await fj.saveCheckpoint(path, { model, optimizer, epoch: 1 })
    await expect(fj.loadCheckpoint(path, { model, optimizer, schedule })).rejects.toThrow(/written without a schedule/)
    await fj.saveCheckpoint(path, { model, optimizer, schedule, epoch: 1 })
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.toString('latin1').replace('{\\"steps\\"', '[\\"steps\\"'), 'latin1')
    await expect(fj.loadCheckpoint(path, { model, optimizer, schedule })).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_FORMAT', message: expect.stringMatching(/is not whole/) }),
    )
    const stop = fj.callbacks.earlyStopping({ monitor: 'loss' })
    const save = fj.callbacks.modelCheckpoint({ filepath: path })
    await fj.fit(model, waves, { ...options, metrics: [], optimizer, schedule, callbacks: [stop, save] })
    for (const [whole, broken] of [
      ['\\"state\\":{', '\\"stale\\":{'],
      ['\\"callbacks\\":[', '\\"callbacks\\":5,\\"c\\":['],
    ] as const) {
      const text = readFileSync(path).toString('latin1')
      expect(text).toContain(whole)
      const other = join(folder, 'broken.safetensors')
      const grown = Buffer.from(text.replace(whole, broken), 'latin1') // and so is the length of the header
      grown.writeBigUInt64LE(grown.readBigUInt64LE(0) + BigInt(broken.length - whole.length), 0)
      writeFileSync(other, grown)
      await expect(fj.fit(model, waves, { optimizer, schedule, resume: other, callbacks: [stop] })).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_FORMAT', message: expect.stringMatching(/is not whole/) }),
      )
    }
    const step = () => {}
    await expect(fj.saveCheckpoint(path, { model, optimizer, schedule: { step } as object, epoch: 1 })).rejects.toThrow(
      /the schedule has no stateDict/,
    )
  })
})

it('a process killed while it writes leaves the old checkpoint whole', async () => {
  const path = join(folder, 'killed', 'run.safetensors')
  // The child overwrites the checkpoint again and again; it is killed at the sight of a file that is half written.
  for (let round = 0; round < 3; round++) {
    const child = spawnChild('checkpoints', { args: [path] })
    await child.line() // the first checkpoint is there
    const halves = () => readdirSync(join(path, '..')).filter((name) => name.endsWith('.tmp'))
    while (halves().length === 0) await new Promise((resolve) => setImmediate(resolve))
    child.kill()
    expect((await child.end).signal).toBe('SIGKILL')
    const model = new fj.nn.Sequential(new fj.nn.Linear(500, 500))
    const optimizer = new fj.optim.Adam(model.parameters())
    const { epoch } = await fj.loadCheckpoint(path, { model, optimizer })
    // Every element of the child's weights is the number of its checkpoint.
    expect(new Set(await (model.layers[0] as fj.nn.Linear).weight.data())).toEqual(new Set([epoch]))
  }
})
