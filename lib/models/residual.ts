/**
 * The blocks of residual networks (He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015):
 *
 *     y = relu(f(x) + shortcut(x))
 *
 * The shortcut is x itself. Where f changes channels or size it is a 1×1 convolution with batch normalisation, or every
 * second pixel of x and zeros in the new channels, which needs no parameters.
 */

import { Conv2d } from '../nn/conv.js'
import { kaimingNormal } from '../nn/init.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { Sequential } from '../nn/sequential.js'
import { toChannelsFirst, toChannelsLast } from '../ops/image.js'
import { add, pad, relu, slice } from '../ops/index.js'
import type { Tensor } from '../tensor.js'

/** A convolution without bias, as batch normalisation follows; its output has ⌈size / stride⌉ pixels. */
export function convolution(inChannels: number, outChannels: number, kernelSize: number, stride = 1): Conv2d {
  return new Conv2d(inChannels, outChannels, kernelSize, {
    stride,
    padding: (kernelSize - 1) / 2,
    bias: false,
    weightInit: kaimingNormal({ mode: 'fanOut', nonlinearity: 'relu' }),
  })
}

/** 'none': a plain network, y = relu(f(x)), for comparison. */
export type Shortcut = 'projection' | 'padded' | 'none'

/** Every stride-th pixel of x (N, C, H, W), with channels of zeros behind those of x. */
class PaddedShortcut extends Module<[x: Tensor]> {
  constructor(
    readonly added: number,
    readonly stride: number,
  ) {
    super()
  }

  override forward(x: Tensor): Tensor {
    const { added, stride } = this
    const pixels = slice(toChannelsLast(x), { steps: [1, stride, stride, 1] })
    return toChannelsFirst(
      pad(pixels, {
        pads: [
          [0, 0],
          [0, 0],
          [0, 0],
          [0, added],
        ],
      }),
    )
  }
}

function shortcut(kind: Shortcut, inChannels: number, outChannels: number, stride: number): Module | null {
  if (kind === 'none' || (stride === 1 && inChannels === outChannels)) return null
  if (kind === 'padded') return new PaddedShortcut(outChannels - inChannels, stride)
  return new Sequential(convolution(inChannels, outChannels, 1, stride), new BatchNorm2d(outChannels))
}

/** f: 3×3, 3×3. For 18 and 34 layers. */
export class BasicBlock extends Module<[x: Tensor]> {
  static readonly expansion = 1
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  downsample: Module | null
  readonly #residual: boolean

  constructor(inChannels: number, width: number, stride: number, kind: Shortcut = 'projection') {
    super()
    this.conv1 = convolution(inChannels, width, 3, stride)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = convolution(width, width, 3)
    this.bn2 = new BatchNorm2d(width)
    this.downsample = shortcut(kind, inChannels, width, stride)
    this.#residual = kind !== 'none'
  }

  override forward(x: Tensor): Tensor {
    let h = relu(this.bn1.forward(this.conv1.forward(x)))
    h = this.bn2.forward(this.conv2.forward(h))
    return relu(this.#residual ? add(h, this.downsample ? this.downsample.forward(x) : x) : h)
  }
}

/**
 * f: 1×1 to fewer channels, 3×3, 1×1 to four times as many. For 50 layers and more. The stride lies in the 3×3, which
 * sees all pixels (version 1.5), or, as published, in the first 1×1.
 */
export class Bottleneck extends Module<[x: Tensor]> {
  static readonly expansion = 4
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  conv3: Conv2d
  bn3: BatchNorm2d
  downsample: Module | null

  constructor(inChannels: number, width: number, stride: number, version: 1 | 1.5 = 1.5) {
    super()
    const outChannels = width * Bottleneck.expansion
    this.conv1 = convolution(inChannels, width, 1, version === 1 ? stride : 1)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = convolution(width, width, 3, version === 1 ? 1 : stride)
    this.bn2 = new BatchNorm2d(width)
    this.conv3 = convolution(width, outChannels, 1)
    this.bn3 = new BatchNorm2d(outChannels)
    this.downsample = shortcut('projection', inChannels, outChannels, stride)
  }

  override forward(x: Tensor): Tensor {
    let h = relu(this.bn1.forward(this.conv1.forward(x)))
    h = relu(this.bn2.forward(this.conv2.forward(h)))
    h = this.bn3.forward(this.conv3.forward(h))
    return relu(add(h, this.downsample ? this.downsample.forward(x) : x))
  }
}
