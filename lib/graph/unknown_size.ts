/**
 * The one size that is not known while a graph is written: the null dimension of placeholders. Shape rules need numbers,
 * so it stands in the graph as a number larger than any size there can be, and what shapes make of it (a product with
 * other dimensions, a last index) is k · UNKNOWN_SIZE + c. When a run says what the size is, each such number is read
 * back and the shape rules run again; one that cannot be read back, such as half of it, is an error.
 */
import { ForjaError } from '../errors.js'

/** Of 34 bits, and no number that anybody would write. */
export const UNKNOWN_SIZE = 0x2_5a3c_97e1

/** Dimensions and integer attributes are below it; k · UNKNOWN_SIZE + c never is. */
const LARGEST_KNOWN = 2 ** 31

/** How far a count, as a float, may lie from a multiple of the unknown size: Bessel's correction. */
const FLOAT_SLACK = 4

/** k and c of k · UNKNOWN_SIZE + c, k > 0; null where `x` has nothing to do with the unknown size. */
function decompose(x: number, slack: number): { k: number; c: number } | null {
  if (!Number.isSafeInteger(x)) return null
  const k = Math.round(x / UNKNOWN_SIZE)
  const c = x - k * UNKNOWN_SIZE
  return k > 0 && Math.abs(c) <= slack ? { k, c } : null
}

/** Whether a dimension or integer attribute is to be read back. */
export function dependsOnUnknown(x: number): boolean {
  return decompose(x, LARGEST_KNOWN) !== null
}

/**
 * The dimension or integer attribute `x` where the unknown size is `size`.
 *
 * @throws ERR_UNSUPPORTED_OP naming `what` where x depends on the unknown size in another way than k · size + c
 */
export function resolveInteger(x: number, size: number, what: string): number {
  if (Math.abs(x) <= LARGEST_KNOWN) return x
  const parts = decompose(x, LARGEST_KNOWN)
  if (parts === null) {
    throw new ForjaError('ERR_UNSUPPORTED_OP', `${what} cannot follow a dimension of unknown size`, {
      hint: 'give the placeholder its size in place of null',
    })
  }
  return parts.k * size + parts.c
}

/** The float attribute `x`, a number of elements perhaps, where the unknown size is `size`. */
export function resolveFloat(x: number, size: number): number {
  const parts = decompose(x, FLOAT_SLACK)
  return parts === null ? x : parts.k * size + parts.c
}

/** A dimension as people read it: `null` where it is unknown, `784·null` after a flatten. */
export function formatDimension(x: number): string {
  const parts = decompose(x, LARGEST_KNOWN)
  if (parts === null) return String(x)
  const { k, c } = parts
  return `${k === 1 ? '' : `${k}·`}null${c === 0 ? '' : c > 0 ? `+${c}` : c}`
}
