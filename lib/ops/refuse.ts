import { ForjaError, type ForjaErrorCode } from '../errors.js'
import { Tensor } from '../tensor.js'
import { currentScope } from './registry.js'

/** ERR_ARGUMENT unless `x`, the operand that users know as `what`, is a tensor. */
export function requireTensor(name: string, what: string, x: unknown): asserts x is Tensor {
  if (x instanceof Tensor) return
  const shown = Array.isArray(x) ? 'an array' : x === null || typeof x !== 'object' ? String(x) : 'an object'
  refuse(name, 'ERR_ARGUMENT', `${what} must be a tensor, got ${shown}`, 'tensor() makes one of numbers and arrays')
}

/** Throws with `name (layer): message`; the layer is the one whose call runs, if one does. */
export function refuse(name: string, code: ForjaErrorCode, message: string, hint?: string): never {
  const layer = currentScope()
  throw new ForjaError(code, `${layer ? `${name} (${layer})` : name}: ${message}`, hint === undefined ? {} : { hint })
}
