/**
 * Precision 'bfloat16': maps and matrices are stored as bfloat16, and computed with in float32. Products, forward and
 * backward, read and write it on tensor cores; what lies between them (batch norm, pooling, chains of elementwise
 * operations) follows where its operands come from there. Variables, and with them weights, optimizers' states and
 * running statistics, stay float32, and so do statistics, softmax and losses; a weight is cast once a step, since equal
 * casts become one (cse).
 */
import { type DType, dtypeCode } from '../dtype.js'
import { type Graph, type Node, rebuild, rewrite, type Value } from '../graph/graph.js'
import { castOp } from '../ops/cast.js'
import { reshapeOp } from '../ops/shape.js'
import { sameShape } from '../shape.js'
import { build, reshapeValue } from './build.js'

/** Channels of a group from which on tiles of tensor cores are worth filling. */
const FEWEST_CHANNELS = 8

/** Casts around products, and around what can take their results as they are. */
export function narrowMaps(graph: Graph): Graph {
  /** What products give, and what elementwise operations and views make of values of the same shape that are here. */
  const fromProducts = new Set<Value>()
  return rewrite(graph, (node, inputs) => {
    const { narrow, elementwise, view } = node.op.traits
    const follows = (among: (input: Value, i: number) => boolean) =>
      node.inputs.some((input, i) => among(input, i) && fromProducts.has(input))
    const add = () => {
      for (const output of node.outputs) if (output.dtype === 'float32') fromProducts.add(output)
    }
    if (
      (view && follows(() => true)) ||
      (elementwise && follows(({ shape }) => sameShape(shape, node.outputs[0]!.shape)))
    )
      add()
    if (!narrow || inputs[0]?.dtype !== 'float32') return undefined
    if (node.op.traits.product ? !fillsTiles(node) : !follows((_, i) => narrow.includes(i))) return undefined
    add()
    const operands = inputs.map((input, i) =>
      narrow.includes(i) && input.shape.length > 1 ? castTo(input, 'bfloat16') : input,
    )
    return build(node.op, operands, node.attrs, node.name).outputs.map((output, i) =>
      castTo(output, node.outputs[i]!.dtype),
    )
  })
}

function fillsTiles(node: Node): boolean {
  const [side, index] = node.op.traits.filter ?? []
  const filter = side && node[side][index!]!
  return filter === undefined || filter.shape[3]! / (node.attrs.groups as number) >= FEWEST_CHANNELS
}

/**
 * What is stored as bfloat16 for one reader is so for all: elementwise readers widen it themselves, each by a cast of its
 * own, which fusion makes part of them, so that no float32 copy is written. As with autocast, they see it rounded.
 */
export function widenWhereRead(graph: Graph): Graph {
  const casts = new Map<Value, Node>()
  for (const node of graph.nodes()) {
    if (isCast(node) && node.outputs[0]!.dtype === 'bfloat16') casts.set(node.inputs[0]!, node)
  }
  const kept = new Set(graph.roots())
  const isStored = (value: Value) => value.node.op.traits.elementwise && casts.has(value) && !kept.has(value)
  const narrowed = new Map<Value, Value>()
  const store = (before: Value, input: Value) => {
    const stored = narrowed.get(before) ?? castTo(input, 'bfloat16')
    narrowed.set(before, stored)
    return stored
  }
  return rewrite(graph, (node, inputs) => {
    if (casts.get(node.inputs[0]!) === node) return [store(node.inputs[0]!, inputs[0]!)]
    if (!node.op.traits.elementwise || isCast(node)) return undefined
    const read = inputs.map((input, i) => {
      const before = node.inputs[i]!
      const source = narrowSource(input) ?? (isStored(before) ? store(before, input) : undefined)
      return source ? widen(source) : input
    })
    return rebuild(node, read).outputs
  })
}

function widen(value: Value): Value {
  return build(castOp, [value], { dtype: dtypeCode('float32') }).outputs[0]!
}

function isCast(node: Node): boolean {
  return node.op === castOp
}

/** The bfloat16 value that a cast, or reshapes of one, made this float32 value of. */
function narrowSource(value: Value): Value | undefined {
  const [source] = value.node.inputs
  if (isCast(value.node)) return value.dtype === 'float32' && source!.dtype === 'bfloat16' ? source : undefined
  if (value.node.op !== reshapeOp) return undefined
  const inner = narrowSource(source!)
  return inner && reshapeValue(inner, value.shape)
}

/** The value as `dtype`; what a cast, or reshapes of one, was made of where that is it. */
function castTo(value: Value, dtype: DType): Value {
  if (value.dtype === dtype) return value
  const source = dtype === 'bfloat16' ? narrowSource(value) : undefined
  return source ?? build(castOp, [value], { dtype: dtypeCode(dtype) }).outputs[0]!
}
