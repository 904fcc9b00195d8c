/**
 * What users hand to operations, checked before anything is read from it: programs in JavaScript, and in TypeScript those
 * whose options come from elsewhere, have no compiler that does.
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

/**
 * `options`, if it is an object of known options.
 *
 * @throws ERR_ARGUMENT for anything else, as the axis that NumPy takes in this place, and for another name
 */
export function checkOptions<O extends object>(what: string, options: O, known: readonly (keyof O & string)[]): O {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    refuse(what, 'ERR_ARGUMENT', `options { ${known.join(', ')} } were expected, got ${describeGiven(options)}`)
  }
  for (const name in options) {
    if (!known.includes(name)) {
      refuse(what, 'ERR_ARGUMENT', `unknown option '${name}'; expected ${known.join(', ')}`)
    }
  }
  return options
}
