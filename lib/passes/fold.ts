/**
 * Folding: what is known before any run. Elementwise operations on constants that are one number everywhere, identity
 * operands (x + 0, x · 1), reshapes of reshapes, broadcasts and sums of one number.
 */
import type { DType } from '../dtype.js'
import { type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { fullOp, makeFull } from '../ops/creation.js'
import { sumOp } from '../ops/reduce.js'
import { broadcastToOp, reshapeOp } from '../ops/shape.js'
import { refArray } from '../reference/array.js'
import { sameShape } from '../shape.js'
import { build, reshapeValue } from './build.js'

export function fold(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    const value = foldNode(node, inputs)
    return value && [value]
  })
}

/** The number that a value holds everywhere, if it is known. */
function uniform(value: Value): number | undefined {
  return value.node.op === fullOp ? (value.node.attrs.value as number) : undefined
}

/** What `node` on `inputs` is, where that is known before any run. */
export function foldNode(node: Node, inputs: readonly Value[]): Value | undefined {
  const output = node.outputs[0]
  if (output === undefined || inputs.length === 0) return undefined
  const [first] = inputs as [Value]
  if (node.op === reshapeOp) {
    const known = uniform(first)
    return known === undefined ? reshapeValue(first, output.shape) : makeFull(output.shape, known, output.dtype)
  }
  if (node.op === broadcastToOp) {
    if (sameShape(first.shape, output.shape)) return first
    // A single number is broadcast from whatever shape it has.
    const source = first.node.op === reshapeOp && first.size === 1 ? first.node.inputs[0]! : first
    if (source !== first && source.shape.length <= output.shape.length)
      return build(broadcastToOp, [source], node.attrs, node.name).outputs[0]!
  }
  if (node.op.traits.reduction && first.size === output.size) return reshapeValue(first, output.shape)
  if (node.op === sumOp) return foldSum(first, output)
  if (!node.op.traits.elementwise) return undefined
  return foldIdentity(node, inputs) ?? foldUniform(node, inputs)
}

/** The operand that the operation leaves as it is. */
function foldIdentity(node: Node, inputs: readonly Value[]): Value | undefined {
  const output = node.outputs[0]!
  for (const [input, neutral] of node.op.traits.identity ?? []) {
    const other = inputs[1 - input]!
    if (uniform(inputs[input]!) === neutral && sameShape(other.shape, output.shape)) return other
  }
  return undefined
}

/** A sum of one number. */
function foldSum(x: Value, output: Value): Value | undefined {
  const known = uniform(x)
  const total = known === undefined || x.size === 0 ? undefined : rounded(known * (x.size / output.size), output.dtype)
  return total === undefined ? undefined : makeFull(output.shape, total, output.dtype)
}

/** As the dtype holds it; undefined where it holds no such number. */
function rounded(x: number, dtype: DType): number | undefined {
  const held = dtype === 'float32' ? Math.fround(x) : x
  return dtype === 'int32' ? (held === (held | 0) ? held : undefined) : Number.isFinite(held) ? held : undefined
}

/** An elementwise operation on numbers, computed by its own reference in float64 and rounded once. */
function foldUniform(node: Node, inputs: readonly Value[]): Value | undefined {
  const output = node.outputs[0]!
  const numbers = inputs.map(uniform)
  if (numbers.some((n) => n === undefined)) return undefined
  const arrays = inputs.map((input, i) => refArray([], input.dtype, Float64Array.of(numbers[i]!)))
  const type = { shape: [], dtype: output.dtype }
  const attrs = node.op === broadcastToOp ? { shape: [] } : node.attrs
  const result = node.op.reference!(arrays, attrs, [type])[0]!.data[0]!
  const known = rounded(result, output.dtype)
  return known === undefined ? undefined : makeFull(output.shape, known, output.dtype)
}
