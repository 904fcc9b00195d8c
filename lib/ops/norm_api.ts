/**
 * Normalisation as users call it: features on axis 1, as PyTorch. Batch norm in training is the operation of norm.ts,
 * layer norm that of layer_norm.ts, which group norm uses without scale and shift; the others are made of reductions and
 * elementwise operations.
 */

import { describeGiven } from '../errors.js'
import { checkInteger, checkOptions } from '../options.js'
import { activeTrace } from '../runtime/compile.js'
import { checkShape, formatShape, inversePermutation, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { filled } from './apply.js'
import { requireTensors } from './check_call.js'
import { add, mul, pow, sub } from './elementwise.js'
import { normalizeRows } from './layer_norm.js'
import { rsqrt, square } from './math.js'
import { normalizeBatch } from './norm.js'
import { avgPool } from './pool.js'
import { refuse } from './refuse.js'
import { reshape, transpose } from './shape.js'

export interface BatchNormOptions {
  /** Scale (C,). Default: ones. */
  gamma?: Tensor | null
  /** Shift (C,). Default: zeros. */
  beta?: Tensor | null
  /** (C,); used when not training, and where it is a Variable, moved towards the batch's mean when training. */
  runningMean?: Tensor | null
  /** (C,); as runningMean, towards the batch's unbiased variance. */
  runningVar?: Tensor | null
  /** Normalise with the batch's own mean and variance. Default false. */
  training?: boolean
  /** How far the running statistics move: new = (1 - momentum) · old + momentum · batch. Default 0.1. */
  momentum?: number
  /** Added to the variance. Default 1e-5. */
  eps?: number
}

export interface LayerNormOptions {
  /** Scale, of shape normalizedShape. Default: ones. */
  gamma?: Tensor | null
  /** Shift, of shape normalizedShape. Default: zeros. */
  beta?: Tensor | null
  /** Added to the variance. Default 1e-5. */
  eps?: number
  /** The last axes, normalised together. Default: gamma's shape, else the last axis. */
  normalizedShape?: number | readonly number[]
}

export interface GroupNormOptions {
  /** Channels are split into this many groups, each normalised on its own. */
  groups: number
  /** Scale (C,). Default: ones. */
  gamma?: Tensor | null
  /** Shift (C,). Default: zeros. */
  beta?: Tensor | null
  /** Added to the variance. Default 1e-5. */
  eps?: number
}

export interface LocalResponseNormOptions {
  /** Channels summed over: ⌊size / 2⌋ before, ⌊(size - 1) / 2⌋ after. */
  size: number
  /** Default 1e-4. */
  alpha?: number
  /** Default 0.75. */
  beta?: number
  /** Default 1. */
  k?: number
}

/**
 * (x - mean) / √(variance + eps) · gamma + beta for each channel of x (N, C), (N, C, L) or (N, C, H, W). Training takes
 * mean and variance from the batch and, inside a compiled function only, assigns running statistics that are Variables;
 * otherwise they are the running statistics.
 *
 * @throws ERR_SHAPE where a vector is not (C,) or a training batch has one value per channel; ERR_ARGUMENT where running
 *   statistics are needed and missing.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions = {}): Tensor {
  const name = 'batchNorm'
  requireTensors(name, { x })
  if (x.rank < 2) refuse(name, 'ERR_SHAPE', `input must be (N, C, ...), got shape ${formatShape(x.shape)}`)
  const c = x.shape[1]!
  const known = ['gamma', 'beta', 'runningMean', 'runningVar', 'training', 'momentum', 'eps'] as const
  const { training = false, momentum = 0.1 } = checkOptions(name, options, known)
  const eps = checkEps(name, options.eps)
  for (const key of ['gamma', 'beta', 'runningMean', 'runningVar'] as const) checkVector(name, key, options[key], [c])
  const gamma = options.gamma ?? filled([c], 1, x.dtype)
  const beta = options.beta ?? filled([c], 0, x.dtype)
  const { runningMean, runningVar } = options
  const toLast = [0, ...Array.from({ length: x.rank - 2 }, (_, i) => i + 2), 1]
  const last = transpose(x, toLast)
  const back = (y: Tensor) => transpose(y, inversePermutation(toLast))
  if (!training) {
    if (!runningMean || !runningVar) {
      return refuse(name, 'ERR_ARGUMENT', 'runningMean and runningVar are needed when not training')
    }
    const scale = mul(gamma, rsqrt(add(runningVar, eps)))
    return back(add(mul(last, scale), sub(beta, mul(runningMean, scale))))
  }
  const count = x.size / c
  if (!(count > 1)) {
    refuse(name, 'ERR_SHAPE', `training needs more than one value per channel, got shape ${formatShape(x.shape)}`)
  }
  const [y, mean, variance] = normalizeBatch(last, gamma, beta, eps)
  const towards = (old: Tensor, batch: Tensor, rate: number) => add(mul(old, 1 - momentum), mul(batch, rate))
  track(runningMean, (old) => towards(old, mean, momentum))
  track(runningVar, (old) => towards(old, variance, (momentum * count) / (count - 1)))
  return back(y)
}

/** Assigns a running statistic that is a Variable; a plain tensor, and any outside a compiled function, stays as it is. */
function track(running: Tensor | null | undefined, next: (old: Tensor) => Tensor): void {
  if (running instanceof Variable && activeTrace() !== null) void running.assign(next(running.assigned))
}

/** (x - mean) / √(variance + eps) · gamma + beta over the last axes of x. */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  const name = 'layerNorm'
  requireTensors(name, { x })
  checkOptions(name, options, ['gamma', 'beta', 'eps', 'normalizedShape'])
  const eps = checkEps(name, options.eps)
  const given = options.normalizedShape ?? options.gamma?.shape ?? options.beta?.shape ?? x.shape.slice(-1)
  const shape = typeof given === 'number' ? [given] : given
  checkShape(shape, name)
  const tail = x.shape.slice(x.rank - shape.length)
  if (shape.length === 0 || shape.length > x.rank || shape.some((dim, i) => dim !== tail[i])) {
    refuse(
      name,
      'ERR_SHAPE',
      `normalizedShape ${formatShape(shape)} does not match the last axes of the input ${formatShape(x.shape)}`,
    )
  }
  checkVector(name, 'gamma', options.gamma, shape)
  checkVector(name, 'beta', options.beta, shape)
  const columns = sizeOfShape(shape)
  const asVector = (v?: Tensor | null) => v && reshape(v, [columns])
  const beta = asVector(options.beta)
  const gamma = asVector(options.gamma) ?? (beta && filled([columns], 1, beta.dtype))
  const rows = reshape(x, [...x.shape.slice(0, x.rank - shape.length), columns])
  return reshape(normalizeRows(rows, eps, gamma, beta), x.shape)
}

/** As layerNorm over the pixels and channels of each of `groups` groups of x (N, C, ...). */
export function groupNorm(x: Tensor, options: GroupNormOptions): Tensor {
  const name = 'groupNorm'
  requireTensors(name, { x })
  const { groups } = checkOptions(name, options, ['groups', 'gamma', 'beta', 'eps'])
  if (x.rank < 2) refuse(name, 'ERR_SHAPE', `input must be (N, C, ...), got shape ${formatShape(x.shape)}`)
  const [n, c, ...pixels] = x.shape as [number, number, ...number[]]
  if (!Number.isInteger(groups) || groups < 1 || c % groups !== 0) {
    refuse(name, 'ERR_ARGUMENT', `${c} channels do not divide into ${describeGiven(groups)} groups`)
  }
  checkVector(name, 'gamma', options.gamma, [c])
  checkVector(name, 'beta', options.beta, [c])
  const rows = reshape(x, [n, groups, (c / groups) * sizeOfShape(pixels)])
  const y = reshape(normalizeRows(rows, checkEps(name, options.eps)), x.shape)
  const perChannel = (v?: Tensor | null) => v && reshape(v, [c, ...pixels.map(() => 1)])
  const [gamma, beta] = [perChannel(options.gamma), perChannel(options.beta)]
  const scaled = gamma ? mul(y, gamma) : y
  return beta ? add(scaled, beta) : scaled
}

/** x / (k + alpha / size · Σ x² over `size` neighbouring channels)^beta, for x (N, C, ...). */
export function localResponseNorm(x: Tensor, options: LocalResponseNormOptions): Tensor {
  const name = 'localResponseNorm'
  requireTensors(name, { x })
  const { size, alpha = 1e-4, beta = 0.75, k = 1 } = checkOptions(name, options, ['size', 'alpha', 'beta', 'k'])
  checkInteger(name, 'size', size)
  if (x.rank < 3) refuse(name, 'ERR_SHAPE', `input must be (N, C, ...), got shape ${formatShape(x.shape)}`)
  const [n, c, ...pixels] = x.shape as [number, number, ...number[]]
  // Channels as rows of an image whose "channels" are the pixels: the mean over a window of rows, zeros around.
  const before = Math.floor(size / 2)
  const window = {
    kernel: [size, 1],
    stride: [1, 1],
    padding: [before, 0, size - 1 - before, 0],
    output: [c, 1],
    adaptive: 0,
  }
  const squares = reshape(square(x), [n, c, 1, sizeOfShape(pixels)])
  const mean = reshape(avgPool(squares, window, true), x.shape)
  return mul(x, pow(add(mul(mean, alpha), k), -beta))
}

function checkEps(name: string, eps = 1e-5): number {
  if (!(eps >= 0)) refuse(name, 'ERR_ARGUMENT', `eps must not be negative, got ${describeGiven(eps)}`)
  return eps
}

function checkVector(name: string, what: string, v: Tensor | null | undefined, shape: readonly number[]): void {
  if (v) requireTensors(name, { [what]: v })
  if (v && (v.rank !== shape.length || v.shape.some((dim, i) => dim !== shape[i]))) {
    refuse(name, 'ERR_SHAPE', `${what} has shape ${formatShape(v.shape)}; ${formatShape(shape)} expected`)
  }
}
