/**
 * What layers share: the check of their groups, sizes as text.
 */
import { ForjaError } from '../errors.js'
import { checkInteger } from '../options.js'

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
