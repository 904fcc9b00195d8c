/**
 * Checks of layers' arguments: errors name layer, argument, what was given and what was expected.
 */
import { ForjaError } from '../errors.js'

/** Throws ERR_ARGUMENT unless `value` is an integer of at least `least`. */
export function checkInteger(layer: string, what: string, value: unknown, least = 1): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${layer}: ${what} must be an integer${least > -Infinity ? ` of at least ${least}` : ''}, got ${JSON.stringify(value)}`,
    )
  }
}

/** Throws ERR_ARGUMENT unless `value` is a finite number in [low, high]. */
export function checkNumber(layer: string, what: string, value: unknown, low = -Infinity, high = Infinity): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < low || value > high) {
    const range = high < Infinity ? ` from ${low} to ${high}` : low > -Infinity ? ` of at least ${low}` : ''
    throw new ForjaError('ERR_ARGUMENT', `${layer}: ${what} must be a number${range}, got ${JSON.stringify(value)}`)
  }
}

/** One number for every axis, or one for each. Throws ERR_ARGUMENT unless all are integers of at least `least`. */
export function perAxis(layer: string, what: string, value: unknown, axes: number, least = 1): number[] {
  const sizes = Array.isArray(value) ? [...value] : new Array<unknown>(axes).fill(value)
  if (sizes.length !== axes || !sizes.every((size) => Number.isSafeInteger(size) && size >= least)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${layer}: ${what} must be an integer of at least ${least}${axes > 1 ? `, or ${axes} of them` : ''}, ` +
        `got ${JSON.stringify(value)}`,
    )
  }
  return sizes
}

/** Throws ERR_ARGUMENT unless both channel counts divide into groups. */
export function checkGroups(layer: string, groups: number, channels: Readonly<Record<string, number>>): void {
  checkInteger(layer, 'groups', groups)
  for (const [what, count] of Object.entries(channels)) {
    if (count % groups !== 0) {
      throw new ForjaError('ERR_ARGUMENT', `${layer}: ${what} ${count} does not divide into ${groups} groups`)
    }
  }
}

/** 3×3 */
export function formatSizes(sizes: readonly (number | null)[]): string {
  return sizes.join('×')
}
