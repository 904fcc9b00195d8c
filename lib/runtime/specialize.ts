/** A graph with placeholders, as one run of a session needs it. */
import { type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { resolveFloat, resolveInteger } from '../graph/unknown_size.js'
import { makeLeaf } from '../ops/creation.js'
import { randomOp } from '../ops/random.js'
import { type AttrRecord, makeNode, withScope } from '../ops/registry.js'
import { nextRandom } from './random_state.js'

/**
 * The graph with the unknown dimension `size` long, every shape inferred anew, and random operations that draw from the
 * device's state. To be called while recording.
 */
export function specialize(graph: Graph, size: number | null): Graph {
  return rewrite(graph, (node, inputs) => {
    // Values that are known depend on no placeholder.
    if (node.outputs.every((output) => output.resident)) return node.outputs
    if (node.op === randomOp) return redraw(node, inputs, size)
    if (size === null) return undefined
    if (node.op.traits.leaf) return sizedLeaf(node, size)
    const attrs = sizedAttrs(node, size)
    if (attrs === node.attrs && inputs.every((input, i) => input === node.inputs[i])) return undefined
    return infer(node, inputs, attrs)
  })
}

/** A random operation outside compiled functions reads a state of its own, which is a constant. */
function redraw(node: Node, inputs: readonly Value[], size: number | null): readonly Value[] {
  const attrs = size === null ? node.attrs : sizedAttrs(node, size)
  if (node.inputs[0]!.node.source?.kind !== 'constant') return infer(node, inputs, attrs)
  const { state, stream } = nextRandom()
  return infer(node, [state.value], { ...attrs, stream })
}

function infer(node: Node, inputs: readonly Value[], attrs: AttrRecord): readonly Value[] {
  const make = () => makeNode(node.op, inputs, attrs).outputs
  return node.name === undefined ? make() : withScope(node.name, make)
}

function sizedLeaf(node: Node, size: number): readonly Value[] | undefined {
  const { shape, dtype } = node.outputs[0]!
  const sized = shape.map((dim) => resolveInteger(dim, size, node.op.name))
  return sized.some((dim, i) => dim !== shape[i]) ? [makeLeaf(node.source!, { shape: sized, dtype })] : undefined
}

/** The node's own record where nothing in it depends on the size. */
function sizedAttrs(node: Node, size: number): AttrRecord {
  let changed = false
  const entries = Object.entries(node.op.attrs as Record<string, string>).map(([name, field]) => {
    const resolve = (x: number): number => {
      const known = (field === 'f32' ? resolveFloat : resolveInteger)(x, size, `${node.op.name}'s ${name}`)
      changed ||= !Object.is(known, x)
      return known
    }
    const value = node.attrs[name]!
    return [name, typeof value === 'number' ? resolve(value) : value.map(resolve)] as const
  })
  return changed ? Object.fromEntries(entries) : node.attrs
}
