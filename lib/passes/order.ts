/**
 * The order in which values are computed: as they were written, but a node that frees more memory than it takes runs as
 * soon as it can. So the gradient of a convolution's filters follows that of its image, and the maps that both read are
 * not kept to the end of the step; the gradient of a matrix much larger than what it is made of still waits.
 */
import type { Node, Value } from '../graph/graph.js'
import { byteSize } from '../shape.js'
import { storageOf } from './storage.js'

/**
 * @param nodes that compute something, inputs before users
 * @param kept values that are read after all of them
 */
export function frugalOrder(nodes: readonly Node[], kept: readonly Value[]): Node[] {
  const position = new Map(nodes.map((node, i) => [node, i]))
  const read = new Map(nodes.map((node) => [node, [...new Set(node.inputs.map(storageOf))]]))
  const readers = new Map<Value, Set<Node>>()
  for (const node of nodes) for (const output of node.outputs) readers.set(output, new Set())
  for (const node of nodes) for (const value of read.get(node)!) readers.get(value)?.add(node)
  const pinned = new Set(kept.map(storageOf))
  const order: Node[] = []
  const done = new Set<Node>()
  const isReady = (node: Node) => read.get(node)!.every((v) => !position.has(v.node) || done.has(v.node))
  const isLast = (value: Value) => readers.get(value)?.size === 1 && !pinned.has(value)
  const total = (values: readonly Value[]) => values.reduce((sum, value) => sum + byteSize(value), 0)
  const frees = (node: Node) => total(read.get(node)!.filter(isLast)) - total(node.outputs) > 0

  /** Runs the node; those that may be ready now, or that read a value as the last. */
  const run = (node: Node): Node[] => {
    order.push(node)
    done.add(node)
    for (const value of read.get(node)!) readers.get(value)?.delete(node)
    const changed = [...read.get(node)!.filter(isLast), ...node.outputs]
    const candidates = new Set(changed.flatMap((value) => [...readers.get(value)!]))
    return [...candidates].sort((a, b) => position.get(b)! - position.get(a)!)
  }
  for (const node of nodes) {
    const stack = done.has(node) ? [] : run(node)
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (!done.has(next) && isReady(next) && frees(next)) stack.push(...run(next))
    }
  }
  return order
}
