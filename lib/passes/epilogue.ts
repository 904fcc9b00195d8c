/**
 * Epilogues: an activation that is the only user of the result of a matmul, convolution or batch norm is applied by
 * that kernel while it stores the result; the gradient of a batch norm applies ReLU's mask while it reads.
 */
import { countUses, type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { reluGradOp } from '../ops/activation.js'
import { batchNormGradOp } from '../ops/norm.js'
import type { AnyOp } from '../ops/registry.js'
import { build } from './build.js'

export function epilogue(graph: Graph): Graph {
  const uses = countUses(graph)
  const absorbs = new Map<Node, Node>()
  for (const node of graph.nodes()) {
    const source = node.inputs[0]
    if (node.op.traits.activation === undefined || source?.index !== 0 || uses.get(source) !== 1) continue
    if (source.node.op.traits.epilogue && source.node.attrs.activation === 0) absorbs.set(source.node, node)
  }
  const absorbed = new Set(absorbs.values())
  return rewrite(graph, (node, inputs) => {
    if (absorbed.has(node)) return [inputs[0]!]
    if (readsMasked(node, uses)) {
      const [dy, y] = inputs[0]!.node.inputs
      return build(node.op, [dy!, ...inputs.slice(1), y!], node.attrs, node.name).outputs
    }
    const activation = absorbs.get(node)?.op.traits.activation
    return activation === undefined
      ? undefined
      : build(node.op, inputs, { ...node.attrs, activation }, node.name).outputs
  })
}

/** batchNormGrad(reluGrad(dy, y), x, ..): it may read dy and y itself. */
function readsMasked({ op, inputs }: Node, uses: ReadonlyMap<Value, number>): boolean {
  const masked = inputs[0]
  return (
    op === (batchNormGradOp as AnyOp) &&
    inputs.length === 5 &&
    masked!.node.op === (reluGradOp as AnyOp) &&
    uses.get(masked!) === 1
  )
}
