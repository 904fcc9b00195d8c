/** Training, as `fj` exports it. */
export * as callbacks from './callback_list.js'
export type { BatchLogs, Callback, TrainingContext } from './callbacks.js'
export { type EvaluateOptions, evaluateModel, type PredictOptions, predict } from './evaluate.js'
export { type FitOptions, fit } from './fit.js'
export { type EpochLogs, History } from './history.js'
export type { LossFunction, LossName, Metric, Scores } from './objective.js'
