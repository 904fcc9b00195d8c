/**
 * Pooling: the operations, on images N,H,W,C. Position p of an axis of `size` pixels looks at the pixels
 *
 *     [p·stride - before, p·stride - before + kernel) cut to [0, size),   or, adaptive,
 *     [⌊p·size / output⌋, ⌈(p + 1)·size / output⌉)
 *
 * Maximum pooling also gives, for each output, the tap r·S + s whose pixel was the maximum: the gradient goes there.
 * The first maximum wins; a NaN wins over everything. The functions users call are in pool_api.ts.
 */
import type { DType } from '../dtype.js'
import type { Value } from '../graph/graph.js'
import { refArray } from '../reference/array.js'
import type { Tensor } from '../tensor.js'
import { apply, applyAll } from './apply.js'
import { type Attrs, defineOp, type Op, requireMapDType, type Site } from './registry.js'

const WINDOW = { kernel: 'i32x2', stride: 'i32x2', padding: 'i32x4', output: 'i32x2', adaptive: 'i32' } as const

/**
 * kernel: [R, S], in adaptive mode the most pixels that a window has; padding: top, left, bottom, right; output:
 * [OH, OW], which rounding up makes larger than padding alone would.
 */
export type PoolAttrs = Attrs<typeof WINDOW>

/** Most pixels in a window of an adaptive pool of `size` pixels to `output`. */
export function adaptiveKernel(size: number, output: number): number {
  return size % output === 0 ? size / output : Math.ceil(size / output) + 1
}

/** Pixels [begin, end) of position p, where its first tap lies, and how many pixels with padding it has. */
function windowAt(attrs: PoolAttrs, axis: 0 | 1, p: number, size: number) {
  if (attrs.adaptive) {
    const begin = Math.floor((p * size) / attrs.output[axis]!)
    const end = Math.ceil(((p + 1) * size) / attrs.output[axis]!)
    return { begin, end, origin: begin, padded: end - begin }
  }
  const origin = p * attrs.stride[axis]! - attrs.padding[axis]!
  const stop = origin + attrs.kernel[axis]!
  return {
    begin: Math.max(origin, 0),
    end: Math.min(stop, size),
    origin,
    padded: Math.min(stop, size + attrs.padding[axis + 2]!) - origin,
  }
}

/** Types of images and windows agree, and every window has a pixel. */
function checkPool(image: readonly number[], values: readonly Value[], attrs: PoolAttrs, site: Site): void {
  if (values.some((v) => v.shape.length !== 4)) site.fail('ERR_SHAPE', 'images have 4 dimensions')
  requireMapDType(values[0]!, site)
  for (const axis of [0, 1] as const) {
    const size = image[axis + 1]!
    const { kernel, stride, padding, output } = attrs
    const fits = attrs.adaptive
      ? kernel[axis] === adaptiveKernel(size, output[axis]!)
      : padding[axis]! < kernel[axis]! && (output[axis]! - 1) * stride[axis]! - padding[axis]! < size
    if (size < 1 || output[axis]! < 1 || !fits) {
      site.fail('ERR_SHAPE', `a window of ${kernel.join(' x ')} pixels does not fit ${image[1]} x ${image[2]} pixels`)
    }
  }
}

function outputShape(image: readonly number[], attrs: PoolAttrs): number[] {
  return [image[0]!, ...attrs.output, image[3]!]
}

function requireShape(value: Value, shape: readonly number[], site: Site): void {
  if (value.shape.some((dim, axis) => dim !== shape[axis])) site.fail('ERR_SHAPE', `(${shape.join(', ')}) expected`)
}

/** Type of the tap that was chosen: the smallest that holds r·S + s. */
function indexType(attrs: PoolAttrs): DType {
  return attrs.kernel[0]! * attrs.kernel[1]! <= 256 ? 'uint8' : 'int32'
}

/** Calls `visit` for each output element and pixel that it looks at, with the tap and the window's padded size. */
function walkWindows(
  image: readonly number[],
  attrs: PoolAttrs,
  visit: (output: number, pixel: number, tap: number, padded: number, inside: number) => void,
): void {
  const [n, h, w, c] = image as [number, number, number, number]
  const [oh, ow] = attrs.output as [number, number]
  for (let flat = 0; flat < n * oh * ow * c; flat++) {
    const channel = flat % c
    const q = Math.floor(flat / c) % ow
    const p = Math.floor(flat / (c * ow)) % oh
    const first = Math.floor(flat / (c * ow * oh)) * h
    const rows = windowAt(attrs, 0, p, h)
    const columns = windowAt(attrs, 1, q, w)
    const padded = rows.padded * columns.padded
    const inside = (rows.end - rows.begin) * (columns.end - columns.begin)
    for (let i = rows.begin; i < rows.end; i++) {
      for (let j = columns.begin; j < columns.end; j++) {
        const tap = (i - rows.origin) * attrs.kernel[1]! + j - columns.origin
        visit(flat, ((first + i) * w + j) * c + channel, tap, padded, inside)
      }
    }
  }
}

/** x → y and the chosen taps. */
export const maxPool2dOp: Op<typeof WINDOW> = defineOp({
  name: 'maxPool2d',
  code: 112,
  inputs: ['x'],
  attrs: WINDOW,
  infer: ([x], attrs, site) => {
    checkPool(x!.shape, [x!], attrs, site)
    const shape = outputShape(x!.shape, attrs)
    return [
      { shape, dtype: x!.dtype },
      { shape, dtype: indexType(attrs) },
    ]
  },
  grad: ({ inputs: [x], outputs: [, index], gradOutputs: [dy], attrs }) => [
    dy ? apply(maxPool2dGradOp, [dy, index!], { ...attrs, size: x!.shape.slice(1, 3) }) : null,
  ],
  traits: { narrow: [0] },
  flops: (_inputs, [y], attrs) => y!.size * attrs.kernel[0]! * attrs.kernel[1]!,
  reference: ([x], attrs, [type, indexType]) => {
    const y = refArray(type!.shape, type!.dtype)
    const index = refArray(indexType!.shape, indexType!.dtype)
    y.data.fill(Number.NEGATIVE_INFINITY)
    index.data.fill(-1)
    walkWindows(x!.shape, attrs, (output, pixel, tap) => {
      const value = x!.data[pixel]!
      if (index.data[output] === -1 || value > y.data[output]! || Number.isNaN(value)) {
        y.data[output] = value
        index.data[output] = tap
      }
    })
    return [y, index]
  },
})

const SIZED = { ...WINDOW, size: 'i32x2' } as const

/** dy and the chosen taps → dx, of `size` [H, W]. */
export const maxPool2dGradOp: Op<typeof SIZED> = defineOp({
  name: 'maxPool2dGrad',
  code: 113,
  inputs: ['dy', 'index'],
  attrs: SIZED,
  infer: ([dy, index], attrs, site) => {
    const image = [dy!.shape[0]!, ...attrs.size, dy!.shape[3]!]
    checkPool(image, [dy!, index!], attrs, site)
    requireShape(dy!, outputShape(image, attrs), site)
    requireShape(index!, outputShape(image, attrs), site)
    return [{ shape: image, dtype: dy!.dtype }]
  },
  grad: ({ inputs: [, index], gradOutputs: [g], attrs }) => [
    apply(maxPool2dGatherOp, [g!, index!], poolAttrs(attrs)),
    null,
  ],
  traits: { narrow: [0] },
  reference: ([dy, index], attrs, [type]) => {
    const dx = refArray(type!.shape, type!.dtype)
    walkWindows(type!.shape, attrs, (output, pixel, tap) => {
      if (index!.data[output] === tap) dx.data[pixel]! += dy!.data[output]!
    })
    return [dx]
  },
})

/** The pixels that were chosen: the adjoint of maxPool2dGrad, and so its gradient. */
const maxPool2dGatherOp: Op<typeof WINDOW> = defineOp({
  name: 'maxPool2dGather',
  code: 114,
  inputs: ['x', 'index'],
  attrs: WINDOW,
  infer: ([x, index], attrs, site) => {
    checkPool(x!.shape, [x!, index!], attrs, site)
    requireShape(index!, outputShape(x!.shape, attrs), site)
    return [{ shape: outputShape(x!.shape, attrs), dtype: x!.dtype }]
  },
  grad: ({ inputs: [x, index], gradOutputs: [g], attrs }) => [
    apply(maxPool2dGradOp, [g!, index!], { ...attrs, size: x!.shape.slice(1, 3) }),
    null,
  ],
  traits: { narrow: [0] },
  reference: ([x, index], attrs, [type]) => {
    const y = refArray(type!.shape, type!.dtype)
    walkWindows(x!.shape, attrs, (output, pixel, tap) => {
      if (index!.data[output] === tap) y.data[output] = x!.data[pixel]!
    })
    return [y]
  },
})

const AVERAGE = { ...WINDOW, countPadding: 'i32' } as const

/** countPadding: divide by the pixels of the window with padding, not only by those inside. */
const avgPool2dOp: Op<typeof AVERAGE> = defineOp({
  name: 'avgPool2d',
  code: 115,
  inputs: ['x'],
  attrs: AVERAGE,
  infer: ([x], attrs, site) => {
    checkPool(x!.shape, [x!], attrs, site)
    return [{ shape: outputShape(x!.shape, attrs), dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy], attrs }) => [
    apply(avgPool2dGradOp, [dy!], { ...attrs, size: x!.shape.slice(1, 3) }),
  ],
  traits: { narrow: [0] },
  flops: (_inputs, [y], attrs) => y!.size * attrs.kernel[0]! * attrs.kernel[1]!,
  reference: ([x], attrs, [type]) => {
    const y = refArray(type!.shape, type!.dtype)
    walkWindows(x!.shape, attrs, (output, pixel, _tap, padded, inside) => {
      y.data[output]! += x!.data[pixel]! / (attrs.countPadding ? padded : inside)
    })
    return [y]
  },
})

const SIZED_AVERAGE = { ...AVERAGE, size: 'i32x2' } as const

/** dy → dx, of `size` [H, W]. */
const avgPool2dGradOp: Op<typeof SIZED_AVERAGE> = defineOp({
  name: 'avgPool2dGrad',
  code: 116,
  inputs: ['dy'],
  attrs: SIZED_AVERAGE,
  infer: ([dy], attrs, site) => {
    const image = [dy!.shape[0]!, ...attrs.size, dy!.shape[3]!]
    checkPool(image, [dy!], attrs, site)
    requireShape(dy!, outputShape(image, attrs), site)
    return [{ shape: image, dtype: dy!.dtype }]
  },
  grad: ({ gradOutputs: [g], attrs }) => [avgPool(g!, attrs, attrs.countPadding === 1)],
  traits: { narrow: [0] },
  flops: ([dy], _outputs, attrs) => dy!.size * attrs.kernel[0]! * attrs.kernel[1]!,
  reference: ([dy], attrs, [type]) => {
    const dx = refArray(type!.shape, type!.dtype)
    walkWindows(type!.shape, attrs, (output, pixel, _tap, padded, inside) => {
      dx.data[pixel]! += dy!.data[output]! / (attrs.countPadding ? padded : inside)
    })
    return [dx]
  },
})

function poolAttrs({ kernel, stride, padding, output, adaptive }: PoolAttrs): PoolAttrs {
  return { kernel, stride, padding, output, adaptive }
}

/** x (N,H,W,C) → (N,OH,OW,C). */
export function maxPool(x: Tensor, attrs: PoolAttrs): Tensor {
  return applyAll(maxPool2dOp, [x], poolAttrs(attrs))[0]!
}

/** x (N,H,W,C) → (N,OH,OW,C). */
export function avgPool(x: Tensor, attrs: PoolAttrs, countPadding: boolean): Tensor {
  return apply(avgPool2dOp, [x], { ...poolAttrs(attrs), countPadding: countPadding ? 1 : 0 })
}
