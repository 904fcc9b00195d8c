/**
 * Pooling layers over images (N, C, H, W).
 */

import type { Pair } from '../ops/image.js'
import {
  type AdaptivePool2dOptions,
  type AvgPool2dOptions as AvgPool2dCall,
  adaptiveAvgPool2d,
  avgPool2d,
  globalAvgPool2d,
  type MaxPool2dOptions as MaxPool2dCall,
  maxPool2d,
} from '../ops/pool_api.js'
import { checkOptions, perAxis } from '../options.js'
import type { Tensor } from '../tensor.js'
import { formatSizes } from './check.js'
import { Module } from './module.js'

export type MaxPool2dOptions = Omit<MaxPool2dCall, 'kernelSize'>
export type AvgPool2dOptions = Omit<AvgPool2dCall, 'kernelSize'>

const OPTIONS = ['stride', 'padding', 'ceilMode'] as const

function checkPool(layer: string, kernelSize: unknown, options: AvgPool2dOptions, known: readonly string[]): number[] {
  const { stride, padding = 0 } = checkOptions(layer, options, known as readonly (keyof AvgPool2dOptions)[])
  if (stride !== undefined) perAxis(layer, 'stride', stride, 2)
  if (typeof padding !== 'string') perAxis(layer, 'padding', padding, 2, 0)
  return perAxis(layer, 'kernelSize', kernelSize, 2)
}

/** The largest value of each window. */
export class MaxPool2d extends Module {
  readonly kernelSize: readonly number[]

  constructor(
    kernelSize: Pair,
    readonly options: MaxPool2dOptions = {},
  ) {
    super()
    this.kernelSize = checkPool('MaxPool2d', kernelSize, options, OPTIONS)
  }

  override forward(x: Tensor): Tensor {
    return maxPool2d(x, { ...this.options, kernelSize: this.kernelSize })
  }

  override detail(): string {
    return formatSizes(this.kernelSize)
  }
}

/** The mean of each window. */
export class AvgPool2d extends Module {
  readonly kernelSize: readonly number[]

  constructor(
    kernelSize: Pair,
    readonly options: AvgPool2dOptions = {},
  ) {
    super()
    this.kernelSize = checkPool('AvgPool2d', kernelSize, options, [...OPTIONS, 'countIncludePad'])
  }

  override forward(x: Tensor): Tensor {
    return avgPool2d(x, { ...this.options, kernelSize: this.kernelSize })
  }

  override detail(): string {
    return formatSizes(this.kernelSize)
  }
}

/** Means over windows chosen so that `outputSize` pixels come out, whatever comes in; null keeps an axis. */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly outputSize: AdaptivePool2dOptions['outputSize']) {
    super()
    const sizes = Array.isArray(outputSize) ? outputSize.map((size: number | null) => size ?? 1) : outputSize
    perAxis('AdaptiveAvgPool2d', 'outputSize', sizes, 2)
  }

  override forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, { outputSize: this.outputSize })
  }

  override detail(): string {
    return formatSizes([this.outputSize].flat())
  }
}

/** The mean of every channel: (N, C, H, W) → (N, C, 1, 1). */
export class GlobalAvgPool2d extends Module {
  override forward(x: Tensor): Tensor {
    return globalAvgPool2d(x)
  }
}
