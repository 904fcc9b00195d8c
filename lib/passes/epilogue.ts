/**
 * Epilogues: an activation that is the only user of the result of a matmul, convolution or batch norm is applied by
 * that kernel while it stores the result.
 */
import { countUses, type Graph, type Node, rewrite } from '../graph/graph.js'
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
    const activation = absorbs.get(node)?.op.traits.activation
    return activation === undefined
      ? undefined
      : build(node.op, inputs, { ...node.attrs, activation }, node.name).outputs
  })
}
