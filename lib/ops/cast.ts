/**
 * `cast`: elements under another dtype. Registers of a micro-program hold float32 or int32, so float16 and bfloat16 are
 * rounded here and stored by the kernel.
 *
 *   float → float     rounded to nearest even
 *   float → int32     truncated towards zero; beyond the range the nearest bound; NaN gives 0
 *   float → uint8     the same, range 0 .. 255
 *   int32 → uint8     modulo 256
 *   any → bool        true unless 0 (NaN is true)
 *
 * The gradient is the cast back between float dtypes, and zero otherwise.
 */
import { checkDType, DTYPES, type DType, dtypeCode, isFloat, isHalf } from '../dtype.js'
import { fromRef, refArray, toRef } from '../reference/array.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { requireTensors } from './check_call.js'
import { defineElementwise } from './define_elementwise.js'

export const castOp = defineElementwise({
  name: 'cast',
  code: 39,
  inputs: ['x'],
  attrs: { dtype: 'i32' },
  dtype: (_inputs, attrs) => DTYPES[attrs.dtype]!,
  scalar: ([x], { dtype }) => castNumber(x!, DTYPES[dtype]!),
  integer: ([x], { dtype }) => (DTYPES[dtype] === 'uint8' ? x! & 255 : castNumber(x!, DTYPES[dtype]!)),
  grad: ({ inputs: [x], attrs }, dy) => [
    isFloat(x!.dtype) && isFloat(DTYPES[attrs.dtype]!) ? cast(dy, x!.dtype) : null,
  ],
})

/** One element; a number that `dtype` holds stays as it is. */
export function castNumber(x: number, dtype: DType): number {
  if (dtype === 'bool') return x !== 0 ? 1 : 0
  if (isHalf(dtype)) {
    return toRef([], dtype, fromRef(refArray([], dtype, Float64Array.of(x)))).data[0]!
  }
  if (isFloat(dtype)) return x
  if (Number.isNaN(x)) return 0
  const [low, high] = dtype === 'uint8' ? [0, 255] : [-(2 ** 31), 2 ** 31 - 1]
  return Math.min(Math.max(Math.trunc(x), low), high) + 0 // integers have no -0
}

/** x as `dtype`; x itself if it has it. Floats become integers by truncation, kept in range; bool is x ≠ 0. */
export function cast(x: Tensor, dtype: DType): Tensor {
  requireTensors('cast', { x })
  checkDType(dtype, 'cast')
  return x.dtype === dtype ? x : apply(castOp, [x], { dtype: dtypeCode(dtype) })
}
