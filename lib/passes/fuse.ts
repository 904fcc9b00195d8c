/**
 * Elementwise fusion: every elementwise node becomes part of a `fused` node, a micro-program that makes one pass over
 * memory. A group grows from its last node towards the inputs, over values of the same shape that nothing outside
 * the group uses; so no path leaves a group and comes back. A single number that only a small result needs is computed
 * for each of its elements anew: that takes less than a step of its own.
 */
import { dtypeCode } from '../dtype.js'
import { countUses, type Graph, Node, rewrite, type Value } from '../graph/graph.js'
import { fullOp } from '../ops/creation.js'
import { FUSED_MAX_INPUTS, FUSED_MAX_REGISTERS, fusedOp, laneOf } from '../ops/fused.js'
import { broadcastToOp } from '../ops/shape.js'
import { sameShape, sizeOfShape } from '../shape.js'
import { floatBits } from './emit.js'

/** Elements of a small result. */
const SMALL = 4096

export function fuse(graph: Graph): Graph {
  const groups = findGroups(graph)
  const absorbed = new Set<Node>()
  for (const [root, nodes] of groups) for (const node of nodes) if (node !== root) absorbed.add(node)
  return rewrite(graph, (node, _inputs, get) => {
    if (absorbed.has(node)) return node.outputs
    const group = groups.get(node)
    return group ? [emitGroup(node, group, get)] : undefined
  })
}

/** Root node → nodes of its group, inputs first, root last. */
function findGroups(graph: Graph): Map<Node, Node[]> {
  const order = graph.nodes()
  const position = new Map(order.map((node, i) => [node, i]))
  const uses = countUses(graph)
  const taken = new Set<Node>()
  const groups = new Map<Node, Node[]>()
  for (const root of [...order].reverse()) {
    if (!root.op.traits.elementwise || taken.has(root)) continue
    const members = growGroup(root, uses, taken)
    for (const node of members) taken.add(node)
    groups.set(
      root,
      [...members].sort((a, b) => position.get(a)! - position.get(b)!),
    )
  }
  return groups
}

function growGroup(root: Node, uses: ReadonlyMap<Value, number>, taken: ReadonlySet<Node>): Set<Node> {
  const { shape } = root.outputs[0]!
  const members = new Set<Node>([root])
  const inside = new Map<Value, number>()
  const count = (node: Node) => {
    for (const input of node.inputs) inside.set(input, (inside.get(input) ?? 0) + 1)
  }
  count(root)
  const refused = new Set<Node>()
  for (;;) {
    const next = [...inside.keys()].find(
      (value) =>
        value.node.op.traits.elementwise &&
        !members.has(value.node) &&
        !refused.has(value.node) &&
        !taken.has(value.node) &&
        inside.get(value) === uses.get(value) &&
        (sameShape(value.shape, shape) || (value.size === 1 && sizeOfShape(shape) <= SMALL)),
    )
    if (next === undefined) return members
    members.add(next.node)
    if (!fits(members)) {
      members.delete(next.node)
      refused.add(next.node)
    } else {
      count(next.node)
    }
  }
}

/** A register for each input, immediate and node is more than enough. */
function fits(members: ReadonlySet<Node>): boolean {
  const inputs = externalInputs(members).length
  const immediates = new Set([...members].flatMap((node) => node.inputs.filter(isImmediate))).size
  return inputs <= FUSED_MAX_INPUTS && inputs + immediates + members.size <= FUSED_MAX_REGISTERS
}

function isImmediate(value: Value): boolean {
  return value.node.op === fullOp
}

/** Distinct values that a group reads from outside, immediates left out, in the order of first use. */
function externalInputs(members: ReadonlySet<Node>): Value[] {
  const inputs = new Set<Value>()
  for (const node of members) {
    for (const input of node.inputs) if (!members.has(input.node) && !isImmediate(input)) inputs.add(input)
  }
  return [...inputs]
}

function emitGroup(root: Node, group: readonly Node[], get: (value: Value) => Value): Value {
  const members = new Set(group)
  const inputs = externalInputs(members)
  const registers = new Map<Value, number>(inputs.map((value, i) => [value, i]))
  /** What a register was written for: inputs are broadcast while they are loaded, numbers are the same everywhere. */
  const held = (value: Value): Value =>
    members.has(value.node) && value.node.op === broadcastToOp ? held(value.node.inputs[0]!) : value
  const lastUse = new Map<Value, number>()
  group.forEach((node, i) => {
    for (const input of node.inputs) lastUse.set(held(input), i)
  })
  let used = inputs.length
  const free: number[] = []
  const allocate = () => free.pop() ?? used++
  const code: number[] = []
  // Numbers come first, in registers of their own, so that a kernel can set them once for all blocks.
  const numbers = new Map<string, number>()
  for (const value of group.flatMap((node) => node.inputs).filter(isImmediate)) {
    const lane = laneOf(value.dtype)
    const bits = bitsOf(value.node.attrs.value as number, lane)
    const register = numbers.get(`${lane}:${bits}`) ?? allocate()
    if (!numbers.has(`${lane}:${bits}`)) code.push(fullOp.code | (lane << 16), register, bits, 0)
    numbers.set(`${lane}:${bits}`, register)
    registers.set(value, register)
  }
  group.forEach((node, i) => {
    const output = node.outputs[0]!
    const operands = node.inputs.map((input) => registers.get(input)!)
    if (node.op === broadcastToOp) {
      registers.set(output, operands[0]!)
      return
    }
    const register = allocate()
    registers.set(output, register)
    // where(condition, a, b) works in the lane of a and b.
    const lane = laneOf(
      node.inputs[0]!.dtype === 'bool' && node.inputs.length > 1 ? node.inputs[1]!.dtype : node.inputs[0]!.dtype,
    )
    const [a = 0, b = 0, c = 0] = operands
    const words = attrWords(node)
    code.push(node.op.code | (lane << 16), register | (a << 8) | (b << 16) | (c << 24), words[0] ?? 0, words[1] ?? 0)
    for (const value of new Set(node.inputs.map(held))) {
      const temporary = registers.get(value)! >= inputs.length && !isImmediate(value)
      if (temporary && lastUse.get(value) === i) free.push(registers.get(value)!)
    }
  })
  const output = root.outputs[0]!
  const shape = [...output.shape]
  const attrs = {
    dtype: dtypeCode(output.dtype),
    rank: shape.length,
    shape: [...shape, ...new Array<number>(8 - shape.length).fill(0)],
    registers: used,
    result: registers.get(output)!,
    code,
  }
  return new Node(fusedOp, inputs.map(get), attrs, [output.type], root.name).outputs[0]!
}

/** The operation's scalar attributes as bit patterns, in the order of its layout. */
function attrWords(node: Node): number[] {
  return Object.entries(node.op.attrs as Record<string, string>)
    .filter(([, field]) => field === 'f32' || field === 'i32')
    .map(([name, field]) => bitsOf(node.attrs[name] as number, field === 'f32' ? 0 : 1))
}

function bitsOf(value: number, lane: 0 | 1): number {
  return lane === 1 ? value | 0 : floatBits(value)
}
