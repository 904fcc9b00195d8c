/** Operations of one and two operands on what users write: tensors and numbers. */
import { type DType, isFloat } from '../dtype.js'
import { Tensor } from '../tensor.js'
import { apply, asTensor, type TensorLike } from './apply.js'
import { requireTensorLikes } from './check_call.js'
import { refuse } from './refuse.js'
import type { Op } from './registry.js'

/** `op` on two operands of which either may be a number. */
export function binary(op: Op<Record<never, never>>, a: TensorLike, b: TensorLike): Tensor {
  requireTensorLikes(op.name, { a, b })
  const dtype = dtypeOf(a, b)
  return apply(op, [operand(op.name, a, dtype), operand(op.name, b, dtype)], {})
}

/** The dtype that numbers among the operands take: that of the first tensor. */
export function dtypeOf(...operands: readonly TensorLike[]): DType {
  return operands.find((x) => x instanceof Tensor)?.dtype ?? 'float32'
}

/** `x` as a tensor of `dtype`; ERR_DTYPE for a number that dtype cannot hold. */
export function operand(what: string, x: TensorLike, dtype: DType): Tensor {
  if (typeof x === 'number' && !isFloat(dtype) && !Number.isInteger(x)) {
    refuse(what, 'ERR_DTYPE', `the other operand is ${dtype}, which cannot hold ${x}`, "use cast(x, 'float32')")
  }
  return asTensor(x, dtype)
}

/** `op` on one operand. */
export function unary(op: Op<Record<never, never>>, x: TensorLike): Tensor {
  return apply(op, [asTensor(x, 'float32')], {})
}
