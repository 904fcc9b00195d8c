/**
 * Reductions over axes. A reduction keeps its input's axes as a mask; the kernel collapses neighbouring axes of one
 * kind itself. `sumTo` is the adjoint of broadcasting. Reductions along one axis whose result is no reduction of the
 * others (argMax, cumSum, topK) are in axis.ts, logSumExp in softmax.ts.
 */
import { type DType, isFloat } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { checkNumber, checkOptions } from '../options.js'
import { forEachIndex, type RefArray, refArray } from '../reference/array.js'
import { formatShape, normalizeAxes, type Shape, sameShape, sizeOfShape, stridesOf } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { cast } from './cast.js'
import { requireTensors } from './check_call.js'
import { equal, greater, logicalNot, where } from './compare.js'
import { div, mul, sub } from './elementwise.js'
import { square } from './math.js'
import { refuse } from './refuse.js'
import { defineOp, type GradContext, type Op, requireDType } from './registry.js'
import { broadcastTo, reshape } from './shape.js'

export interface ReduceOptions {
  /** Default: all. An empty array is none: nothing is reduced, where PyTorch's `dim=[]` means all. */
  axes?: number | readonly number[]
  /** Keep reduced axes as size 1. Default false. */
  keepDims?: boolean
}

const REDUCTION_ATTRS = { mask: 'i32x8', keepDims: 'i32' } as const
type ReductionLayout = typeof REDUCTION_ATTRS
type ReductionContext = GradContext<ReductionLayout>

/** The shape after reducing the axes whose mask is 1. */
function reducedShape(shape: Shape, mask: readonly number[], keepDims: boolean): number[] {
  const kept = shape.map((dim, axis) => (mask[axis] ? 1 : dim))
  return keepDims ? kept : kept.filter((_, axis) => !mask[axis])
}

/** Calls `visit` with every position of x and the position of the result that it is reduced into. */
function forEachReduced(shape: Shape, mask: readonly number[], visit: (from: number, to: number) => void): void {
  const strides = stridesOf(reducedShape(shape, mask, true))
  forEachIndex(shape, (index, flat) => {
    let offset = 0
    for (let axis = 0; axis < index.length; axis++) if (!mask[axis]) offset += index[axis]! * strides[axis]!
    visit(flat, offset)
  })
}

interface ReductionSpec {
  name: string
  code: number
  dtypes: readonly DType[]
  /** The result of no elements. */
  initial: number
  join: (total: number, x: number) => number
  grad: (context: ReductionContext, x: Tensor, dy: Tensor) => Tensor
}

/** `grad` gets dy with the reduced axes kept as size 1. */
function defineReduction(spec: ReductionSpec): Op<ReductionLayout> {
  return defineOp({
    name: spec.name,
    code: spec.code,
    inputs: ['x'],
    attrs: REDUCTION_ATTRS,
    infer: ([x], attrs, site) => {
      requireDType(x!, site, ...spec.dtypes)
      return [{ shape: reducedShape(x!.shape, attrs.mask, attrs.keepDims === 1), dtype: x!.dtype }]
    },
    grad: (context) => [spec.grad(context, context.inputs[0]!, keepReduced(context, context.gradOutputs[0]!))],
    traits: { reduction: true },
    flops: ([x]) => x!.size,
    reference: ([x], attrs, [type]) => {
      const out = refArray(type!.shape, type!.dtype)
      out.data.fill(spec.initial)
      forEachReduced(x!.shape, attrs.mask, (from, to) => {
        out.data[to] = spec.join(out.data[to]!, x!.data[from]!)
      })
      return [out]
    },
  })
}

/** A reduction's result, or its gradient, with the reduced axes kept as size 1. */
function keepReduced({ inputs: [x], attrs }: ReductionContext, y: Tensor): Tensor {
  return reshape(y, reducedShape(x!.shape, attrs.mask, true))
}

export const sumOp = defineReduction({
  name: 'sum',
  code: 64,
  dtypes: ['float32', 'int32'],
  initial: 0,
  join: (total, x) => total + x,
  grad: (_context, x, dy) => broadcastTo(dy, x.shape),
})

/** Sum over `axes`; of bool and uint8 elements as int32, which wraps around. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkReduction(x, options, 'sum')
  const summed = x.dtype === 'bool' || x.dtype === 'uint8' ? cast(x, 'int32') : x
  return apply(sumOp, [summed], reduceAttrs(x, options, 'sum'))
}

/** Mean over `axes`: NaN for no elements. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkReduction(x, options, 'mean')
  requireFloat(x, 'mean')
  return div(sum(x, options), reducedCount(x, options, 'mean'))
}

/** dx of max and min: elements that tie for the extremum share dy evenly. */
function extremumGrad(context: ReductionContext, x: Tensor, dy: Tensor): Tensor {
  const ties = equal(x, keepReduced(context, context.outputs[0]!))
  const count = apply(sumOp, [cast(ties, x.dtype)], { mask: context.attrs.mask, keepDims: 1 })
  return where(ties, div(dy, count), 0)
}

const maxOp = defineReduction({
  name: 'max',
  code: 65,
  dtypes: ['float32', 'int32', 'uint8', 'bool'],
  initial: Number.NEGATIVE_INFINITY,
  join: (total, x) => Math.max(total, x),
  grad: extremumGrad,
})

/** Largest element over `axes`; NaN where there is one. Equal largest elements share the gradient evenly. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  requireElements(x, options, 'max')
  return apply(maxOp, [x], reduceAttrs(x, options, 'max'))
}

const minOp = defineReduction({
  name: 'min',
  code: 66,
  dtypes: ['float32', 'int32', 'uint8', 'bool'],
  initial: Number.POSITIVE_INFINITY,
  join: (total, x) => Math.min(total, x),
  grad: extremumGrad,
})

/** Smallest element over `axes`; NaN where there is one. Equal smallest elements share the gradient evenly. */
export function min(x: Tensor, options: ReduceOptions = {}): Tensor {
  requireElements(x, options, 'min')
  return apply(minOp, [x], reduceAttrs(x, options, 'min'))
}

/** How many elements of `truth` (bool) over `axes` are true. */
function countTrue(truth: Tensor, options: ReduceOptions, what: string): Tensor {
  return apply(sumOp, [cast(truth, 'int32')], reduceAttrs(truth, options, what))
}

/** Whether any element over `axes` is true (not 0); of no elements none is. */
export function any(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkReduction(x, options, 'any')
  return greater(countTrue(cast(x, 'bool'), options, 'any'), 0)
}

/** Whether all elements over `axes` are true (not 0); of no elements all are. */
export function all(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkReduction(x, options, 'all')
  return equal(countTrue(logicalNot(x), options, 'all'), 0)
}

const prodOp = defineReduction({
  name: 'prod',
  code: 67,
  dtypes: ['float32', 'int32'],
  initial: 1,
  join: (total, x) => total * x,
  grad: ({ attrs }, x, dy) => mul(apply(productOfOthersOp, [x], { mask: attrs.mask }), dy),
})

/**
 * Product over `axes`, of int32 wrapping around. Its gradient is right where elements are 0 too, and is not differentiated
 * again.
 */
export function prod(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkReduction(x, options, 'prod')
  return apply(prodOp, [x], reduceAttrs(x, options, 'prod'))
}

/** For every element the product of the others that are reduced with it: what dividing by it cannot give where it is 0. */
const productOfOthersOp = defineOp({
  name: 'productOfOthers',
  code: 68,
  inputs: ['x'],
  attrs: { mask: 'i32x8' },
  infer: ([x], _attrs, site) => {
    requireDType(x!, site, 'float32')
    return [x!.type]
  },
  grad: null,
  flops: ([x]) => 2 * x!.size,
  reference: ([x], attrs, [type]) => {
    const groups: number[][] = []
    forEachReduced(x!.shape, attrs.mask, (from, to) => {
      groups[to] ??= []
      groups[to].push(from)
    })
    const out: RefArray = refArray(type!.shape, type!.dtype)
    for (const members of groups.filter(Boolean)) {
      // What comes before a member times what comes after it.
      let before = 1
      for (const i of members) {
        out.data[i] = before
        before *= x!.data[i]!
      }
      let after = 1
      for (const i of members.reverse()) {
        out.data[i]! *= after
        after *= x!.data[i]!
      }
    }
    return [out]
  },
})

export interface VarianceOptions extends ReduceOptions {
  /** Divide by the count minus this. Default 1, the unbiased estimate; 0 is what normalisation layers use. */
  correction?: number
}

/** Variance over `axes`, by squared deviations from the mean. */
export function variance(x: Tensor, options: VarianceOptions = {}): Tensor {
  requireFloat(x, 'variance')
  const {
    axes,
    keepDims = false,
    correction = 1,
  } = checkOptions('variance', options, ['axes', 'keepDims', 'correction'])
  checkNumber('variance', 'correction', correction)
  const reduced = axes === undefined ? {} : { axes }
  const deviation = sub(x, mean(x, { ...reduced, keepDims: true }))
  const count = reducedCount(x, reduced, 'variance')
  return div(sum(square(deviation), { ...reduced, keepDims }), Math.max(0, count - correction))
}

/** @internal ERR_ARGUMENT unless this is what a reduction takes. */
export function checkReduction(x: Tensor, options: ReduceOptions, what: string): void {
  requireTensors(what, { x })
  checkOptions(what, options, ['axes', 'keepDims'])
}

/** @internal The attributes of a reduction. */
function reduceAttrs(x: Tensor, options: ReduceOptions, what: string) {
  const axes = normalizeAxes(options.axes, x.rank, what)
  const mask = Array.from({ length: 8 }, (_, axis) => (axes.includes(axis) ? 1 : 0))
  return { mask, keepDims: options.keepDims ? 1 : 0 }
}

/** How many elements are reduced to one. */
function reducedCount(x: Tensor, options: ReduceOptions, what: string): number {
  return sizeOfShape(normalizeAxes(options.axes, x.rank, what).map((axis) => x.shape[axis]!))
}

function requireElements(x: Tensor, options: ReduceOptions, what: string): void {
  checkReduction(x, options, what)
  if (reducedCount(x, options, what) > 0) return
  throw new ForjaError(
    'ERR_SHAPE',
    `${what}: no elements to choose from, x has shape ${formatShape(x.shape)}, axes ${JSON.stringify(options.axes ?? 'all')}`,
  )
}

/** @internal ERR_DTYPE unless x holds floats. */
export function requireFloat(x: Tensor, what: string): void {
  requireTensors(what, { x })
  if (isFloat(x.dtype)) return
  refuse(what, 'ERR_DTYPE', `x must be a float tensor, got ${x.dtype}`, 'use cast()')
}

/** Sums `x` over the axes along which `shape` was broadcast to x's shape. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x
  const lead = x.rank - shape.length
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis < lead || shape[axis - lead] !== x.shape[axis])
  const summed = axes.length > 0 ? sum(x, { axes, keepDims: true }) : x
  return reshape(summed, shape)
}
