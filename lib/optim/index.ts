/** The members of `fj.optim`. */
export { Adam, type AdamOptions, AdamW } from './adam.js'
export {
  Adadelta,
  type AdadeltaOptions,
  Adagrad,
  type AdagradOptions,
  Adamax,
  type AdamaxOptions,
  NAdam,
  type NAdamOptions,
  RMSprop,
  type RMSpropOptions,
} from './adaptive.js'
export type { OptimizerGroup, ParameterGroup, Parameters } from './groups.js'
export { type LearningRate, Optimizer, type OptimizerState } from './optimizer.js'
export { SGD, type SGDOptions } from './sgd.js'
