/**
 * One run of fit(): where it stands, what it reports, and how it goes on or ends.
 */
import type { Dataset } from '../data/dataset.js'
import { ForjaError } from '../errors.js'
import { loadCheckpoint, type RunState, type SavedCallback, saveCheckpoint } from '../io/checkpoint.js'
import { requireModule } from '../nn/module.js'
import { defaultSeed } from '../random.js'
import { compile } from '../runtime/compile.js'
import { type Device, resolveDevice } from '../runtime/device.js'
import { seedRandomState } from '../runtime/random_state.js'
import type { Tensor } from '../tensor.js'
import type { BatchLogs, TrainingContext } from './callbacks/callback.js'
import { Evaluator } from './evaluate.js'
import { type Feed, feedOf } from './feed.js'
import type { FitOptions } from './fit.js'
import { type EpochLogs, History, validationName } from './history.js'
import { inMode, type Trainable } from './model.js'
import { findNonFinite } from './non_finite.js'
import { type Objective, objectiveOf, ScoreSum } from './objective.js'
import { type BatchResult, type CompiledStep, runBatches, type StepResult } from './pipeline.js'
import { type Reporter, reporterFor } from './progress.js'
import { bytesOf, type Snapshot, takeSnapshot } from './snapshot.js'
import { Update } from './update.js'

/** Up to this size a network is kept as it was when the epoch began, so that a loss that is NaN can be explained. */
export const REPLAYED_BYTES = 128 * 2 ** 20

type Step = CompiledStep & { dispose(): void }

/** What is known of an epoch while it runs. */
interface Epoch {
  /** From 1. */
  readonly number: number
  /** Batches that were done before this run began. */
  readonly done: number
  readonly sum: ScoreSum
  readonly begun: Snapshot | undefined
  /** The learning rate of each batch, by its number. */
  readonly rates: number[]
  failed?: BatchResult
}

export class Training {
  readonly #device: Device
  readonly #feed: Feed
  readonly #objective: Objective
  readonly #update: Update
  /** Adds gradients up and updates the parameters; the other one only adds gradients up. */
  readonly #step: Step
  readonly #gather: Step
  readonly #evaluator: Evaluator | undefined
  readonly #reporter: Reporter
  readonly #history = new History()
  readonly #context: TrainingContext
  readonly #batchSize: number
  readonly #accumulate: number
  readonly #shuffle: boolean
  readonly #epochs: number
  /** Batches an epoch. */
  readonly #steps: number
  #seed = 0
  /** Of the checkpoint that the run begins with. */
  #saved: readonly SavedCallback[] = []
  /** Where the run stands; `exact` where no later step is in flight. */
  #position: { epoch: number; step: number; sum?: ScoreSum; exact: boolean } = { epoch: 0, step: 0, exact: true }

  constructor(
    private readonly model: Trainable,
    dataset: Dataset,
    private readonly options: FitOptions,
  ) {
    const { optimizer, validation, device, precision, algorithms, batchSize = 32, accumulate = 1 } = options
    const { fastDevRun = false, overfitBatches = Number.POSITIVE_INFINITY, shuffle = true } = options
    this.#batchSize = batchSize
    this.#accumulate = accumulate
    this.#shuffle = shuffle && options.overfitBatches === undefined
    this.#device = resolveDevice(device)
    this.#objective = objectiveOf(options, 'fit')
    this.#feed = feedOf(dataset, 'fit', this.#device, options)
    const few = fastDevRun === false ? Number.POSITIVE_INFINITY : Number(fastDevRun)
    this.#epochs = fastDevRun === false ? (options.epochs ?? 1) : (options.initialEpoch ?? 0) + 1
    this.#steps = Math.min(Math.ceil(dataset.length / batchSize), overfitBatches, few)
    this.#update = new Update(optimizer, options)
    const stepThat = (updates: boolean): Step =>
      compile((...args: Tensor[]): StepResult => this.#trace(args, updates), { device, precision, algorithms })
    this.#step = stepThat(true)
    this.#gather = stepThat(false)
    const evaluation = {
      device,
      precision,
      dataOnDevice: options.dataOnDevice === false ? false : ('auto' as const),
      batchSize: Math.max(batchSize, 256),
      ...(few < Infinity && { batches: few }),
    }
    this.#evaluator = validation && new Evaluator(model, validation, this.#objective, evaluation, 'fit', 'validation')
    this.#reporter = reporterFor(options.verbose ?? 'auto')
    this.#context = {
      model,
      optimizer,
      dataset,
      history: this.#history,
      stop: (reason) => {
        this.#history.stopped = reason
      },
      measured: this.#measured(),
      saveCheckpoint: (path) => this.#save(path),
    }
  }

  #trace(args: readonly Tensor[], updates: boolean): StepResult {
    const { x, y } = this.#feed.read(args)
    const scores = this.#objective.score(
      inMode(this.model, true, () => this.model.forward(x)),
      y,
    )
    this.#update.trace(scores.loss, y.shape[0]!, updates)
    return scores
  }

  async run(): Promise<History> {
    const { callbacks = [], signal, scheduleEvery, schedule } = this.options
    signal?.throwIfAborted()
    let step = await this.#begin()
    const context = this.#context
    for (const callback of callbacks) await callback.onTrainBegin?.(context)
    await this.#restore()
    for (let epoch = this.#position.epoch + 1; epoch <= this.#epochs; epoch++) {
      if (this.#history.stopped !== undefined) break
      for (const callback of callbacks) await callback.onEpochBegin?.(epoch, context)
      const logs = await this.#epoch(epoch, step)
      step = 0
      this.#position = { epoch, step, exact: true }
      if (logs === undefined) break
      this.#history.epochs.push(logs)
      this.#reporter.epoch(logs, this.#epochs)
      if (scheduleEvery !== 'batch') schedule?.step(logs.valLoss ?? logs.loss)
      for (const callback of callbacks) await callback.onEpochEnd?.(logs, context)
      for (const callback of callbacks) await callback.onSave?.(context)
    }
    for (const callback of callbacks) await callback.onTrainEnd?.(context)
    if (this.#history.stopped !== undefined) this.#reporter.note(`Stopped: ${this.#history.stopped}.`)
    return this.#history
  }

  /** Puts everything where the run begins; the batches of that epoch that are done. */
  async #begin(): Promise<number> {
    const { optimizer, schedule, device, seed, initialEpoch = 0, resume } = this.options
    if (resume === undefined) {
      if (seed !== undefined && initialEpoch === 0) await seedRandomState(this.#device, seed)
      this.#seed = seed ?? defaultSeed()
      this.#position.epoch = initialEpoch
      return 0
    }
    const model = requireModule('fit: resume', this.model)
    const { epoch, step, run } = await loadCheckpoint(resume, { model, optimizer, schedule, device })
    this.#seed = seed ?? run?.seed ?? defaultSeed()
    this.#saved = run?.callbacks ?? []
    const sum = new ScoreSum(this.#objective.metrics)
    if (step > 0) {
      checkSameRun(resume, run!, this.#runState())
      sum.restore(run!.score!)
    }
    this.#position = { epoch, step, sum, exact: true }
    return step
  }

  /** Gives callbacks the states that a checkpoint holds: by name, and in their order where several have one name. */
  async #restore(): Promise<void> {
    const left = [...this.#saved]
    for (const callback of this.options.callbacks ?? []) {
      const at = left.findIndex(({ name }) => callback.stateDict !== undefined && name === callback.name)
      if (at < 0) continue
      const [{ state }] = left.splice(at, 1) as [SavedCallback]
      await callback.loadStateDict!(state as never, this.#context)
    }
  }

  /** One epoch's figures; undefined where a callback ended training because of a loss that is no number. */
  async #epoch(number: number, done: number): Promise<EpochLogs | undefined> {
    const { optimizer, signal } = this.options
    const begun = bytesOf(this.model) <= REPLAYED_BYTES ? await this.#snapshot() : undefined
    const sum = done > 0 ? this.#position.sum! : new ScoreSum(this.#objective.metrics)
    const epoch: Epoch = { number, done, sum, begun, rates: [] }
    const before = sum.samples
    const start = performance.now()
    let { lr } = optimizer
    this.#reporter.begin(number, this.#epochs, this.#steps)
    try {
      const waitsAt = (step: number) => this.#waitsAt(step, number)
      await runBatches(
        (step) => this.#stepAt(step, epoch),
        this.#batches(number, done, this.#steps),
        async (result) => {
          lr = optimizer.lr
          return await this.#take(result, epoch, waitsAt(result.step))
        },
        { signal, done, waitsAt },
      )
      if (epoch.failed !== undefined) {
        if (this.#history.stopped !== undefined) return undefined
        throw await this.#explain(epoch, epoch.failed)
      }
      const seconds = (performance.now() - start) / 1000
      const scores = await this.#evaluator?.run(signal)
      const validation = Object.entries(scores ?? {}).map(([name, value]) => [validationName(name), value])
      return {
        epoch: number,
        ...sum.mean(),
        ...Object.fromEntries(validation),
        lr,
        seconds,
        samplesPerSecond: (sum.samples - before) / seconds,
      }
    } finally {
      this.#reporter.end()
    }
  }

  #snapshot(): Promise<Snapshot> {
    return takeSnapshot(this.model, this.options.optimizer, this.#device)
  }

  #batches(epoch: number, skip: number, end: number) {
    const options = { batchSize: this.#batchSize, shuffle: this.#shuffle, seed: this.#seed, epoch: epoch - 1 }
    return this.#feed.batches({ ...options, skip, end })
  }

  /** Whether this batch is the last of those that make one update. */
  #updates(step: number): boolean {
    return step % this.#accumulate === 0 || step === this.#steps
  }

  #stepAt(step: number, { rates }: Epoch): CompiledStep {
    rates[step] = this.options.optimizer.lr
    return this.#updates(step) ? this.#step : this.#gather
  }

  #waitsAt(step: number, epoch: number): boolean {
    const { schedule, scheduleEvery, callbacks = [] } = this.options
    // A rate that changes with every update is read when the next step runs.
    if (schedule !== undefined && scheduleEvery === 'batch' && this.#updates(step)) return true
    return callbacks.some((callback) => callback.waitsAt?.(step, epoch))
  }

  /** @returns whether training goes on */
  async #take(result: BatchResult, epoch: Epoch, exact: boolean): Promise<boolean> {
    const { schedule, scheduleEvery, callbacks = [] } = this.options
    const { step, length, loss, sums } = result
    const { sum } = epoch
    if (Number.isFinite(loss)) sum.add(length, loss, sums)
    else epoch.failed = result
    this.#position = { epoch: epoch.number - 1, step, sum, exact }
    if (scheduleEvery === 'batch' && this.#updates(step)) schedule?.step()
    if (sum.samples > 0) this.#reporter.batch(step - epoch.done, sum.samples, sum.mean())
    if (callbacks.length > 0) {
      const scores = new ScoreSum(this.#objective.metrics)
      scores.add(length, loss, sums)
      const logs: BatchLogs = { epoch: epoch.number, step, steps: this.#steps, ...scores.mean() }
      for (const callback of callbacks) await callback.onBatchEnd?.(logs, this.#context)
      for (const callback of callbacks) await callback.onSave?.(this.#context)
    }
    return epoch.failed === undefined && this.#history.stopped === undefined
  }

  /** Runs the epoch again up to the step that failed, and looks into that one. */
  async #explain(epoch: Epoch, { step, loss }: BatchResult): Promise<ForjaError> {
    const { optimizer, device } = this.options
    const { lr } = optimizer
    let where: string | undefined
    if (epoch.begun !== undefined) {
      await epoch.begun.restore()
      await this.#update.reset()
      const rates = [...epoch.rates]
      const stepAt = (n: number) => {
        optimizer.lr = rates[n]!
        return this.#stepAt(n, epoch)
      }
      const again = this.#batches(epoch.number, epoch.done, step - 1)
      await runBatches(stepAt, again, () => true, { done: epoch.done, waitsAt: () => true })
      optimizer.lr = lr
      const found = await this.#snapshot() // looking moves running statistics
      for await (const batch of this.#batches(epoch.number, step - 1, step)) {
        where = await findNonFinite(this.model, this.#feed, this.#objective, batch, device)
      }
      await found.restore()
    }
    const what = Number.isNaN(loss) ? 'no number (NaN)' : 'infinite'
    const text = `fit: the loss is ${what} in epoch ${epoch.number}, step ${step} of ${this.#steps}`
    const rate = `the learning rate, it is ${lr}: try ${Number((lr / 10).toPrecision(2))}`
    return new ForjaError('ERR_NAN_LOSS', where === undefined ? text : `${text}; ${where}`, {
      hint: where?.startsWith('the batch') ? 'look for bad numbers in the data' : `lower ${rate}`,
    })
  }

  #measured(): ReadonlyMap<string, 'min' | 'max'> {
    const training: [string, 'min' | 'max'][] = [
      ['loss', 'min'],
      ...this.#objective.metrics.map(({ name, mode = 'min' }): [string, 'min' | 'max'] => [name, mode]),
    ]
    const validation = this.#evaluator === undefined ? [] : training
    return new Map([...training, ...validation.map(([name, mode]) => [validationName(name), mode] as const)])
  }

  #runState(): RunState {
    const { step, sum } = this.#position
    return {
      seed: this.#seed,
      batchSize: this.#batchSize,
      accumulate: this.#accumulate,
      shuffle: this.#shuffle,
      samples: this.#feed.length,
      steps: this.#steps,
      ...(step > 0 ? { score: sum!.state() } : {}),
    }
  }

  async #save(path: string): Promise<void> {
    const { optimizer, schedule, device } = this.options
    const { epoch, step, exact } = this.#position
    const model = requireModule('saveCheckpoint', this.model)
    if (!exact) {
      throw new ForjaError('ERR_ARGUMENT', `saveCheckpoint: steps after step ${step} are running already`, {
        hint: 'give the callback a method waitsAt(step) that is true for this step',
      })
    }
    if (step > 0 && !this.#updates(step)) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `saveCheckpoint: at step ${step} gradients of ${step % this.#accumulate} of ${this.#accumulate} batches wait for their update`,
        { hint: `save at steps that ${this.#accumulate} divides` },
      )
    }
    const stateful = (this.options.callbacks ?? []).filter(({ stateDict }) => stateDict !== undefined)
    const callbacks = stateful.map((callback) => ({ name: callback.name!, state: callback.stateDict!() }))
    const run = { ...this.#runState(), callbacks }
    await saveCheckpoint(path, { model, optimizer, schedule, device, epoch, step, run })
  }

  dispose(): void {
    this.#step.dispose()
    this.#gather.dispose()
    this.#update.dispose()
    this.#feed.dispose()
    this.#evaluator?.dispose()
  }
}

/** The middle of an epoch means the same only where the batches are the same. */
function checkSameRun(path: string, saved: RunState, now: RunState): void {
  const names = ['seed', 'batchSize', 'accumulate', 'shuffle', 'samples', 'steps'] as const
  const other = names.filter((name) => saved[name] !== now[name])
  if (other.length === 0) return
  const list = other.map((name) => `${name} was ${saved[name]} and is ${now[name]}`).join(', ')
  throw new ForjaError('ERR_ARGUMENT', `fit: ${path} was written in the middle of an epoch of other batches: ${list}`, {
    hint: 'give the options that training began with, or resume from a checkpoint of the end of an epoch',
  })
}
