/** The graph as text, one line a node, stable enough to compare in tests. */
import type { AttrRecord } from '../ops/registry.js'
import type { Graph, Node, Value } from './graph.js'

/** `%3 float32[2,3] = matmul(%1, %2) {transposeB=1} # fc1`, then the assignments and the outputs. */
export function printGraph(graph: Graph): string {
  const names = new Map<Value, string>()
  const lines: string[] = []
  for (const node of graph.nodes()) {
    for (const output of node.outputs) names.set(output, `%${names.size}`)
    lines.push(printNode(node, names))
  }
  for (const { variable, value } of graph.assignments) lines.push(`assign '${variable.name}' = ${names.get(value)}`)
  lines.push(`return ${graph.outputs.map((o) => names.get(o)).join(', ')}`)
  return lines.join('\n')
}

function printNode(node: Node, names: ReadonlyMap<Value, string>): string {
  const results = node.outputs.map((o) => `${names.get(o)} ${o.dtype}[${o.shape.join(',')}]`).join(', ')
  const inputs = node.inputs.map((i) => names.get(i)).join(', ')
  const attrs = printAttrs(node.attrs)
  const source = node.source && 'name' in node.source ? ` '${node.source.name}'` : ''
  return `${results} = ${node.op.name}(${inputs})${source}${attrs}${node.name && !source ? ` # ${node.name}` : ''}`
}

/** Attributes as text, different wherever they are: JSON would make NaN and both infinities one. */
export function attrsKey(attrs: AttrRecord): string {
  const text = (x: number) => (Object.is(x, -0) ? '-0' : String(x))
  return Object.values(attrs)
    .map((value) => (typeof value === 'number' ? text(value) : `[${value.map(text)}]`))
    .join(' ')
}

export function printAttrs(attrs: AttrRecord): string {
  const entries = Object.entries(attrs).filter(([, value]) => value !== 0)
  if (entries.length === 0) return ''
  return ` {${entries.map(([key, value]) => `${key}=${Array.isArray(value) ? `[${value.join(',')}]` : value}`).join(' ')}}`
}
