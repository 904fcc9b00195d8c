/**
 * Pooling as users call it: images (N, C, H, W). Each function wraps an operation of pool.ts in transposes, which the
 * layout pass cancels against their neighbours.
 */

import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { type Pair, pairOf, requireRank, resolvePadding, toChannelsFirst, toChannelsLast } from './image.js'
import { adaptiveKernel, avgPool, maxPool, type PoolAttrs } from './pool.js'
import { refuse } from './refuse.js'

export interface MaxPool2dOptions {
  kernelSize: Pair
  /** Default: kernelSize. */
  stride?: Pair
  /**
   * Pixels added on both sides that never win; at most half the kernel. 'valid' is 0; with 'same' the output has
   * ⌈size / stride⌉ pixels. Default 0.
   */
  padding?: Pair | 'same' | 'valid'
  /** Round the output size up, so that the last window may hang over. Default false. */
  ceilMode?: boolean
}

export interface AvgPool2dOptions extends MaxPool2dOptions {
  /** Padding counts as zeros; else windows at the border average fewer pixels. Default true. */
  countIncludePad?: boolean
}

export interface AdaptivePool2dOptions {
  /** [OH, OW]; null keeps the size. */
  outputSize: number | readonly (number | null)[]
}

/**
 * The largest of each window of x (N, C, H, W).
 *
 * @throws ERR_SHAPE where the window does not fit; ERR_ARGUMENT for bad options.
 */
export function maxPool2d(x: Tensor, options: MaxPool2dOptions): Tensor {
  return toChannelsFirst(maxPool(toChannelsLast(x), fixedWindows('maxPool2d', x, options)))
}

/** The mean of each window of x (N, C, H, W). Errors as maxPool2d's. */
export function avgPool2d(x: Tensor, options: AvgPool2dOptions): Tensor {
  const attrs = fixedWindows('avgPool2d', x, options)
  return toChannelsFirst(avgPool(toChannelsLast(x), attrs, options.countIncludePad ?? true))
}

/** The mean of x (N, C, H, W) over OH x OW windows of nearly equal size that cover the image. */
export function adaptiveAvgPool2d(x: Tensor, options: AdaptivePool2dOptions): Tensor {
  return toChannelsFirst(avgPool(toChannelsLast(x), adaptiveWindows('adaptiveAvgPool2d', x, options), false))
}

/** The largest of x (N, C, H, W) in OH x OW windows of nearly equal size that cover the image. */
export function adaptiveMaxPool2d(x: Tensor, options: AdaptivePool2dOptions): Tensor {
  return toChannelsFirst(maxPool(toChannelsLast(x), adaptiveWindows('adaptiveMaxPool2d', x, options)))
}

/** The mean over all pixels: (N, C, H, W) → (N, C, 1, 1). */
export function globalAvgPool2d(x: Tensor): Tensor {
  return toChannelsFirst(avgPool(toChannelsLast(x), adaptiveWindows('globalAvgPool2d', x, { outputSize: 1 }), false))
}

/** Of both poolings, which share their options in many a program. */
const POOL_OPTIONS = ['kernelSize', 'stride', 'padding', 'ceilMode', 'countIncludePad'] as const

function fixedWindows(name: string, x: Tensor, options: AvgPool2dOptions): PoolAttrs {
  requireRank(name, 'input', x, 'N, C, H, W')
  checkOptions(name, options, POOL_OPTIONS)
  const kernel = pairOf(name, 'kernelSize', options.kernelSize, 1)
  const stride = pairOf(name, 'stride', options.stride ?? kernel, 1)
  const sizes = x.shape.slice(2)
  const padding = resolvePadding(name, options.padding ?? 0, sizes, kernel, stride)
  const round = options.ceilMode ? Math.ceil : Math.floor
  const output = [0, 1].map((axis) => {
    const size = sizes[axis]!
    const [k, s, before, after] = [kernel[axis]!, stride[axis]!, padding[axis]!, padding[axis + 2]!]
    if (2 * before > k) {
      refuse(name, 'ERR_ARGUMENT', `padding ${before} is more than half the kernel (${k})`)
    }
    const rounded = round((size + before + after - k) / s) + 1
    // A window that would begin behind the image is dropped.
    const count = (rounded - 1) * s >= size + before ? rounded - 1 : rounded
    if (count < 1) {
      const padded = sizes.map((d, i) => d + padding[i]! + padding[i + 2]!)
      refuse(name, 'ERR_SHAPE', `a window of ${kernel.join(' x ')} does not fit ${padded.join(' x ')} (padded) pixels`)
    }
    return count
  })
  return { kernel, stride, padding, output, adaptive: 0 }
}

function adaptiveWindows(name: string, x: Tensor, options: AdaptivePool2dOptions): PoolAttrs {
  requireRank(name, 'input', x, 'N, C, H, W')
  const { outputSize } = checkOptions(name, options, ['outputSize'])
  const sizes = x.shape.slice(2)
  const wanted = Array.isArray(outputSize) ? outputSize.map((size, axis) => size ?? sizes[axis]!) : outputSize
  const output = pairOf(name, 'outputSize', wanted as Pair, 1)
  if (sizes.some((size) => size < 1)) refuse(name, 'ERR_SHAPE', `the image has ${sizes.join(' x ')} pixels`)
  const kernel = sizes.map((size, axis) => adaptiveKernel(size, output[axis]!))
  if (sizes.every((size, axis) => size % output[axis]! === 0)) {
    return { kernel, stride: kernel, padding: [0, 0, 0, 0], output, adaptive: 0 }
  }
  return { kernel, stride: [1, 1], padding: [0, 0, 0, 0], output, adaptive: 1 }
}
