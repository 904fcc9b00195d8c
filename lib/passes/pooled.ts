/**
 * What follows the gradient of a max pooling is done before it, on fewer numbers. Of a window only the one that was chosen
 * gets a gradient; with p, index = maxPool2d(y), that makes ReLU's mask and the gradient of a bias
 *
 *     reluGrad(maxPool2dGrad(dp, index), y) = maxPool2dGrad(reluGrad(dp, p), index)
 *     sum over pixels of maxPool2dGrad(dp, index) = sum over windows of dp
 *
 * Nothing reads y again then: the largest maps of a network need not be kept for its gradients.
 */
import { countUses, type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { reluGradOp } from '../ops/activation.js'
import { maxPool2dGradOp, maxPool2dOp } from '../ops/pool.js'
import { sumOp } from '../ops/reduce.js'
import type { AnyOp } from '../ops/registry.js'
import { build } from './build.js'

export function pooled(graph: Graph): Graph {
  const uses = countUses(graph)
  return rewrite(graph, (node, inputs) => {
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
