/**
 * Other shapes and orders of the same elements: reshape (a view, free) and what is made of it (flatten, squeeze,
 * unsqueeze), broadcastTo, transpose. Parts of tensors are in slice.ts.
 */
import { describeList, ForjaError } from '../errors.js'
import { checkOptions } from '../options.js'
import { broadcastOffset, forEachIndex, refArray } from '../reference/array.js'
import {
  broadcastShapes,
  checkShape,
  formatShape,
  inversePermutation,
  normalizeAxes,
  normalizeAxis,
  putBack,
  type Shape,
  sameShape,
  sizeOfShape,
  stridesOf,
} from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { requireArray, requireTensors } from './check_call.js'
import { sumTo } from './reduce.js'
import { defineOp } from './registry.js'

export const reshapeOp = defineOp({
  name: 'reshape',
  code: 80,
  inputs: ['x'],
  attrs: { shape: 'i32[]' },
  infer: ([x], attrs, site) => {
    if (sizeOfShape(attrs.shape) !== x!.size) {
      site.fail('ERR_SHAPE', `cannot reshape ${x!.size} elements to ${formatShape(attrs.shape)}`)
    }
    return [{ shape: attrs.shape, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy] }) => [reshape(dy!, x!.shape)],
  traits: { view: true },
  reference: ([x], _attrs, [type]) => [refArray(type!.shape, type!.dtype, x!.data)],
})

/** The same elements under another shape; one entry may be -1 and is inferred. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  requireTensors('reshape', { x })
  requireArray('reshape', 'shape', shape)
  const unknown = shape.filter((dim) => dim === -1).length
  if (unknown > 1) throw new ForjaError('ERR_SHAPE', `reshape: only one dimension may be -1, got ${formatShape(shape)}`)
  const known = sizeOfShape(shape.filter((dim) => dim !== -1))
  const full = shape.map((dim) => (dim === -1 ? x.size / known : dim))
  if (!full.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw new ForjaError(
      'ERR_SHAPE',
      `reshape: cannot reshape ${x.size} elements of ${formatShape(x.shape)} to ${formatShape(shape)}`,
    )
  }
  return sameShape(full, x.shape) ? x : apply(reshapeOp, [x], { shape: full })
}

export interface FlattenOptions {
  /** First axis to join. Default 0. */
  startAxis?: number
  /** Last axis to join. Default -1. */
  endAxis?: number
}

/** The axes from startAxis to endAxis as one. */
export function flatten(x: Tensor, options: FlattenOptions = {}): Tensor {
  requireTensors('flatten', { x })
  const { startAxis = 0, endAxis = -1 } = checkOptions('flatten', options, ['startAxis', 'endAxis'])
  if (x.rank === 0) return reshape(x, [1])
  const start = normalizeAxis(startAxis, x.rank, 'flatten')
  const end = normalizeAxis(endAxis, x.rank, 'flatten')
  if (start > end)
    throw new ForjaError('ERR_ARGUMENT', `flatten: startAxis ${startAxis} lies behind endAxis ${endAxis}`)
  const joined = sizeOfShape(x.shape.slice(start, end + 1))
  return reshape(x, [...x.shape.slice(0, start), joined, ...x.shape.slice(end + 1)])
}

/** x without its axes of size 1, or without those named, which must have size 1. */
export function squeeze(x: Tensor, options: { axes?: number | readonly number[] } = {}): Tensor {
  requireTensors('squeeze', { x })
  checkOptions('squeeze', options, ['axes'])
  const named = options.axes !== undefined
  const axes = normalizeAxes(options.axes, x.rank, 'squeeze').filter((axis) => named || x.shape[axis] === 1)
  const wrong = axes.find((axis) => x.shape[axis] !== 1)
  if (wrong !== undefined) {
    throw new ForjaError('ERR_SHAPE', `squeeze: axis ${wrong} of ${formatShape(x.shape)} has not size 1`)
  }
  return reshape(
    x,
    x.shape.filter((_, axis) => !axes.includes(axis)),
  )
}

/** x with a new axis of size 1 at `axis` of the result (default 0). */
export function unsqueeze(x: Tensor, options: { axis?: number } = {}): Tensor {
  requireTensors('unsqueeze', { x })
  const { axis = 0 } = checkOptions('unsqueeze', options, ['axis'])
  const at = normalizeAxis(axis, x.rank + 1, 'unsqueeze')
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])
}

export const broadcastToOp = defineOp({
  name: 'broadcastTo',
  code: 81,
  inputs: ['x'],
  attrs: { shape: 'i32[]' },
  infer: ([x], attrs, site) => {
    const shape = broadcastShapes(x!.shape, attrs.shape)
    if (shape === null || !sameShape(shape, attrs.shape)) {
      site.fail('ERR_SHAPE', `${formatShape(x!.shape)} does not broadcast to ${formatShape(attrs.shape)}`)
    }
    return [{ shape: attrs.shape, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy] }) => [sumTo(dy!, x!.shape)],
  traits: { elementwise: true },
  beforeTranspose: ({ shape }, perm) => ({ shape: putBack(shape, perm) }),
  reference: ([x], _attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    forEachIndex(type!.shape, (index, flat) => {
      out.data[flat] = x!.data[broadcastOffset(x!.shape, index)]!
    })
    return [out]
  },
})

/** x repeated along the axes where it has size 1, to `shape`. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  requireTensors('broadcastTo', { x })
  checkShape(shape, 'broadcastTo')
  return sameShape(x.shape, shape) ? x : apply(broadcastToOp, [x], { shape: [...shape] })
}

export const transposeOp = defineOp({
  name: 'transpose',
  code: 82,
  inputs: ['x'],
  attrs: { perm: 'i32[]' },
  infer: ([x], attrs) => [{ shape: attrs.perm.map((axis) => x!.shape[axis]!), dtype: x!.dtype }],
  grad: ({ gradOutputs: [dy], attrs }) => [transpose(dy!, inversePermutation(attrs.perm))],
  reference: ([x], attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const strides = stridesOf(x!.shape)
    forEachIndex(type!.shape, (index, flat) => {
      out.data[flat] = x!.data[index.reduce((offset, i, axis) => offset + i * strides[attrs.perm[axis]!]!, 0)]!
    })
    return [out]
  },
})

/** Axes reordered: result axis i is source axis axes[i]. Default: reversed. */
export function transpose(x: Tensor, axes?: readonly number[]): Tensor {
  requireTensors('transpose', { x })
  const perm = axes ?? x.shape.map((_, axis) => x.rank - 1 - axis)
  requireArray('transpose', 'axes', perm)
  const valid = perm.length === x.rank && [...perm].sort((a, b) => a - b).every((axis, i) => axis === i)
  if (!valid) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `transpose: axes ${describeList(perm)} are not a permutation of ${x.rank} axes`,
    )
  }
  return perm.every((axis, i) => axis === i) ? x : apply(transposeOp, [x], { perm: [...perm] })
}
