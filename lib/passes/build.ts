/** Nodes that passes make, by the registry's own shape rules. */
import type { Value } from '../graph/graph.js'
import { Node } from '../graph/graph.js'
import { type AnyOp, type AttrRecord, makeNode } from '../ops/registry.js'
import { reshapeOp, transposeOp } from '../ops/shape.js'
import { type Shape, sameShape } from '../shape.js'

/** `op` on other inputs or attributes, types inferred anew, the layer's name kept. */
export function build(op: AnyOp, inputs: readonly Value[], attrs: AttrRecord, name?: string): Node {
  const types = makeNode(op, inputs, attrs).outputs.map((o) => o.type)
  return new Node(op, inputs, attrs, types, name)
}

export function reshapeValue(value: Value, shape: Shape): Value {
  if (sameShape(value.shape, shape)) return value
  const source = value.node.op === reshapeOp ? value.node.inputs[0]! : value
  return sameShape(source.shape, shape) ? source : build(reshapeOp, [source], { shape: [...shape] }).outputs[0]!
}

/**
 * The value with axes reordered: nothing for the identity, one transpose where it was transposed already, a reshape
 * (free) where only axes of size 1 change places.
 */
export function transposeValue(value: Value, perm: readonly number[]): Value {
  if (value.node.op === transposeOp) {
    const inner = value.node.attrs.perm as readonly number[]
    return transposeValue(
      value.node.inputs[0]!,
      perm.map((axis) => inner[axis]!),
    )
  }
  const moving = perm.filter((axis) => value.shape[axis] !== 1)
  if (moving.every((axis, i) => i === 0 || axis > moving[i - 1]!)) {
    return reshapeValue(
      value,
      perm.map((axis) => value.shape[axis]!),
    )
  }
  return build(transposeOp, [value], { perm: [...perm] }).outputs[0]!
}

/** What the value is, or is a reshape of, where only one reads each of them; undefined where others do. */
export function readOnce(value: Value, uses: ReadonlyMap<Value, number>): Value | undefined {
  if (uses.get(value) !== 1) return undefined
  return value.node.op === reshapeOp ? readOnce(value.node.inputs[0]!, uses) : value
}
