/**
 * Callbacks of fit(). Every method is optional and awaited.
 */
import { ForjaError } from '../errors.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { Tensor } from '../tensor.js'
import type { EpochLogs, History } from './history.js'
import { type Trainable, variablesOf } from './model.js'

export interface BatchLogs {
  /** From 1. */
  epoch: number
  /** From 1, within the epoch. */
  step: number
  steps: number
  /** Of this batch. */
  loss: number
  accuracy?: number
}

export interface TrainingContext {
  readonly model: Trainable
  readonly optimizer: Optimizer
  readonly history: History
  /** Ends training after this epoch. */
  stop(reason: string): void
}

export interface Callback {
  onTrainBegin?(context: TrainingContext): void | Promise<void>
  onEpochBegin?(epoch: number, context: TrainingContext): void | Promise<void>
  /** Some steps later than the batch: several are in flight. */
  onBatchEnd?(logs: BatchLogs, context: TrainingContext): void | Promise<void>
  onEpochEnd?(logs: EpochLogs, context: TrainingContext): void | Promise<void>
  onTrainEnd?(context: TrainingContext): void | Promise<void>
}

export interface EarlyStoppingOptions {
  /** Default 'valLoss'. Losses should fall, accuracies rise. */
  monitor?: 'loss' | 'accuracy' | 'valLoss' | 'valAccuracy'
  /** Epochs without improvement before training ends. Default 3. */
  patience?: number
  /** The least change that counts. Default 0. */
  minDelta?: number
  /** Give the model the weights of its best epoch at the end. Default true. */
  restoreBestWeights?: boolean
}

/** Ends training when a figure no longer improves. */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  const { monitor = 'valLoss', patience = 3, minDelta = 0, restoreBestWeights = true } = options
  const rises = monitor === 'accuracy' || monitor === 'valAccuracy'
  let best: { value: number; epoch: number; weights: Tensor[] } | undefined
  return {
    onTrainBegin() {
      best = undefined
    },
    async onEpochEnd(logs, { model, stop }) {
      const value = logs[monitor]
      if (value === undefined) {
        throw new ForjaError('ERR_ARGUMENT', `earlyStopping: ${monitor} is not measured`, {
          hint: "give fit() validation data, and metrics: ['accuracy'] for an accuracy",
        })
      }
      const gain = best === undefined ? Number.POSITIVE_INFINITY : rises ? value - best.value : best.value - value
      if (gain > minDelta) {
        const weights = restoreBestWeights ? variablesOf(model).map(([, variable]) => variable.snapshot()) : []
        best = { value, epoch: logs.epoch, weights: await Promise.all(weights) }
      } else if (logs.epoch - best!.epoch >= patience) {
        const kept = restoreBestWeights ? ', weights restored' : ''
        stop(
          `${monitor} did not improve for ${patience} epochs ` +
            `(best ${best!.value.toPrecision(4)} at epoch ${best!.epoch}${kept})`,
        )
      }
    },
    async onTrainEnd({ model }) {
      if (!restoreBestWeights || best === undefined) return
      for (const [i, [, variable]] of variablesOf(model).entries()) await variable.assign(best.weights[i]!)
    },
  }
}
