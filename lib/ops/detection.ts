/**
 * What object detection needs besides convolutions, as torchvision has it. A box is [x1, y1, x2, y2], x along the
 * columns of the image; a region of interest is [image, x1, y1, x2, y2] in pixels of the image, of which a feature map
 * shows `spatialScale` times as many. Coordinates are constants: gradients flow to features only (and through boxIou).
 */
import { fromData } from '../create.js'
import { describeGiven, ForjaError } from '../errors.js'
import type { Value } from '../graph/graph.js'
import { checkOptions } from '../options.js'
import { type RefArray, refArray } from '../reference/array.js'
import { evaluate } from '../runtime/evaluate.js'
import { formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply, applyAll } from './apply.js'
import { topK } from './axis.js'
import { requireTensors } from './check_call.js'
import { less, where } from './compare.js'
import { add, div, maximum, minimum, mul, sub } from './elementwise.js'
import { type Pair, pairOf, requireRank, toChannelsFirst, toChannelsLast } from './image.js'
import { gather, putAlongAxis } from './indexing.js'
import { refuse } from './refuse.js'
import { type Attrs, defineOp, type Op, requireDType, type Site } from './registry.js'
import { reshape, transpose } from './shape.js'
import { split } from './slice.js'

/** Regions whose coordinates, scaled, lie further out are refused (kFarthest of native/cpu/detection.cc). */
const FARTHEST = 2 ** 16

function requireBoxes(name: string, what: string, boxes: Tensor): void {
  if (boxes.rank !== 2 || boxes.shape[1] !== 4) {
    refuse(name, 'ERR_SHAPE', `${what} must be (N, 4), got shape ${formatShape(boxes.shape)}`)
  }
  if (boxes.dtype !== 'float32') {
    refuse(name, 'ERR_DTYPE', `${what} must be float32, got ${boxes.dtype}`, 'use cast()')
  }
}

/**
 * Intersection over union of every box of a (N, 4) with every box of b (M, 4): (N, M). NaN for two empty boxes.
 *
 * @throws ERR_SHAPE, ERR_DTYPE for operands that are no float32 boxes
 */
export function boxIou(a: Tensor, b: Tensor): Tensor {
  requireTensors('boxIou', { a, b })
  requireBoxes('boxIou', 'a', a)
  requireBoxes('boxIou', 'b', b)
  const columns = (boxes: Tensor, axis: 0 | 1) =>
    split(boxes, 4, { axis: 1 }).map((c) => (axis === 0 ? c : reshape(c, [1, boxes.shape[0]!]))) as Corners
  const [p, q] = [columns(a, 0), columns(b, 1)]
  const extent = (low: number) => maximum(sub(minimum(p[low + 2]!, q[low + 2]!), maximum(p[low]!, q[low]!)), 0)
  const intersection = mul(extent(0), extent(1))
  return div(intersection, sub(add(area(p), area(q)), intersection))
}

type Corners = [x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor]

function area([x1, y1, x2, y2]: Corners): Tensor {
  return mul(sub(x2, x1), sub(y2, y1))
}

/** boxes (4, N), best first, and their own indices (N) → indices of those that are kept, then -1, and their count. */
const nmsOp = defineOp({
  name: 'nms',
  code: 256,
  inputs: ['boxes', 'order'],
  attrs: { iouThreshold: 'f32' },
  infer: ([boxes, order], _attrs, site) => {
    if (boxes!.shape.length !== 2 || boxes!.shape[0] !== 4 || order!.size !== boxes!.shape[1]) {
      site.fail('ERR_SHAPE', 'boxes (4, N) and their order (N,) expected')
    }
    if (boxes!.dtype !== 'float32' || order!.dtype !== 'int32') site.fail('ERR_DTYPE', 'float32 and int32 expected')
    return [order!.type, { shape: [], dtype: 'int32' }]
  },
  grad: null,
  flops: ([, order]) => 8 * order!.size ** 2,
  reference: ([boxes, order], { iouThreshold }, types) => {
    const [indices, count] = types.map((t) => refArray(t.shape, t.dtype)) as [RefArray, RefArray]
    const n = order!.data.length
    const box = (i: number) => [0, 1, 2, 3].map((row) => boxes!.data[row * n + i]!)
    const kept: number[] = []
    for (let i = 0; i < n; i++) {
      if (kept.every((k) => !(iouOf(box(k), box(i)) > iouThreshold))) kept.push(i)
    }
    indices.data.fill(-1)
    for (const [at, i] of kept.entries()) indices.data[at] = order!.data[i]!
    count.data[0] = kept.length
    return [indices, count]
  },
})

function iouOf(a: readonly number[], b: readonly number[]): number {
  const extent = (low: number) => Math.max(0, Math.min(a[low + 2]!, b[low + 2]!) - Math.max(a[low]!, b[low]!))
  const size = (c: readonly number[]) => (c[2]! - c[0]!) * (c[3]! - c[1]!)
  const intersection = extent(0) * extent(1)
  return intersection / (size(a) + size(b) - intersection)
}

export interface NmsOptions {
  /** A box goes where it overlaps a better one by more than this. Default 0.5. */
  iouThreshold?: number
}

/**
 * Non-maximum suppression for compiled functions, whose shapes are fixed: indices (N,) int32 of the boxes (N, 4) that
 * are kept, best score (N,) first, then -1 to the end; count, their number.
 *
 * @throws ERR_SHAPE, ERR_DTYPE for operands that are no float32 boxes and scores; ERR_ARGUMENT for the threshold
 */
export function nmsPadded(boxes: Tensor, scores: Tensor, options: NmsOptions = {}): { indices: Tensor; count: Tensor } {
  requireTensors('nms', { boxes, scores })
  const { iouThreshold = 0.5 } = checkOptions('nms', options, ['iouThreshold'])
  requireBoxes('nms', 'boxes', boxes)
  if (scores.rank !== 1 || scores.shape[0] !== boxes.shape[0] || scores.dtype !== 'float32') {
    const text = `scores must be float32 (${boxes.shape[0]},), got ${scores.dtype} ${formatShape(scores.shape)}`
    throw new ForjaError(scores.dtype === 'float32' ? 'ERR_SHAPE' : 'ERR_DTYPE', `nms: ${text}`)
  }
  if (!(iouThreshold >= 0 && iouThreshold <= 1)) {
    throw new ForjaError('ERR_ARGUMENT', `nms: iouThreshold is ${describeGiven(iouThreshold)}, expected 0..1`)
  }
  const order = topK(scores, { k: scores.size }).indices
  const sorted = transpose(gather(boxes, order))
  const [indices, count] = applyAll(nmsOp, [sorted, order], { iouThreshold: Math.fround(iouThreshold) })
  return { indices: indices!, count: count! }
}

/**
 * Non-maximum suppression: indices (int32) of the boxes (N, 4) that do not overlap a better one by more than
 * `iouThreshold`, best score (N,) first. How many are kept is known once it has run, hence a promise; in compiled
 * functions `nmsPadded`. Errors as nmsPadded's.
 */
export async function nms(boxes: Tensor, scores: Tensor, options: NmsOptions = {}): Promise<Tensor> {
  const { indices, count } = nmsPadded(boxes, scores, options)
  const [kept, [n]] = (await evaluate([indices.value, count.value])) as [Int32Array, Int32Array]
  return fromData(kept.slice(0, n), [n!], 'int32')
}

const ROI = { output: 'i32x2', spatialScale: 'f32' } as const
const ALIGN = { ...ROI, samplingRatio: 'i32', aligned: 'i32' } as const

/** Types of images (N, H, W, C) and regions (K, 5); the shape of the result (K, OH, OW, C). */
function inferRois(image: readonly number[], rois: Value, { output }: Attrs<typeof ROI>, site: Site): number[] {
  if (image.length !== 4) site.fail('ERR_SHAPE', 'images have 4 dimensions')
  if (rois.shape.length !== 2 || rois.shape[1] !== 5) {
    site.fail('ERR_SHAPE', 'rois must be (K, 5), each [image, x1, y1, x2, y2]')
  }
  return [rois.shape[0]!, output[0]!, output[1]!, image[3]!]
}

/** The image of region k and its scaled coordinates: the texts kernels raise too. */
function regionOf(rois: RefArray, k: number, images: number, scale: number) {
  const [image, ...box] = [...rois.data.subarray(k * 5, k * 5 + 5)] as [number, number, number, number, number]
  if (!(Number.isInteger(image) && image >= 0 && image < images)) {
    throw new ForjaError('ERR_ARGUMENT', `rois[${k}] names image ${image}, expected 0..${images - 1}`)
  }
  const scaled = box.map((v) => v * scale)
  if (!scaled.every((v) => Math.abs(v) <= FARTHEST)) {
    throw new ForjaError('ERR_ARGUMENT', `rois[${k}] lies more than ${FARTHEST} pixels away`)
  }
  return { image, box: scaled as [number, number, number, number] }
}

/** Calls `visit` with each output pixel (without channels), each input pixel that it reads, and that one's weight. */
function walkAligned(
  image: readonly number[],
  rois: RefArray,
  attrs: Attrs<typeof ALIGN>,
  visit: (output: number, pixel: number, weight: number) => void,
): void {
  const [n, h, w] = image as [number, number, number, number]
  const [oh, ow] = attrs.output as [number, number]
  const offset = attrs.aligned ? 0.5 : 0
  for (let k = 0; k < rois.shape[0]!; k++) {
    const region = regionOf(rois, k, n, attrs.spatialScale)
    const [x1, y1, x2, y2] = region.box.map((v) => v - offset) as [number, number, number, number]
    const rows = samplesOf(y1, y2, oh, attrs)
    const columns = samplesOf(x1, x2, ow, attrs)
    const share = 1 / Math.max(1, rows.count * columns.count)
    for (let p = 0; p < oh; p++) {
      for (let q = 0; q < ow; q++) {
        for (let i = 0; i < rows.count; i++) {
          for (let j = 0; j < columns.count; j++) {
            const [y, x] = [rows.at(p, i), columns.at(q, j)]
            if (y < -1 || y > h || x < -1 || x > w) continue
            for (const [row, a] of neighbours(y, h)) {
              for (const [column, b] of neighbours(x, w)) {
                visit((k * oh + p) * ow + q, (region.image * h + row) * w + column, a * b * share)
              }
            }
          }
        }
      }
    }
  }
}

/** Where the samples of an axis lie that is cut into `bins`. */
function samplesOf(start: number, end: number, bins: number, { samplingRatio, aligned }: Attrs<typeof ALIGN>) {
  const size = aligned ? end - start : Math.max(end - start, 1)
  const count = samplingRatio > 0 ? samplingRatio : Math.max(0, Math.ceil(size / bins))
  return { count, at: (bin: number, i: number) => start + (size / bins) * (bin + (i + 0.5) / count) }
}

/** The pixels on both sides of coordinate v and their weights. */
function neighbours(v: number, size: number): [pixel: number, weight: number][] {
  const inside = Math.min(Math.max(v, 0), size - 1)
  const low = Math.floor(inside)
  return [
    [low, 1 - (inside - low)],
    [Math.min(low + 1, size - 1), inside - low],
  ]
}

/** x (N, H, W, C), rois (K, 5) → (K, OH, OW, C). */
const roiAlignOp: Op<typeof ALIGN> = defineOp({
  name: 'roiAlign',
  code: 257,
  inputs: ['x', 'rois'],
  attrs: ALIGN,
  infer: ([x, rois], attrs, site) => {
    for (const operand of [x!, rois!]) requireDType(operand, site, 'float32')
    return [{ shape: inferRois(x!.shape, rois!, attrs, site), dtype: x!.dtype }]
  },
  grad: ({ inputs: [x, rois], gradOutputs: [dy], attrs }) => [
    apply(roiAlignGradOp, [dy!, rois!], { ...attrs, image: x!.shape.slice(0, 3) }),
    null,
  ],
  flops: (_inputs, [y], { samplingRatio }) => 8 * y!.size * Math.max(1, samplingRatio) ** 2,
  reference: ([x, rois], attrs, [type]) => {
    const y = refArray(type!.shape, type!.dtype)
    const c = x!.shape[3]!
    walkAligned(x!.shape, rois!, attrs, (output, pixel, weight) => {
      for (let k = 0; k < c; k++) y.data[output * c + k]! += weight * x!.data[pixel * c + k]!
    })
    return [y]
  },
})

const ALIGN_GRAD = { ...ALIGN, image: 'i32[]' } as const

/** dy (K, OH, OW, C), rois (K, 5) → dx (...image, C), image [N, H, W]. */
const roiAlignGradOp: Op<typeof ALIGN_GRAD> = defineOp({
  name: 'roiAlignGrad',
  code: 258,
  inputs: ['dy', 'rois'],
  attrs: ALIGN_GRAD,
  infer: ([dy, rois], attrs, site) => {
    for (const operand of [dy!, rois!]) requireDType(operand, site, 'float32')
    const image = [...attrs.image, dy!.shape[3]!]
    const shape = inferRois(image, rois!, attrs, site)
    if (dy!.shape.some((dim, axis) => dim !== shape[axis])) site.fail('ERR_SHAPE', `${formatShape(shape)} expected`)
    return [{ shape: image, dtype: dy!.dtype }]
  },
  grad: ({ inputs: [, rois], gradOutputs: [g], attrs: { image: _, ...attrs } }) => [
    apply(roiAlignOp, [g!, rois!], attrs),
    null,
  ],
  flops: ([dy], _outputs, { samplingRatio }) => 8 * dy!.size * Math.max(1, samplingRatio) ** 2,
  reference: ([dy, rois], attrs, [type]) => {
    const dx = refArray(type!.shape, type!.dtype)
    const c = dy!.shape[3]!
    walkAligned(type!.shape, rois!, attrs, (output, pixel, weight) => {
      for (let k = 0; k < c; k++) dx.data[pixel * c + k]! += weight * dy!.data[output * c + k]!
    })
    return [dx]
  },
})

/** x (N, H, W, C), rois (K, 5) → largest pixels (K, OH, OW, C) and their positions in (N, H, W), -1 where there is none. */
const roiPoolOp = defineOp({
  name: 'roiPool',
  code: 259,
  inputs: ['x', 'rois'],
  attrs: ROI,
  infer: ([x, rois], attrs, site) => {
    for (const operand of [x!, rois!]) requireDType(operand, site, 'float32')
    const shape = inferRois(x!.shape, rois!, attrs, site)
    return [
      { shape, dtype: x!.dtype },
      { shape, dtype: 'int32' },
    ]
  },
  grad: ({ inputs: [x], outputs: [y, index], gradOutputs: [dy] }) => {
    if (!dy) return [null, null]
    const [n, h, w, c] = x!.shape as [number, number, number, number]
    const rows = (t: Tensor) => reshape(t, [y!.size / Math.max(1, c), c])
    const empty = less(rows(index!), 0)
    const dx = putAlongAxis(maximum(rows(index!), 0), where(empty, 0, rows(dy)), { axis: 0, length: n * h * w })
    return [reshape(dx, x!.shape), null]
  },
  reference: ([x, rois], attrs, types) => {
    const [y, index] = types.map((t) => refArray(t.shape, t.dtype)) as [RefArray, RefArray]
    const [n, h, w, c] = x!.shape as [number, number, number, number]
    const [oh, ow] = attrs.output as [number, number]
    index.data.fill(-1)
    for (let at = 0; at < y.data.length; at++) {
      const [channel, q, p] = [at % c, Math.floor(at / c) % ow, Math.floor(at / (c * ow)) % oh]
      const region = regionOf(rois!, Math.floor(at / (c * ow * oh)), n, attrs.spatialScale)
      const [x1, y1, x2, y2] = region.box.map(roundAway) as [number, number, number, number]
      const rows = binOf(y1, y2, oh, p, h)
      const columns = binOf(x1, x2, ow, q, w)
      for (let i = rows.begin; i < rows.end; i++) {
        for (let j = columns.begin; j < columns.end; j++) {
          const pixel = (region.image * h + i) * w + j
          const value = x!.data[pixel * c + channel]!
          if (index.data[at] === -1 || value > y.data[at]! || Number.isNaN(value)) {
            y.data[at] = value
            index.data[at] = pixel
          }
        }
      }
    }
    return [y, index]
  },
})

/** Halves away from zero, as C's round. */
function roundAway(v: number): number {
  return Math.sign(v) * Math.floor(Math.abs(v) + 0.5)
}

/** Pixels [begin, end) of a bin, cut to the image. */
function binOf(start: number, end: number, bins: number, bin: number, size: number) {
  const length = Math.max(end - start + 1, 1) / bins
  const cut = (v: number) => Math.min(Math.max(v + start, 0), size)
  return { begin: cut(Math.floor(bin * length)), end: cut(Math.ceil((bin + 1) * length)) }
}

export interface RoiPoolOptions {
  /** [OH, OW]: bins that each region is cut into. */
  outputSize: Pair
  /** Feature-map pixels for one of the image, such as 1/16. Default 1. */
  spatialScale?: number
}

export interface RoiAlignOptions extends RoiPoolOptions {
  /** Samples along each side of a bin; 0 or less: as many as it has pixels, rounded up. Default -1. */
  samplingRatio?: number
  /** Move coordinates by half a pixel, so that they mean pixels' centres. Default false. */
  aligned?: boolean
}

function roiAttrs(name: string, x: Tensor, options: RoiPoolOptions): Attrs<typeof ROI> {
  requireRank(name, 'input', x, 'N, C, H, W')
  if (x.shape[2]! < 1 || x.shape[3]! < 1) refuse(name, 'ERR_SHAPE', `the image has shape ${formatShape(x.shape)}`)
  const { spatialScale = 1 } = options
  if (!(spatialScale > 0 && spatialScale <= FARTHEST)) {
    refuse(name, 'ERR_ARGUMENT', `spatialScale must be a positive number, got ${describeGiven(spatialScale)}`)
  }
  const output = pairOf(name, 'outputSize', options.outputSize, 1)
  return { output, spatialScale: Math.fround(spatialScale) }
}

/**
 * Means of bilinear samples of x (N, C, H, W) in OH x OW bins of every region of rois (K, 5): (K, C, OH, OW).
 *
 * @throws ERR_SHAPE, ERR_DTYPE for operands that do not fit; ERR_ARGUMENT for bad options, and when the program runs on
 *   a region of an image that is not there or one that lies absurdly far out
 */
export function roiAlign(x: Tensor, rois: Tensor, options: RoiAlignOptions): Tensor {
  requireTensors('roiAlign', { x, rois })
  const known = ['outputSize', 'spatialScale', 'samplingRatio', 'aligned'] as const
  const { samplingRatio = -1, aligned = false } = checkOptions('roiAlign', options, known)
  const attrs = roiAttrs('roiAlign', x, options)
  if (!Number.isInteger(samplingRatio) || samplingRatio > 1024) {
    refuse(
      'roiAlign',
      'ERR_ARGUMENT',
      `samplingRatio must be an integer up to 1024, got ${describeGiven(samplingRatio)}`,
    )
  }
  const all = { ...attrs, samplingRatio: Math.max(samplingRatio, 0), aligned: aligned ? 1 : 0 }
  return toChannelsFirst(apply(roiAlignOp, [toChannelsLast(x), rois], all))
}

/**
 * The largest pixel of x (N, C, H, W) in OH x OW bins of every region of rois (K, 5), 0 where a bin has none:
 * (K, C, OH, OW). Errors as roiAlign's.
 */
export function roiPool(x: Tensor, rois: Tensor, options: RoiPoolOptions): Tensor {
  requireTensors('roiPool', { x, rois })
  checkOptions('roiPool', options, ['outputSize', 'spatialScale'])
  return toChannelsFirst(applyAll(roiPoolOp, [toChannelsLast(x), rois], roiAttrs('roiPool', x, options))[0]!)
}
