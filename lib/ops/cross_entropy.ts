/**
 * Cross entropy with class labels, softmax included: one primitive forward, one for its gradient, one for both, which
 * passes make of these. For a row of logits
 * x, its label t, class weights w (1 where none are given) and smoothing e, with p = softmax(x):
 *
 *     loss = (1 - e) w_t (lse - x_t) + e/C Σ_c w_c (lse - x_c)            lse = log Σ exp(x)
 *     dx_c = dloss · (A p_c - (1 - e) w_t [c = t] - e/C w_c)              A = (1 - e) w_t + e/C Σ w
 *
 * lse is kept as shift + logSum, shift the row's largest logit: for large logits only differences to it are exact.
 * Rows whose label is `ignoreIndex` have loss, weight and gradient 0. With logProbabilities = 1 x already holds
 * log-probabilities (nllLoss): lse is 0 and A p_c drops out.
 */
import type { DType } from '../dtype.js'
import type { TensorType } from '../graph/graph.js'
import { type RefArray, refArray } from '../reference/array.js'
import { formatShape, type Shape, sameShape, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply, applyAll, filled } from './apply.js'
import { axisToLast } from './axis.js'
import { cast } from './cast.js'
import { notEqual } from './compare.js'
import { add, mul, neg, sub } from './elementwise.js'
import { checkedIndex } from './indexing.js'
import { requireFloat, sum } from './reduce.js'
import { refuse } from './refuse.js'
import { type Attrs, defineOp, type Op, requireDType } from './registry.js'
import { reshape } from './shape.js'
import { logSumExpOf, softmax } from './softmax.js'

const ATTRS = { smoothing: 'f32', ignoreIndex: 'i32', logProbabilities: 'i32' } as const
type Layout = typeof ATTRS

/** logits (N, C), labels (N), weight (C) or absent → loss, shift, logSum, weight of the label, each (N). */
export const crossEntropyOp: Op<Layout> = defineOp({
  name: 'crossEntropy',
  code: 212,
  inputs: ['logits', 'labels', 'weight?'],
  attrs: ATTRS,
  infer: ([logits, labels], _attrs, site) => {
    requireDType(logits!, site, 'float32')
    const type = { shape: labels!.shape, dtype: logits!.dtype }
    return [type, type, type, type]
  },
  grad: ({ inputs: [logits, labels, weight], outputs: [, shift, logSum], gradOutputs: [dloss, , dlse], attrs }) => {
    const fromLoss = dloss
      ? apply(crossEntropyGradOp, [logits!, labels!, shift!, logSum!, dloss, ...(weight ? [weight] : [])], attrs)
      : null
    // Whoever uses shift uses shift + logSum: the derivative of both together stands at logSum.
    const fromLse = dlse && !attrs.logProbabilities ? mul(softmax(logits!), reshape(dlse, [dlse.size, 1])) : null
    return [fromLoss && fromLse ? add(fromLoss, fromLse) : (fromLoss ?? fromLse), null, null]
  },
  flops: ([logits]) => 4 * logits!.size,
  reference: losses,
})

/** logits (N, C), labels (N), shift, logSum, dloss (N), weight (C) or absent → dlogits (N, C). */
export const crossEntropyGradOp: Op<Layout> = defineOp({
  name: 'crossEntropyGrad',
  code: 213,
  inputs: ['logits', 'labels', 'shift', 'logSum', 'dloss', 'weight?'],
  attrs: ATTRS,
  infer: ([logits]) => [logits!.type],
  grad: ({ inputs: [logits, labels, shift, logSum, dloss, ...weight], gradOutputs: [d], attrs }) => {
    const gradient = (g: Tensor, a: Attrs<Layout>) =>
      apply(crossEntropyGradOp, [logits!, labels!, shift!, logSum!, g, ...weight], a)
    const ones = filled(dloss!.shape, 1, dloss!.dtype)
    const ddloss = sum(mul(d!, gradient(ones, attrs)), { axes: 1 })
    if (attrs.logProbabilities) return [null, null, null, null, ddloss, null]
    // dloss · A p: what is left of the gradient without the part that does not depend on the logits.
    const smooth = sub(gradient(dloss!, attrs), gradient(dloss!, { ...attrs, logProbabilities: 1 }))
    const dlogits = mul(d!, smooth)
    return [dlogits, null, null, neg(sum(dlogits, { axes: 1 })), ddloss, null]
  },
  flops: ([logits]) => 4 * logits!.size,
  reference: gradients,
})

/** logits (N, C), labels (N), dloss (N), weight (C) or absent → loss (N), dlogits (N, C): the exponentials are computed once. */
export const crossEntropyWithGradOp: Op<Layout> = defineOp({
  name: 'crossEntropyWithGrad',
  code: 214,
  inputs: ['logits', 'labels', 'dloss', 'weight?'],
  attrs: ATTRS,
  infer: ([logits, , dloss]) => [dloss!.type, logits!.type],
  grad: null,
  traits: { inplace: [[1, 0]], internal: true },
  flops: ([logits]) => 6 * logits!.size,
  reference: ([logits, labels, dloss, ...weight], attrs, [vector, matrix]) => {
    const [loss, shift, logSum] = losses([logits!, labels!, ...weight], attrs, Array(4).fill(vector))
    return [loss!, ...gradients([logits!, labels!, shift!, logSum!, dloss!, ...weight], attrs, [matrix!])]
  },
})

function losses(
  [logits, labels, weight]: readonly RefArray[],
  attrs: Attrs<Layout>,
  types: readonly TensorType[],
): RefArray[] {
  const [loss, shift, logSum, weights] = types.map((t) => refArray(t.shape, t.dtype)) as [
    RefArray,
    RefArray,
    RefArray,
    RefArray,
  ]
  forEachLabel(logits!, labels!, weight, attrs, (row, x, label, w) => {
    const lse = attrs.logProbabilities ? { shift: 0, logSum: 0 } : logSumExpOf(x)
    shift.data[row] = lse.shift
    logSum.data[row] = lse.logSum
    if (label < 0) return
    weights.data[row] = w[label]!
    const below = (v: number) => lse.shift - v + lse.logSum
    const spread = x.reduce((total, v, c) => total + w[c]! * below(v), 0) / x.length
    const own = w[label]! * below(x[label]!)
    loss.data[row] = attrs.smoothing ? (1 - attrs.smoothing) * own + attrs.smoothing * spread : own
  })
  return [loss, shift, logSum, weights]
}

function gradients(
  [logits, labels, shift, logSum, dloss, weight]: readonly RefArray[],
  attrs: Attrs<Layout>,
  [type]: readonly TensorType[],
): RefArray[] {
  const out = refArray(type!.shape, type!.dtype)
  const { smoothing } = attrs
  forEachLabel(logits!, labels!, weight, attrs, (row, x, label, w) => {
    if (label < 0) return
    const own = (1 - smoothing) * w[label]!
    const total = own + (smoothing / x.length) * w.reduce((a, b) => a + b, 0)
    x.forEach((v, c) => {
      const p = attrs.logProbabilities ? 0 : Math.exp(v - shift!.data[row]! - logSum!.data[row]!)
      const target = (c === label ? own : 0) + (smoothing / x.length) * w[c]!
      out.data[row * x.length + c] = dloss!.data[row]! * (total * p - target)
    })
  })
  return [out]
}

/** Calls `visit` with each row of logits, its label (-1 where ignored) and the weights of all classes. */
function forEachLabel(
  logits: RefArray,
  labels: RefArray,
  weight: RefArray | undefined,
  attrs: Attrs<Layout>,
  visit: (row: number, x: Float64Array, label: number, weights: Float64Array) => void,
): void {
  const classes = logits.shape[1]!
  const weights = weight?.data ?? new Float64Array(classes).fill(1)
  for (let row = 0; row < labels.data.length; row++) {
    const ignored = labels.data[row] === attrs.ignoreIndex
    const label = ignored ? -1 : checkedIndex(labels, row, classes, 'labels')
    visit(row, logits.data.subarray(row * classes, (row + 1) * classes), label, weights)
  }
}

export interface LabelLossOptions {
  /** Label whose samples do not count. Default -100. */
  ignoreIndex?: number
  /** Weight of each class (C); treated as a constant. */
  weight?: Tensor
}

/** Loss and label weight, each of the labels' shape, for logits (N, C, d1, ..) or (C) with labels (N, d1, ..) or (). */
export function labelLoss(
  logits: Tensor,
  labels: Tensor,
  options: LabelLossOptions,
  smoothing: number,
  what: 'crossEntropy' | 'nllLoss',
): { loss: Tensor; weight: Tensor } {
  requireFloat(logits, what)
  const { ignoreIndex = -100, weight } = options
  checkLabels(logits, labels, weight, what)
  const axis = logits.rank === 1 ? 0 : 1
  const { moved } = axisToLast(logits, axis)
  const rows = reshape(moved, [labels.size, logits.shape[axis]!])
  const [loss, , , weights] = applyAll(
    crossEntropyOp,
    [rows, reshape(labels, [labels.size]), ...(weight ? [weight] : [])],
    { smoothing, ignoreIndex, logProbabilities: what === 'nllLoss' ? 1 : 0 },
  )
  return {
    loss: reshape(loss!, labels.shape),
    weight: weight ? reshape(weights!, labels.shape) : counted(labels, ignoreIndex, logits.dtype),
  }
}

/**
 * 1 for each label that counts, 0 for others: made of the labels alone, so that the gradient of a mean loss need not wait
 * for the loss.
 */
function counted(labels: Tensor, ignoreIndex: number, dtype: DType): Tensor {
  const possible = labels.dtype !== 'uint8' || (ignoreIndex >= 0 && ignoreIndex <= 255)
  return possible ? cast(notEqual(labels, ignoreIndex), dtype) : filled(labels.shape, 1, dtype)
}

function checkLabels(logits: Tensor, labels: Tensor, weight: Tensor | undefined, what: string): void {
  const fail = (message: string) => refuse(what, 'ERR_SHAPE', message)
  if (labels.dtype !== 'int32' && labels.dtype !== 'uint8') {
    refuse(what, 'ERR_DTYPE', `labels must be class indices, int32 or uint8, got ${labels.dtype}`, 'use cast()')
  }
  if (logits.rank === 0) fail('logits must be (N, C) or (N, C, d1, ..), got ()')
  const expected: Shape = logits.shape.filter((_, i) => i !== (logits.rank === 1 ? 0 : 1))
  if (!sameShape(labels.shape, expected)) {
    fail(
      `labels have shape ${formatShape(labels.shape)}, expected ${formatShape(expected)} for logits ${formatShape(logits.shape)}`,
    )
  }
  const classes = logits.shape[logits.rank === 1 ? 0 : 1]!
  if (classes === 0) fail(`logits ${formatShape(logits.shape)} have no classes`)
  if (weight && !(sizeOfShape(weight.shape) === classes && weight.rank === 1 && weight.dtype === logits.dtype)) {
    fail(`weight is ${weight.dtype} ${formatShape(weight.shape)}, expected ${logits.dtype} (${classes},)`)
  }
}
