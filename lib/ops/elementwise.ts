/**
 * Elementwise arithmetic with NumPy broadcasting; define_elementwise.ts says which dtypes it takes.
 */
import { isFloat } from '../dtype.js'
import type { Tensor } from '../tensor.js'
import type { TensorLike } from './apply.js'
import { requireTensorLikes } from './check_call.js'
import { equal, greater, greaterEqual, less, logicalAnd, where } from './compare.js'
import { defineElementwise } from './define_elementwise.js'
import { log, reciprocal, rsqrt, sqrt, square } from './math.js'
import { binary, unary } from './operands.js'

export const addOp = defineElementwise({
  name: 'add',
  code: 16,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'arithmetic',
  scalar: ([a, b]) => a! + b!,
  integer: ([a, b]) => (a! + b!) | 0,
  traits: {
    identity: [
      [0, 0],
      [1, 0],
    ],
  },
  grad: (_context, dy) => [dy, dy],
})

/** a + b, broadcast. */
export function add(a: TensorLike, b: TensorLike): Tensor {
  return binary(addOp, a, b)
}

const subOp = defineElementwise({
  name: 'sub',
  code: 17,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'arithmetic',
  scalar: ([a, b]) => a! - b!,
  integer: ([a, b]) => (a! - b!) | 0,
  traits: { identity: [[1, 0]] },
  grad: ({ needs }, dy) => [dy, needs[1] ? neg(dy) : null],
})

/** a - b, broadcast. */
export function sub(a: TensorLike, b: TensorLike): Tensor {
  return binary(subOp, a, b)
}

export const mulOp = defineElementwise({
  name: 'mul',
  code: 18,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'arithmetic',
  scalar: ([a, b]) => a! * b!,
  integer: ([a, b]) => Math.imul(a!, b!),
  traits: {
    identity: [
      [0, 1],
      [1, 1],
    ],
  },
  grad: ({ inputs: [a, b], needs }, dy) => [needs[0] ? mul(dy, b!) : null, needs[1] ? mul(dy, a!) : null],
})

/** a · b elementwise, broadcast. */
export function mul(a: TensorLike, b: TensorLike): Tensor {
  return binary(mulOp, a, b)
}

const divOp = defineElementwise({
  name: 'div',
  code: 19,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'arithmetic',
  scalar: ([a, b]) => a! / b!,
  integer: ([a, b]) => (b === 0 ? 0 : Math.trunc(a! / b!) | 0),
  traits: { identity: [[1, 1]] },
  grad: ({ inputs: [, b], outputs: [y], needs }, dy) => {
    const da = div(dy, b!)
    return [da, needs[1] ? neg(mul(da, y!)) : null]
  },
})

/** a / b elementwise, broadcast. int32 division truncates towards zero; by zero it gives 0. */
export function div(a: TensorLike, b: TensorLike): Tensor {
  return binary(divOp, a, b)
}

const negOp = defineElementwise({
  name: 'neg',
  code: 20,
  inputs: ['x'],
  attrs: {},
  accepts: 'arithmetic',
  scalar: ([x]) => -x!,
  integer: ([x]) => -x! | 0,
  grad: (_context, dy) => [neg(dy)],
})

/** -x. */
export function neg(x: TensorLike): Tensor {
  return unary(negOp, x)
}

const powOp = defineElementwise({
  name: 'pow',
  code: 21,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'arithmetic',
  scalar: ([a, b]) => (a === 1 || (a === -1 && Math.abs(b!) === Number.POSITIVE_INFINITY) ? 1 : a! ** b!),
  integer: ([a, b]) => integerPower(a!, b!),
  // At a = 0 the limits that PyTorch takes: b·a^(b-1) is 0 for b = 0, and a^b·log(a) is 0 for b >= 0.
  grad: ({ inputs: [a, b], outputs: [y], needs }, dy) => [
    needs[0] ? where(equal(b!, 0), 0, mul(dy, mul(b!, pow(a!, sub(b!, 1))))) : null,
    needs[1] ? where(logicalAnd(equal(a!, 0), greaterEqual(b!, 0)), 0, mul(dy, mul(y!, log(a!)))) : null,
  ],
})

/** Square and multiply modulo 2^32; negative exponents truncate: only 1 and -1 have a whole inverse. */
function integerPower(base: number, exponent: number): number {
  if (exponent < 0) return base === 1 || (base === -1 && exponent % 2 === 0) ? 1 : base === -1 ? -1 : 0
  let result = 1
  for (let factor = base, rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = Math.imul(result, factor)
    factor = Math.imul(factor, factor)
  }
  return result
}

/**
 * a to the power b, broadcast. A negative base gives NaN unless the exponent is whole. Of int32 the power wraps around,
 * and a negative exponent truncates as div does. The exponents -1, -0.5, 0.5, 1, 2 and 3 given as numbers become
 * reciprocal, rsqrt, sqrt and products.
 */
export function pow(a: TensorLike, b: TensorLike): Tensor {
  requireTensorLikes('pow', { a, b })
  if (typeof a !== 'number' && typeof b === 'number') {
    if (b === 1 && a.dtype !== 'bool' && a.dtype !== 'uint8') return a
    if (b === 2) return square(a)
    if (b === 3) return mul(square(a), a)
    if (isFloat(a.dtype)) {
      if (b === 0.5) return sqrt(a)
      if (b === -0.5) return rsqrt(a)
      if (b === -1) return reciprocal(a)
    }
  }
  return binary(powOp, a, b)
}

/** Gradient of the operand that wins: all of it, half where both are equal, as PyTorch does. */
function winnerGrad(loses: Tensor, ties: Tensor, dy: Tensor): Tensor {
  return where(loses, 0, where(ties, mul(dy, 0.5), dy))
}

const maximumOp = defineElementwise({
  name: 'maximum',
  code: 22,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'ordered',
  scalar: ([a, b]) => Math.max(a!, b!),
  grad: ({ inputs: [a, b], needs }, dy) => [
    needs[0] ? winnerGrad(less(a!, b!), equal(a!, b!), dy) : null,
    needs[1] ? winnerGrad(less(b!, a!), equal(a!, b!), dy) : null,
  ],
})

/** The larger of a and b, broadcast; NaN where either is. */
export function maximum(a: TensorLike, b: TensorLike): Tensor {
  return binary(maximumOp, a, b)
}

const minimumOp = defineElementwise({
  name: 'minimum',
  code: 23,
  inputs: ['a', 'b'],
  attrs: {},
  accepts: 'ordered',
  scalar: ([a, b]) => Math.min(a!, b!),
  grad: ({ inputs: [a, b], needs }, dy) => [
    needs[0] ? winnerGrad(greater(a!, b!), equal(a!, b!), dy) : null,
    needs[1] ? winnerGrad(greater(b!, a!), equal(a!, b!), dy) : null,
  ],
})

/** The smaller of a and b, broadcast; NaN where either is. */
export function minimum(a: TensorLike, b: TensorLike): Tensor {
  return binary(minimumOp, a, b)
}
