/**
 * Comparisons, logic and `where`. Results of comparisons are bool; they are constant almost everywhere, so their
 * gradients are zero. Comparisons with NaN are false, except notEqual.
 */
import type { DType } from '../dtype.js'
import { formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply, asTensor, type TensorLike } from './apply.js'
import { requireTensorLikes, requireTensors } from './check_call.js'
import { defineElementwise } from './define_elementwise.js'
import { binary, dtypeOf, operand } from './operands.js'
import { type Op, requireSameDType } from './registry.js'

type Plain = Record<never, never>

function comparison(name: string, code: number, compare: (a: number, b: number) => boolean): Op<Plain> {
  return defineElementwise({
    name,
    code,
    inputs: ['a', 'b'],
    attrs: {},
    dtype: (inputs, _attrs, site): DType => {
      requireSameDType(inputs, site)
      return 'bool'
    },
    scalar: ([a, b]) => (compare(a!, b!) ? 1 : 0),
    grad: () => [null, null],
  })
}

const equalOp = comparison('equal', 40, (a, b) => a === b)
const notEqualOp = comparison('notEqual', 41, (a, b) => a !== b)
const lessOp = comparison('less', 42, (a, b) => a < b)
const lessEqualOp = comparison('lessEqual', 43, (a, b) => a <= b)
const greaterOp = comparison('greater', 44, (a, b) => a > b)
const greaterEqualOp = comparison('greaterEqual', 45, (a, b) => a >= b)

/** a = b as bool, broadcast. */
export function equal(a: TensorLike, b: TensorLike): Tensor {
  return binary(equalOp, a, b)
}

/** a ≠ b as bool, broadcast. */
export function notEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(notEqualOp, a, b)
}

/** a < b as bool, broadcast. */
export function less(a: TensorLike, b: TensorLike): Tensor {
  return binary(lessOp, a, b)
}

/** a ≤ b as bool, broadcast. */
export function lessEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(lessEqualOp, a, b)
}

/** a > b as bool, broadcast. */
export function greater(a: TensorLike, b: TensorLike): Tensor {
  return binary(greaterOp, a, b)
}

/** a ≥ b as bool, broadcast. */
export function greaterEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(greaterEqualOp, a, b)
}

/** Logic on operands that are bool already. */
function logic(name: string, code: number, inputs: readonly string[], scalar: (x: readonly number[]) => boolean) {
  return defineElementwise({
    name,
    code,
    inputs,
    attrs: {},
    dtype: (values, _attrs, site): DType => {
      if (values.some((v) => v.dtype !== 'bool')) site.fail('ERR_DTYPE', 'operands must be bool', "use cast(x, 'bool')")
      return 'bool'
    },
    scalar: (x) => (scalar(x) ? 1 : 0),
    grad: () => inputs.map(() => null),
  })
}

const logicalAndOp = logic('logicalAnd', 46, ['a', 'b'], ([a, b]) => a !== 0 && b !== 0)
const logicalOrOp = logic('logicalOr', 47, ['a', 'b'], ([a, b]) => a !== 0 || b !== 0)
const logicalNotOp = logic('logicalNot', 50, ['x'], ([x]) => x === 0)

/** Numbers count as true unless they are 0. */
function truth(x: TensorLike): Tensor {
  if (typeof x === 'number') return asTensor(x !== 0 ? 1 : 0, 'bool')
  return x.dtype === 'bool' ? x : notEqual(x, 0)
}

/** a and b as bool, broadcast; operands of other dtypes are true where they are not 0. */
export function logicalAnd(a: TensorLike, b: TensorLike): Tensor {
  requireTensorLikes('logicalAnd', { a, b })
  return apply(logicalAndOp, [truth(a), truth(b)], {})
}

/** a or b as bool, broadcast; operands of other dtypes are true where they are not 0. */
export function logicalOr(a: TensorLike, b: TensorLike): Tensor {
  requireTensorLikes('logicalOr', { a, b })
  return apply(logicalOrOp, [truth(a), truth(b)], {})
}

/** not x as bool; other dtypes are true where they are not 0. */
export function logicalNot(x: TensorLike): Tensor {
  requireTensorLikes('logicalNot', { x })
  return apply(logicalNotOp, [truth(x)], {})
}

const whereOp: Op<Plain> = defineElementwise({
  name: 'where',
  code: 38,
  inputs: ['condition', 'a', 'b'],
  attrs: {},
  dtype: ([condition, a, b], _attrs, site) => {
    if (condition!.dtype !== 'bool') {
      site.fail(
        'ERR_DTYPE',
        `the condition ${formatShape(condition!.shape)} must be bool, got ${condition!.dtype}`,
        "use a comparison, or cast(condition, 'bool')",
      )
    }
    return requireSameDType([a!, b!], site)
  },
  scalar: ([condition, a, b]) => (condition !== 0 ? a! : b!),
  grad: ({ inputs: [condition], needs }, dy) => [
    null,
    needs[1] ? where(condition!, dy, 0) : null,
    needs[2] ? where(condition!, 0, dy) : null,
  ],
})

/** a where condition (bool) is true, else b; all three broadcast. The operand that is not chosen gets no gradient. */
export function where(condition: Tensor, a: TensorLike, b: TensorLike): Tensor {
  requireTensors('where', { condition })
  requireTensorLikes('where', { a, b })
  const dtype = dtypeOf(a, b)
  return apply(whereOp, [condition, operand('where', a, dtype), operand('where', b, dtype)], {})
}
