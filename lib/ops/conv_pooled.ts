/**
 * The gradients of a convolution that max pooling follows, without the gradient of its maps in between: of a window only
 * the number that was chosen has one, so three quarters of the products with windows of 2 x 2 are with zeros. Made by
 * lib/passes/pooled.ts.
 */
import type { Value } from '../graph/graph.js'
import { type RefArray, refArray } from '../reference/array.js'
import { sameShape } from '../shape.js'
import { RELU_GRAD } from './activation.js'
import { outputSizes } from './conv.js'
import { type AttrRecord, type Attrs, defineOp, type Op, type Site } from './registry.js'

/** Of the convolution (one group, no dilation), its maps' size [OH, OW], and of the windows over them. */
export const WINDOWS = {
  stride: 'i32x2',
  padding: 'i32x4',
  size: 'i32x2',
  window: 'i32x2',
  windowStride: 'i32x2',
  windowPadding: 'i32x4',
} as const
/**
 * The filter's size; and 1 where a core's cache holds all patches of an image side by side, 0 where a kernel should
 * leave them where they lie. That changes no bit of the result.
 */
const GRAD_WEIGHT_ATTRS = { ...WINDOWS, kernel: 'i32x2', fitsCore: 'i32' } as const
/** The image's size, and whether it is what a ReLU gave, whose gradient is wanted then. */
const GRAD_INPUT_ATTRS = { ...WINDOWS, image: 'i32x2', activation: 'i32' } as const

type Windows = Attrs<typeof WINDOWS>

/** Whether these attributes are those of a convolution of one group without dilation, and of windows of one size. */
export function isPlain(conv: AttrRecord, windows: AttrRecord): boolean {
  return conv.groups === 1 && (conv.dilation as readonly number[]).every((d) => d === 1) && windows.adaptive === 0
}

/** Of a convolution, of windows over its maps, and the maps' size. */
export function windowsOver(conv: AttrRecord, windows: AttrRecord, size: readonly number[]) {
  return {
    stride: conv.stride!,
    padding: conv.padding!,
    size,
    window: windows.kernel!,
    windowStride: windows.stride!,
    windowPadding: windows.padding!,
  }
}

function checkWindows(
  { image, filter, dp, index }: Record<'image' | 'filter', readonly number[]> & Record<'dp' | 'index', Value>,
  attrs: Windows,
  site: Site,
): void {
  if (dp.dtype !== 'float32' || index.dtype !== 'uint8') {
    site.fail('ERR_DTYPE', `float32 and uint8 expected, got ${dp.dtype} and ${index.dtype}`)
  }
  const [oh, ow] = outputSizes(image, filter, { ...attrs, dilation: [1, 1] })
  if (oh !== attrs.size[0] || ow !== attrs.size[1]) {
    site.fail('ERR_SHAPE', `maps are ${oh} x ${ow}, not ${attrs.size.join(' x ')}`)
  }
}

function requireImages(images: readonly Value[], site: Site): void {
  if (images.some(({ shape }) => shape.length !== 4)) site.fail('ERR_SHAPE', 'images have 4 dimensions')
}

/** Offsets in image (N,H,W,C), filter (R,S,C,K) and dp of all products; a tap that is none of the maps has no product. */
function walkChosen(
  image: readonly number[],
  filter: readonly number[],
  { dp, index }: Record<'dp' | 'index', RefArray>,
  attrs: Windows,
  visit: (imageAt: number, filterAt: number, dpAt: number) => void,
): void {
  const [, h, w, c] = image as [number, number, number, number]
  const [r, s, , k] = filter as [number, number, number, number]
  const [, ph, pw] = dp.shape as [number, number, number, number]
  for (let at = 0; at < dp.data.length; at++) {
    const [q, p, n] = [Math.floor(at / k) % pw, Math.floor(at / (k * pw)) % ph, Math.floor(at / (k * pw * ph))]
    const tap = index.data[at]!
    const row = p * attrs.windowStride[0]! - attrs.windowPadding[0]! + Math.floor(tap / attrs.window[1]!)
    const column = q * attrs.windowStride[1]! - attrs.windowPadding[1]! + (tap % attrs.window[1]!)
    if (tap >= attrs.window[0]! * attrs.window[1]!) continue
    if (row < 0 || row >= attrs.size[0]! || column < 0 || column >= attrs.size[1]!) continue
    for (let part = 0; part < r * s * c; part++) {
      const i = row * attrs.stride[0]! - attrs.padding[0]! + Math.floor(part / (s * c))
      const j = column * attrs.stride[1]! - attrs.padding[1]! + (Math.floor(part / c) % s)
      if (i < 0 || i >= h || j < 0 || j >= w) continue
      visit(((n * h + i) * w + j) * c + (part % c), part * k + (at % k), at)
    }
  }
}

/** x (N,H,W,C), dp (N,PH,PW,K), index (N,PH,PW,K): the tap of the window that was chosen → dw (R,S,C,K). */
export const conv2dPooledGradWeightOp: Op<typeof GRAD_WEIGHT_ATTRS> = defineOp({
  name: 'conv2dPooledGradWeight',
  code: 109,
  inputs: ['x', 'dp', 'index'],
  attrs: GRAD_WEIGHT_ATTRS,
  infer: ([x, dp, index], attrs, site) => {
    requireImages([x!, dp!], site)
    checkWindows({ image: x!.shape.slice(1, 3), filter: attrs.kernel, dp: dp!, index: index! }, attrs, site)
    return [{ shape: [...attrs.kernel, x!.shape[3]!, dp!.shape[3]!], dtype: x!.dtype }]
  },
  grad: null,
  traits: { product: true, internal: true },
  flops: ([, dp], [dw]) => 2 * dp!.size * (dw!.size / dp!.shape[3]!),
  reference: ([x, dp, index], attrs, [type]) => {
    const dw = refArray(type!.shape, type!.dtype)
    walkChosen(x!.shape, dw.shape, { dp: dp!, index: index! }, attrs, (imageAt, filterAt, dpAt) => {
      dw.data[filterAt]! += dp!.data[dpAt]! * x!.data[imageAt]!
    })
    return [dw]
  },
})

/**
 * dp (N,PH,PW,K), weight (R,S,C,K), index (N,PH,PW,K): the tap of the window that was chosen → dx (N,H,W,C); with the
 * activation reluGrad and y (N,H,W,C), ReLU's result, 0 where that is 0.
 */
export const conv2dPooledGradInputOp: Op<typeof GRAD_INPUT_ATTRS> = defineOp({
  name: 'conv2dPooledGradInput',
  code: 111,
  inputs: ['dp', 'weight', 'index', 'y?'],
  attrs: GRAD_INPUT_ATTRS,
  infer: ([dp, weight, index, y], attrs, site) => {
    requireImages([dp!, weight!], site)
    if (dp!.shape[3] !== weight!.shape[3]) site.fail('ERR_SHAPE', 'pooled maps and filters differ in channels')
    checkWindows({ image: attrs.image, filter: weight!.shape.slice(0, 2), dp: dp!, index: index! }, attrs, site)
    const dx = { shape: [dp!.shape[0]!, ...attrs.image, weight!.shape[2]!], dtype: dp!.dtype }
    if (attrs.activation !== (y ? RELU_GRAD : 0) || (y && !(y.dtype === dx.dtype && sameShape(y.shape, dx.shape)))) {
      site.fail('ERR_INTERNAL', "the gradient of ReLU needs its result, which is like the image's")
    }
    return [dx]
  },
  grad: null,
  traits: { product: true, masked: 3, internal: true },
  flops: ([dp, weight]) => 2 * dp!.size * (weight!.size / dp!.shape[3]!),
  reference: ([dp, weight, index, y], attrs, [type]) => {
    const dx = refArray(type!.shape, type!.dtype)
    walkChosen(dx.shape, weight!.shape, { dp: dp!, index: index! }, attrs, (imageAt, filterAt, dpAt) => {
      dx.data[imageAt]! += dp!.data[dpAt]! * weight!.data[filterAt]!
    })
    y?.data.forEach((v, at) => {
      if (v <= 0) dx.data[at] = 0
    })
    return [dx]
  },
})
