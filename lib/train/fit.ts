/**
 * fit(): epochs of forward, backward and update, each batch one call of one native program.
 */
import type { Dataset } from '../data/dataset.js'
import { ForjaError } from '../errors.js'
import { Optimizer } from '../optim/optimizer.js'
import { defaultSeed } from '../random.js'
import { type CompileFunctionOptions, compile } from '../runtime/compile.js'
import { resolveDevice } from '../runtime/device.js'
import { seedRandomState } from '../runtime/random_state.js'
import type { Tensor } from '../tensor.js'
import type { Callback, TrainingContext } from './callbacks.js'
import { checkBatchSize, Evaluator } from './evaluate.js'
import { type Feed, feedOf } from './feed.js'
import { type EpochLogs, History } from './history.js'
import { inMode, type Trainable } from './model.js'
import { type Objective, type ObjectiveOptions, objectiveOf, ScoreSum } from './objective.js'
import { type CompiledStep, runBatches, type StepResult } from './pipeline.js'
import { type Reporter, reporterFor, type Verbosity } from './progress.js'

/** Anything of `fj.schedule`. */
export interface Steppable {
  step(metric?: number): void
}

export interface FitOptions
  extends ObjectiveOptions,
    Pick<CompileFunctionOptions, 'device' | 'precision' | 'algorithms'> {
  optimizer: Optimizer
  /** Times that every sample is seen. Default 1. */
  epochs?: number
  /** Epochs that were done before, by a run that this one goes on with. Default 0. */
  initialEpoch?: number
  /** Default 32. */
  batchSize?: number
  /** Another order in every epoch, decided by seed and epoch. Default true. */
  shuffle?: boolean
  /** Measured after every epoch. */
  validation?: Dataset
  /** Sets the learning rate: stepped after every epoch (with the validation loss, else the loss), or every batch. */
  schedule?: Steppable
  scheduleEvery?: 'epoch' | 'batch'
  /** Decides order and dropout. Default: the seed of setSeed(), dropout going on from where it was. */
  seed?: number
  signal?: AbortSignal
  callbacks?: readonly Callback[]
  /** To stderr: 0 nothing, 1 a progress bar on a terminal and otherwise as 2, 2 a line an epoch. 'auto' is 1. */
  verbose?: Verbosity
}

/**
 * Trains `model` on `dataset`.
 *
 * @throws ERR_NAN_LOSS naming epoch and step when the loss is no finite number. When cancelled, the signal's reason; the
 *   model then holds the weights of the last step that was completed.
 */
export async function fit(model: Trainable, dataset: Dataset, options: FitOptions): Promise<History> {
  const training = new Training(model, dataset, checkOptions(options))
  try {
    return await training.run()
  } finally {
    training.dispose()
  }
}

function checkOptions(options: FitOptions): FitOptions {
  if (!(options?.optimizer instanceof Optimizer)) {
    throw new ForjaError('ERR_ARGUMENT', 'fit: an optimizer was expected', {
      hint: 'optimizer: new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })',
    })
  }
  for (const name of ['epochs', 'initialEpoch'] as const) {
    const value = options[name] ?? 0
    if (!Number.isInteger(value) || value < 0) {
      throw new ForjaError('ERR_ARGUMENT', `fit: ${name} ${String(value)}; expected an integer from 0`)
    }
  }
  checkBatchSize(options.batchSize ?? 1, 'fit')
  return options
}

class Training {
  readonly #feed: Feed
  readonly #step: CompiledStep & { dispose(): void }
  readonly #evaluator: Evaluator | undefined
  readonly #reporter: Reporter
  readonly #history = new History()
  readonly #context: TrainingContext
  readonly #batchSize: number

  constructor(
    private readonly model: Trainable,
    dataset: Dataset,
    private readonly options: FitOptions,
  ) {
    const { optimizer, validation, device, precision, algorithms, batchSize = 32 } = options
    this.#batchSize = batchSize
    const objective = objectiveOf(options, 'fit')
    this.#feed = feedOf(dataset, 'fit: the data set')
    this.#step = compile((...args: Tensor[]): { [key: string]: Tensor } & StepResult => this.#trace(args, objective), {
      device,
      precision,
      algorithms,
    })
    this.#evaluator =
      validation &&
      new Evaluator(model, validation, objective, { device, precision, batchSize: Math.max(batchSize, 256) }, 'fit')
    this.#reporter = reporterFor(options.verbose ?? 'auto')
    const history = this.#history
    const stop = (reason: string): void => {
      history.stopped = reason
    }
    this.#context = { model, optimizer, history, stop }
  }

  #trace(args: readonly Tensor[], objective: Objective) {
    const { x, y } = this.#feed.read(args)
    const scores = objective.score(
      inMode(this.model, true, () => this.model.forward(x)),
      y,
    )
    this.options.optimizer.minimize(scores.loss)
    return { ...scores }
  }

  async run(): Promise<History> {
    const { epochs = 1, initialEpoch = 0, callbacks = [], seed, device, signal } = this.options
    signal?.throwIfAborted()
    if (seed !== undefined && initialEpoch === 0) await seedRandomState(resolveDevice(device), seed)
    const context = this.#context
    for (const callback of callbacks) await callback.onTrainBegin?.(context)
    for (let epoch = initialEpoch + 1; epoch <= epochs && this.#history.stopped === undefined; epoch++) {
      for (const callback of callbacks) await callback.onEpochBegin?.(epoch, context)
      const logs = await this.#epoch(epoch)
      this.#history.epochs.push(logs)
      this.#reporter.epoch(logs, epochs)
      if (this.options.scheduleEvery !== 'batch') this.options.schedule?.step(logs.valLoss ?? logs.loss)
      for (const callback of callbacks) await callback.onEpochEnd?.(logs, context)
    }
    for (const callback of callbacks) await callback.onTrainEnd?.(context)
    if (this.#history.stopped !== undefined) this.#reporter.note(`Stopped: ${this.#history.stopped}.`)
    return this.#history
  }

  async #epoch(epoch: number): Promise<EpochLogs> {
    const { optimizer, schedule, scheduleEvery, callbacks = [], signal, shuffle = true } = this.options
    const { seed = defaultSeed(), epochs = 1 } = this.options
    const steps = Math.ceil(this.#feed.length / this.#batchSize)
    const sum = new ScoreSum()
    const perBatch = scheduleEvery === 'batch' && schedule !== undefined
    const start = performance.now()
    let { lr } = optimizer
    this.#reporter.begin(epoch, epochs, steps)
    try {
      await runBatches(
        this.#step,
        this.#feed.batches({ batchSize: this.#batchSize, shuffle, seed, epoch: epoch - 1 }),
        async ({ step, length, loss, correct }) => {
          if (!Number.isFinite(loss)) throw notFinite(loss, epoch, step, steps, optimizer.lr)
          sum.add(length, loss, correct)
          lr = optimizer.lr
          if (perBatch) schedule.step()
          this.#reporter.batch(step, sum.samples, sum.mean())
          if (callbacks.length === 0) return
          const logs = { epoch, step, steps, loss, ...(correct === undefined ? {} : { accuracy: correct / length }) }
          for (const callback of callbacks) await callback.onBatchEnd?.(logs, this.#context)
        },
        // A rate that changes with every batch is read when its step runs: one at a time.
        { signal, ...(perBatch ? { window: 1 } : {}) },
      )
      const seconds = (performance.now() - start) / 1000
      const { loss, accuracy } = sum.mean()
      const scores = await this.#evaluator?.run(signal)
      return {
        epoch,
        loss,
        ...(accuracy === undefined ? {} : { accuracy }),
        ...(scores ? { valLoss: scores.loss } : {}),
        ...(scores?.accuracy === undefined ? {} : { valAccuracy: scores.accuracy }),
        lr,
        seconds,
        samplesPerSecond: sum.samples / seconds,
      }
    } finally {
      this.#reporter.end()
    }
  }

  dispose(): void {
    this.#step.dispose()
    this.#feed.dispose()
    this.#evaluator?.dispose()
  }
}

function notFinite(loss: number, epoch: number, step: number, steps: number, lr: number): ForjaError {
  const what = Number.isNaN(loss) ? 'no number (NaN)' : 'infinite'
  return new ForjaError('ERR_NAN_LOSS', `fit: the loss is ${what} in epoch ${epoch}, step ${step} of ${steps}`, {
    hint: `lower the learning rate, it is ${lr}: try ${Number((lr / 10).toPrecision(2))}; or look for bad numbers in the data`,
  })
}
