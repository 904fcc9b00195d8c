/**
 * Operations along one axis: argMax, argMin, cumSum, topK. Their kernels see x as (outer, length, inner) around the
 * axis. Ties go to the lower index; NaN counts as larger than every number.
 */
import { ForjaError } from '../errors.js'
import type { Value } from '../graph/graph.js'
import { checkInteger, checkOptions } from '../options.js'
import { type RefArray, refArray } from '../reference/array.js'
import { aroundAxis, formatShape, inversePermutation, normalizeAxis, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply, applyAll } from './apply.js'
import { requireTensors } from './check_call.js'
import { putAlongAxis } from './indexing.js'
import { defineOp, type Op, requireDType, type Site } from './registry.js'
import { reshape, transpose } from './shape.js'

export interface AxisOptions {
  axis?: number
}

/** Calls `visit` with each line along `axis`: its first position in x, the step to the next, and its number. */
function forEachLine(shape: Shape, axis: number, visit: (begin: number, step: number, line: number) => void): void {
  const [outer, length, inner] = aroundAxis(shape, axis)
  for (let line = 0; line < outer * inner; line++) {
    visit(Math.floor(line / inner) * length * inner + (line % inner), inner, line)
  }
}

/** Whether a ranks before b: larger first, NaN first of all. */
function before(a: number, b: number): boolean {
  return a > b || (Number.isNaN(a) && !Number.isNaN(b))
}

function defineArg(name: string, code: number, sign: 1 | -1): Op<{ axis: 'i32' }> {
  return defineOp({
    name,
    code,
    inputs: ['x'],
    attrs: { axis: 'i32' },
    infer: ([x], { axis }, site) => {
      requireDType(x!, site, 'float32', 'int32', 'uint8')
      if (x!.shape[axis] === 0) site.fail('ERR_SHAPE', `no elements to choose from along axis ${axis}`)
      return [{ shape: x!.shape.filter((_, i) => i !== axis), dtype: 'int32' }]
    },
    grad: null,
    reference: ([x], { axis }, [type]) => {
      const out = refArray(type!.shape, 'int32')
      forEachLine(x!.shape, axis, (begin, step, line) => {
        let best = 0
        for (let i = 1; i < x!.shape[axis]!; i++) {
          const [a, b] = [x!.data[begin + i * step]!, x!.data[begin + best * step]!]
          if (before(sign * a, sign * b)) best = i
        }
        out.data[line] = best
      })
      return [out]
    },
  })
}

const argMaxOp = defineArg('argMax', 69, 1)
const argMinOp = defineArg('argMin', 70, -1)

export interface ArgOptions extends AxisOptions {
  /** Keep the axis as size 1; without an axis there is none to keep. Default false. */
  keepDims?: boolean
}

function arg(op: Op<{ axis: 'i32' }>, x: Tensor, options: ArgOptions): Tensor {
  requireTensors(op.name, { x })
  const { axis, keepDims } = checkOptions(op.name, options, ['axis', 'keepDims'])
  if (axis === undefined) return apply(op, [reshape(x, [x.size])], { axis: 0 })
  const at = normalizeAxis(axis, x.rank, op.name)
  const y = apply(op, [x], { axis: at })
  return keepDims ? reshape(y, x.shape.with(at, 1)) : y
}

/** Index (int32) of the first largest element along `axis`; without an axis, of the flattened tensor. */
export function argMax(x: Tensor, options: ArgOptions = {}): Tensor {
  return arg(argMaxOp, x, options)
}

/** Index (int32) of the first smallest element along `axis`; without an axis, of the flattened tensor. */
export function argMin(x: Tensor, options: ArgOptions = {}): Tensor {
  return arg(argMinOp, x, options)
}

const cumSumOp: Op<{ axis: 'i32'; reverse: 'i32' }> = defineOp({
  name: 'cumSum',
  code: 71,
  inputs: ['x'],
  attrs: { axis: 'i32', reverse: 'i32' },
  infer: ([x], _attrs, site) => {
    requireDType(x!, site, 'float32', 'int32')
    return [x!.type]
  },
  grad: ({ gradOutputs: [dy], attrs }) => [
    apply(cumSumOp, [dy!], { axis: attrs.axis, reverse: attrs.reverse ? 0 : 1 }),
  ],
  flops: ([x]) => x!.size,
  reference: ([x], { axis, reverse }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const length = x!.shape[axis]!
    forEachLine(x!.shape, axis, (begin, step) => {
      let total = 0
      for (let i = 0; i < length; i++) {
        const at = begin + (reverse ? length - 1 - i : i) * step
        total += x!.data[at]!
        out.data[at] = total
      }
    })
    return [out]
  },
})

export interface CumSumOptions extends AxisOptions {
  /** Sum from the end. Default false. */
  reverse?: boolean
}

/** Running sums along `axis` (default: the last), of int32 wrapping around. */
export function cumSum(x: Tensor, options: CumSumOptions = {}): Tensor {
  requireTensors('cumSum', { x })
  const { axis = -1, reverse = false } = checkOptions('cumSum', options, ['axis', 'reverse'])
  return apply(cumSumOp, [x], { axis: normalizeAxis(axis, x.rank, 'cumSum'), reverse: reverse ? 1 : 0 })
}

/** The k largest of each row, largest first, and their indices. */
const topKOp = defineOp({
  name: 'topK',
  code: 72,
  inputs: ['x'],
  attrs: { k: 'i32', smallest: 'i32' },
  infer: ([x], { k }, site) => {
    requireDType(x!, site, 'float32', 'int32')
    checkK(x!, k, site)
    const shape = [...x!.shape.slice(0, -1), k]
    return [
      { shape, dtype: x!.dtype },
      { shape, dtype: 'int32' },
    ]
  },
  grad: ({ inputs: [x], outputs: [, indices], gradOutputs: [dy] }) => [
    dy ? putAlongAxis(indices!, dy, { axis: -1, length: x!.shape[x!.rank - 1]! }) : null,
  ],
  reference: ([x], { k, smallest }, types) => {
    const [values, indices] = types.map((t) => refArray(t.shape, t.dtype)) as [RefArray, RefArray]
    forEachLine(x!.shape, x!.shape.length - 1, (begin, step, line) => {
      const at = (i: number) => x!.data[begin + i * step]!
      const precedes = (a: number, b: number) => (smallest ? before(at(b), at(a)) : before(at(a), at(b)))
      const order = Array.from({ length: x!.shape[x!.shape.length - 1]! }, (_, i) => i)
      order.sort((a, b) => (precedes(a, b) ? -1 : precedes(b, a) ? 1 : a - b))
      order.slice(0, k).forEach((source, i) => {
        values.data[line * k + i] = x!.data[begin + source * step]!
        indices.data[line * k + i] = source
      })
    })
    return [values, indices]
  },
})

function checkK(x: Value, k: number, site: Site): void {
  const length = x.shape[x.shape.length - 1] ?? 0
  if (!(k >= 0 && k <= length)) site.fail('ERR_ARGUMENT', `k is ${k}, expected 0..${length}`)
}

export interface TopKOptions extends AxisOptions {
  k: number
  /** Take the smallest instead. Default false. */
  smallest?: boolean
}

/**
 * The k largest elements along `axis` (default: the last), largest first, and their indices (int32). Of equal elements
 * the first comes first; NaN counts as larger than every number.
 */
export function topK(x: Tensor, options: TopKOptions): { values: Tensor; indices: Tensor } {
  requireTensors('topK', { x })
  const { k, axis = -1, smallest = false } = checkOptions('topK', options, ['k', 'axis', 'smallest'])
  checkInteger('topK', 'k', k, 0)
  if (x.rank === 0) throw new ForjaError('ERR_SHAPE', `topK: x has no axes, its shape is ${formatShape(x.shape)}`)
  const { moved, back } = axisToLast(x, normalizeAxis(axis, x.rank, 'topK'))
  const [values, indices] = applyAll(topKOp, [moved], { k, smallest: smallest ? 1 : 0 })
  return { values: back(values!), indices: back(indices!) }
}

export interface SortOptions extends AxisOptions {
  /** Largest first. Default false. */
  descending?: boolean
}

/**
 * The elements along `axis` (default: the last) in order, and the indices (int32) they came from. Equal elements keep
 * their order; NaN counts as larger than every number.
 */
export function sort(x: Tensor, options: SortOptions = {}): { values: Tensor; indices: Tensor } {
  requireTensors('sort', { x })
  const { axis = -1, descending = false } = checkOptions('sort', options, ['axis', 'descending'])
  if (x.rank === 0) throw new ForjaError('ERR_SHAPE', `sort: x has no axes, its shape is ${formatShape(x.shape)}`)
  const k = x.shape[normalizeAxis(axis, x.rank, 'sort')]!
  return topK(x, { k, axis, smallest: !descending })
}

/** x with `axis` moved to the end, and what moves it back. */
export function axisToLast(x: Tensor, axis: number): { moved: Tensor; back: (y: Tensor) => Tensor } {
  const perm = [...x.shape.map((_, i) => i).filter((i) => i !== axis), axis]
  return { moved: transpose(x, perm), back: (y) => transpose(y, inversePermutation(perm)) }
}
