/**
 * Steps of one kind that run as one (trait `joins`): a network has many small parameters, which keep neither threads nor
 * a GPU busy one by one.
 */
import { attrKey, Node, type Value } from '../graph/graph.js'
import { byteSize } from '../shape.js'
import type { Step } from './schedule.js'
import { lastUses, storageOf } from './storage.js'

/** Most that run as one: programs are checked operand against operand. */
const MOST_JOINED = 256

/** Updates in place, which stay in order: none reads what one before it writes (schedule.ts). */
export function joinUpdates(updates: readonly Step[]): Step[] {
  return groupByKind(updates).map(join)
}

/**
 * Steps that compute values, where it takes no memory.
 *
 * @param kept values that are read after all steps
 */
export function joinComputed(steps: readonly Step[], kept: readonly Value[]): Step[] {
  return joinNeighbours(joinEarly(steps, kept), kept)
}

/** What reads nothing but leaves, such as casts of weights, and whose results exist at the same time anyway. */
function joinEarly(steps: readonly Step[], kept: readonly Value[]): Step[] {
  const place = new Map(steps.map((step, i) => [step, i]))
  const lastUse = lastUses(steps, kept)
  const groups = groupByKind(steps.filter(({ inputs }) => inputs.every(isLeaf))).map((group) => {
    const last = place.get(group.at(-1)!)!
    return group.filter(({ outputs }) => outputs.every((output) => lastUse.get(output as Value)! > last))
  })
  return joinGroups(steps, groups)
}

/** What follows each other without need, such as casts of gradients; but what may overwrite an input stays alone. */
function joinNeighbours(steps: readonly Step[], kept: readonly Value[]): Step[] {
  const lastUse = lastUses(steps, kept)
  const runs: Step[][] = []
  let run: Step[] = []
  let written = new Set<Value>()
  steps.forEach((step, i) => {
    const read = step.inputs.map(storageOf)
    const overwrites = read.some((value) => !isLeaf(value) && lastUse.get(value) === i && fits(value, step))
    if (run.length === 0 || overwrites || kindOf(step) === undefined || read.some((value) => written.has(value))) {
      run = []
      written = new Set()
      runs.push(run)
    }
    if (!overwrites) run.push(step)
    for (const output of step.outputs) written.add(output as Value)
  })
  return joinGroups(steps, runs.flatMap(groupByKind))
}

function isLeaf(value: Value): boolean {
  return storageOf(value).node.op.traits.leaf === true
}

function fits(value: Value, { outputs }: Step): boolean {
  return outputs.some((output) => byteSize(output as Value) === byteSize(value))
}

/** Each group in the place of its first step. */
function joinGroups(steps: readonly Step[], groups: readonly Step[][]): Step[] {
  const replaced = new Map<Step, Step[]>()
  for (const group of groups) {
    group.forEach((step, i) => {
      replaced.set(step, i === 0 ? [join(group)] : [])
    })
  }
  return steps.flatMap((step) => replaced.get(step) ?? [step])
}

/** Groups of what may run as one, in the order of their first steps. */
function groupByKind(steps: readonly Step[]): Step[][] {
  const open = new Map<string, Step[]>()
  const groups: Step[][] = []
  for (const step of steps) {
    const kind = kindOf(step)
    const group = kind === undefined ? undefined : open.get(kind)
    if (group && group.length < MOST_JOINED) {
      group.push(step)
    } else {
      const fresh = [step]
      groups.push(fresh)
      if (kind !== undefined) open.set(kind, fresh)
    }
  }
  return groups
}

/** The same for steps that may be joined; undefined for those that run alone. */
function kindOf({ node, inputs }: Step): string | undefined {
  const { op, attrs } = node
  const { joins } = op.traits
  if (joins === undefined) return undefined
  const shared = inputs.slice(0, joins.shared).map((value) => `${value.node.id}.${value.index}`)
  const alike = joins.alike ? joins.alike(inputs, node.outputs, attrs) : attrs
  return alike === null ? undefined : `${op.name} ${shared} ${inputs.length} ${attrKey(alike)}`
}

function join(group: readonly Step[]): Step {
  const [first] = group
  if (group.length === 1) return first!
  const { op, attrs } = first!.node
  const { shared } = op.traits.joins!
  const inputs = [...first!.inputs.slice(0, shared), ...group.flatMap((step) => step.inputs.slice(shared))]
  const types = group.flatMap((step) => step.node.outputs.map((output) => output.type))
  const node = new Node(op, inputs, attrs, types, `${group.length} joined`)
  return { node, inputs, outputs: group.flatMap((step) => step.outputs) }
}
