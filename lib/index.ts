/** forja: the public surface, nothing else. */
export { type GradOptions, grad } from './autodiff/grad.js'
export { type GradcheckOptions, gradcheck } from './autodiff/gradcheck.js'
export { arange, eye, full, ones, type TensorOptions, tensor, zeros } from './create.js'
export * as data from './data/index.js'
export type { DType, TypedArray } from './dtype.js'
export { AbortError, ForjaError, type ForjaErrorCode } from './errors.js'
export {
  elu,
  gelu,
  hardswish,
  leakyRelu,
  relu,
  relu6,
  selu,
  sigmoid,
  silu,
  softplus,
  tanh,
} from './ops/activation.js'
export type { TensorLike } from './ops/apply.js'
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
export { add, div, maximum, minimum, mul, neg, pow, sub } from './ops/elementwise.js'
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
export { type DropoutOptions, dropout, type RandomOptions, rand, randint, randn } from './ops/random.js'
export { sum } from './ops/reduce.js'
export { broadcastTo, reshape, transpose } from './ops/shape.js'
export { setSeed } from './random.js'
export { type CompiledFunction, type CompileFunctionOptions, compile } from './runtime/compile.js'
export { setDefaultDevice } from './runtime/device.js'
export { Tensor } from './tensor.js'
export { Variable, type VariableOptions, variable } from './variable.js'
