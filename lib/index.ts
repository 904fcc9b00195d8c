/** forja: the public surface, nothing else. */
import './ops/methods.js'

export { detach } from './autodiff/detach.js'
export { type GradOptions, grad } from './autodiff/grad.js'
export { type GradcheckOptions, gradcheck } from './autodiff/gradcheck.js'
export { arange, eye, full, ones, type TensorOptions, tensor, zeros } from './create.js'
export * as data from './data/index.js'
export type { DType, TypedArray } from './dtype.js'
export { AbortError, ForjaError, type ForjaErrorCode } from './errors.js'
export {
  type Checkpoint,
  type LoadedCheckpoint,
  loadCheckpoint,
  type SaveCheckpointOptions,
  saveCheckpoint,
} from './io/checkpoint.js'
export { load, type SaveOptions, save } from './io/model.js'
export * as models from './models/index.js'
export * as nn from './nn/index.js'
export { type ReplaceHeadOptions, replaceHead } from './nn/replace_head.js'
export { elu, gelu, hardswish, leakyRelu, relu, relu6, selu, sigmoid, silu, softplus, tanh } from './ops/activation.js'
export type { TensorLike } from './ops/apply.js'
export {
  type ArgOptions,
  argMax,
  argMin,
  type CumSumOptions,
  cumSum,
  type SortOptions,
  sort,
  type TopKOptions,
  topK,
} from './ops/axis.js'
export { cast } from './ops/cast.js'
export {
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  logicalNot,
  logicalOr,
  notEqual,
  where,
} from './ops/compare.js'
export {
  type Col2imOptions,
  type Conv1dOptions,
  type Conv2dOptions,
  type ConvTranspose2dOptions,
  col2im,
  conv1d,
  conv2d,
  convTranspose2d,
  type Im2colOptions,
  im2col,
} from './ops/conv_api.js'
export {
  boxIou,
  type NmsOptions,
  nms,
  nmsPadded,
  type RoiAlignOptions,
  type RoiPoolOptions,
  roiAlign,
  roiPool,
} from './ops/detection.js'
export { add, div, maximum, minimum, mul, neg, pow, sub } from './ops/elementwise.js'
export {
  embedding,
  gather,
  type OneHotOptions,
  oneHot,
  putAlongAxis,
  scatterAdd,
  takeAlongAxis,
} from './ops/indexing.js'
export { type InterpolateOptions, interpolate } from './ops/interpolate.js'
export {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  type CrossEntropyOptions,
  crossEntropy,
  type HuberOptions,
  huberLoss,
  type KlDivOptions,
  klDivLoss,
  type LossOptions,
  l1Loss,
  mseLoss,
  nllLoss,
  type Reduction,
  type SmoothL1Options,
  smoothL1Loss,
} from './ops/loss.js'
export {
  abs,
  type ClampOptions,
  clamp,
  cos,
  erf,
  exp,
  expm1,
  log,
  log1p,
  reciprocal,
  rsqrt,
  sign,
  sin,
  sqrt,
  square,
} from './ops/math.js'
export { linear, matmul } from './ops/matmul.js'
export {
  type BatchNormOptions,
  batchNorm,
  type GroupNormOptions,
  groupNorm,
  type LayerNormOptions,
  type LocalResponseNormOptions,
  layerNorm,
  localResponseNorm,
} from './ops/norm_api.js'
export {
  type AdaptivePool2dOptions,
  type AvgPool2dOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  globalAvgPool2d,
  type MaxPool2dOptions,
  maxPool2d,
} from './ops/pool_api.js'
export { type DropoutOptions, dropout, type RandomOptions, rand, randint, randn } from './ops/random.js'
export {
  gru,
  type LSTMOutput,
  lstm,
  type RecurrentOptions,
  type RecurrentOutput,
  type RecurrentState,
  type RecurrentWeights,
  type RNNOptions,
  rnn,
} from './ops/recurrent_api.js'
export {
  all,
  any,
  max,
  mean,
  min,
  prod,
  type ReduceOptions,
  sum,
  type VarianceOptions,
  variance,
} from './ops/reduce.js'
export { broadcastTo, type FlattenOptions, flatten, reshape, squeeze, transpose, unsqueeze } from './ops/shape.js'
export {
  type BorderMode,
  concat,
  flip,
  type PadOptions,
  pad,
  type SliceOptions,
  type SplitOptions,
  slice,
  split,
  stack,
  tile,
} from './ops/slice.js'
export { logSoftmax, logSumExp, type SoftmaxOptions, softmax } from './ops/softmax.js'
export * as optim from './optim/index.js'
export { clipGradNorm, l1Penalty, l2Penalty } from './optim/penalty.js'
export * as schedule from './optim/schedule.js'
export * as plot from './plot/index.js'
export { setSeed } from './random.js'
export { type CompiledFunction, type CompileFunctionOptions, compile } from './runtime/compile.js'
export { setDefaultDevice } from './runtime/device.js'
export {
  type CudaLibrary,
  type CudaStatus,
  cudaStatus,
  type DeviceInfo,
  devices,
  setThreads,
} from './runtime/devices.js'
export {
  assign,
  type FeedValue,
  type Fetched,
  type Fetches,
  globalVariablesInitializer,
  Operation,
  type PlaceholderOptions,
  placeholder,
  type RunOptions,
  Session,
  type SessionOptions,
} from './runtime/session.js'
export { evaluateTensors as evaluate, Tensor } from './tensor.js'
export { TensorBoardWriter } from './tensorboard/writer.js'
export {
  type BatchLogs,
  type Callback,
  callbacks,
  type EpochLogs,
  type EvaluateOptions,
  evaluateModel,
  type FitOptions,
  fit,
  History,
  type LearningRateFinderOptions,
  LearningRateSweep,
  type LossFunction,
  type LossName,
  learningRateFinder,
  type Metric,
  type MetricFunction,
  type MetricLike,
  type MetricName,
  metrics,
  type PredictOptions,
  predict,
  type Scores,
  type TrainingContext,
} from './train/index.js'
export { Variable, type VariableOptions, variable } from './variable.js'
