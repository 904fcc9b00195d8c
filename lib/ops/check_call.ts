/**
 * Operands that users hand to operations, checked before anything is read from them: programs in JavaScript have no
 * compiler that does. Options are checked in lib/options.ts.
 */
import { describeGiven } from '../errors.js'
import { Tensor } from '../tensor.js'
import { refuse } from './refuse.js'

/** ERR_ARGUMENT naming the operand unless each is a tensor. */
export function requireTensors(what: string, operands: Readonly<Record<string, unknown>>): void {
  for (const name in operands) {
    const value = operands[name]
    if (value instanceof Tensor) continue
    const hint = Array.isArray(value) || ArrayBuffer.isView(value) ? 'make one with tensor()' : undefined
    refuse(what, 'ERR_ARGUMENT', `${name} must be a tensor, got ${describeGiven(value)}`, hint)
  }
}

/** ERR_ARGUMENT naming the operand unless each is a tensor or a number. */
export function requireTensorLikes(what: string, operands: Readonly<Record<string, unknown>>): void {
  for (const name in operands) {
    const value = operands[name]
    if (typeof value !== 'number' && !(value instanceof Tensor)) requireTensors(what, { [name]: value })
  }
}

/** ERR_ARGUMENT unless `value` is an array. */
export function requireArray(what: string, name: string, value: unknown): void {
  if (!Array.isArray(value)) refuse(what, 'ERR_ARGUMENT', `${name} must be an array, got ${describeGiven(value)}`)
}

/** ERR_ARGUMENT unless `list` is an array of tensors. */
export function requireTensorList(what: string, name: string, list: unknown): void {
  requireArray(what, name, list)
  for (const [i, value] of (list as readonly unknown[]).entries()) requireTensors(what, { [`${name}[${i}]`]: value })
}
