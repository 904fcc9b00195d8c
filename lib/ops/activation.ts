/**
 * Activations. Each is one operation whose gradient is computed again from its input, or from its output where that
 * suffices, so that training keeps no intermediate result. `ACTIVATIONS` are those that matmul and convolution kernels
 * can apply while they store their result. softmax and logSoftmax: softmax.ts.
 */

import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { greater, greaterEqual, less, lessEqual, logicalOr, where } from './compare.js'
import { defineElementwise } from './define_elementwise.js'
import { add, mul, sub } from './elementwise.js'
import { erf, erfOf, exp, square } from './math.js'
import { unary } from './operands.js'
import type { Op } from './registry.js'

/**
 * Codes of the attribute `activation` of operations with the trait `epilogue`, or `masked`, which alone take reluGrad with
 * that ReLU's result as another operand; index is the code.
 */
export const ACTIVATIONS = ['none', 'relu', 'reluGrad'] as const
export const RELU = ACTIVATIONS.indexOf('relu')
export const RELU_GRAD = ACTIVATIONS.indexOf('reluGrad')

type Plain = Record<never, never>

const reluOp = defineElementwise({
  name: 'relu',
  code: 48,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => Math.max(x!, 0),
  traits: { activation: RELU },
  grad: ({ outputs: [y] }, dy) => [apply(reluGradOp, [dy, y!], {})],
})

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  return unary(reluOp, x)
}

/** 0 where y = relu(x) is 0, else dy: needs the output only, so the input's memory can be reused. */
export const reluGradOp: Op<Plain> = defineElementwise({
  name: 'reluGrad',
  code: 49,
  inputs: ['dy', 'y'],
  attrs: {},
  accepts: 'float',
  scalar: ([dy, y]) => (y! <= 0 ? 0 : dy!),
  traits: { activation: RELU_GRAD },
  grad: ({ inputs: [, y] }, d) => [apply(reluGradOp, [d, y!], {}), null],
})

const sigmoidOp = defineElementwise({
  name: 'sigmoid',
  code: 51,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => sigmoidOf(x!),
  grad: ({ outputs: [y] }, dy) => [mul(dy, mul(y!, sub(1, y!)))],
})

function sigmoidOf(x: number): number {
  const e = Math.exp(-Math.abs(x))
  return x < 0 ? e / (1 + e) : 1 / (1 + e)
}

/** 1 / (1 + exp(-x)). */
export function sigmoid(x: Tensor): Tensor {
  return unary(sigmoidOp, x)
}

const tanhOp = defineElementwise({
  name: 'tanh',
  code: 52,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => Math.tanh(x!),
  grad: ({ outputs: [y] }, dy) => [mul(dy, sub(1, square(y!)))],
})

/** The hyperbolic tangent. */
export function tanh(x: Tensor): Tensor {
  return unary(tanhOp, x)
}

const siluOp = defineElementwise({
  name: 'silu',
  code: 53,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => x! * sigmoidOf(x!),
  grad: ({ inputs: [x] }, dy) => {
    const s = sigmoid(x!)
    return [mul(dy, mul(s, add(mul(x!, sub(1, s)), 1)))]
  },
})

/** x · sigmoid(x), also called swish. */
export function silu(x: Tensor): Tensor {
  return unary(siluOp, x)
}

const geluOp = defineElementwise({
  name: 'gelu',
  code: 54,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => 0.5 * x! * (1 + erfOf(x! * Math.SQRT1_2)),
  // Φ(x) + x φ(x), Φ and φ the normal distribution and its density.
  grad: ({ inputs: [x] }, dy) => {
    const distribution = mul(add(erf(mul(x!, Math.SQRT1_2)), 1), 0.5)
    const density = mul(exp(mul(square(x!), -0.5)), 1 / Math.sqrt(2 * Math.PI))
    return [mul(dy, add(distribution, mul(x!, density)))]
  },
})

/** x · Φ(x) with the exact normal distribution (erf), PyTorch's default. */
export function gelu(x: Tensor): Tensor {
  return unary(geluOp, x)
}

const softplusOp = defineElementwise({
  name: 'softplus',
  code: 55,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => Math.max(x!, 0) + Math.log1p(Math.exp(-Math.abs(x!))),
  grad: ({ inputs: [x] }, dy) => [mul(dy, sigmoid(x!))],
})

/** log(1 + exp(x)), without overflow. */
export function softplus(x: Tensor): Tensor {
  return unary(softplusOp, x)
}

const hardswishOp = defineElementwise({
  name: 'hardswish',
  code: 56,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => (x! * Math.min(Math.max(x! + 3, 0), 6)) / 6,
  grad: ({ inputs: [x] }, dy) => [
    where(less(x!, -3), 0, where(lessEqual(x!, 3), mul(dy, add(mul(x!, 1 / 3), 0.5)), dy)),
  ],
})

/** x · min(max(x + 3, 0), 6) / 6. */
export function hardswish(x: Tensor): Tensor {
  return unary(hardswishOp, x)
}

const relu6Op = defineElementwise({
  name: 'relu6',
  code: 57,
  inputs: ['x'],
  attrs: {},
  accepts: 'float',
  scalar: ([x]) => Math.min(Math.max(x!, 0), 6),
  grad: ({ outputs: [y] }, dy) => [where(logicalOr(lessEqual(y!, 0), greaterEqual(y!, 6)), 0, dy)],
})

/** min(max(x, 0), 6). */
export function relu6(x: Tensor): Tensor {
  return unary(relu6Op, x)
}

const leakyReluOp = defineElementwise({
  name: 'leakyRelu',
  code: 58,
  inputs: ['x'],
  attrs: { alpha: 'f32' },
  accepts: 'float',
  scalar: ([x], { alpha }) => (x! > 0 ? x! : alpha * x!),
  grad: ({ inputs: [x], attrs: { alpha } }, dy) => [where(greater(x!, 0), dy, mul(dy, alpha))],
})

/** x where it is positive, else alpha · x. Default alpha 0.01. */
export function leakyRelu(x: Tensor, options: { alpha?: number } = {}): Tensor {
  return apply(leakyReluOp, [x], { alpha: checkOptions('leakyRelu', options, ['alpha']).alpha ?? 0.01 })
}

const eluOp = defineElementwise({
  name: 'elu',
  code: 59,
  inputs: ['x'],
  attrs: { alpha: 'f32', scale: 'f32' },
  accepts: 'float',
  scalar: ([x], { alpha, scale }) => scale * (x! > 0 ? x! : alpha * Math.expm1(x!)),
  grad: ({ inputs: [x], attrs: { alpha, scale } }, dy) => {
    const negative = lessEqual(x!, 0)
    // exp of 0 elsewhere: of a large x it is infinite, and 0 times that, in the next gradient, not 0.
    return [mul(dy, where(negative, mul(exp(where(negative, x!, 0)), alpha * scale), scale))]
  },
})

/** x where it is positive, else alpha · (exp(x) - 1). Default alpha 1. */
export function elu(x: Tensor, options: { alpha?: number } = {}): Tensor {
  return apply(eluOp, [x], { alpha: checkOptions('elu', options, ['alpha']).alpha ?? 1, scale: 1 })
}

/** Scale and alpha for which activations keep mean 0 and variance 1 (self-normalising networks). */
const SELU_SCALE = 1.0507009873554805
const SELU_ALPHA = 1.6732632423543772

/** elu with alpha 1.67326, times 1.0507. */
export function selu(x: Tensor): Tensor {
  return apply(eluOp, [x], { alpha: SELU_ALPHA, scale: SELU_SCALE })
}
