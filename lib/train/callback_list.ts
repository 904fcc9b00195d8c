/** The members of `fj.callbacks`. */
export { type EarlyStoppingOptions, earlyStopping } from './callbacks.js'
