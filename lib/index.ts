/** forja: the public surface, nothing else. */
export { type GradOptions, grad } from './autodiff/grad.js'
export { type GradcheckOptions, gradcheck } from './autodiff/gradcheck.js'
export { arange, eye, full, ones, type TensorOptions, tensor, zeros } from './create.js'
export * as data from './data/index.js'
export type { DType, TypedArray } from './dtype.js'
export { AbortError, ForjaError, type ForjaErrorCode } from './errors.js'
export { relu } from './ops/activation.js'
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
export { add, div, mul, neg, sub } from './ops/elementwise.js'
export { linear, matmul } from './ops/matmul.js'
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
export { sum } from './ops/reduce.js'
export { broadcastTo, reshape, transpose } from './ops/shape.js'
export { type CompiledFunction, type CompileFunctionOptions, compile } from './runtime/compile.js'
export { setDefaultDevice } from './runtime/device.js'
export { type CudaStatus, cudaStatus, type DeviceInfo, devices, setThreads } from './runtime/devices.js'
export { setSeed } from './runtime/random_state.js'
export { Tensor } from './tensor.js'
export { Variable, type VariableOptions, variable } from './variable.js'
