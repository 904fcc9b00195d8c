/**
 * Scheduling: the order of execution, and which steps may write variables. Pure steps come first; from `commitIndex` on
 * come the steps that write state, so a run that is cancelled or fails before it has changed nothing.
 *
 * A node whose trait `inplace` lets it write an output over a variable's own memory, and whose outputs are used for
 * nothing but that assignment, runs in the commit phase on the variable itself (an optimizer's update). So does an
 * elementwise one (a running mean). Every other assigned value is computed before and copied.
 */
import { countUses, type Graph, Node, type Value, type VariableSource } from '../graph/graph.js'
import { copyOp } from '../ops/fused.js'
import { joinComputed, joinUpdates } from './join.js'
import { frugalOrder } from './order.js'
import { storageOf } from './storage.js'

export interface Step {
  readonly node: Node
  readonly inputs: readonly Value[]
  /** Where each output goes: a value of the arena, or a variable's buffer. */
  readonly outputs: readonly (Value | VariableSource)[]
}

export interface Schedule {
  readonly steps: readonly Step[]
  readonly commitIndex: number
  /** What the caller gets; leaves that a commit would overwrite are copied first. */
  readonly outputs: readonly Value[]
}

export function schedule(graph: Graph): Schedule {
  const targets = new Map(graph.assignments.map((a) => [a.value, a.variable]))
  const updates = findInPlaceUpdates(graph, targets)
  const inPlace = [...updates].map((node): Step => {
    return { node, inputs: node.inputs, outputs: node.outputs.map((o) => targets.get(o)!) }
  })
  const computed = graph.nodes().filter((node) => {
    const { leaf, view } = node.op.traits
    return !leaf && !view && !updates.has(node)
  })
  const kept = [...graph.roots(), ...inPlace.flatMap(({ inputs }) => inputs)]
  const order = frugalOrder(computed, kept)
  const steps = joinComputed(
    order.map((node): Step => ({ node, inputs: node.inputs, outputs: node.outputs })),
    kept,
  )
  const assigned = new Set<unknown>(graph.assignments.map((a) => a.variable))
  const readsAssigned = (value: Value) => assigned.has(storageOf(value).node.source)
  const saved = new Map<Value, Value>()
  const save = (value: Value): Value => {
    if (!readsAssigned(value)) return value
    const copy = saved.get(value) ?? pushCopy(value, steps)
    saved.set(value, copy)
    return copy
  }
  const copies = graph.assignments
    .filter((a) => !updates.has(a.value.node))
    .map((a) => ({ variable: a.variable, value: save(a.value) }))
  const outputs = graph.outputs.map(save)
  const commitIndex = steps.length
  steps.push(...joinUpdates(inPlace))
  for (const { variable, value } of copies) {
    steps.push({
      node: new Node(copyOp, [value], {}, [value.type], variable.name),
      inputs: [value],
      outputs: [variable],
    })
  }
  return { steps, commitIndex, outputs }
}

function pushCopy(value: Value, steps: Step[]): Value {
  const node = new Node(copyOp, [value], {}, [value.type])
  steps.push({ node, inputs: [value], outputs: node.outputs })
  return node.outputs[0]!
}

/** In an order in which they may run. */
function findInPlaceUpdates(graph: Graph, targets: ReadonlyMap<Value, VariableSource>): Set<Node> {
  const uses = countUses(graph)
  const sourcesOf = (node: Node) => node.inputs.map((input) => storageOf(input).node.source)
  const writes = (node: Node, fits: (variable: VariableSource, output: Value) => boolean | undefined) =>
    node.outputs.every((output) => {
      const variable = targets.get(output)
      return variable !== undefined && uses.get(output) === 1 && fits(variable, output)
    })
  const candidates = [...new Set([...targets.keys()].map((value) => value.node))]
  const updates = candidates.filter((node) =>
    writes(node, (variable, { index }) => {
      const pair = node.op.traits.inplace?.find(([out]) => out === index)
      // Read through another operand too, the variable would change under the kernel.
      const reads = sourcesOf(node).filter((source) => source === variable).length
      return pair && node.inputs[pair[1]]!.node.source === variable && reads === 1
    }),
  )
  // An update that reads a variable which another one writes would see it half-way: it is computed apart.
  const writers = new Map<unknown, Node>(updates.flatMap((node) => node.outputs.map((o) => [targets.get(o)!, node])))
  const found = new Set(
    updates.filter((node) => sourcesOf(node).every((source) => [undefined, node].includes(writers.get(source)))),
  )
  // Elementwise nodes read an element before they write it, and come last: updates have read the count that they raise.
  const read = new Set<unknown>()
  const written = new Set<unknown>([...found].flatMap((node) => node.outputs.map((o) => targets.get(o))))
  for (const node of candidates) {
    const { inplaceAny, elementwise } = node.op.traits
    if (found.has(node) || !(inplaceAny || elementwise) || !writes(node, () => true)) continue
    const variable = targets.get(node.outputs[0]!)
    const others = sourcesOf(node).filter((source) => source !== undefined && source !== variable)
    if (read.has(variable) || others.some((source) => written.has(source))) continue
    found.add(node)
    written.add(variable)
    for (const source of others) read.add(source)
  }
  return found
}
