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

/** How far a count, as a float, may lie from a multiple of the unknown size: a variance's correction. */
const FLOAT_SLACK = 2 ** 16

/** Most elements that go with each of those whose number grows with the unknown size, or with its square. */
const MOST_BESIDE = 2 ** 31
const MOST_BESIDE_SQUARE = 2 ** 16
/** Of the square of the unknown size with a few added to it: the largest part of what is added. */
const SQUARE_SLACK = 1e-6

/** k and c of k · UNKNOWN_SIZE + c, k > 0; null where `x` has nothing to do with the unknown size. */
function decompose(x: number, slack: number): { k: number; c: number } | null {
  const k = Math.round(x / UNKNOWN_SIZE)
  const c = x - k * UNKNOWN_SIZE
  return k > 0 && k < MOST_BESIDE && Math.abs(c) <= slack ? { k, c } : null
}

function decomposeInteger(x: number): { k: number; c: number } | null {
  return Number.isSafeInteger(x) ? decompose(x, LARGEST_KNOWN) : null
}

/** Whether a dimension or integer attribute is to be read back. */
export function dependsOnUnknown(x: number): boolean {
  return decomposeInteger(x) !== null
}

/**
 * The dimension or integer attribute `x` where the unknown size is `size`.
 *
 * @throws ERR_UNSUPPORTED_OP naming `what` where x depends on the unknown size in another way than k · size + c
 */
export function resolveInteger(x: number, size: number, what: string): number {
  if (Math.abs(x) <= LARGEST_KNOWN) return x
  const parts = decomposeInteger(x)
  if (parts === null) {
    throw new ForjaError('ERR_UNSUPPORTED_OP', `${what} cannot follow a dimension of unknown size`, {
      hint: 'give the placeholder its size in place of null',
    })
  }
  return parts.k * size + parts.c
}

/**
 * The float attribute `x`, a number of elements perhaps, where the unknown size is `size`.
 *
 * @throws ERR_UNSUPPORTED_OP naming `what` where x grows with the square of the unknown size: a float cannot say what was
 *   added to that
 */
export function resolveFloat(x: number, size: number, what: string): number {
  const square = x / UNKNOWN_SIZE ** 2
  const k = Math.round(square)
  if (k > 0 && k < MOST_BESIDE_SQUARE && Math.abs(square - k) <= SQUARE_SLACK * k) {
    throw new ForjaError(
      'ERR_UNSUPPORTED_OP',
      `${what}, a number of elements, grows with the square of an unknown size`,
      {
        hint: 'reduce one axis after the other, or give the placeholder its size in place of null',
      },
    )
  }
  const parts = decompose(x, FLOAT_SLACK)
  if (parts === null) return x
  // Of more than 2^53 the float itself is less than 1e-6 of the result away.
  return parts.k * size + (x <= Number.MAX_SAFE_INTEGER ? parts.c : 0)
}

/** A dimension as people read it: `null` where it is unknown, `784·null` after a flatten. */
export function formatDimension(x: number): string {
  const parts = decomposeInteger(x)
  if (parts === null) return String(x)
  const { k, c } = parts
  return `${k === 1 ? '' : `${k}·`}null${c === 0 ? '' : c > 0 ? `+${c}` : c}`
}
