/** `fj.nn`: layers, networks, initial values. */
export {
  Dropout,
  ELU,
  GELU,
  Hardswish,
  LeakyReLU,
  LogSoftmax,
  ReLU,
  ReLU6,
  SELU,
  Sigmoid,
  SiLU,
  Softmax,
  Softplus,
  Tanh,
} from './activation.js'
export {
  Conv1d,
  type Conv1dOptions,
  Conv2d,
  type Conv2dOptions,
  ConvTranspose2d,
  type ConvTranspose2dOptions,
} from './conv.js'
export * as init from './init.js'
export { Embedding, Flatten, Linear, type LinearOptions } from './linear.js'
export type { LoadOptions, LoadReport } from './load_state.js'
export { type AnyModule, Module, type StateDict } from './module.js'
export {
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormOptions,
  GroupNorm,
  type GroupNormOptions,
  LayerNorm,
  type LayerNormOptions,
  LocalResponseNorm,
  type LocalResponseNormOptions,
} from './norm.js'
export {
  AdaptiveAvgPool2d,
  AvgPool2d,
  type AvgPool2dOptions,
  GlobalAvgPool2d,
  MaxPool2d,
  type MaxPool2dOptions,
} from './pool.js'
export { GRU, LSTM, type RecurrentLayerOptions, RNN, type RNNLayerOptions } from './recurrent.js'
export { Sequential } from './sequential.js'
export type { LayerSummary, Summary, SummaryOptions } from './summary.js'
