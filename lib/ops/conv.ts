/**
 * Convolution: the operations, on images N,H,W,C and filters R,S,C/groups,K.
 *
 *     y[n,p,q,k]  = bias[k] + Σ_{r,s,c} x[n, p·strideH - top + r·dilationH, q·strideW - left + s·dilationW, c] · w[r,s,c,k]
 *     dx[n,i,j,c] = Σ of dy[n,p,q,k] · w[r,s,c,k] over the r,s,p,q that read pixel (i, j), and k
 *     dw[r,s,c,k] = Σ_{n,p,q} x[n,i,j,c] · dy[n,p,q,k]
 *
 * Pixels outside the image count as zero. Each of the three is linear in both operands and has the other two as its
 * gradients, so derivatives of any order are made of these three. The functions users call are in conv_api.ts.
 */
import type { Value } from '../graph/graph.js'
import { refArray } from '../reference/array.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { sum } from './reduce.js'
import {
  type Attrs,
  defineOp,
  type Op,
  requireDType,
  requireMapDType,
  requireSameDType,
  type Site,
} from './registry.js'

const WINDOW = { stride: 'i32x2', padding: 'i32x4', dilation: 'i32x2' } as const
const GEOMETRY = { ...WINDOW, groups: 'i32' } as const

/** How a window slides: attributes that all operations here have. padding: top, left, bottom, right. */
export type WindowAttrs = Attrs<typeof WINDOW>
export type ConvAttrs = Attrs<typeof GEOMETRY>

/** Positions of a window of `taps` along an axis; below 1 where it does not fit. */
export function outputSize(
  size: number,
  taps: number,
  stride: number,
  dilation: number,
  before: number,
  after: number,
): number {
  return Math.floor((size + before + after - dilation * (taps - 1) - 1) / stride) + 1
}

/** [OH, OW] of a window of R, S taps over H, W pixels. */
export function outputSizes(
  [h, w]: readonly number[],
  [r, s]: readonly number[],
  { stride, padding, dilation }: WindowAttrs,
): [number, number] {
  const [top, left, bottom, right] = padding as [number, number, number, number]
  return [
    outputSize(h!, r!, stride[0]!, dilation[0]!, top, bottom),
    outputSize(w!, s!, stride[1]!, dilation[1]!, left, right),
  ]
}

interface Sizes {
  image: readonly number[] // (N, H, W, C)
  filter: readonly number[] // (R, S, C/groups, K)
  maps: readonly number[] // (N, OH, OW, K)
}

/** The three shapes of a convolution agree, or an error. */
function checkSizes({ image, filter, maps }: Sizes, attrs: ConvAttrs, operands: readonly Value[], site: Site): void {
  for (const operand of operands) requireMapDType(operand, site)
  requireSameDType(operands.slice(0, 2), site)
  const [n, h, w, c] = image as [number, number, number, number]
  const [r, s, perGroup, k] = filter as [number, number, number, number]
  if ([h, w, c, r, s, k].some((size) => size < 1)) site.fail('ERR_SHAPE', 'an image or filter axis is empty')
  if (perGroup * attrs.groups !== c || k % attrs.groups !== 0) {
    site.fail(
      'ERR_SHAPE',
      `${c} input and ${k} output channels in ${attrs.groups} groups do not match a filter of ${perGroup} channels`,
    )
  }
  const [oh, ow] = outputSizes([h, w], [r, s], attrs)
  if (oh < 1 || ow < 1) site.fail('ERR_SHAPE', `a filter of ${r} x ${s} does not fit ${h} x ${w} pixels`)
  if (maps[0] !== n || maps[1] !== oh || maps[2] !== ow || maps[3] !== k)
    site.fail('ERR_SHAPE', `output maps must be ${oh} x ${ow} with ${k} channels, got (${maps.join(', ')})`)
}

function requireRank4(values: readonly Value[], site: Site): void {
  if (values.some((v) => v.shape.length !== 4)) site.fail('ERR_SHAPE', 'images and filters have 4 dimensions')
}

/** Calls `visit` with flat positions for every output pixel (of N·OH·OW), the pixel (of N·H·W) and tap (of R·S) it reads. */
function walkTaps(
  [n, h, w]: readonly number[],
  [r, s]: readonly number[],
  [, oh, ow]: readonly number[],
  { stride, padding, dilation }: WindowAttrs,
  visit: (output: number, pixel: number, tap: number) => void,
): void {
  for (let output = 0; output < n! * oh! * ow!; output++) {
    const image = Math.floor(output / (oh! * ow!))
    const p = Math.floor(output / ow!) % oh!
    const q = output % ow!
    for (let tap = 0; tap < r! * s!; tap++) {
      const i = p * stride[0]! - padding[0]! + Math.floor(tap / s!) * dilation[0]!
      const j = q * stride[1]! - padding[1]! + (tap % s!) * dilation[1]!
      if (i >= 0 && i < h! && j >= 0 && j < w!) visit(output, (image * h! + i) * w! + j, tap)
    }
  }
}

/**
 * Calls `visit` for each output pixel, tap and group with the first positions in x, w and y of what is multiplied there:
 * `inputs` channels of x by `outputs` filters, whose rows in w are K apart. Loops over products stand with their callers: a
 * call for each would take most of the time.
 */
function walkProducts(
  { image, filter, maps }: Sizes,
  { groups, ...window }: ConvAttrs,
  visit: (x: number, w: number, y: number, inputs: number, outputs: number) => void,
): void {
  const [, , inputs, k] = filter as [number, number, number, number]
  const outputs = k / groups
  walkTaps(image, filter, maps, window, (output, pixel, tap) => {
    for (let group = 0; group < groups; group++) {
      const first = group * outputs
      visit((pixel * groups + group) * inputs, tap * inputs * k + first, output * k + first, inputs, outputs)
    }
  })
}

/** 2 per product, borders counted as if they were inside. */
function convFlops(maps: Value, filter: Value): number {
  const [r, s, c] = filter.shape as [number, number, number]
  return 2 * maps.size * r * s * c
}

/**
 * Winograd's are for 3 x 3 filters with stride 1, 'winograd' also with stride 2, dilation 1 and one group; any other
 * convolution has the default. Tensor cores are CUDA's.
 */
const VARIANTS = ['naive', 'im2col', 'implicit', 'winograd', 'winograd2x2', 'tensorcore', 'cudnn'] as const

const CONV2D_ATTRS = { ...GEOMETRY, activation: 'i32' } as const

export const conv2dOp: Op<typeof CONV2D_ATTRS> = defineOp({
  name: 'conv2d',
  code: 104,
  inputs: ['x', 'weight', 'bias?'],
  attrs: CONV2D_ATTRS,
  infer: (inputs, attrs, site) => {
    const [x, weight, bias] = inputs
    requireRank4([x!, weight!], site)
    const k = weight!.shape[3]!
    const maps = [x!.shape[0]!, ...outputSizes(x!.shape.slice(1, 3), weight!.shape, attrs), k]
    checkSizes({ image: x!.shape, filter: weight!.shape, maps }, attrs, inputs, site)
    if (bias && (bias.shape.length !== 1 || bias.shape[0] !== k)) site.fail('ERR_SHAPE', `bias must have shape (${k},)`)
    return [{ shape: maps, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x, weight, bias], gradOutputs: [dy], attrs, needs }) => [
    needs[0] ? convGradInput(dy!, weight!, x!.shape.slice(1, 3), attrs) : null,
    needs[1] ? convGradWeight(x!, dy!, weight!.shape.slice(0, 2), attrs) : null,
    ...(bias ? [needs[2] ? sum(dy!, { axes: [0, 1, 2] }) : null] : []),
  ],
  traits: { product: true, filter: ['inputs', 1], epilogue: true, narrow: [0, 1] },
  variants: VARIANTS,
  flops: ([, weight], [y]) => convFlops(y!, weight!),
  reference: ([x, weight, bias], attrs, [type]) => {
    const y = refArray(type!.shape, type!.dtype)
    const k = type!.shape[3]!
    if (bias) for (let i = 0; i < y.data.length; i++) y.data[i] = bias.data[i % k]!
    const [from, w, to] = [x!.data, weight!.data, y.data]
    walkProducts(
      { image: x!.shape, filter: weight!.shape, maps: type!.shape },
      attrs,
      (xAt, wAt, yAt, inputs, outputs) => {
        for (let i = 0; i < inputs; i++) {
          for (let o = 0; o < outputs; o++) to[yAt + o]! += from[xAt + i]! * w[wAt + i * k + o]!
        }
      },
    )
    if (attrs.activation === 1) for (let i = 0; i < y.data.length; i++) y.data[i] = Math.max(y.data[i]!, 0)
    return [y]
  },
})

const GRAD_INPUT_ATTRS = { ...GEOMETRY, size: 'i32x2' } as const

/** `size`: [H, W] of the image, which the output maps alone do not tell. */
export const conv2dGradInputOp: Op<typeof GRAD_INPUT_ATTRS> = defineOp({
  name: 'conv2dGradInput',
  code: 105,
  inputs: ['dy', 'weight'],
  attrs: GRAD_INPUT_ATTRS,
  infer: (inputs, attrs, site) => {
    const [dy, weight] = inputs
    requireRank4(inputs, site)
    const image = [dy!.shape[0]!, ...attrs.size, weight!.shape[2]! * attrs.groups]
    checkSizes({ image, filter: weight!.shape, maps: dy!.shape }, attrs, inputs, site)
    return [{ shape: image, dtype: dy!.dtype }]
  },
  grad: ({ inputs: [dy, weight], gradOutputs: [g], attrs, needs }) => [
    needs[0] ? conv(g!, weight!, attrs) : null,
    needs[1] ? convGradWeight(g!, dy!, weight!.shape.slice(0, 2), attrs) : null,
  ],
  variants: VARIANTS,
  variantsOf: 'conv2d',
  traits: { product: true, filter: ['inputs', 1], narrow: [0, 1] },
  flops: ([dy, weight]) => convFlops(dy!, weight!),
  reference: ([dy, weight], attrs, [type]) => {
    const dx = refArray(type!.shape, type!.dtype)
    const [from, w, to, k] = [dy!.data, weight!.data, dx.data, weight!.shape[3]!]
    walkProducts(
      { image: type!.shape, filter: weight!.shape, maps: dy!.shape },
      attrs,
      (xAt, wAt, yAt, inputs, outputs) => {
        for (let i = 0; i < inputs; i++) {
          for (let o = 0; o < outputs; o++) to[xAt + i]! += from[yAt + o]! * w[wAt + i * k + o]!
        }
      },
    )
    return [dx]
  },
})

const GRAD_WEIGHT_ATTRS = { ...GEOMETRY, kernel: 'i32x2' } as const

/** `kernel`: [R, S]. */
export const conv2dGradWeightOp: Op<typeof GRAD_WEIGHT_ATTRS> = defineOp({
  name: 'conv2dGradWeight',
  code: 106,
  inputs: ['x', 'dy'],
  attrs: GRAD_WEIGHT_ATTRS,
  infer: (inputs, attrs, site) => {
    const [x, dy] = inputs
    requireRank4(inputs, site)
    const filter = [...attrs.kernel, Math.floor(x!.shape[3]! / attrs.groups), dy!.shape[3]!]
    checkSizes({ image: x!.shape, filter, maps: dy!.shape }, attrs, inputs, site)
    return [{ shape: filter, dtype: x!.dtype }]
  },
  grad: ({ inputs: [x, dy], gradOutputs: [g], attrs, needs }) => [
    needs[0] ? convGradInput(dy!, g!, x!.shape.slice(1, 3), attrs) : null,
    needs[1] ? conv(x!, g!, attrs) : null,
  ],
  variants: VARIANTS,
  variantsOf: 'conv2d',
  traits: { product: true, filter: ['outputs', 0], narrow: [0, 1] },
  flops: ([, dy], [dw]) => convFlops(dy!, dw!),
  reference: ([x, dy], attrs, [type]) => {
    const dw = refArray(type!.shape, type!.dtype)
    const [from, other, to, k] = [x!.data, dy!.data, dw.data, type!.shape[3]!]
    walkProducts({ image: x!.shape, filter: type!.shape, maps: dy!.shape }, attrs, (xAt, wAt, yAt, inputs, outputs) => {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) to[wAt + i * k + o]! += from[xAt + i]! * other[yAt + o]!
      }
    })
    return [dw]
  },
})

const IM2COL_ATTRS = { ...WINDOW, kernel: 'i32x2' } as const

/** x (N, H, W, C) → columns (N, OH, OW, R, S, C): for every output pixel the pixels that its window covers. */
export const im2colOp: Op<typeof IM2COL_ATTRS> = defineOp({
  name: 'im2col',
  code: 107,
  inputs: ['x'],
  attrs: IM2COL_ATTRS,
  infer: ([x], attrs, site) => {
    requireRank4([x!], site)
    requireDType(x!, site, 'float32')
    return [{ shape: columnsShape(x!.shape, attrs, site), dtype: x!.dtype }]
  },
  grad: ({ inputs: [x], gradOutputs: [dy], attrs }) => [
    apply(col2imOp, [dy!], { ...attrs, size: x!.shape.slice(1, 3) }),
  ],
  reference: ([x], attrs, [type]) => {
    const columns = refArray(type!.shape, type!.dtype)
    walkColumns(x!.shape, type!.shape, attrs, (xi, ci) => {
      columns.data[ci] = x!.data[xi]!
    })
    return [columns]
  },
})

const COL2IM_ATTRS = { ...IM2COL_ATTRS, size: 'i32x2' } as const

/** The adjoint of im2col: columns (N, OH, OW, R, S, C) summed into the pixels (N, H, W, C) they came from. */
export const col2imOp: Op<typeof COL2IM_ATTRS> = defineOp({
  name: 'col2im',
  code: 108,
  inputs: ['columns'],
  attrs: COL2IM_ATTRS,
  infer: ([columns], attrs, site) => {
    const { shape, dtype } = columns!
    if (shape.length !== 6) site.fail('ERR_SHAPE', 'columns have 6 dimensions')
    requireDType(columns!, site, 'float32')
    const image = [shape[0]!, ...attrs.size, shape[5]!]
    const wanted = columnsShape(image, attrs, site)
    if (wanted.some((dim, axis) => dim !== shape[axis])) {
      site.fail('ERR_SHAPE', `columns of ${attrs.size.join(' x ')} pixels must be (${wanted.join(', ')})`)
    }
    return [{ shape: image, dtype }]
  },
  grad: ({ gradOutputs: [dx], attrs }) => {
    const { stride, padding, dilation, kernel } = attrs
    return [apply(im2colOp, [dx!], { stride, padding, dilation, kernel })]
  },
  flops: ([columns]) => columns!.size,
  reference: ([columns], attrs, [type]) => {
    const x = refArray(type!.shape, type!.dtype)
    walkColumns(type!.shape, columns!.shape, attrs, (xi, ci) => {
      x.data[xi]! += columns!.data[ci]!
    })
    return [x]
  },
})

function columnsShape(image: readonly number[], attrs: Attrs<typeof IM2COL_ATTRS>, site: Site): number[] {
  const [n, h, w, c] = image as [number, number, number, number]
  const [oh, ow] = outputSizes([h, w], attrs.kernel, attrs)
  if (c < 1 || oh < 1 || ow < 1) {
    site.fail('ERR_SHAPE', `a window of ${attrs.kernel.join(' x ')} does not fit ${h} x ${w} pixels of ${c} channels`)
  }
  return [n, oh, ow, ...attrs.kernel, c]
}

function walkColumns(
  image: readonly number[],
  columns: readonly number[],
  attrs: Attrs<typeof IM2COL_ATTRS>,
  visit: (x: number, column: number) => void,
): void {
  const c = image[3]!
  const taps = attrs.kernel[0]! * attrs.kernel[1]!
  walkTaps(image, attrs.kernel, columns, attrs, (output, pixel, tap) => {
    for (let i = 0; i < c; i++) visit(pixel * c + i, (output * taps + tap) * c + i)
  })
}

function geometry({ stride, padding, dilation, groups }: ConvAttrs): ConvAttrs {
  return { stride, padding, dilation, groups }
}

/** x (N,H,W,C), weight (R,S,C/groups,K), bias (K) → (N,OH,OW,K). */
export function conv(x: Tensor, weight: Tensor, attrs: ConvAttrs, bias?: Tensor | null): Tensor {
  return apply(conv2dOp, bias ? [x, weight, bias] : [x, weight], { ...geometry(attrs), activation: 0 })
}

/** dy (N,OH,OW,K), weight (R,S,C/groups,K) → (N,H,W,C). */
export function convGradInput(dy: Tensor, weight: Tensor, size: readonly number[], attrs: ConvAttrs): Tensor {
  return apply(conv2dGradInputOp, [dy, weight], { ...geometry(attrs), size })
}

/** x (N,H,W,C), dy (N,OH,OW,K) → (R,S,C/groups,K). */
function convGradWeight(x: Tensor, dy: Tensor, kernel: readonly number[], attrs: ConvAttrs): Tensor {
  return apply(conv2dGradWeightOp, [x, dy], { ...geometry(attrs), kernel })
}
