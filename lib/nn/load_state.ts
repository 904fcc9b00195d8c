/**
 * Loading values into variables by name: everything is checked before anything changes.
 */
import { ForjaError } from '../errors.js'
import { formatShape, sameShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import type { Variable } from '../variable.js'

export interface LoadOptions {
  /** Names must agree exactly. Default true. */
  strict?: boolean
}

export interface LoadReport {
  /** Variables for which the dictionary has no value. */
  missing: string[]
  /** Values for which there is no variable. */
  unexpected: string[]
}

/** Most names and tensors that an error lists. */
const LISTED = 8

/** @param what names the source in error texts: the function or the file. */
export async function loadVariables(
  variables: readonly [string, Variable][],
  dict: Readonly<Record<string, Tensor>>,
  options: LoadOptions,
  what: string,
  hint?: string,
): Promise<LoadReport> {
  const { report, assign } = checkState(variables, dict, options, what, hint)
  await assign()
  return report
}

/** Everything that loadVariables() checks; what it changes is left to `assign`. */
export function checkState(
  variables: readonly [string, Variable][],
  dict: Readonly<Record<string, Tensor>>,
  { strict = true }: LoadOptions,
  what: string,
  hint?: string,
): { report: LoadReport; assign(): Promise<void> } {
  if (typeof dict !== 'object' || dict === null || dict instanceof Map) {
    throw new ForjaError('ERR_ARGUMENT', `${what}: an object of tensors by name was expected`)
  }
  const names = new Set(variables.map(([name]) => name))
  const missing = [...names].filter((name) => !Object.hasOwn(dict, name))
  const unexpected = Object.keys(dict).filter((name) => !names.has(name))
  const present = variables.filter(([name]) => Object.hasOwn(dict, name))
  const shapes = misshaped(present, dict, what)
  if (strict && missing.length + unexpected.length > 0) {
    const parts = [
      missing.length > 0 ? `${missing.length} missing: ${list(missing)}` : '',
      unexpected.length > 0 ? `${unexpected.length} unexpected: ${list(unexpected)}` : '',
      shapes.length > 0 ? `${shapes.length} of another shape: ${list(shapes)}` : '',
    ]
    throw new ForjaError('ERR_ARGUMENT', `${what}: names do not agree; ${parts.filter(Boolean).join('; ')}`, {
      hint: hint ?? 'pass { strict: false } to load those that agree',
    })
  }
  if (shapes.length > 0)
    throw new ForjaError('ERR_SHAPE', `${what}: ${list(shapes)}`, hint === undefined ? {} : { hint })
  const wrong = present.find(([name, variable]) => dict[name]!.dtype !== variable.dtype)
  if (wrong) {
    const [name, variable] = wrong
    throw new ForjaError('ERR_DTYPE', `${what}: '${name}' is ${dict[name]!.dtype}, the model's ${variable.dtype}`)
  }
  const assign = async () => {
    await Promise.all(present.map(([name, variable]) => variable.assign(dict[name]!)))
  }
  return { report: { missing, unexpected }, assign }
}

/** Says both shapes of each tensor that has not its variable's. */
function misshaped(
  variables: readonly [string, Variable][],
  dict: Readonly<Record<string, Tensor>>,
  what: string,
): string[] {
  return variables.flatMap(([name, variable]) => {
    const value = dict[name]
    if (!(value instanceof Tensor)) {
      throw new ForjaError('ERR_ARGUMENT', `${what}: '${name}' is ${typeof value}; a tensor was expected`)
    }
    if (sameShape(value.shape, variable.shape)) return []
    return [`'${name}' has shape ${formatShape(value.shape)}, the model's ${formatShape(variable.shape)}`]
  })
}

function list(items: readonly string[]): string {
  const rest = items.length - LISTED
  return items.slice(0, LISTED).join(', ') + (rest > 0 ? `, and ${rest} more` : '')
}
