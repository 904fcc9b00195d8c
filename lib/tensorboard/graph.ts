/**
 * A graph of values as TensorBoard's GraphDef: one node an operation, called by its layer and operation, so that
 * TensorBoard folds each layer into a box that opens.
 */
import { type Node, topological, type Value } from '../graph/graph.js'
import type { GraphNodeMessage } from './messages.js'

export function graphNodes(outputs: readonly Value[]): GraphNodeMessage[] {
  const names = new Map<Node, string>()
  const used = new Map<string, number>()
  return topological(outputs).map((node) => {
    const wanted = nameOf(node)
    const count = used.get(wanted) ?? 0
    used.set(wanted, count + 1)
    const name = count === 0 ? wanted : `${wanted}_${count}`
    names.set(node, name)
    const shape = node.outputs.map((output) => ({ dim: output.shape.map((size) => ({ size })) }))
    return {
      name,
      op: node.source === undefined ? node.op.name : LEAVES[node.source.kind],
      input: node.inputs.map((input) => names.get(input.node)! + (input.index > 0 ? `:${input.index}` : '')),
      attr: {
        _output_shapes: { list: { shape } },
        dtype: { s: Buffer.from(node.outputs[0]?.dtype ?? '') },
      },
    }
  })
}

const LEAVES = { input: 'Placeholder', constant: 'Const', variable: 'Variable', hostScalar: 'Placeholder' } as const

/** layer1.0.conv1 and conv2d: layer1/0/conv1/conv2d. TensorBoard allows letters, digits and _ . - / \ > */
function nameOf({ name, op, source }: Node): string {
  const parts = source !== undefined && 'name' in source ? [source.name] : [name, op.name]
  const path = parts.filter((part) => part !== undefined && part !== '').join('.')
  const clean = path.replaceAll('.', '/').replace(/[^\w./-]/g, '_')
  return /^\w/.test(clean) ? clean : `_${clean}`
}
