/**
 * What follows the gradient of a max pooling is done before it, on fewer numbers. Of a window only the one that was chosen
 * gets a gradient; with p, index = maxPool2d(y), that makes ReLU's mask and the gradient of a bias
 *
 *     reluGrad(maxPool2dGrad(dp, index), y) = maxPool2dGrad(reluGrad(dp, p), index)
 *     sum over pixels of maxPool2dGrad(dp, index) = sum over windows of dp
 *
 * Nothing reads y again then: the largest maps of a network need not be kept for its gradients. Where of these gradients
 * only that of the filter is wanted, in a first layer, they are not even written:
 *
 *     conv2dGradWeight(x, maxPool2dGrad(dp, index)) = conv2dPooledGradWeight(x, dp, index)
 */
import { countUses, type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { reluGradOp } from '../ops/activation.js'
import { conv2dGradWeightOp } from '../ops/conv.js'
import { conv2dPooledGradWeightOp } from '../ops/conv_pooled.js'
import { maxPool2dGradOp, maxPool2dOp } from '../ops/pool.js'
import { sumOp } from '../ops/reduce.js'
import type { AnyOp } from '../ops/registry.js'
import { build } from './build.js'

export function pooled(graph: Graph): Graph {
  const uses = countUses(graph)
  const needed = mapsNeeded(graph)
  return rewrite(graph, (node, inputs) => {
    if (node.op === (conv2dGradWeightOp as AnyOp)) {
      return gradWeightOfPooled(node, inputs)
    }
    const grad = inputs[0]?.node
    if (grad?.op !== (maxPool2dGradOp as AnyOp)) return undefined
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
    const read = node.op === (conv2dGradWeightOp as AnyOp) ? node.inputs.slice(0, 1) : node.inputs
    for (const input of read) needed.add(input)
  }
  return needed
}

/** Most numbers of a patch of x, and channels: with more of them products with zeros are faster than finding the others. */
const MOST_PATCH = 256
const MOST_CHANNELS = 32
/** Of a window; with fewer, half of the numbers are chosen. */
const LEAST_TAPS = 4
const MOST_TAPS = 256

function gradWeightOfPooled(node: Node, [x, dy]: readonly Value[]): readonly Value[] | undefined {
  const grad = dy!.node
  if (grad.op !== (maxPool2dGradOp as AnyOp) || x!.dtype !== 'float32') return undefined
  const [dp, index] = grad.inputs
  const { stride, padding, dilation, groups, kernel } = node.attrs as Record<string, number[]> & { groups: number }
  const windows = grad.attrs as Record<string, number[]> & { adaptive: number }
  const taps = windows.kernel![0]! * windows.kernel![1]!
  const [r, s, c, k] = node.outputs[0]!.shape as [number, number, number, number]
  const isPlain = groups === 1 && dilation!.every((d) => d === 1) && windows.adaptive === 0
  const isSmall = r * s * c <= MOST_PATCH && k <= MOST_CHANNELS
  if (!isPlain || !isSmall || taps < LEAST_TAPS || taps > MOST_TAPS) return undefined
  const attrs = {
    stride: stride!,
    padding: padding!,
    kernel: kernel!,
    size: windows.size!,
    window: windows.kernel!,
    windowStride: windows.stride!,
    windowPadding: windows.padding!,
  }
  return build(conv2dPooledGradWeightOp, [x!, dp!, index!], attrs, node.name).outputs
}

/** reluGrad(maxPool2dGrad(dp, index), y), where y is what was pooled. */
function masksPooled(node: Node, uses: ReadonlyMap<Value, number>): boolean {
  if (node.op !== (reluGradOp as AnyOp)) return false
  const [dx, y] = node.inputs
  if (dx!.node.op !== (maxPool2dGradOp as AnyOp) || uses.get(dx!) !== 1) return false
  const { node: pool } = dx!.node.inputs[1]!
  return pool.op === (maxPool2dOp as AnyOp) && pool.inputs[0] === y
}

function sumsPixels({ op, attrs }: Node): boolean {
  return op === (sumOp as AnyOp) && (attrs.mask as number[]).slice(0, 3).every((reduced) => reduced === 1)
}

/** Whether no window lies in the padding altogether. */
function allWindowsChoose({ attrs }: Node): boolean {
  const { kernel, stride, padding, output, size } = attrs as Record<string, number[]>
  return [0, 1].every(
    (axis) =>
      kernel![axis]! > padding![axis]! && (output![axis]! - 1) * stride![axis]! - padding![axis]! < size![axis]!,
  )
}
