/**
 * The reference interpreter: walks a graph node by node with each operation's float64 `reference`.
 */
import { ForjaError } from '../errors.js'
import type { Graph, Value } from '../graph/graph.js'
import type { RefArray } from './array.js'

/** Every value of the graph; `leaf` gives the arrays of its leaves. */
export function interpret(graph: Graph, leaf: (value: Value) => RefArray): Map<Value, RefArray> {
  const results = new Map<Value, RefArray>()
  for (const node of graph.nodes()) {
    if (node.op.traits.leaf) {
      results.set(node.outputs[0]!, leaf(node.outputs[0]!))
      continue
    }
    if (node.op.reference === null)
      throw new ForjaError('ERR_INTERNAL', `${node.op.name} has no reference implementation`)
    const inputs = node.inputs.map((input) => results.get(input)!)
    const outputs = node.op.reference(
      inputs,
      node.attrs,
      node.outputs.map((o) => o.type),
    )
    node.outputs.forEach((output, i) => {
      results.set(output, outputs[i]!)
    })
  }
  return results
}
