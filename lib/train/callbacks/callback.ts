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
   * Writes all that `fit({ resume: path })` needs to go on from here. In onBatchEnd only at steps that `waitsAt` named.
   */
  saveCheckpoint(path: string): Promise<void>
}

export interface Callback {
  onTrainBegin?(context: TrainingContext): void | Promise<void>
  onEpochBegin?(epoch: number, context: TrainingContext): void | Promise<void>
  /** Whether onBatchEnd of this step finds model and optimizer as the step left them, no later one being in flight. */
  waitsAt?(step: number, epoch: number): boolean
  /** Some steps later than the batch: several are in flight, unless `waitsAt` says otherwise. */
  onBatchEnd?(logs: BatchLogs, context: TrainingContext): void | Promise<void>
  onEpochEnd?(logs: EpochLogs, context: TrainingContext): void | Promise<void>
  onTrainEnd?(context: TrainingContext): void | Promise<void>
}
