/**
 * Indexing by tensors. `gather` takes whole slices of x along an axis (NumPy's take), `takeAlongAxis` one element for
 * each index (PyTorch's gather); `scatterAdd` and `putAlongAxis` are their adjoints. An index out of range is found
 * while the program runs: ERR_ARGUMENT, naming the index.
 */
import { checkDType, DTYPES, type DType, dtypeCode } from '../dtype.js'
import { ForjaError } from '../errors.js'
import type { Value } from '../graph/graph.js'
import { checkInteger, checkOptions } from '../options.js'
import { type RefArray, refArray } from '../reference/array.js'
import { aroundAxis, formatShape, normalizeAxis, type Shape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { requireTensors } from './check_call.js'
import { add } from './elementwise.js'
import { defineOp, type Op, requireDType, type Site } from './registry.js'

/** `length`: elements along the indexed axis. An index that no kernel meets, its slice being empty, is found here. */
function requireIndex(index: Value, length: number, site: Site): void {
  if (index.dtype !== 'int32' && index.dtype !== 'uint8') {
    site.fail('ERR_DTYPE', `index must be int32 or uint8, got ${index.dtype}`, 'use cast()')
  }
  if (length === 0 && index.size > 0)
    site.fail('ERR_ARGUMENT', `the axis is empty, and the index has ${index.size} elements`)
}

/** The index at `position`, which must lie in [0, limit): the text kernels raise too. */
export function checkedIndex(index: RefArray, position: number, limit: number, what = 'index'): number {
  const i = index.data[position]!
  if (i >= 0 && i < limit) return i
  throw new ForjaError('ERR_ARGUMENT', `${what}[${position}] is ${i}, expected 0..${limit - 1}`)
}

/** x's shape with `axis` replaced by the axes of the index. */
function gatheredShape(shape: Shape, axis: number, index: Shape): number[] {
  return [...shape.slice(0, axis), ...index, ...shape.slice(axis + 1)]
}

const gatherOp: Op<{ axis: 'i32' }> = defineOp({
  name: 'gather',
  code: 200,
  inputs: ['x', 'index'],
  attrs: { axis: 'i32' },
  infer: ([x, index], { axis }, site) => {
    requireIndex(index!, x!.shape[axis]!, site)
    return [{ shape: gatheredShape(x!.shape, axis, index!.shape), dtype: x!.dtype }]
  },
  grad: ({ inputs: [x, index], gradOutputs: [dy], attrs: { axis } }) => [
    apply(gatherGradOp, [index!, dy!], { axis, length: x!.shape[axis]! }),
    null,
  ],
  reference: ([x, index], { axis }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    forEachGathered(x!.shape, axis, index!, (from, to) => {
      out.data[to] = x!.data[from]!
    })
    return [out]
  },
})

/** Calls `visit` with every position of the gathered tensor and the position in x that it comes from. */
function forEachGathered(shape: Shape, axis: number, index: RefArray, visit: (from: number, to: number) => void): void {
  const [outer, length, inner] = aroundAxis(shape, axis)
  const count = index.data.length
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      const from = (o * length + checkedIndex(index, i, length)) * inner
      for (let k = 0; k < inner; k++) visit(from + k, (o * count + i) * inner + k)
    }
  }
}

/** Zeros of x's shape with dy added where gather read: an index that occurs twice gets both. */
const gatherGradOp: Op<{ axis: 'i32'; length: 'i32' }> = defineOp({
  name: 'gatherGrad',
  code: 201,
  inputs: ['index', 'dy'],
  attrs: { axis: 'i32', length: 'i32' },
  infer: ([index, dy], { axis, length }, site) => {
    requireIndex(index!, length, site)
    requireDType(dy!, site, 'float32', 'int32')
    const shape = [...dy!.shape.slice(0, axis), length, ...dy!.shape.slice(axis + index!.shape.length)]
    return [{ shape, dtype: dy!.dtype }]
  },
  grad: ({ inputs: [index], gradOutputs: [d], attrs: { axis } }) => [null, apply(gatherOp, [d!, index!], { axis })],
  flops: ([, dy]) => dy!.size,
  reference: ([index, dy], { axis }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    forEachGathered(type!.shape, axis, index!, (from, to) => {
      out.data[from]! += dy!.data[to]!
    })
    return [out]
  },
})

/**
 * Slices of x along `axis` (default 0) in the order of `index` (int32 or uint8, any shape): the result has x's shape
 * with the axis replaced by the index's axes.
 */
export function gather(x: Tensor, index: Tensor, options: { axis?: number } = {}): Tensor {
  requireTensors('gather', { x, index })
  const { axis = 0 } = checkOptions('gather', options, ['axis'])
  return apply(gatherOp, [x, index], { axis: normalizeAxis(axis, x.rank, 'gather') })
}

/** Rows of weight (rows, features) for every index: shape index.shape + (features,). */
export function embedding(index: Tensor, weight: Tensor): Tensor {
  requireTensors('embedding', { index, weight })
  if (weight.rank !== 2) {
    throw new ForjaError('ERR_SHAPE', `embedding: weight must be (rows, features), got ${formatShape(weight.shape)}`)
  }
  return gather(weight, index)
}

/**
 * x with `updates` added to its slices along `axis` (default 0) that `index` names: the adjoint of gather, so updates
 * has x's shape with the axis replaced by the index's axes. Indices that occur more than once add up.
 */
export function scatterAdd(x: Tensor, index: Tensor, updates: Tensor, options: { axis?: number } = {}): Tensor {
  requireTensors('scatterAdd', { x, index, updates })
  const { axis = 0 } = checkOptions('scatterAdd', options, ['axis'])
  const at = normalizeAxis(axis, x.rank, 'scatterAdd')
  const expected = gatheredShape(x.shape, at, index.shape)
  if (!sameShape(updates.shape, expected)) {
    throw new ForjaError(
      'ERR_SHAPE',
      `scatterAdd: updates has shape ${formatShape(updates.shape)}, expected ${formatShape(expected)} for x ${formatShape(x.shape)} and index ${formatShape(index.shape)}`,
    )
  }
  if (index.dtype !== 'int32' && index.dtype !== 'uint8') {
    throw new ForjaError('ERR_DTYPE', `scatterAdd: index must be int32 or uint8, got ${index.dtype}`)
  }
  return add(x, apply(gatherGradOp, [index, updates], { axis: at, length: x.shape[at]! }))
}

/** The index's shape must be the tensor's but for `axis`, in which it names `length` elements. */
function requireAlong(index: Value, shape: Shape, axis: number, length: number, site: Site): void {
  requireIndex(index, length, site)
  const fits = index.shape.length === shape.length && index.shape.every((dim, i) => i === axis || dim === shape[i])
  if (!fits) site.fail('ERR_SHAPE', `index must have the other operand's shape but for axis ${axis}`)
}

/** Calls `visit` with every position of the index and the position it names in a tensor of `length` along the axis. */
function forEachAlong(index: RefArray, axis: number, length: number, visit: (at: number, named: number) => void): void {
  const [, count, inner] = aroundAxis(index.shape, axis)
  for (let at = 0; at < index.data.length; at++) {
    const outer = Math.floor(at / (count * inner))
    visit(at, (outer * length + checkedIndex(index, at, length)) * inner + (at % inner))
  }
}

const takeAlongAxisOp: Op<{ axis: 'i32' }> = defineOp({
  name: 'takeAlongAxis',
  code: 202,
  inputs: ['x', 'index'],
  attrs: { axis: 'i32' },
  infer: ([x, index], { axis }, site) => {
    requireAlong(index!, x!.shape, axis, x!.shape[axis]!, site)
    return [{ shape: index!.shape, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x, index], gradOutputs: [dy], attrs: { axis } }) => [
    apply(putAlongAxisOp, [index!, dy!], { axis, length: x!.shape[axis]! }),
    null,
  ],
  reference: ([x, index], { axis }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    forEachAlong(index!, axis, x!.shape[axis]!, (at, named) => {
      out.data[at] = x!.data[named]!
    })
    return [out]
  },
})

const putAlongAxisOp: Op<{ axis: 'i32'; length: 'i32' }> = defineOp({
  name: 'putAlongAxis',
  code: 203,
  inputs: ['index', 'updates'],
  attrs: { axis: 'i32', length: 'i32' },
  infer: ([index, updates], { axis, length }, site) => {
    requireDType(updates!, site, 'float32', 'int32')
    requireAlong(index!, updates!.shape, axis, length, site)
    if (length < 0) site.fail('ERR_ARGUMENT', `length must not be negative, got ${length}`)
    if (index!.shape[axis] !== updates!.shape[axis]) site.fail('ERR_SHAPE', 'index and updates must have one shape')
    return [{ shape: index!.shape.with(axis, length), dtype: updates!.dtype }]
  },
  grad: ({ inputs: [index], gradOutputs: [d], attrs: { axis } }) => [
    null,
    apply(takeAlongAxisOp, [d!, index!], { axis }),
  ],
  flops: ([, updates]) => updates!.size,
  reference: ([index, updates], { axis, length }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    forEachAlong(index!, axis, length, (at, named) => {
      out.data[named]! += updates!.data[at]!
    })
    return [out]
  },
})

/** For every index the element of x at that index along `axis` (default: the last), the other coordinates the same. */
export function takeAlongAxis(x: Tensor, index: Tensor, options: { axis?: number } = {}): Tensor {
  requireTensors('takeAlongAxis', { x, index })
  const { axis = -1 } = checkOptions('takeAlongAxis', options, ['axis'])
  return apply(takeAlongAxisOp, [x, index], { axis: normalizeAxis(axis, x.rank, 'takeAlongAxis') })
}

/** Zeros, `length` along `axis` (default: the last), with updates added where index names: adjoint of takeAlongAxis. */
export function putAlongAxis(index: Tensor, updates: Tensor, options: { length: number; axis?: number }): Tensor {
  requireTensors('putAlongAxis', { index, updates })
  checkOptions('putAlongAxis', options, ['length', 'axis'])
  const axis = normalizeAxis(options.axis ?? -1, index.rank, 'putAlongAxis')
  return apply(putAlongAxisOp, [index, updates], { axis, length: options.length })
}

const oneHotOp = defineOp({
  name: 'oneHot',
  code: 204,
  inputs: ['index'],
  attrs: { depth: 'i32', dtype: 'i32' },
  infer: ([index], { depth, dtype }, site) => {
    requireIndex(index!, depth, site)
    return [{ shape: [...index!.shape, depth], dtype: DTYPES[dtype]! }]
  },
  grad: null,
  reference: ([index], { depth }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    for (let i = 0; i < index!.data.length; i++) out.data[i * depth + checkedIndex(index!, i, depth)] = 1
    return [out]
  },
})

export interface OneHotOptions {
  /** Number of classes: the size of the new last axis. */
  depth: number
  /** Default float32. */
  dtype?: DType
}

/** 1 at each index, 0 elsewhere, along a new last axis. */
export function oneHot(index: Tensor, options: OneHotOptions): Tensor {
  requireTensors('oneHot', { index })
  const { depth, dtype = 'float32' } = checkOptions('oneHot', options, ['depth', 'dtype'])
  checkInteger('oneHot', 'depth', depth, 0)
  checkDType(dtype, 'oneHot')
  return apply(oneHotOp, [index], { depth, dtype: dtypeCode(dtype) })
}
