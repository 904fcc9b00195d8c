/** Common subexpressions: of nodes with the same operation, attributes and inputs, the first stands for all. */
import { type Graph, type Node, rebuild, rewrite, type Value } from '../graph/graph.js'
import { attrsKey } from '../graph/print.js'

export function cse(graph: Graph): Graph {
  const seen = new Map<string, Node>()
  const ids = new Map<unknown, number>()
  const idOf = (thing: unknown): number => {
    const known = ids.get(thing)
    if (known !== undefined) return known
    ids.set(thing, ids.size)
    return ids.size - 1
  }
  const keyOf = (node: Node, inputs: readonly Value[]) =>
    node.source
      ? `leaf ${idOf(node.source)}`
      : `${node.op.name}(${inputs.map(idOf).join(',')}){${attrsKey(node.attrs)}}:${node.outputs[0]?.dtype}`
  return rewrite(graph, (node, inputs) => {
    const key = keyOf(node, inputs)
    const twin = seen.get(key)
    if (twin) return twin.outputs
    const kept = rebuild(node, inputs)
    seen.set(key, kept)
    return kept.outputs
  })
}
