/**
 * Layout: images are (N, C, H, W) to the user and (N, H, W, C) to the kernels, so every image operation stands between
 * two transposes. This pass moves transposes towards the outputs, through elementwise operations, reductions and parts
 * (slice, place, concat), until they meet their inverse and both vanish, and from flattened images to smaller weights
 * (flatten.ts); what is left are the few that the network really needs: at inputs and outputs, and before large layers.
 */
import { countUses, type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { fullOp } from '../ops/creation.js'
import { matmulOp } from '../ops/matmul.js'
import { broadcastToOp, reshapeOp, transposeOp } from '../ops/shape.js'
import { inversePermutation, sameShape } from '../shape.js'
import { build, readOnce, reshapeValue, transposeValue } from './build.js'
import { multiplyFlattened, multiplyUnflattened } from './flatten.js'

export interface LayoutOptions {
  /** Whether the device runs steps side by side that share no memory. Default false. */
  readonly branches?: boolean
}

export function layout(graph: Graph, { branches = false }: LayoutOptions = {}): Graph {
  const uses = countUses(graph)
  return rewrite(graph, (node, inputs) => {
    if (node.op === transposeOp) {
      const perm = node.attrs.perm as readonly number[]
      const made = readOnce(node.inputs[0]!, uses) ? multiplyUnflattened(inputs[0]!, perm, branches) : undefined
      return [made ?? transposeValue(inputs[0]!, perm)]
    }
    if (node.op === matmulOp) return multiplyFlattened(node, inputs, branches)
    if (node.op === reshapeOp) return [reshapeValue(inputs[0]!, node.outputs[0]!.shape)]
    if (node.op.traits.elementwise || node.op.beforeTranspose) return sinkThrough(node, inputs)
    if (node.op.traits.reduction) return sinkThroughReduction(node, inputs[0]!)
    return undefined
  })
}

/** The permutation that made this value, if a transpose did. */
function permutationOf(value: Value): readonly number[] | undefined {
  return value.node.op === transposeOp ? (value.node.attrs.perm as readonly number[]) : undefined
}

/** f(transpose(x), transpose(y)) = transpose(f(x, y)), where every operand can be had in x's order for little. */
function sinkThrough(node: Node, inputs: readonly Value[]): Value[] | undefined {
  const [result] = node.outputs
  // Of an elementwise operation's operands those that are broadcast are not asked: they are small, or soon will be.
  const asked = node.op.traits.elementwise ? inputs.filter(({ shape }) => sameShape(shape, result!.shape)) : inputs
  const perm = asked.map(permutationOf).find((p) => p !== undefined)
  if (!perm) return undefined
  const inverse = inversePermutation(perm)
  const moved = inputs.map((input) => cheaply(input, inverse, result!))
  if (moved.some((value) => value === undefined)) return undefined
  const attrs = node.op.beforeTranspose?.(node.attrs, perm) ?? node.attrs
  const inner = build(node.op, moved as Value[], attrs, node.name)
  return [transposeValue(inner.outputs[0]!, perm)]
}

/** Values this many times smaller than the result may be transposed for real. */
const SMALL = 8

/** `value` with its axes, right-aligned to the result's, reordered; undefined if that would move many elements. */
function cheaply(value: Value, perm: readonly number[], result: Value): Value | undefined {
  const rank = perm.length
  if (value.size === 1 && value.shape.length <= rank) return value
  const padded = [...new Array<number>(rank - value.shape.length).fill(1), ...value.shape]
  if (value.node.op === fullOp) {
    const shape = perm.map((axis) => padded[axis]!)
    return build(fullOp, [], { ...value.node.attrs, shape }).outputs[0]!
  }
  if (value.node.op === broadcastToOp) {
    const inner = cheaply(value.node.inputs[0]!, perm, result)
    return inner && build(broadcastToOp, [inner], { shape: perm.map((axis) => padded[axis]!) }).outputs[0]!
  }
  const moved = transposeValue(reshapeValue(value, padded), perm)
  return moved.node.op !== transposeOp || value.size * SMALL <= result.size ? moved : undefined
}

/** reduce(transpose(x), mask) = transpose(reduce(x, the same axes before the transpose)). */
function sinkThroughReduction(node: Node, input: Value): Value[] | undefined {
  const perm = permutationOf(input)
  if (!perm) return undefined
  const source = input.node.inputs[0]!
  const mask = node.attrs.mask as readonly number[]
  const moved = mask.map((_, axis) => (axis < perm.length ? mask[perm.indexOf(axis)]! : 0))
  const reduced = build(node.op, [source], { ...node.attrs, mask: moved, keepDims: 1 }, node.name).outputs[0]!
  return [reshapeValue(transposeValue(reduced, perm), node.outputs[0]!.shape)]
}
