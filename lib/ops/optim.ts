/**
 * Optimizer updates: one pass over a parameter, its gradient and its state. Written as operations whose outputs may lie
 * over their inputs, so that the commit phase of a step updates the variables where they are (passes/schedule.ts).
 *
 * `lr` is a scalar read at every run. `step` is an int32 scalar, the number of updates done before this one.
 * Rates are given as 1 - beta: float32 holds 1 - 0.999 to 8 digits but 0.999 only to 1e-5 of its distance from 1.
 */
import type { Value } from '../graph/graph.js'
import { type RefArray, refArray } from '../reference/array.js'
import { sameShape } from '../shape.js'
import { defineOp } from './registry.js'

type Infer = Parameters<typeof defineOp>[0]['infer']

/** Learning rate and step count are the same for all parameters of a group, whose updates run as one step. */
const SHARED = 2

/** Inputs: lr, step, p, g and the state arrays; every array float32 in the shape of p. */
const inferUpdate: Infer = (inputs, _attrs, site) => {
  const [lr, step, p, g, ...state] = inputs
  for (const x of [p!, g!, ...state]) {
    if (!sameShape(x.shape, p!.shape)) site.fail('ERR_SHAPE', 'parameter, gradient and state must have one shape')
    if (x.dtype !== 'float32') site.fail('ERR_DTYPE', 'parameter, gradient and state must be float32')
  }
  if (lr!.size !== 1 || lr!.dtype !== 'float32') site.fail('ERR_SHAPE', 'lr must be a float32 scalar')
  if (step!.size !== 1 || step!.dtype !== 'int32') site.fail('ERR_SHAPE', 'step must be an int32 scalar')
  return [p!.type, ...state.map((s) => s.type)]
}

/**
 * g' = g + weightDecay p;  v = g' on the first step, else momentum v + (1 - dampening) g';
 * p -= lr d, d being g' without momentum, v with it, g' + momentum v with Nesterov's.
 */
export const sgdUpdateOp = defineOp({
  name: 'sgdUpdate',
  code: 224,
  inputs: ['lr', 'step', 'p', 'g', 'velocity?'],
  attrs: { momentum: 'f32', dampening: 'f32', weightDecay: 'f32', nesterov: 'i32' },
  infer: inferUpdate,
  grad: null,
  traits: {
    joins: { shared: SHARED },
    inplace: [
      [0, 2],
      [1, 4],
    ],
  },
  flops: (inputs, outputs) => elements(inputs, outputs) * (outputs.length > updates(inputs, outputs) ? 7 : 4),
  reference: ([lr, step, p, g, velocity], { momentum, dampening, weightDecay, nesterov }) => {
    const [newP, newV] = [like(p!), velocity ? like(velocity) : undefined]
    p!.data.forEach((x, i) => {
      let d = g!.data[i]! + weightDecay * x
      if (newV) {
        newV.data[i] = step!.data[0] === 0 ? d : momentum * velocity!.data[i]! + (1 - dampening) * d
        d = nesterov ? d + momentum * newV.data[i]! : newV.data[i]!
      }
      newP.data[i] = x - lr!.data[0]! * d
    })
    return newV ? [newP, newV] : [newP]
  },
})

/**
 * t = step + 1;  m += (1 - beta1)(g - m);  v += (1 - beta2)(g² - v);  vmax = max(vmax, v) where given (AMSGrad);
 * p -= lr / (1 - beta1^t) · m / (sqrt(v / (1 - beta2^t)) + eps), with vmax for v where given.
 * weightDecay is added to the gradient, or, `decoupled` (AdamW), shrinks p by 1 - lr weightDecay beforehand.
 */
export const adamUpdateOp = defineOp({
  name: 'adamUpdate',
  code: 225,
  inputs: ['lr', 'step', 'p', 'g', 'm', 'v', 'vmax?'],
  attrs: { rate1: 'f32', rate2: 'f32', eps: 'f32', weightDecay: 'f32', decoupled: 'i32' },
  infer: inferUpdate,
  grad: null,
  traits: {
    joins: { shared: SHARED },
    inplace: [
      [0, 2],
      [1, 4],
      [2, 5],
      [3, 6],
    ],
  },
  flops: (inputs, outputs) => elements(inputs, outputs) * (outputs.length > 3 * updates(inputs, outputs) ? 15 : 14),
  reference: ([lr, step, p, g, m, v, vmax], { rate1, rate2, eps, weightDecay, decoupled }) => {
    const [newP, newM, newV] = [like(p!), like(m!), like(v!)]
    const newMax = vmax ? like(vmax) : undefined
    const t = step!.data[0]! + 1
    const correction1 = 1 - (1 - rate1) ** t
    const correction2 = 1 - (1 - rate2) ** t
    const rate = lr!.data[0]!
    p!.data.forEach((x, i) => {
      const d = g!.data[i]! + (decoupled ? 0 : weightDecay * x)
      newM.data[i] = m!.data[i]! + rate1 * (d - m!.data[i]!)
      newV.data[i] = v!.data[i]! + rate2 * (d * d - v!.data[i]!)
      if (newMax) newMax.data[i] = Math.max(vmax!.data[i]!, newV.data[i]!)
      const second = (newMax ?? newV).data[i]!
      const start = decoupled ? x * (1 - rate * weightDecay) : x
      newP.data[i] = start - ((rate / correction1) * newM.data[i]!) / (Math.sqrt(second / correction2) + eps)
    })
    return newMax ? [newP, newM, newV, newMax] : [newP, newM, newV]
  },
})

/** How many updates a step joins: each has one input more than outputs, the gradient. */
function updates(inputs: readonly Value[], outputs: readonly Value[]): number {
  return inputs.length - SHARED - outputs.length
}

/** Of all parameters. */
function elements(inputs: readonly Value[], outputs: readonly Value[]): number {
  const total = outputs.reduce((sum, { size }) => sum + size, 0)
  return (total / outputs.length) * updates(inputs, outputs)
}

function like(x: RefArray): RefArray {
  return refArray(x.shape, x.dtype)
}
