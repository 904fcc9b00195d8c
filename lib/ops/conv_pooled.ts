/**
 * The weight gradient of a convolution that max pooling follows, without the gradient of its maps in between: of a
 * window only the number that was chosen has one, so three quarters of the products with windows of 2 x 2 are with zeros.
 * Made by lib/passes/pooled.ts.
 */
import { refArray } from '../reference/array.js'
import { outputSizes } from './conv.js'
import { type Attrs, defineOp, type Op } from './registry.js'

/** Of the convolution (one group, no dilation), its maps' size [OH, OW], and of the windows over them. */
const ATTRS = {
  stride: 'i32x2',
  padding: 'i32x4',
  kernel: 'i32x2',
  size: 'i32x2',
  window: 'i32x2',
  windowStride: 'i32x2',
  windowPadding: 'i32x4',
} as const

export type PooledConvAttrs = Attrs<typeof ATTRS>

/** x (N,H,W,C), dp (N,PH,PW,K), index (N,PH,PW,K): the tap of the window that was chosen → dw (R,S,C,K). */
export const conv2dPooledGradWeightOp: Op<typeof ATTRS> = defineOp({
  name: 'conv2dPooledGradWeight',
  code: 109,
  inputs: ['x', 'dp', 'index'],
  attrs: ATTRS,
  infer: ([x, dp, index], attrs, site) => {
    if (x!.shape.length !== 4 || dp!.shape.length !== 4) site.fail('ERR_SHAPE', 'images have 4 dimensions')
    if (x!.dtype !== dp!.dtype || index!.dtype !== 'uint8') {
      site.fail('ERR_DTYPE', `one dtype and uint8 expected, got ${x!.dtype}, ${dp!.dtype} and ${index!.dtype}`)
    }
    const [oh, ow] = outputSizes(x!.shape.slice(1, 3), attrs.kernel, { ...attrs, dilation: [1, 1] })
    if (oh !== attrs.size[0] || ow !== attrs.size[1]) {
      site.fail('ERR_SHAPE', `maps are ${oh} x ${ow}, not ${attrs.size.join(' x ')}`)
    }
    return [{ shape: [...attrs.kernel, x!.shape[3]!, dp!.shape[3]!], dtype: x!.dtype }]
  },
  grad: null,
  traits: { product: true, internal: true },
  flops: ([, dp], [dw]) => 2 * dp!.size * (dw!.size / dp!.shape[3]!),
  reference: ([x, dp, index], attrs, [type]) => {
    const dw = refArray(type!.shape, type!.dtype)
    const [, h, w, c] = x!.shape as [number, number, number, number]
    const [, ph, pw, k] = dp!.shape as [number, number, number, number]
    const [r, s] = attrs.kernel as [number, number]
    for (const [at, value] of dp!.data.entries()) {
      const [q, p, n] = [Math.floor(at / k) % pw, Math.floor(at / (k * pw)) % ph, Math.floor(at / (k * pw * ph))]
      const tap = index!.data[at]!
      const row = p * attrs.windowStride[0]! - attrs.windowPadding[0]! + Math.floor(tap / attrs.window[1]!)
      const column = q * attrs.windowStride[1]! - attrs.windowPadding[1]! + (tap % attrs.window[1]!)
      for (let part = 0; part < r * s * c; part++) {
        const i = row * attrs.stride[0]! - attrs.padding[0]! + Math.floor(part / (s * c))
        const j = column * attrs.stride[1]! - attrs.padding[1]! + (Math.floor(part / c) % s)
        if (i < 0 || i >= h || j < 0 || j >= w) continue
        dw.data[part * k + (at % k)]! += value * x!.data[((n * h + i) * w + j) * c + (part % c)]!
      }
    }
    return [dw]
  },
})
