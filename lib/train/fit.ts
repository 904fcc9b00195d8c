/**
 * fit(): epochs of forward, backward and update, each batch one call of one native program.
 */
import type { Dataset } from '../data/dataset.js'
import { describeGiven, ForjaError } from '../errors.js'
import type { Stateful } from '../io/checkpoint.js'
import { checkRate } from '../optim/groups.js'
import { Optimizer } from '../optim/optimizer.js'
import { checkChoice, checkInteger, checkOptions } from '../options.js'
import type { CompileFunctionOptions } from '../runtime/compile.js'
import type { Callback } from './callbacks/callback.js'
import type { PlacementOptions } from './feed.js'
import type { History } from './history.js'
import { checkTrainable, type Trainable } from './model.js'
import type { ObjectiveOptions } from './objective.js'
import type { Verbosity } from './progress.js'
import { Training } from './training.js'
import type { UpdateOptions } from './update.js'

/** Anything of `fj.schedule`. */
export interface Steppable extends Stateful {
  step(metric?: number): void
}

export interface FitOptions
  extends ObjectiveOptions,
    UpdateOptions,
    PlacementOptions,
    Pick<CompileFunctionOptions, 'device' | 'precision' | 'algorithms'> {
  optimizer: Optimizer
  /** Times that every sample is seen. Default 1. */
  epochs?: number
  /** Epochs that were done before, by a run that this one goes on with. Default 0. */
  initialEpoch?: number
  /** Goes on, bit for bit, where the run that wrote this checkpoint stood; model, optimizer and schedule made as then. */
  resume?: string
  /** Default 32. */
  batchSize?: number
  /** Another order in every epoch, decided by seed and epoch. Default true. */
  shuffle?: boolean
  /** Measured after every epoch. */
  validation?: Dataset
  /** Sets the learning rate: stepped after every epoch (with the validation loss, else the loss), or every update. */
  schedule?: Steppable
  scheduleEvery?: 'epoch' | 'batch'
  /** Decides order and dropout. Default: the seed of setSeed(), dropout going on from where it was. */
  seed?: number
  signal?: AbortSignal
  callbacks?: readonly Callback[]
  /** To stderr: 0 nothing, 1 a progress bar on a terminal and otherwise as 2, 2 a line an epoch. 'auto' is 1. */
  verbose?: Verbosity
  /** To find mistakes quickly: one epoch of so many batches (true: one), validation as short, everything else as ever. */
  fastDevRun?: boolean | number
  /** Trains on the first so many batches only, in their order: a network that cannot learn them by heart has a fault. */
  overfitBatches?: number
}

/**
 * Trains `model` on `dataset`.
 *
 * @throws ERR_NAN_LOSS naming epoch, step and the first layer whose output is not finite, when the loss is no finite
 *   number; the model (up to {@link REPLAYED_BYTES} bytes) then holds the weights from before that step. When cancelled,
 *   the signal's reason; the model then holds the weights of the last step that was completed.
 */
export async function fit(model: Trainable, dataset: Dataset, options: FitOptions): Promise<History> {
  const training = new Training(checkTrainable(model, 'fit'), dataset, checked(options))
  try {
    return await training.run()
  } finally {
    training.dispose()
  }
}

const FIT = [
  'optimizer',
  'loss',
  'metrics',
  'epochs',
  'initialEpoch',
  'resume',
  'batchSize',
  'shuffle',
  'validation',
  'schedule',
  'scheduleEvery',
  'seed',
  'signal',
  'callbacks',
  'verbose',
  'device',
  'precision',
  'algorithms',
  'dataOnDevice',
  'accumulate',
  'clipGradNorm',
  'fastDevRun',
  'overfitBatches',
] as const

function checked(options: FitOptions): FitOptions {
  checkOptions('fit', options, FIT)
  if (!(options?.optimizer instanceof Optimizer)) {
    throw new ForjaError('ERR_ARGUMENT', `fit: an optimizer was expected, got ${describeGiven(options?.optimizer)}`, {
      hint: 'optimizer: new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })',
    })
  }
  const integers = { batchSize: 1, epochs: 0, initialEpoch: 0, accumulate: 1, overfitBatches: 1 } as const
  for (const [name, low] of Object.entries(integers)) {
    const value = options[name as keyof typeof integers]
    if (value !== undefined) checkInteger('fit', name, value, low)
  }
  const { fastDevRun = false } = options
  if (typeof fastDevRun !== 'boolean') checkInteger('fit', 'fastDevRun', fastDevRun)
  checkChoice('fit', 'scheduleEvery', options.scheduleEvery ?? 'epoch', ['epoch', 'batch'])
  checkChoice('fit', 'verbose', options.verbose ?? 'auto', ['auto', 0, 1, 2])
  if (options.clipGradNorm !== undefined) checkRate(options.clipGradNorm, 'fit: clipGradNorm')
  if (options.resume !== undefined && options.initialEpoch !== undefined) {
    throw new ForjaError('ERR_ARGUMENT', 'fit: resume and initialEpoch both say where to begin; give one of them')
  }
  const { callbacks = [], schedule } = options
  if (schedule !== undefined && typeof schedule?.step !== 'function') {
    throw new ForjaError('ERR_ARGUMENT', `fit: a schedule with step() was expected, got ${describeGiven(schedule)}`, {
      hint: 'schedule: new schedule.StepLR(optimizer, { stepSize: 10 })',
    })
  }
  if (!Array.isArray(callbacks)) {
    throw new ForjaError('ERR_ARGUMENT', `fit: callbacks must be an array, got ${describeGiven(callbacks)}`)
  }
  for (const [i, callback] of callbacks.entries()) {
    if (typeof callback !== 'object' || callback === null) {
      throw new ForjaError('ERR_ARGUMENT', `fit: callback ${i} must be an object, got ${describeGiven(callback)}`, {
        hint: 'callbacks: [{ onEpochEnd(logs) { ... } }]',
      })
    }
    const { name, stateDict, loadStateDict } = callback
    if (stateDict === undefined || (name !== undefined && loadStateDict !== undefined)) continue
    throw new ForjaError('ERR_ARGUMENT', 'fit: a callback with stateDict() needs a name and loadStateDict()', {
      hint: `its name is ${String(name)}; by it a checkpoint's state finds the callback again`,
    })
  }
  return options
}
