/**
 * What operations on images share: pairs of numbers for rows and columns, the way between the API's (N, C, H, W) and
 * the (N, H, W, C) of the operations.
 */
import { describeList } from '../errors.js'
import { perAxis } from '../options.js'
import { formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { requireTensors } from './check_call.js'
import { refuse } from './refuse.js'
import { transpose } from './shape.js'

/** One number for rows and columns alike, or [rows, columns]. */
export type Pair = number | readonly number[]

/** [rows, columns], each an integer of at least `least`. */
export function pairOf(name: string, what: string, value: Pair, least: number): [number, number] {
  return perAxis(name, what, value, 2, least) as [number, number]
}

/**
 * [top, left, bottom, right] of windows over `taps` pixels. 'same': ⌈size / stride⌉ windows, an odd total giving the larger
 * half to the bottom and right.
 */
export function resolvePadding(
  name: string,
  padding: Pair | 'same' | 'valid',
  size: readonly number[],
  taps: readonly number[],
  stride: readonly number[],
  dilation: readonly number[] = [1, 1],
): [number, number, number, number] {
  if (padding === 'valid') return [0, 0, 0, 0]
  if (typeof padding !== 'string') {
    const [h, w] = pairOf(name, 'padding', padding, 0)
    return [h, w, h, w]
  }
  if (padding !== 'same') {
    refuse(name, 'ERR_ARGUMENT', `padding must be a number, two, 'same' or 'valid', got ${describeList(padding)}`)
  }
  const total = [0, 1].map((axis) => {
    const outputs = Math.ceil(size[axis]! / stride[axis]!)
    return Math.max(0, (outputs - 1) * stride[axis]! + dilation[axis]! * (taps[axis]! - 1) + 1 - size[axis]!)
  })
  const [top, left] = [Math.floor(total[0]! / 2), Math.floor(total[1]! / 2)]
  return [top, left, total[0]! - top, total[1]! - left]
}

export function requireRank(name: string, what: string, x: Tensor, axes: string): void {
  requireTensors(name, { [what]: x })
  const rank = axes.split(',').length
  if (x.rank !== rank) {
    refuse(name, 'ERR_SHAPE', `${what} must have ${rank} dimensions (${axes}), got shape ${formatShape(x.shape)}`)
  }
}

/** (N, C, H, W) → (N, H, W, C). */
export function toChannelsLast(x: Tensor): Tensor {
  return transpose(x, [0, 2, 3, 1])
}

/** (N, H, W, C) → (N, C, H, W). */
export function toChannelsFirst(x: Tensor): Tensor {
  return transpose(x, [0, 3, 1, 2])
}
