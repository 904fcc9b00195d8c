/** The members of `fj.optim`. */
export { Adam, type AdamOptions, AdamW } from './adam.js'
export { type LearningRate, Optimizer, type OptimizerState } from './optimizer.js'
export { SGD, type SGDOptions } from './sgd.js'
