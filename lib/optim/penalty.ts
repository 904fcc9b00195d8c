/**
 * What is added to a loss or done to gradients before an update.
 */
import { ForjaError } from '../errors.js'
import { requireArray } from '../ops/check_call.js'
import { add, div, minimum, mul } from '../ops/elementwise.js'
import { abs, sqrt, square } from '../ops/math.js'
import { sum } from '../ops/reduce.js'
import type { Tensor } from '../tensor.js'
import { checkRate } from './groups.js'

/** rate · Σ |p| over all elements of all parameters, a scalar to add to a loss. */
export function l1Penalty(parameters: readonly Tensor[], rate: number): Tensor {
  return mul(total(parameters, 'l1Penalty', abs), checkRate(rate, 'l1Penalty: rate'))
}

/** rate · Σ p² over all elements of all parameters, a scalar to add to a loss. */
export function l2Penalty(parameters: readonly Tensor[], rate: number): Tensor {
  return mul(total(parameters, 'l2Penalty', square), checkRate(rate, 'l2Penalty: rate'))
}

/**
 * The gradients times min(1, max / (norm + 1e-6)), norm being that of all of them together: their direction stays.
 *
 * @param max the largest norm that is let through
 */
export function clipGradNorm<G extends Tensor | null>(gradients: readonly G[], max: number): G[] {
  checkRate(max, 'clipGradNorm: max')
  requireArray('clipGradNorm', 'gradients', gradients)
  const present = gradients.filter((g): g is G & Tensor => g !== null)
  const norm = sqrt(total(present, 'clipGradNorm', square))
  const scale = minimum(div(max, add(norm, 1e-6)), 1)
  return gradients.map((g) => (g === null ? g : mul(g, scale)) as G)
}

function total(tensors: readonly Tensor[], who: string, of: (x: Tensor) => Tensor): Tensor {
  if (!Array.isArray(tensors) || tensors.length === 0) {
    throw new ForjaError('ERR_ARGUMENT', `${who}: an array with at least one tensor was expected`)
  }
  return tensors.map((x) => sum(of(x))).reduce((a, b) => add(a, b))
}
