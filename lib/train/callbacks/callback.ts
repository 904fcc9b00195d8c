/**
 * Callbacks of fit(). Every method is optional and awaited; those of lib/train/callbacks are plain objects like a
 * user's own.
 */
import type { Dataset } from '../../data/dataset.js'
import type { Optimizer } from '../../optim/optimizer.js'
import type { EpochLogs, History } from '../history.js'
import type { Trainable } from '../model.js'

/** Besides the fields below, each metric of this batch by its name. */
export interface BatchLogs {
  /** From 1. */
  epoch: number
  /** From 1, within the epoch. */
  step: number
  steps: number
  /** Of this batch. */
  loss: number
  accuracy?: number
  [metric: string]: number | undefined
}

export interface TrainingContext {
  readonly model: Trainable
  readonly optimizer: Optimizer
  /** What is trained on. */
  readonly dataset: Dataset
  readonly history: History
  /** What every epoch's logs hold of losses and metrics, and whether it should fall or rise. */
  readonly measured: ReadonlyMap<string, 'min' | 'max'>
  /** Ends training: after this epoch, or, called from onBatchEnd, after this batch. */
  stop(reason: string): void
  /**
   * Writes all that `fit({ resume: path })` needs to go on from here. After a batch only at steps that `waitsAt` named;
   * best in `onSave`, when the other callbacks have seen the batch or epoch too.
   */
  saveCheckpoint(path: string): Promise<void>
}

/**
 * A callback whose later doings depend on what it has seen has a state, which checkpoints keep. `fit({ resume })` gives
 * it back, after onTrainBegin, to the callback of the same name, where several have that name in their order. One that
 * the checkpoint does not know begins anew; the state of one that is no longer there is left.
 */
export interface Callback {
  /** What checkpoints call it; needed where there is a state. */
  readonly name?: string
  /** Plain data and tensors, as deep as they may lie. */
  stateDict?(): object
  /** @throws ERR_ARGUMENT where the state is of a callback made with other options. */
  loadStateDict?(state: never, context: TrainingContext): void | Promise<void>
  onTrainBegin?(context: TrainingContext): void | Promise<void>
  onEpochBegin?(epoch: number, context: TrainingContext): void | Promise<void>
  /** Whether onBatchEnd of this step finds model and optimizer as the step left them, no later one being in flight. */
  waitsAt?(step: number, epoch: number): boolean
  /** Some steps later than the batch: several are in flight, unless `waitsAt` says otherwise. */
  onBatchEnd?(logs: BatchLogs, context: TrainingContext): void | Promise<void>
  onEpochEnd?(logs: EpochLogs, context: TrainingContext): void | Promise<void>
  /** After every onBatchEnd or onEpochEnd of all callbacks: what is saved here holds what each has made of it. */
  onSave?(context: TrainingContext): void | Promise<void>
  onTrainEnd?(context: TrainingContext): void | Promise<void>
}
