/** Checks what every pass must keep true; a failure is a bug of forja, hence ERR_INTERNAL. */
import { ForjaError } from '../errors.js'
import { makeNode } from '../ops/registry.js'
import { sameShape } from '../shape.js'
import type { Graph } from './graph.js'

/**
 * Every value is an output of its own node, nodes come after their inputs, and the shape rule run again gives the
 * types that the node carries.
 */
export function verifyGraph(graph: Graph, after: string): void {
  const fail = (message: string): never => {
    throw new ForjaError('ERR_INTERNAL', `after pass ${after}: ${message}`)
  }
  const seen = new Set<unknown>()
  for (const node of graph.nodes()) {
    for (const input of node.inputs) {
      if (input.node.outputs[input.index] !== input) fail(`an input of ${node.op.name} is no output of its node`)
      if (!seen.has(input.node)) fail(`${node.op.name} comes before its input ${input.node.op.name}`)
    }
    seen.add(node)
    if (node.op.traits.leaf) continue
    const types = makeNode(node.op, node.inputs, node.attrs).outputs
    if (types.length !== node.outputs.length)
      fail(`${node.op.name} has ${node.outputs.length} outputs, expected ${types.length}`)
    types.forEach((type, i) => {
      const output = node.outputs[i]!
      if (type.dtype !== output.dtype || !sameShape(type.shape, output.shape)) {
        fail(
          `${node.op.name} carries ${output.dtype}[${output.shape}], its shape rule gives ${type.dtype}[${type.shape}]`,
        )
      }
    })
  }
  for (const { variable, value } of graph.assignments) {
    if (value.dtype !== variable.type.dtype || !sameShape(value.shape, variable.type.shape)) {
      fail(
        `'${variable.name}' (${variable.type.dtype}[${variable.type.shape}]) is assigned ${value.dtype}[${value.shape}]`,
      )
    }
  }
}
