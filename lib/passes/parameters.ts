/** Which values are of the parameters alone: known before a run, until somebody writes a variable. */
import type { Graph, Node, Value } from '../graph/graph.js'
import { fullOp } from '../ops/creation.js'

/** Values made of constants, and of variables that the graph does not assign. */
export function parameterValues(graph: Graph): Set<Value> {
  const assigned = new Set<unknown>(graph.assignments.map(({ variable }) => variable))
  const found = new Set<Value>()
  const isKnown = ({ op, source, inputs }: Node) => {
    if (source) return source.kind === 'constant' || (source.kind === 'variable' && !assigned.has(source))
    return inputs.length > 0 ? inputs.every((input) => found.has(input)) : op === fullOp
  }
  for (const node of graph.nodes()) if (isKnown(node)) for (const output of node.outputs) found.add(output)
  return found
}
