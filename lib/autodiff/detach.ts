/**
 * Where differentiation stops. A detached tensor is a node that only `grad` knows from others: a reshape to the shape
 * there is, which every program drops.
 */
import type { Node } from '../graph/graph.js'
import { apply } from '../ops/apply.js'
import { requireTensors } from '../ops/check_call.js'
import { reshapeOp } from '../ops/shape.js'
import type { Tensor } from '../tensor.js'

const detached = new WeakSet<Node>()

/** x as differentiation sees a constant: no gradient of what is made of it reaches x or what x was made of. */
export function detach(x: Tensor): Tensor {
  requireTensors('detach', { x })
  const y = apply(reshapeOp, [x], { shape: x.shape })
  detached.add(y.value.node)
  return y
}

/** Whether gradients go no further than the node's outputs. */
export function isDetached(node: Node): boolean {
  return detached.has(node)
}
