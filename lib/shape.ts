/**
 * Shape arithmetic: sizes, strides, broadcasting, axes. Shapes are arrays of non-negative integers, row-major.
 */
import { type DType, sizeOf } from './dtype.js'
import { describeGiven, describeList, ForjaError } from './errors.js'
import { formatDimension } from './graph/unknown_size.js'

export type Shape = readonly number[]

/** Most dimensions a tensor may have (FJ_MAX_RANK of native/abi/program.h). */
export const MAX_RANK = 8

export function sizeOfShape(shape: Shape): number {
  let size = 1
  for (const dim of shape) size *= dim
  return size
}

/** Bytes of the elements of a type, or of whatever has one. */
export function byteSize({ shape, dtype }: { shape: Shape; dtype: DType }): number {
  return sizeOfShape(shape) * sizeOf(dtype)
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i])
}

export function formatShape(shape: Shape): string {
  const dims = shape.map(formatDimension)
  return dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride
    stride *= shape[i]!
  }
  return strides
}

/** The NumPy broadcast of two shapes, or null where they do not broadcast. */
export function broadcastShapes(a: Shape, b: Shape): number[] | null {
  const rank = Math.max(a.length, b.length)
  const result = new Array<number>(rank)
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1
    const y = b[b.length - i] ?? 1
    if (x !== y && x !== 1 && y !== 1) return null
    result[rank - i] = x === 1 ? y : x
  }
  return result
}

/** Throws ERR_ARGUMENT unless `shape` is an array of at most MAX_RANK non-negative integers. */
export function checkShape(shape: unknown, what: string): asserts shape is Shape {
  const valid = Array.isArray(shape) && shape.every((d) => Number.isSafeInteger(d) && d >= 0)
  if (!valid) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${what}: shape must be an array of non-negative integers, got ${describeList(shape)}`,
    )
  }
  if (shape.length > MAX_RANK) {
    throw new ForjaError(
      'ERR_SHAPE',
      `${what}: at most ${MAX_RANK} dimensions, got ${shape.length} in ${formatShape(shape)}`,
    )
  }
}

/** An axis in [-rank, rank) as one in [0, rank); ERR_ARGUMENT otherwise. */
export function normalizeAxis(axis: number, rank: number, what: string): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new ForjaError('ERR_ARGUMENT', `${what}: axis ${describeGiven(axis)} is out of range for ${rank} dimensions`)
  }
  return axis < 0 ? axis + rank : axis
}

/** Axes sorted, each in [0, rank); undefined means all; duplicates are ERR_ARGUMENT. */
export function normalizeAxes(axes: number | readonly number[] | undefined, rank: number, what: string): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i)
  if (typeof axes !== 'number' && !Array.isArray(axes)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${what}: axes must be a number or an array of them, got ${describeGiven(axes)}`,
    )
  }
  const list = (typeof axes === 'number' ? [axes] : [...axes]).map((axis) => normalizeAxis(axis, rank, what))
  if (new Set(list).size !== list.length) {
    throw new ForjaError('ERR_ARGUMENT', `${what}: axes ${describeList(axes)} name a dimension twice`)
  }
  return list.sort((a, b) => a - b)
}

/** perm[i] is the source axis of result axis i; the inverse undoes it. */
export function inversePermutation(perm: readonly number[]): number[] {
  const inverse = new Array<number>(perm.length)
  perm.forEach((source, i) => {
    inverse[source] = i
  })
  return inverse
}

/** What an axis has to say, in the order that axes had before the transpose. */
export function putBack<T>(perAxis: readonly T[], perm: readonly number[]): T[] {
  return inversePermutation(perm).map((axis) => perAxis[axis]!)
}

/** Elements before, along and behind an axis. */
export function aroundAxis(shape: Shape, axis: number): [outer: number, length: number, inner: number] {
  return [sizeOfShape(shape.slice(0, axis)), shape[axis]!, sizeOfShape(shape.slice(axis + 1))]
}
