/**
 * Convolution layers. Images (N, C, H, W); weights (K, C/groups, R, S), kept in memory as (R, S, C/groups, K), the
 * order in which the kernels read them.
 */
import {
  type Conv1dOptions as Conv1dCall,
  type Conv2dOptions as Conv2dCall,
  type ConvTranspose2dOptions as ConvTranspose2dCall,
  conv1d,
  conv2d,
  convTranspose2d,
} from '../ops/conv_api.js'
import { type Shape, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { checkGroups, checkInteger, formatSizes, perAxis } from './check.js'
import { fanInUniform } from './init.js'
import type { WeightInit } from './linear.js'
import { Module } from './module.js'

interface ConvLayerOptions extends WeightInit {
  /** Default true. */
  bias?: boolean
}

export interface Conv1dOptions extends Conv1dCall, ConvLayerOptions {}
export interface Conv2dOptions extends Conv2dCall, ConvLayerOptions {}
export interface ConvTranspose2dOptions extends ConvTranspose2dCall, ConvLayerOptions {}

/** Weight and bias of a convolution, PyTorch's initial values: evenly within 1/√(inputs of one output). */
function convVariables(shape: Shape, outChannels: number, { bias = true, weightInit, biasInit }: ConvLayerOptions) {
  const initial = fanInUniform(sizeOfShape(shape.slice(1)))
  const storage = shape.length === 4 ? { storageAxes: [2, 3, 1, 0] } : {}
  return {
    weight: new Variable((weightInit ?? initial)(shape), { name: 'weight', ...storage }),
    bias: bias ? new Variable((biasInit ?? initial)([outChannels]), { name: 'bias' }) : null,
  }
}

function checkChannels(layer: string, inChannels: number, outChannels: number, groups: number): void {
  checkInteger(layer, 'inChannels', inChannels)
  checkInteger(layer, 'outChannels', outChannels)
  checkGroups(layer, groups, { inChannels, outChannels })
}

/** `5×5, stride 2`: what distinguishes a convolution in a summary. */
function describe(kernelSize: readonly number[], options: { stride?: number | readonly number[] }): string {
  const stride = [options.stride ?? 1].flat()
  return formatSizes(kernelSize) + (stride.some((s) => s !== 1) ? ` /${[...new Set(stride)].join('×')}` : '')
}

/** (N, inChannels, L) → (N, outChannels, OL). weight (outChannels, inChannels/groups, kernelSize). */
export class Conv1d extends Module {
  weight: Variable
  bias: Variable | null
  readonly kernelSize: readonly number[]

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: number | readonly [number],
    readonly options: Conv1dOptions = {},
  ) {
    super()
    const { groups = 1, padding = 0 } = options
    checkChannels('Conv1d', inChannels, outChannels, groups)
    this.kernelSize = perAxis('Conv1d', 'kernelSize', kernelSize, 1)
    checkWindow('Conv1d', options, padding, 1)
    const variables = convVariables([outChannels, inChannels / groups, ...this.kernelSize], outChannels, options)
    this.weight = variables.weight
    this.bias = variables.bias
  }

  override forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.options)
  }

  override detail(): string {
    return describe(this.kernelSize, this.options)
  }
}

/** (N, inChannels, H, W) → (N, outChannels, OH, OW). weight (outChannels, inChannels/groups, R, S). */
export class Conv2d extends Module {
  weight: Variable
  bias: Variable | null
  readonly kernelSize: readonly number[]

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: number | readonly number[],
    readonly options: Conv2dOptions = {},
  ) {
    super()
    const { groups = 1, padding = 0 } = options
    checkChannels('Conv2d', inChannels, outChannels, groups)
    this.kernelSize = perAxis('Conv2d', 'kernelSize', kernelSize, 2)
    checkWindow('Conv2d', options, padding, 2)
    const variables = convVariables([outChannels, inChannels / groups, ...this.kernelSize], outChannels, options)
    this.weight = variables.weight
    this.bias = variables.bias
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options)
  }

  override detail(): string {
    return describe(this.kernelSize, this.options)
  }
}

/** (N, inChannels, H, W) → (N, outChannels, OH, OW), upsampling. weight (inChannels, outChannels/groups, R, S). */
export class ConvTranspose2d extends Module {
  weight: Variable
  bias: Variable | null
  readonly kernelSize: readonly number[]

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: number | readonly number[],
    readonly options: ConvTranspose2dOptions = {},
  ) {
    super()
    const { groups = 1, padding = 0 } = options
    checkChannels('ConvTranspose2d', inChannels, outChannels, groups)
    this.kernelSize = perAxis('ConvTranspose2d', 'kernelSize', kernelSize, 2)
    checkWindow('ConvTranspose2d', options, padding, 2)
    perAxis('ConvTranspose2d', 'outputPadding', options.outputPadding ?? 0, 2, 0)
    const variables = convVariables([inChannels, outChannels / groups, ...this.kernelSize], outChannels, options)
    this.weight = variables.weight
    this.bias = variables.bias
  }

  override forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.options)
  }

  override detail(): string {
    return describe(this.kernelSize, this.options)
  }
}

/** Errors where the layer is written, not where it first runs. Named paddings are checked by the operation. */
function checkWindow(
  layer: string,
  { stride = 1, dilation = 1 }: { stride?: unknown; dilation?: unknown },
  padding: unknown,
  axes: number,
): void {
  perAxis(layer, 'stride', stride, axes)
  perAxis(layer, 'dilation', dilation, axes)
  if (typeof padding !== 'string') perAxis(layer, 'padding', padding, axes, 0)
}
