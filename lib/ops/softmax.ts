/**
 * Softmax, its logarithm and logSumExp. The primitives work on rows, the last axis; other axes are moved there and
 * back. All subtract the row's maximum first, so no logit is too large.
 *
 *     softmax(x)_c = exp(x_c) / Σ exp(x)      logSoftmax(x)_c = x_c - logSumExp(x)      logSumExp(x) = log Σ exp(x)
 */

import { checkOptions } from '../options.js'
import { type RefArray, refArray } from '../reference/array.js'
import { normalizeAxes, normalizeAxis } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { axisToLast } from './axis.js'
import { mul, sub } from './elementwise.js'
import { checkReduction, type ReduceOptions, requireFloat, sum } from './reduce.js'
import { defineOp, type Op, requireDType } from './registry.js'
import { reshape, transpose } from './shape.js'

type RowOp = Op<Record<never, never>>

/** Calls `visit` with the first position and the number of every row. */
function forEachRow(x: RefArray, visit: (begin: number, row: number) => void): void {
  const columns = x.shape[x.shape.length - 1]!
  for (let row = 0; row * columns < x.data.length; row++) visit(row * columns, row)
}

/**
 * log Σ exp of the elements in float64 = shift + logSum, shift the largest one. Where that is infinite, logSum is NaN, and
 * with it softmax and cross entropy; only logSumExp itself has a limit there.
 */
export function logSumExpOf(x: Float64Array): { shift: number; logSum: number } {
  const shift = x.reduce((m, v) => Math.max(m, v), Number.NEGATIVE_INFINITY)
  return { shift, logSum: Math.log(x.reduce((total, v) => total + Math.exp(v - shift), 0)) }
}

function defineRowOp(
  name: string,
  code: number,
  inputs: readonly string[],
  grad: NonNullable<RowOp['grad']>,
  row: (out: Float64Array, ...inputs: Float64Array[]) => void,
): RowOp {
  return defineOp({
    name,
    code,
    inputs,
    attrs: {},
    infer: (operands, _attrs, site) => {
      const [x] = operands
      requireDType(x!, site, 'float32')
      if (x!.shape.length === 0) site.fail('ERR_SHAPE', 'a scalar has no axis')
      return [x!.type]
    },
    grad,
    flops: ([x]) => 4 * x!.size,
    reference: (arrays, _attrs, [type]) => {
      const out = refArray(type!.shape, type!.dtype)
      const columns = type!.shape[type!.shape.length - 1]!
      forEachRow(out, (begin) => {
        const part = (a: RefArray) => a.data.subarray(begin, begin + columns)
        row(part(out), ...arrays.map(part))
      })
      return [out]
    },
  })
}

const softmaxOp = defineRowOp(
  'softmax',
  208,
  ['x'],
  ({ outputs: [y], gradOutputs: [dy] }) => [apply(softmaxGradOp, [y!, dy!], {})],
  (out, x) => {
    const { shift, logSum } = logSumExpOf(x!)
    for (let c = 0; c < out.length; c++) out[c] = Math.exp(x![c]! - shift - logSum)
  },
)

/** dx = y (dy - Σ dy y). Linear in dy, and its own adjoint: the Jacobian of softmax is symmetric. */
const softmaxGradOp: RowOp = defineRowOp(
  'softmaxGrad',
  209,
  ['y', 'dy'],
  ({ inputs: [y, dy], gradOutputs: [d] }) => {
    const rows = { axes: -1, keepDims: true }
    const dyPart = sub(mul(d!, sub(dy!, sum(mul(dy!, y!), rows))), mul(dy!, sum(mul(d!, y!), rows)))
    return [dyPart, apply(softmaxGradOp, [y!, d!], {})]
  },
  (out, y, dy) => {
    const mixed = y!.reduce((total, v, c) => total + v * dy![c]!, 0)
    for (let c = 0; c < out.length; c++) out[c] = y![c]! * (dy![c]! - mixed)
  },
)

const logSoftmaxOp = defineRowOp(
  'logSoftmax',
  210,
  ['x'],
  ({ inputs: [x], gradOutputs: [dy] }) => [
    sub(dy!, mul(apply(softmaxOp, [x!], {}), sum(dy!, { axes: -1, keepDims: true }))),
  ],
  (out, x) => {
    const { shift, logSum } = logSumExpOf(x!)
    for (let c = 0; c < out.length; c++) out[c] = x![c]! - shift - logSum
  },
)

const logSumExpOp: RowOp = defineOp({
  name: 'logSumExp',
  code: 211,
  inputs: ['x'],
  attrs: {},
  infer: ([x], _attrs, site) => {
    requireDType(x!, site, 'float32')
    return [{ shape: x!.shape.slice(0, -1), dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy] }) => [mul(apply(softmaxOp, [x!], {}), reshape(dy!, [...dy!.shape, 1]))],
  flops: ([x]) => 4 * x!.size,
  reference: ([x], _attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const columns = x!.shape[x!.shape.length - 1]!
    for (let row = 0; row < out.data.length; row++) {
      const { shift, logSum } = logSumExpOf(x!.data.subarray(row * columns, (row + 1) * columns))
      out.data[row] = Number.isFinite(shift) ? shift + logSum : shift
    }
    return [out]
  },
})

export interface SoftmaxOptions {
  /** Default: the last. */
  axis?: number
}

function alongAxis(op: RowOp, x: Tensor, options: SoftmaxOptions): Tensor {
  requireFloat(x, op.name)
  const { axis = -1 } = checkOptions(op.name, options, ['axis'])
  const { moved, back } = axisToLast(x, normalizeAxis(axis, x.rank, op.name))
  return back(apply(op, [moved], {}))
}

/** exp(x) / Σ exp(x) along `axis`. */
export function softmax(x: Tensor, options: SoftmaxOptions = {}): Tensor {
  return alongAxis(softmaxOp, x, options)
}

/** log(softmax(x)) along `axis`, exact where softmax underflows. */
export function logSoftmax(x: Tensor, options: SoftmaxOptions = {}): Tensor {
  return alongAxis(logSoftmaxOp, x, options)
}

/** log Σ exp(x) over `axes`. */
export function logSumExp(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkReduction(x, options, 'logSumExp')
  requireFloat(x, 'logSumExp')
  const axes = normalizeAxes(options.axes, x.rank, 'logSumExp')
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis))
  const size = (list: readonly number[]) => list.reduce((product, axis) => product * x.shape[axis]!, 1)
  const rows = reshape(transpose(x, [...kept, ...axes]), [size(kept), size(axes)])
  const shape = options.keepDims
    ? x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
    : kept.map((axis) => x.shape[axis]!)
  return reshape(apply(logSumExpOp, [rows], {}), shape)
}
