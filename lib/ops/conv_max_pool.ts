/**
 * A convolution and the max pooling of its maps as one operation, whose maps are written nowhere:
 *
 *     y, index = maxPool2d(activation(conv2d(x, weight, bias)))
 *
 * Made by lib/passes/pool_maps.ts.
 */
import { Node, type TensorType, type Value } from '../graph/graph.js'
import { conv2dOp } from './conv.js'
import { WINDOWS } from './conv_pooled.js'
import { maxPool2dOp } from './pool.js'
import { type AttrRecord, type Attrs, defineOp, type Op, type Site } from './registry.js'

/** The windows' number [PH, PW]; index: 1 if the chosen taps are wanted, too. */
const ATTRS = { ...WINDOWS, output: 'i32x2', activation: 'i32', index: 'i32' } as const

export type ConvMaxPoolAttrs = Attrs<typeof ATTRS>

/** The two operations in one another's place, as tests of shapes and as reference. */
function parts({ stride, padding, window, windowStride, windowPadding, output, activation }: ConvMaxPoolAttrs) {
  return {
    conv: { stride, padding, dilation: [1, 1], groups: 1, activation },
    pool: { kernel: window, stride: windowStride, padding: windowPadding, output, adaptive: 0 },
  }
}

function inferMaps(inputs: readonly Value[], attrs: ConvMaxPoolAttrs, site: Site): Value {
  const { conv } = parts(attrs)
  const maps = new Node(conv2dOp, inputs, conv as unknown as AttrRecord, conv2dOp.infer(inputs, conv, site)).outputs[0]!
  const [, oh, ow] = maps.shape
  if (oh !== attrs.size[0] || ow !== attrs.size[1]) {
    site.fail('ERR_SHAPE', `maps are ${oh} x ${ow}, not ${attrs.size.join(' x ')}`)
  }
  return maps
}

/** x (N,H,W,C), weight (R,S,C,K), bias (K) or absent → y (N,PH,PW,K), index (N,PH,PW,K): the tap of the window. */
export const conv2dMaxPoolOp: Op<typeof ATTRS> = defineOp({
  name: 'conv2dMaxPool',
  code: 110,
  inputs: ['x', 'weight', 'bias?'],
  attrs: ATTRS,
  infer: (inputs, attrs, site) => {
    const [y, index] = maxPool2dOp.infer([inferMaps(inputs, attrs, site)], parts(attrs).pool, site)
    if (y!.dtype !== 'float32' || index!.dtype !== 'uint8') {
      site.fail('ERR_DTYPE', `float32 and uint8 expected, got ${y!.dtype} and ${index!.dtype}`)
    }
    return attrs.index === 1 ? [y!, index!] : [y!]
  },
  grad: null,
  traits: { product: true, filter: ['inputs', 1], internal: true },
  flops: ([, weight], [y], { size, window }) => {
    const [r, s, c, k] = weight!.shape as [number, number, number, number]
    return 2 * y!.shape[0]! * size[0]! * size[1]! * k * r * s * c + y!.size * window[0]! * window[1]!
  },
  reference: (inputs, attrs, types) => {
    const { conv, pool } = parts(attrs)
    const shape = [inputs[0]!.shape[0]!, ...attrs.size, inputs[1]!.shape[3]!]
    const maps = conv2dOp.reference!(inputs, conv, [{ shape, dtype: 'float32' }])
    const index: TensorType = { shape: types[0]!.shape, dtype: 'uint8' }
    return maxPool2dOp.reference!(maps, pool, [types[0]!, index]).slice(0, types.length)
  },
})
