/**
 * Max pooling becomes part of the convolution whose maps nobody else reads; they are written nowhere then:
 *
 *     maxPool2d(conv2d(x, weight, bias)) = conv2dMaxPool(x, weight, bias)
 *
 * Runs behind `pooled`, after which no gradient reads the maps, and behind `epilogue`, which puts a ReLU in between into
 * the convolution. Where the taps that were chosen are not wanted, as in an inference, they are not searched.
 *
 * It pays where maps are many for the products behind them, with few channels: on two cores LeNet-5's first layer is 1.8
 * times as fast for 128 images, one of 3 to 64 channels on 32 x 32 pixels 1.2 times. On a GPU, by counting, wherever a
 * block's memory holds all filters: tiles of a product would be mostly empty.
 */
import { countUses, type Graph, type Node, rewrite } from '../graph/graph.js'
import { conv2dOp } from '../ops/conv.js'
import { conv2dMaxPoolOp } from '../ops/conv_max_pool.js'
import { isPlain, windowsOver } from '../ops/conv_pooled.js'
import { maxPool2dOp } from '../ops/pool.js'
import { build } from './build.js'
import type { SmallMaps } from './pooled.js'

export function poolMaps(graph: Graph, where: SmallMaps): Graph {
  const uses = countUses(graph)
  return rewrite(graph, (node, inputs) => {
    const [maps] = node.inputs
    if (node.op !== maxPool2dOp || uses.get(maps!) !== 1 || !pools(node, maps!.node, where)) return undefined
    const conv = inputs[0]!.node
    const attrs = {
      ...windowsOver(conv.attrs, node.attrs, maps!.shape.slice(1, 3)),
      output: node.attrs.output!,
      activation: conv.attrs.activation!,
      index: uses.has(node.outputs[1]!) ? 1 : 0,
    }
    return build(conv2dMaxPoolOp, conv.inputs, attrs, conv.name ?? node.name).outputs
  })
}

/** A convolution's maps [OH, OW], filter (R, S, C, K) and stride, and the rows of a window. */
interface Sizes {
  readonly maps: readonly [number, number]
  readonly filter: readonly [number, number, number, number]
  readonly stride: readonly [number, number]
  readonly windowRows: number
}

/** Of the image: with more of them Winograd's products are twice as fast, or the maps little of the whole. */
const MOST_CHANNELS = 15
/** Of an image's maps. Smaller ones are better computed for many images at a time, and then pooled: up to 1.5 times. */
const LEAST_PIXELS = 100
const LEAST_PRODUCTS = 1 << 16

/** Of filters, in fours, and of what a row of windows sees: numbers that native/cuda/conv_max_pool.cu holds in 48 KB. */
const MOST_FILTERS = 1 << 12
const MOST_SEEN = 1 << 13

const PAYS: Readonly<Record<SmallMaps, (sizes: Sizes) => boolean>> = {
  core: ({ maps: [oh, ow], filter: [r, s, c, k] }) =>
    c <= MOST_CHANNELS && oh * ow >= LEAST_PIXELS && oh * ow * k * r * s * c >= LEAST_PRODUCTS,
  block: ({ maps: [, ow], filter: [r, s, c, k], stride: [down, across], windowRows }) =>
    r * s * c * Math.ceil(k / 4) * 4 <= MOST_FILTERS &&
    ((windowRows - 1) * down + r) * ((ow - 1) * across + s) * c <= MOST_SEEN,
}

function pools(pool: Node, { op, attrs, inputs, outputs }: Node, where: SmallMaps): boolean {
  if (op !== conv2dOp || outputs[0]!.dtype !== 'float32') return false
  const sizes = {
    maps: outputs[0]!.shape.slice(1, 3) as [number, number],
    filter: inputs[1]!.shape as [number, number, number, number],
    stride: attrs.stride as [number, number],
    windowRows: (pool.attrs.kernel as readonly number[])[0]!,
  }
  return isPlain(attrs, pool.attrs) && PAYS[where](sizes) && pool.outputs[1]!.dtype === 'uint8'
}
