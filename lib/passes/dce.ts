/**
 * Dead code: a graph is what its roots need, so nodes die with their last user; what is left to remove are assignments
 * that leave their variable as it is.
 */
import { Graph } from '../graph/graph.js'

export function dce(graph: Graph): Graph {
  const assignments = graph.assignments.filter(({ variable, value }) => value.node.source !== variable)
  return assignments.length === graph.assignments.length ? graph : new Graph(graph.outputs, assignments)
}
