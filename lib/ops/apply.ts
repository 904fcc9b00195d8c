/**
 * From operations to tensors: `apply` makes the node and wraps its outputs; `asTensor` accepts numbers where users
 * expect to write them.
 */
import type { DType } from '../dtype.js'
import { Tensor } from '../tensor.js'
import { requireTensors } from './check_call.js'
import { makeFull } from './creation.js'
import { type AttrLayout, type Attrs, inputName, makeNode, type Op } from './registry.js'

export type TensorLike = Tensor | number

/** All outputs of `op` on `inputs`. */
export function applyAll<L extends AttrLayout>(op: Op<L>, inputs: readonly Tensor[], attrs: Attrs<L>): Tensor[] {
  inputs.forEach((input, i) => {
    if (!(input instanceof Tensor)) requireTensors(op.name, { [inputName(op, i)]: input })
  })
  const node = makeNode(
    op,
    inputs.map((t) => t.value),
    attrs,
  )
  return node.outputs.map((value) => new Tensor(value))
}

/** The first output of `op` on `inputs`. */
export function apply<L extends AttrLayout>(op: Op<L>, inputs: readonly Tensor[], attrs: Attrs<L>): Tensor {
  return applyAll(op, inputs, attrs)[0]!
}

/** `x` itself, or a rank-0 tensor of the number `x` with the given dtype. */
export function asTensor(x: TensorLike, dtype: DType): Tensor {
  return typeof x === 'number' ? filled([], x, dtype) : x
}

/** A tensor of `shape` that holds `value` everywhere. */
export function filled(shape: readonly number[], value: number, dtype: DType): Tensor {
  return new Tensor(makeFull(shape, value, dtype))
}
