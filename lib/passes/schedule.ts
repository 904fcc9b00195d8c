/**
 * Scheduling: the order of execution, and which steps may write variables. Pure steps come first; from `commitIndex` on
 * come the steps that write state, so a run that is cancelled or fails before it has changed nothing.
 *
 * A node whose trait `inplace` lets it write an output over a variable's own memory, and whose outputs are used for
 * nothing but that assignment, runs in the commit phase on the variable itself (an optimizer's update). So does the last
 * elementwise step to a variable that nothing reads (what hoist.ts prepares). Every other assigned value is computed before
 * and copied. Updates of the same kind (trait `joins`) run as one step: a network has
 * many small parameters, which keep neither threads nor a GPU busy one by one.
 */
import { countUses, type Graph, Node, type Value, type VariableSource } from '../graph/graph.js'
import { copyOp } from '../ops/fused.js'

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

/** The value whose memory `value` is: itself, or what a chain of views looks at. */
export function storageOf(value: Value): Value {
  let current = value
  while (current.node.op.traits.view) current = current.node.inputs[0]!
  return current
}

export function schedule(graph: Graph): Schedule {
  const targets = new Map(graph.assignments.map((a) => [a.value, a.variable]))
  const updates = findInPlaceUpdates(graph, targets)
  const steps: Step[] = []
  const inPlace: Step[] = []
  for (const node of graph.nodes()) {
    if (node.op.traits.leaf || node.op.traits.view) continue
    if (updates.has(node)) {
      inPlace.push({ node, inputs: node.inputs, outputs: node.outputs.map((o) => targets.get(o)!) })
    } else {
      steps.push({ node, inputs: node.inputs, outputs: node.outputs })
    }
  }
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

/** Most updates of one step: programs are checked operand against operand. */
const MOST_JOINED = 256

/** In-place updates of one kind together; none reads what another writes (findInPlaceUpdates), so their order is free. */
function joinUpdates(updates: readonly Step[]): Step[] {
  const open = new Map<string, Step[]>()
  const groups: Step[][] = []
  for (const step of updates) {
    const { op, attrs } = step.node
    const { joins } = op.traits
    const shared = step.inputs.slice(0, joins ?? 0).map((value) => `${value.node.id}.${value.index}`)
    const key = JSON.stringify([op.name, shared, attrs, step.inputs.length])
    const group = joins === undefined ? undefined : open.get(key)
    if (group && group.length < MOST_JOINED) {
      group.push(step)
    } else {
      const fresh = [step]
      groups.push(fresh)
      open.set(key, fresh)
    }
  }
  return groups.map(join)
}

function join(group: readonly Step[]): Step {
  const [first] = group
  if (group.length === 1) return first!
  const { op, attrs } = first!.node
  const inputs = [
    ...first!.inputs.slice(0, op.traits.joins),
    ...group.flatMap((step) => step.inputs.slice(op.traits.joins)),
  ]
  const types = group.flatMap((step) => step.node.outputs.map((output) => output.type))
  const node = new Node(op, inputs, attrs, types, `${group.length} parameters`)
  return { node, inputs, outputs: group.flatMap((step) => step.outputs) }
}

function pushCopy(value: Value, steps: Step[]): Value {
  const node = new Node(copyOp, [value], {}, [value.type])
  steps.push({ node, inputs: [value], outputs: node.outputs })
  return node.outputs[0]!
}

function findInPlaceUpdates(graph: Graph, targets: ReadonlyMap<Value, VariableSource>): Set<Node> {
  const uses = countUses(graph)
  const read = new Set<unknown>(
    [...graph.nodes().flatMap(({ inputs }) => inputs), ...graph.outputs].map((value) => storageOf(value).node.source),
  )
  const found = new Set<Node>()
  const writtenBy = new Map<VariableSource, Node>()
  for (const value of targets.keys()) {
    const { node } = value
    if (found.has(node)) continue
    const { inplace: pairs, inplaceAny, elementwise } = node.op.traits
    const fits = node.outputs.every((output, i) => {
      const variable = targets.get(output)
      if (variable === undefined || uses.get(output) !== 1) return false
      if (!read.has(variable)) return inplaceAny || elementwise // these never fail: nothing may, from the commit on
      const pair = pairs?.find(([out]) => out === i)
      const source = pair && node.inputs[pair[1]]!.node.source
      // Read through another operand too, the variable would change under the kernel.
      const reads = node.inputs.filter((input) => storageOf(input).node.source === variable).length
      return source === variable && reads === 1
    })
    if (!fits) continue
    found.add(node)
    for (const output of node.outputs) writtenBy.set(targets.get(output)!, node)
  }
  // An update that reads a variable which another in-place update writes would see it half-way: compute it apart.
  for (const node of found) {
    const conflict = node.inputs.some((input) => {
      const writer = writtenBy.get(storageOf(input).node.source as VariableSource)
      return writer !== undefined && writer !== node
    })
    if (conflict) found.delete(node)
  }
  return found
}
