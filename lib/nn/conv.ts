/**
 * Convolution layers. Images (N, C, H, W); weights (K, C/groups, R, S), kept in memory as (R, S, C/groups, K), the
 * order in which the kernels read them.
 */

import {
  CONV_OPTIONS,
  CONV_TRANSPOSE_OPTIONS,
  type Conv1dOptions as Conv1dCall,
  type Conv2dOptions as Conv2dCall,
  type ConvTranspose2dOptions as ConvTranspose2dCall,
  conv1d,
  conv2d,
  convTranspose2d,
} from '../ops/conv_api.js'
import { checkInteger, checkOptions, perAxis } from '../options.js'
import { type Shape, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { checkGroups, formatSizes } from './check.js'
import { fanInUniform } from './fan_in_uniform.js'
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

/** `5×5, stride 2`: what distinguishes a convolution in a summary. */
function describe(kernelSize: readonly number[], options: { stride?: number | readonly number[] }): string {
  const stride = [options.stride ?? 1].flat()
  return formatSizes(kernelSize) + (stride.some((s) => s !== 1) ? ` /${[...new Set(stride)].join('×')}` : '')
}

interface WindowOptions {
  stride?: number | readonly number[]
  padding?: number | readonly number[] | 'same' | 'valid'
  dilation?: number | readonly number[]
  groups?: number
}

/** What the layers share: checks where a layer is written, not where it first runs; weight and bias. */
abstract class Convolution<Call extends WindowOptions> extends Module {
  weight: Variable
  bias: Variable | null
  readonly kernelSize: readonly number[]
  /** As the operation takes them. */
  readonly options: Call

  /** @param known the operation's options @param axes of the window @param transposed the weight begins with the input's channels */
  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: number | readonly number[],
    options: Call & ConvLayerOptions,
    known: readonly (keyof Call & string)[],
    axes: 1 | 2,
    transposed = false,
  ) {
    super()
    const layer = this.constructor.name
    checkOptions(layer, options as ConvLayerOptions, [...(known as readonly never[]), 'bias', 'weightInit', 'biasInit'])
    const { bias, weightInit, biasInit, ...call } = options
    this.options = call as unknown as Call
    const { groups = 1, stride = 1, dilation = 1, padding = 0 } = options
    checkInteger(layer, 'inChannels', inChannels)
    checkInteger(layer, 'outChannels', outChannels)
    checkGroups(layer, groups, { inChannels, outChannels })
    this.kernelSize = perAxis(layer, 'kernelSize', kernelSize, axes)
    perAxis(layer, 'stride', stride, axes)
    perAxis(layer, 'dilation', dilation, axes)
    // Named paddings are checked by the operation.
    if (typeof padding !== 'string') perAxis(layer, 'padding', padding, axes, 0)
    const [first, second] = transposed ? [inChannels, outChannels] : [outChannels, inChannels]
    const variables = convVariables([first, second / groups, ...this.kernelSize], outChannels, {
      bias,
      weightInit,
      biasInit,
    })
    this.weight = variables.weight
    this.bias = variables.bias
  }

  override detail(): string {
    return describe(this.kernelSize, this.options)
  }
}

/** (N, inChannels, L) → (N, outChannels, OL). weight (outChannels, inChannels/groups, kernelSize). */
export class Conv1d extends Convolution<Conv1dCall> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number],
    options: Conv1dOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, options, CONV_OPTIONS, 1)
  }

  override forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.options)
  }
}

/** (N, inChannels, H, W) → (N, outChannels, OH, OW). weight (outChannels, inChannels/groups, R, S). */
export class Conv2d extends Convolution<Conv2dCall> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: Conv2dOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, options, CONV_OPTIONS, 2)
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options)
  }
}

/** (N, inChannels, H, W) → (N, outChannels, OH, OW), upsampling. weight (inChannels, outChannels/groups, R, S). */
export class ConvTranspose2d extends Convolution<ConvTranspose2dCall> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: ConvTranspose2dOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, options, CONV_TRANSPOSE_OPTIONS, 2, true)
    perAxis(this.constructor.name, 'outputPadding', options.outputPadding ?? 0, 2, 0)
  }

  override forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.options)
  }
}
