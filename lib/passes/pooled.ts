/**
 * What follows the gradient of a max pooling is done before it, on fewer numbers. Of a window only the one that was chosen
 * gets a gradient; with p, index = maxPool2d(y), that makes ReLU's mask and the gradient of a bias
 *
 *     reluGrad(maxPool2dGrad(dp, index), y) = maxPool2dGrad(reluGrad(dp, p), index)
 *     sum over pixels of maxPool2dGrad(dp, index) = sum over windows of dp
 *
 * Nothing reads y again then: the largest maps of a network need not be kept for its gradients. Where of these gradients
 * only that of the filter is wanted, in a first layer, they are not even written. Where a core, or a block of a GPU, can
 * hold an image of other layers, neither are theirs:
 *
 *     conv2dGradWeight(x, maxPool2dGrad(dp, index)) = conv2dPooledGradWeight(x, dp, index)
 *     conv2dGradInput(maxPool2dGrad(dp, index), w) = conv2dPooledGradInput(dp, w, index)
 */
import { countUses, type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { reluGradOp } from '../ops/activation.js'
import { conv2dGradInputOp, conv2dGradWeightOp } from '../ops/conv.js'
import { conv2dPooledGradInputOp, conv2dPooledGradWeightOp, isPlain, windowsOver } from '../ops/conv_pooled.js'
import { maxPool2dGradOp, maxPool2dOp } from '../ops/pool.js'
import { sumOp } from '../ops/reduce.js'
import type { AttrRecord } from '../ops/registry.js'
import { build } from './build.js'

/** What holds small maps: a core's caches, or the memory of a GPU's block. */
export type SmallMaps = 'core' | 'block'

export function pooled(graph: Graph, smallMaps?: SmallMaps): Graph {
  const uses = countUses(graph)
  const needed = mapsNeeded(graph)
  return rewrite(graph, (node, inputs) => {
    if (node.op === conv2dGradWeightOp) {
      const [x, dy] = inputs
      const filter = node.outputs[0]!.shape
      if (!isPooled(dy!, node)) return undefined
      const fits = smallMaps !== undefined && FITS[smallMaps](filter, dy!, node.attrs)
      if (!fits && (needed.has(node.inputs[1]!) || !hasSmallPatch(filter))) return undefined
      const [dp, index] = dy!.node.inputs
      const core = fitsCore(filter, dy!, node.attrs)
      const attrs = { ...windowsOf(dy!, node), kernel: node.attrs.kernel!, fitsCore: core ? 1 : 0 }
      return build(conv2dPooledGradWeightOp, [x!, dp!, index!], attrs, node.name).outputs
    }
    if (node.op === conv2dGradInputOp) {
      const [dy, weight] = inputs
      if (!smallMaps || !isPooled(dy!, node) || !FITS[smallMaps](weight!.shape, dy!, node.attrs)) return undefined
      const [dp, index] = dy!.node.inputs
      const attrs = { ...windowsOf(dy!, node), image: node.attrs.size!, activation: 0 }
      return build(conv2dPooledGradInputOp, [dp!, weight!, index!], attrs, node.name).outputs
    }
    const grad = inputs[0]?.node
    if (grad?.op !== maxPool2dGradOp) return undefined
    const [dp, index] = grad.inputs
    if (masksPooled(node, uses)) {
      const masked = build(reluGradOp, [dp!, index!.node.outputs[0]!], node.attrs, node.name)
      return build(maxPool2dGradOp, [masked.outputs[0]!, index!], grad.attrs, grad.name).outputs
    }
    return sumsPixels(node) && allWindowsChoose(grad) ? build(sumOp, [dp!], node.attrs, node.name).outputs : undefined
  })
}

/** Values that somebody reads who is neither the gradient of a filter nor a sum over pixels. */
function mapsNeeded(graph: Graph): Set<Value> {
  const needed = new Set<Value>([...graph.outputs, ...graph.assignments.map(({ value }) => value)])
  for (const node of graph.nodes()) {
    if (sumsPixels(node)) continue
    const read = node.op === conv2dGradWeightOp ? node.inputs.slice(0, 1) : node.inputs
    for (const input of read) needed.add(input)
  }
  return needed
}

/** Most numbers of a patch of x, and channels: with more of them products with zeros are faster than finding the others. */
const MOST_PATCH = 96
const MOST_CHANNELS = 32

/** Of a filter (R,S,C,K). */
function hasSmallPatch([r, s, c, k]: readonly number[]): boolean {
  return r! * s! * c! <= MOST_PATCH && k! <= MOST_CHANNELS
}

/** Of the numbers that a filter row sees of x, in whole vectors of 16: all of an image, for every column of its maps. */
const MOST_RUNS = 6 * 1024
/** Of whole vectors, the part that is no filler. */
const LEAST_FILLED = 0.75

/** Whether the runs of native/cpu/conv_pooled_runs.h waste few lanes, and those of an image lie in 24 KB of an L1 cache. */
function fitsCore([r, s, c, k]: readonly number[], { shape: maps }: Value, { stride }: AttrRecord): boolean {
  const run = Math.ceil((s! * c!) / 16) * 16
  const rows = (maps[1]! - 1) * (stride as readonly number[])[0]! + r!
  return s! * c! >= LEAST_FILLED * run && rows * maps[2]! * run <= MOST_RUNS && k! <= 2 * MOST_CHANNELS
}

/** Of filters, channels in fours, and of the maps of an image with a filter's margin: they share 48 KB. */
const MOST_FILTERS = 1 << 12
const MOST_MAPS = 1 << 13

/** Of a node whose maps' gradient isPooled: whether the kernels by images of native/cuda/conv_pooled.cu and by rows of conv_pooled_grad_input.cu take it. */
function fitsBlock([r, s, c, k]: readonly number[], { shape: maps, node }: Value, { stride }: AttrRecord): boolean {
  const [down, across] = stride as readonly number[]
  const [windowStride, window] = [node.attrs.stride, node.attrs.kernel] as [readonly number[], readonly number[]]
  const apart = window.every((size, axis) => size <= windowStride[axis]!)
  const reach = (maps[1]! + 2 * (r! - 1)) * (maps[2]! + 2 * (s! - 1))
  const fits = r! * s! * Math.max(4 * Math.ceil(c! / 4) * k!, c! * k!) <= MOST_FILTERS
  return apart && down === 1 && across === 1 && fits && reach * Math.max(k! + 8, c!) <= MOST_MAPS
}

const FITS = { core: fitsCore, block: fitsBlock }

/** Of a window; with fewer, half of the numbers are chosen. */
const LEAST_TAPS = 4
const MOST_TAPS = 256

/** Whether dy is what windows hand to the maps of a convolution of one group without dilation. */
function isPooled({ node: { op, attrs: windows } }: Value, { attrs, outputs }: Node): boolean {
  if (op !== maxPool2dGradOp || outputs[0]!.dtype !== 'float32' || !isPlain(attrs, windows)) return false
  const [rows, columns] = windows.kernel as [number, number]
  return rows * columns >= LEAST_TAPS && rows * columns <= MOST_TAPS
}

function windowsOf({ node: { attrs: windows } }: Value, { attrs }: Node) {
  return windowsOver(attrs, windows, windows.size as readonly number[])
}

/** reluGrad(maxPool2dGrad(dp, index), y), where y is what was pooled. */
function masksPooled(node: Node, uses: ReadonlyMap<Value, number>): boolean {
  if (node.op !== reluGradOp) return false
  const [dx, y] = node.inputs
  if (dx!.node.op !== maxPool2dGradOp || uses.get(dx!) !== 1) return false
  const { node: pool } = dx!.node.inputs[1]!
  return pool.op === maxPool2dOp && pool.inputs[0] === y
}

function sumsPixels({ op, attrs }: Node): boolean {
  return op === sumOp && (attrs.mask as number[]).slice(0, 3).every((reduced) => reduced === 1)
}

/** Whether no window lies in the padding altogether. */
function allWindowsChoose({ attrs }: Node): boolean {
  const { kernel, stride, padding, output, size } = attrs as Record<string, number[]>
  return [0, 1].every(
    (axis) =>
      kernel![axis]! > padding![axis]! && (output![axis]! - 1) * stride![axis]! - padding![axis]! < size![axis]!,
  )
}
