/**
 * Reductions over axes. A reduction keeps its input's axes as a mask; the kernel collapses neighbouring axes of one
 * kind itself. `sumTo` is the adjoint of broadcasting.
 */
import { forEachIndex, refArray } from '../reference/array.js'
import { normalizeAxes, type Shape, sameShape, sizeOfShape, stridesOf } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { defineOp } from './registry.js'
import { broadcastTo, reshape } from './shape.js'

export interface ReduceOptions {
  /** Default: all. */
  axes?: number | readonly number[]
  /** Keep reduced axes as size 1. Default false. */
  keepDims?: boolean
}

/** The shape after reducing the axes whose mask is 1. */
function reducedShape(shape: Shape, mask: readonly number[], keepDims: boolean): number[] {
  const kept = shape.map((dim, axis) => (mask[axis] ? 1 : dim))
  return keepDims ? kept : kept.filter((_, axis) => !mask[axis])
}

const sumOp = defineOp({
  name: 'sum',
  code: 64,
  inputs: ['x'],
  attrs: { mask: 'i32x8', keepDims: 'i32' },
  infer: ([x], attrs) => [{ shape: reducedShape(x!.shape, attrs.mask, attrs.keepDims === 1), dtype: x!.dtype }],
  grad: ({ inputs: [x], gradOutputs: [dy], attrs }) => [
    broadcastTo(reshape(dy!, reducedShape(x!.shape, attrs.mask, true)), x!.shape),
  ],
  traits: { reduction: true },
  flops: ([x]) => x!.size,
  reference: ([x], attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const strides = stridesOf(reducedShape(x!.shape, attrs.mask, true))
    forEachIndex(x!.shape, (index, flat) => {
      let offset = 0
      index.forEach((i, axis) => {
        if (!attrs.mask[axis]) offset += i * strides[axis]!
      })
      out.data[offset]! += x!.data[flat]!
    })
    return [out]
  },
})

/** Sum over `axes`. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return apply(sumOp, [x], reduceAttrs(x, options, 'sum'))
}

function reduceAttrs(x: Tensor, options: ReduceOptions, what: string) {
  const axes = normalizeAxes(options.axes, x.rank, what)
  const mask = Array.from({ length: 8 }, (_, axis) => (axes.includes(axis) ? 1 : 0))
  return { mask, keepDims: options.keepDims ? 1 : 0 }
}

/** Sums `x` over the axes along which `shape` was broadcast to x's shape. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x
  const lead = x.rank - shape.length
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis < lead || shape[axis - lead] !== x.shape[axis])
  const summed = axes.length > 0 ? sum(x, { axes, keepDims: true }) : x
  return sizeOfShape(summed.shape) === sizeOfShape(shape) ? reshape(summed, shape) : summed
}
