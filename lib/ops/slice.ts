/**
 * Parts of tensors: slice, flip, split, pad, concat, stack, tile. Three primitives carry them all: `slice` reads every
 * steps[i]-th element from starts[i] on (steps may be negative: flip), `place` writes a tensor to such positions of a
 * filled one (the gradient of slice; constant padding), `concat` joins along an axis.
 */
import { isFloat } from '../dtype.js'
import { describeList, ForjaError } from '../errors.js'
import { checkChoice, checkOptions } from '../options.js'
import { forEachIndex, refArray } from '../reference/array.js'
import { formatShape, normalizeAxes, normalizeAxis, putBack, type Shape, sizeOfShape, stridesOf } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { castNumber } from './cast.js'
import { requireArray, requireTensorList, requireTensors } from './check_call.js'
import { defineOp, type Op, requireDType, requireSameDType } from './registry.js'
import { broadcastTo, reshape, unsqueeze } from './shape.js'

/** Attributes hold 8 entries; those beyond the rank are 0. */
function padded(values: readonly number[]): number[] {
  return [...values, ...new Array<number>(8 - values.length).fill(0)]
}

/** Calls `visit` with every position of a tensor of shape `part` and its position at starts, steps in `whole`. */
function forEachPlace(
  part: Shape,
  whole: Shape,
  { starts, steps }: { starts: readonly number[]; steps: readonly number[] },
  visit: (inPart: number, inWhole: number) => void,
): void {
  const strides = stridesOf(whole)
  forEachIndex(part, (index, flat) => {
    visit(
      flat,
      index.reduce((offset, i, axis) => offset + (starts[axis]! + i * steps[axis]!) * strides[axis]!, 0),
    )
  })
}

interface Places {
  readonly starts: readonly number[]
  readonly steps: readonly number[]
  readonly shape: readonly number[]
}

/** Starts, steps and shape before a transpose. */
function placesBefore<A extends Places>(attrs: A, perm: readonly number[]): A {
  const { starts, steps, shape } = attrs
  return {
    ...attrs,
    starts: padded(putBack(starts.slice(0, perm.length), perm)),
    steps: padded(putBack(steps.slice(0, perm.length), perm)),
    shape: putBack(shape, perm),
  }
}

const sliceOp: Op<{ starts: 'i32x8'; steps: 'i32x8'; shape: 'i32[]' }> = defineOp({
  name: 'slice',
  code: 192,
  inputs: ['x'],
  attrs: { starts: 'i32x8', steps: 'i32x8', shape: 'i32[]' },
  infer: ([x], { starts, steps, shape }, site) => {
    shape.forEach((count, axis) => {
      const last = starts[axis]! + (count - 1) * steps[axis]!
      const inside = [starts[axis]!, last].every((i) => i >= 0 && i < x!.shape[axis]!)
      if (count > 0 && !inside) site.fail('ERR_SHAPE', `indices ${starts[axis]} to ${last} leave axis ${axis}`)
    })
    return [{ shape, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy], attrs: { starts, steps } }) => {
    // `place` only walks forwards: axes that were walked backwards are turned around first.
    const back = dy!.shape.map((_, axis) => axis).filter((axis) => steps[axis]! < 0)
    const first = starts.map((at, axis) => (back.includes(axis) ? at + (dy!.shape[axis]! - 1) * steps[axis]! : at))
    const forward = back.length > 0 ? flip(dy!, { axes: back }) : dy!
    const attrs = { starts: first, steps: steps.map(Math.abs), value: 0, shape: x!.shape }
    return [apply(placeOp, [forward], attrs)]
  },
  beforeTranspose: placesBefore,
  reference: ([x], attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    forEachPlace(type!.shape, x!.shape, attrs, (part, whole) => {
      out.data[part] = x!.data[whole]!
    })
    return [out]
  },
})

const placeOp: Op<{ starts: 'i32x8'; steps: 'i32x8'; value: 'f32'; shape: 'i32[]' }> = defineOp({
  name: 'place',
  code: 193,
  inputs: ['x'],
  attrs: { starts: 'i32x8', steps: 'i32x8', value: 'f32', shape: 'i32[]' },
  infer: ([x], { shape, value }, site) => {
    requireDType(x!, site, 'float32', 'int32', 'uint8', 'bool')
    // The attribute is a float32.
    if (!isFloat(x!.dtype) && castNumber(Math.fround(value), x!.dtype) !== value) {
      site.fail('ERR_DTYPE', `x is ${x!.dtype}, which cannot be filled with ${value}`, "use cast(x, 'float32')")
    }
    return [{ shape, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy], attrs: { starts, steps } }) => [
    apply(sliceOp, [dy!], { starts, steps, shape: x!.shape }),
  ],
  beforeTranspose: placesBefore,
  reference: ([x], attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    out.data.fill(attrs.value)
    forEachPlace(x!.shape, type!.shape, attrs, (part, whole) => {
      out.data[whole] = x!.data[part]!
    })
    return [out]
  },
})

export interface SliceOptions {
  /** First index of each axis; default: the first, or the last where the step is negative. Negative counts from the end. */
  starts?: readonly number[]
  /** Index before which each axis ends; default: all. Clipped to the axis, so Infinity means all. */
  ends?: readonly number[]
  /** Default 1; negative steps walk backwards. */
  steps?: readonly number[]
}

/** Part of x: indices starts, starts + steps, .. before ends, per axis, as Python's slices; axes not named are whole. */
export function slice(x: Tensor, options: SliceOptions = {}): Tensor {
  requireTensors('slice', { x })
  checkOptions('slice', options, ['starts', 'ends', 'steps'])
  for (const [name, list] of Object.entries(options) as [string, readonly number[]][]) {
    if (list !== undefined && !(Array.isArray(list) && list.length <= x.rank)) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `slice: ${name} must have up to ${x.rank} entries for shape ${formatShape(x.shape)}, got ${describeList(list)}`,
      )
    }
  }
  const ranges = x.shape.map((dim, axis) =>
    resolveRange(dim, axis, options.starts?.[axis], options.ends?.[axis], options.steps?.[axis] ?? 1),
  )
  if (ranges.every((r, axis) => r.step === 1 && r.count === x.shape[axis])) return x
  const y = apply(sliceOp, [x], {
    starts: padded(ranges.map((r) => r.start)),
    steps: padded(ranges.map((r) => r.step)),
    shape: ranges.map((r) => r.count),
  })
  // Rows of host data are known at once: no program is made of each batch, nor is all of x handed to one.
  const { resident } = x.value
  if (resident && isRun(ranges, x.shape)) {
    const from = ranges.reduce((offset, { start }, axis) => offset + start * stridesOf(x.shape)[axis]!, 0)
    y.value.resident = resident.subarray(from, from + y.size)
  }
  return y
}

/** Whether the elements lie one after the other: single indices, then a range of one axis, then whole axes. */
function isRun(ranges: readonly { step: number; count: number }[], shape: Shape): boolean {
  const axis = ranges.findIndex(({ count }) => count !== 1)
  const isWhole = ({ step, count }: (typeof ranges)[number], i: number) =>
    i < axis || (step === 1 && (i === axis || count === shape[i]))
  return axis < 0 || ranges.every(isWhole)
}

/** Start, step and number of the indices that Python's start:end:step picks from an axis. */
function resolveRange(dim: number, axis: number, start: number | undefined, end: number | undefined, step: number) {
  if (!Number.isInteger(step) || step === 0) {
    throw new ForjaError('ERR_ARGUMENT', `slice: the step of axis ${axis} is ${step}, expected an integer other than 0`)
  }
  for (const [name, index] of Object.entries({ start, end })) {
    if (index !== undefined && !Number.isInteger(index) && Math.abs(index) !== Number.POSITIVE_INFINITY) {
      throw new ForjaError('ERR_ARGUMENT', `slice: the ${name} of axis ${axis} is ${index}, expected an integer`)
    }
  }
  const [low, high] = step > 0 ? [0, dim] : [-1, dim - 1]
  const clip = (index: number) => Math.min(high, Math.max(low, index < 0 ? index + dim : index))
  const from = start === undefined ? (step > 0 ? 0 : dim - 1) : clip(start)
  const to = end === undefined ? (step > 0 ? dim : -1) : clip(end)
  const count = Math.max(0, Math.ceil((to - from) / step))
  return { start: count === 0 ? 0 : from, step, count }
}

/** The elements in reverse order along `axes` (default: all). */
export function flip(x: Tensor, options: { axes?: number | readonly number[] } = {}): Tensor {
  requireTensors('flip', { x })
  const axes = normalizeAxes(checkOptions('flip', options, ['axes']).axes, x.rank, 'flip')
  return slice(x, { steps: x.shape.map((_, axis) => (axes.includes(axis) ? -1 : 1)) })
}

/** The part of x from `start` to before `end` along one axis. */
function sliceAxis(x: Tensor, axis: number, start: number, end: number): Tensor {
  return slice(x, {
    starts: x.shape.map((_, i) => (i === axis ? start : 0)),
    ends: x.shape.map((dim, i) => (i === axis ? end : dim)),
  })
}

export interface SplitOptions {
  axis?: number
}

/** x cut along `axis` (default 0) into `parts` equal pieces, or into pieces of the given sizes. */
export function split(x: Tensor, parts: number | readonly number[], options: SplitOptions = {}): Tensor[] {
  requireTensors('split', { x })
  const { axis = 0 } = checkOptions('split', options, ['axis'])
  const at = normalizeAxis(axis, x.rank, 'split')
  const dim = x.shape[at]!
  if (typeof parts !== 'number') requireArray('split', 'parts', parts)
  // Nothing may be cut, too, but not into any number of pieces.
  const fits = (n: number) => Number.isInteger(n) && n >= 1 && n <= Math.max(dim, 1024) && dim % n === 0
  const sizes = typeof parts !== 'number' ? parts : fits(parts) ? new Array<number>(parts).fill(dim / parts) : null
  if (!sizes?.every((size) => Number.isInteger(size) && size >= 0) || sizes.reduce((a, b) => a + b, 0) !== dim) {
    throw new ForjaError(
      'ERR_SHAPE',
      `split: axis ${at} of ${formatShape(x.shape)} cannot be cut into ${describeList(parts)}`,
    )
  }
  let end = 0
  return sizes.map((size) => {
    end += size
    return sliceAxis(x, at, end - size, end)
  })
}

const concatOp = defineOp({
  name: 'concat',
  code: 194,
  inputs: ['x...'],
  attrs: { axis: 'i32' },
  infer: (inputs, { axis }, site) => {
    const [first] = inputs
    requireSameDType(inputs, site)
    for (const input of inputs) {
      const fits =
        input.shape.length === first!.shape.length &&
        input.shape.every((dim, i) => i === axis || dim === first!.shape[i])
      if (!fits) site.fail('ERR_SHAPE', `shapes must be equal but for axis ${axis}`)
    }
    const joined = inputs.reduce((total, input) => total + input.shape[axis]!, 0)
    return [{ shape: first!.shape.with(axis, joined), dtype: first!.dtype }]
  },
  grad: ({ inputs, gradOutputs: [dy], attrs: { axis } }) => {
    let end = 0
    return inputs.map((input) => {
      end += input.shape[axis]!
      return sliceAxis(dy!, axis, end - input.shape[axis]!, end)
    })
  },
  beforeTranspose: ({ axis }, perm) => ({ axis: perm[axis]! }),
  reference: (inputs, { axis }, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const steps = type!.shape.map(() => 1)
    let start = 0
    for (const input of inputs) {
      const starts = type!.shape.map((_, i) => (i === axis ? start : 0))
      forEachPlace(input.shape, type!.shape, { starts, steps }, (part, whole) => {
        out.data[whole] = input.data[part]!
      })
      start += input.shape[axis]!
    }
    return [out]
  },
})

function requireSome(what: string, list: readonly Tensor[]): void {
  requireTensorList(what, 'x', list)
  if (list.length === 0) throw new ForjaError('ERR_ARGUMENT', `${what}: expected an array of at least one tensor`)
}

/** The tensors one after the other along `axis` (default 0); the other axes must agree. */
export function concat(list: readonly Tensor[], options: { axis?: number } = {}): Tensor {
  requireSome('concat', list)
  const { axis = 0 } = checkOptions('concat', options, ['axis'])
  const at = normalizeAxis(axis, list[0]!.rank, 'concat')
  return list.length === 1 ? list[0]! : apply(concatOp, list, { axis: at })
}

/** The tensors, all of one shape, along a new axis (default 0). */
export function stack(list: readonly Tensor[], options: { axis?: number } = {}): Tensor {
  requireSome('stack', list)
  const { axis = 0 } = checkOptions('stack', options, ['axis'])
  const at = normalizeAxis(axis, list[0]!.rank + 1, 'stack')
  return concat(
    list.map((t) => unsqueeze(t, { axis: at })),
    { axis: at },
  )
}

/** x repeated `repeats[i]` times along axis i; more repeats than axes add axes in front. */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  requireTensors('tile', { x })
  requireArray('tile', 'repeats', repeats)
  if (!repeats.every((n) => Number.isInteger(n) && n >= 0)) {
    throw new ForjaError('ERR_ARGUMENT', `tile: repeats must be non-negative integers, got [${repeats.join(', ')}]`)
  }
  const rank = Math.max(x.rank, repeats.length)
  const shape = [...new Array<number>(rank - x.rank).fill(1), ...x.shape]
  const times = [...new Array<number>(rank - repeats.length).fill(1), ...repeats]
  // One axis at a time: (outer, 1, rest) → (outer, times, rest).
  let y = reshape(x, shape)
  for (const [axis, n] of times.entries()) {
    if (n === 1) continue
    const outer = sizeOfShape(y.shape.slice(0, axis))
    const rest = sizeOfShape(y.shape.slice(axis))
    y = reshape(broadcastTo(reshape(y, [outer, 1, rest]), [outer, n, rest]), y.shape.with(axis, y.shape[axis]! * n))
  }
  return y
}

/** Padding that continues the elements there are. */
export const BORDER_MODES = ['reflect', 'replicate', 'circular'] as const
export type BorderMode = (typeof BORDER_MODES)[number]

export interface PadOptions {
  /** [before, after] for each axis; for fewer pairs than axes, of the last axes. */
  pads: readonly (readonly [number, number])[]
  /** reflect mirrors without repeating the edge element; replicate repeats it; circular wraps around. Default constant. */
  mode?: 'constant' | BorderMode
  /** Of the constant mode. Default 0. */
  value?: number
}

/** x with elements added around it. */
export function pad(x: Tensor, options: PadOptions): Tensor {
  requireTensors('pad', { x })
  const { pads, mode = 'constant', value = 0 } = checkOptions('pad', options, ['pads', 'mode', 'value'])
  requireArray('pad', 'pads', pads)
  const valid =
    pads.length <= x.rank &&
    pads.every((p) => Array.isArray(p) && p.length === 2 && p.every((n) => Number.isInteger(n) && n >= 0))
  if (!valid) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `pad: pads must be up to ${x.rank} pairs of non-negative integers for shape ${formatShape(x.shape)}, got ${describeList(pads)}`,
    )
  }
  checkChoice('pad', 'mode', mode, ['constant', ...BORDER_MODES])
  const around = [...new Array<[number, number]>(x.rank - pads.length).fill([0, 0]), ...pads]
  if (around.every(([before, after]) => before === 0 && after === 0)) return x
  if (mode !== 'constant') {
    return around.reduce((y, [before, after], axis) => padAxis(y, axis, before, after, mode), x)
  }
  return apply(placeOp, [x], {
    starts: padded(around.map(([before]) => before)),
    steps: padded(around.map(() => 1)),
    value,
    shape: x.shape.map((dim, axis) => around[axis]![0] + dim + around[axis]![1]),
  })
}

function padAxis(x: Tensor, axis: number, before: number, after: number, mode: BorderMode): Tensor {
  if (before === 0 && after === 0) return x
  const dim = x.shape[axis]!
  const needed = { reflect: Math.max(before, after) + 1, replicate: 1, circular: Math.max(before, after) }[mode]
  if (dim < needed) {
    throw new ForjaError(
      'ERR_SHAPE',
      `pad: mode ${mode} with pads ${before} and ${after} needs at least ${needed} elements along axis ${axis}, x has shape ${formatShape(x.shape)}`,
    )
  }
  const part = (start: number, count: number) => sliceAxis(x, axis, start, start + count)
  const repeated = (at: number, count: number) => broadcastTo(part(at, 1), x.shape.with(axis, count))
  /** `count` elements before the first, and behind the last. */
  const border = {
    reflect: [
      (count: number) => flip(part(1, count), { axes: axis }),
      (count: number) => flip(part(dim - 1 - count, count), { axes: axis }),
    ],
    replicate: [(count: number) => repeated(0, count), (count: number) => repeated(dim - 1, count)],
    circular: [(count: number) => part(dim - count, count), (count: number) => part(0, count)],
  }[mode]
  const parts = [...(before > 0 ? [border[0]!(before)] : []), x, ...(after > 0 ? [border[1]!(after)] : [])]
  return concat(parts, { axis })
}
