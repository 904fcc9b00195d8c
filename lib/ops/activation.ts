/**
 * Activations. `ACTIVATIONS` are those that matmul and convolution kernels can apply while they store their result.
 */
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { defineElementwise } from './elementwise.js'
import type { Op } from './registry.js'

/** Codes of the attribute `activation` of operations with the trait `epilogue`; index is the code. */
export const ACTIVATIONS = ['none', 'relu'] as const

const reluOp = defineElementwise({
  name: 'relu',
  code: 48,
  inputs: ['x'],
  attrs: {},
  scalar: ([x]) => Math.max(x!, 0),
  traits: { activation: 1 },
  grad: ({ outputs: [y] }, dy) => [apply(reluGradOp, [dy, y!], {})],
})

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  return apply(reluOp, [x], {})
}

/** dy where y = relu(x) is positive, else 0: needs the output only, so the input's memory can be reused. */
const reluGradOp: Op<Record<never, never>> = defineElementwise({
  name: 'reluGrad',
  code: 49,
  inputs: ['dy', 'y'],
  attrs: {},
  scalar: ([dy, y]) => (y! > 0 ? dy! : 0),
  grad: ({ inputs: [, y] }, d) => [apply(reluGradOp, [d, y!], {}), null],
})
