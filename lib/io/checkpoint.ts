/**
 * Checkpoints: one .safetensors file that holds a network as save() writes it, so that load() reads it, and beside it
 * what training needs to go on as if it had never stopped: the optimizer's state (`__optimizer__.<name>`), tensors that
 * callbacks keep (`__callbacks__.<number>`), and in the metadata the epochs and steps done, the states of the random
 * numbers and of the schedule, and what fit() must know.
 */
import { describeGiven, ForjaError } from '../errors.js'
import { checkState } from '../nn/load_state.js'
import { type AnyModule, requireModule } from '../nn/module.js'
import { refuse } from '../ops/refuse.js'
import { Optimizer } from '../optim/optimizer.js'
import { checkInteger, checkOptions } from '../options.js'
import { resolveDevice } from '../runtime/device.js'
import { randomStateOf } from '../runtime/random_state.js'
import { Tensor } from '../tensor.js'
import type { ScoreState } from '../train/objective.js'
import { readModel, save } from './model.js'
import { isRecord } from './stored.js'

/** Anything of `fj.schedule`: plain numbers in, plain numbers out. */
export interface Stateful {
  stateDict?(): object
  loadStateDict?(state: never): void
}

export interface Checkpoint {
  model: AnyModule
  optimizer: Optimizer
  schedule?: Stateful
  /** The device that is trained on. Default 'auto'. */
  device?: string
}

/** What fit() keeps to go on in the middle of an epoch, and with the same order of batches. */
export interface RunState {
  /** Decides the order. */
  seed: number
  batchSize: number
  accumulate: number
  shuffle: boolean
  /** Of the data set. */
  samples: number
  /** Batches an epoch. */
  steps: number
  /** What was added up in the epoch that has begun. */
  score?: ScoreState
  /** Of the callbacks that have a state, in their order. */
  callbacks?: readonly SavedCallback[]
}

/** The state of a callback: plain data, and tensors. */
export interface SavedCallback {
  name: string
  state: object
}

export interface SaveCheckpointOptions extends Checkpoint {
  /** Complete epochs. */
  epoch: number
  /** Batches done of the next epoch. Default 0. */
  step?: number
  /** @internal Written by fit(). */
  run?: RunState
  /** Kept in the file. */
  metadata?: Readonly<Record<string, string>>
}

export interface LoadedCheckpoint {
  /** Complete epochs: fit()'s initialEpoch. */
  epoch: number
  /** Batches done of the next epoch; fit() goes on there with `resume`. */
  step: number
  /** @internal For fit(). */
  run?: RunState
  metadata: Record<string, string>
}

const CHECKPOINT = ['model', 'optimizer', 'schedule', 'device'] as const

const EPOCH = 'forja.epoch'
const STEP = 'forja.step'
const RANDOM = 'forja.random'
const OPTIMIZER = 'forja.optimizer'
const SCHEDULE = 'forja.schedule'
const RUN = 'forja.run'

/** Writes the whole file or leaves the old one. No step may be running. */
export async function saveCheckpoint(path: string, options: SaveCheckpointOptions): Promise<void> {
  checkOptions('saveCheckpoint', options, [...CHECKPOINT, 'epoch', 'step', 'run', 'metadata'])
  const { model, optimizer, schedule, epoch, step = 0, device, run, metadata } = options
  if (schedule !== undefined && schedule.stateDict === undefined) {
    throw new ForjaError('ERR_ARGUMENT', 'saveCheckpoint: the schedule has no stateDict(), so it could not go on')
  }
  requireParts('saveCheckpoint', options)
  checkInteger('saveCheckpoint', 'epoch', epoch, 0)
  checkInteger('saveCheckpoint', 'step', step, 0)
  const random = await randomStateOf(resolveDevice(device)).read()
  const tensors: Tensor[] = []
  const runState = run === undefined ? undefined : toJSON(run, tensors)
  await save(model, path, {
    optimizer: await optimizer.stateDict(),
    callbacks: Object.fromEntries(tensors.entries()),
    metadata: {
      ...metadata,
      [EPOCH]: String(epoch),
      [STEP]: String(step),
      [RANDOM]: random.join(','),
      [OPTIMIZER]: optimizer.name,
      ...(schedule === undefined ? {} : { [SCHEDULE]: toJSON(schedule.stateDict!()) }),
      ...(runState === undefined ? {} : { [RUN]: runState }),
    },
  })
}

/**
 * Reads a checkpoint into a network, an optimizer and a schedule made as they were when it was written; nothing changes
 * where something does not fit.
 *
 * @throws ERR_FORMAT for a file that is no checkpoint; ERR_ARGUMENT for another kind of optimizer, and for another
 *   network listing missing, unexpected and mis-shaped names; ERR_SHAPE, ERR_DTYPE naming the tensor.
 */
export async function loadCheckpoint(path: string, options: Checkpoint): Promise<LoadedCheckpoint> {
  const { model, optimizer, schedule, device } = checkOptions('loadCheckpoint', options, CHECKPOINT)
  requireParts('loadCheckpoint', options)
  const { state, optimizer: optimizerState, callbacks, metadata, hint } = await readModel(model, path)
  const [epoch, step] = [Number(metadata[EPOCH]), Number(metadata[STEP] ?? 0)]
  const random = (metadata[RANDOM] ?? '').split(',').map(Number)
  const whole = [epoch, step].every((count) => Number.isSafeInteger(count) && count >= 0)
  if (!whole || random.length !== 4 || !random.every(Number.isInteger)) {
    throw new ForjaError('ERR_FORMAT', `${path} holds weights but no state of a training run`, {
      hint: 'load(model, path) reads the weights; training can only go on from what `train --save` wrote',
    })
  }
  if (metadata[OPTIMIZER] !== optimizer.name) {
    throw new ForjaError('ERR_ARGUMENT', `${path} was written with ${metadata[OPTIMIZER]}, not ${optimizer.name}`, {
      hint: 'go on with the optimizer that training began with',
    })
  }
  if (schedule?.loadStateDict !== undefined && metadata[SCHEDULE] === undefined) {
    throw new ForjaError('ERR_ARGUMENT', `${path} was written without a schedule`, {
      hint: 'go on without one, as training began',
    })
  }
  const run = metadata[RUN] === undefined ? undefined : (fromJSON(metadata[RUN], path, callbacks) as RunState)
  const scheduled = metadata[SCHEDULE] === undefined ? undefined : fromJSON(metadata[SCHEDULE], path)
  if (!isRun(run, step) || !(scheduled === undefined || isRecord(scheduled))) throw notWhole(path)
  const { assign } = checkState(model.namedVariables(), state, {}, path, hint)
  const before = { lr: optimizer.lr, schedule: schedule?.stateDict?.() }
  try {
    // A schedule sets the rate of its step; the rate that was saved with the optimizer counts, whoever set it.
    schedule?.loadStateDict?.(scheduled as never)
    await optimizer.loadStateDict(optimizerState)
  } catch (error) {
    if (before.schedule !== undefined) schedule?.loadStateDict?.(before.schedule as never)
    optimizer.lr = before.lr
    throw error
  }
  await assign()
  await randomStateOf(resolveDevice(device)).write(Int32Array.from(random))
  return { epoch, step, metadata, ...(run === undefined ? {} : { run }) }
}

/** @throws ERR_ARGUMENT unless there are a network and an optimizer */
function requireParts(what: string, { model, optimizer }: Checkpoint): void {
  requireModule(what, model)
  if (!(optimizer instanceof Optimizer))
    refuse(what, 'ERR_ARGUMENT', `optimizer must be an Optimizer, got ${describeGiven(optimizer)}`)
}

/**
 * JSON that keeps infinities and NaN, which a schedule's best figure begins as, and has numbers in place of tensors,
 * which are appended to `tensors`.
 */
function toJSON(value: object, tensors: Tensor[] = []): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item instanceof Tensor) return { __tensor__: tensors.push(item) - 1 }
    return typeof item === 'number' && !Number.isFinite(item) ? { __number__: String(item) } : item
  })
}

function fromJSON(text: string, path: string, tensors: Readonly<Record<string, Tensor>> = {}): unknown {
  try {
    return JSON.parse(text, (_key, item: unknown) => {
      if (typeof item !== 'object' || item === null) return item
      if ('__number__' in item) return Number(item.__number__)
      if (!('__tensor__' in item)) return item
      const tensor = tensors[String(item.__tensor__)]
      if (tensor === undefined) throw notWhole(path)
      return tensor
    })
  } catch (cause) {
    throw notWhole(path, cause)
  }
}

/** A run that stopped within an epoch knows what it had added up. */
function isRun(run: unknown, step: number): boolean {
  if (run === undefined) return step === 0
  if (!isRecord(run) || !Number.isSafeInteger(run.seed)) return false
  return (run.score === undefined ? step === 0 : isScore(run.score)) && areCallbacks(run.callbacks)
}

function isScore(score: unknown): boolean {
  if (!isRecord(score) || typeof score.samples !== 'number' || typeof score.loss !== 'number') return false
  const areSums = (group: unknown) => isRecord(group) && Object.values(group).every(Array.isArray)
  return isRecord(score.sums) && Object.values(score.sums).every(areSums)
}

function areCallbacks(saved: unknown): boolean {
  if (saved === undefined) return true
  return (
    Array.isArray(saved) &&
    saved.every((item) => isRecord(item) && typeof item.state === 'object' && item.state !== null)
  )
}

function notWhole(path: string, cause?: unknown): ForjaError {
  return new ForjaError('ERR_FORMAT', `${path}: the state of the training run is not whole`, { cause })
}
