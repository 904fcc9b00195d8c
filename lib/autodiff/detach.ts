/**
 * Where differentiation stops. A detached tensor is a node that only `grad` knows from others: a reshape to the shape
 * there is, which every program drops. Once its value is known nobody asks what it was made of, and it becomes a constant.
 */
import type { TypedArray } from '../dtype.js'
import type { Node, Value } from '../graph/graph.js'
import { apply } from '../ops/apply.js'
import { requireTensors } from '../ops/check_call.js'
import { makeLeaf } from '../ops/creation.js'
import { reshapeOp } from '../ops/shape.js'
import { Tensor } from '../tensor.js'

const detached = new WeakSet<Node>()

/**
 * x as differentiation sees a constant: no gradient of what is made of it reaches x or what x was made of. A loop outside of
 * compiled functions that goes on from its own result, `x = x.mul(0.9).detach()`, keeps nothing of earlier rounds once that
 * is read.
 */
export function detach(x: Tensor): Tensor {
  requireTensors('detach', { x })
  const { resident, type } = x.value
  if (resident) return new Tensor(makeLeaf({ kind: 'constant', data: resident }, type))
  const y = apply(reshapeOp, [x], { shape: x.shape })
  detached.add(y.value.node)
  return y
}

/** Whether gradients go no further than the node's outputs. */
export function isDetached(node: Node): boolean {
  return detached.has(node)
}

/** Keeps the elements of a value that will never be others. */
export function settle(value: Value, elements: TypedArray): void {
  value.resident = elements
  if (!isDetached(value.node)) return
  const { op, inputs, attrs, source } = makeLeaf({ kind: 'constant', data: elements }, value.type).node
  Object.assign(value.node, { op, inputs, attrs, source })
}
