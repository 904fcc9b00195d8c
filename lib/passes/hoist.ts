/**
 * What is of the parameters alone leaves the program: it becomes a variable of its own, which a second program writes.
 * That one runs before the first run, and again when a variable was written that it reads.
 *
 * Nothing is hoisted that takes more memory than the parameters that it is made of, such as a broadcast.
 */
import { type Assignment, Graph, rewrite, type Value, type VariableSource } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import { byteSize } from '../shape.js'
import { parameterValues } from './parameters.js'
import { storageOf } from './storage.js'

/** A variable that a program of its own writes. */
export interface DerivedSource extends VariableSource {
  readonly derived: true
}

export interface Hoisted {
  /** Without what is of the parameters alone. */
  readonly graph: Graph
  /** Assigns the derived variables; null where there are none. */
  readonly prepare: Graph | null
}

export function hoist(graph: Graph): Hoisted {
  const known = parameterValues(graph)
  const small = smallValues(graph, known)
  const wanted = new Map<Value, VariableSource>()
  for (const node of graph.nodes()) {
    if (node.outputs.some((output) => small.has(output))) continue
    for (const input of node.inputs) {
      const value = storageOf(input)
      if (!small.has(value) || value.node.source || value.node.inputs.length === 0 || wanted.has(value)) continue
      const name = `prepared ${value.node.name ?? value.node.op.name}`
      wanted.set(value, { kind: 'variable', derived: true, id: -1, name, type: value.type } as DerivedSource)
    }
  }
  if (wanted.size === 0) return { graph, prepare: null }
  const assignments = [...wanted].map(([value, variable]): Assignment => ({ variable, value }))
  const main = rewrite(graph, (node) => {
    if (!node.outputs.some((output) => wanted.has(output))) return undefined
    return node.outputs.map((output) => {
      const variable = wanted.get(output)
      return variable ? makeLeaf(variable, variable.type) : output
    })
  })
  return { graph: main, prepare: new Graph([], assignments) }
}

/** Of the values that are known, those that take no more bytes than the leaves behind them. */
function smallValues(graph: Graph, known: ReadonlySet<Value>): Set<Value> {
  /** Bytes of the leaves behind a value, those counted twice that are reached twice. */
  const behind = new Map<Value, number>()
  const small = new Set<Value>()
  for (const node of graph.nodes()) {
    for (const output of node.outputs) {
      if (!known.has(output) || !node.inputs.every((input) => small.has(input))) continue
      const leaf = node.source !== undefined
      const bytes = leaf ? byteSize(output) : node.inputs.reduce((sum, input) => sum + behind.get(input)!, 0)
      behind.set(output, Math.min(bytes, Number.MAX_SAFE_INTEGER))
      if (leaf || node.inputs.length === 0 || byteSize(output) <= bytes) small.add(output)
    }
  }
  return small
}
