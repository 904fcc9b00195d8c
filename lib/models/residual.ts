/**
 * The blocks of residual networks (He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015):
 *
 *     y = relu(f(x) + shortcut(x))
 *
 * The shortcut is x itself, or a 1×1 convolution with batch normalisation where f changes channels or size.
 */

import { Conv2d } from '../nn/conv.js'
import { kaimingNormal } from '../nn/init.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { Sequential } from '../nn/sequential.js'
import { add, relu } from '../ops/index.js'
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

function shortcut(inChannels: number, outChannels: number, stride: number): Sequential | null {
  if (stride === 1 && inChannels === outChannels) return null
  return new Sequential(convolution(inChannels, outChannels, 1, stride), new BatchNorm2d(outChannels))
}

/** f: 3×3, 3×3. For 18 and 34 layers. */
export class BasicBlock extends Module<[x: Tensor]> {
  static readonly expansion = 1
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  downsample: Sequential | null

  constructor(inChannels: number, width: number, stride: number) {
    super()
    this.conv1 = convolution(inChannels, width, 3, stride)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = convolution(width, width, 3)
    this.bn2 = new BatchNorm2d(width)
    this.downsample = shortcut(inChannels, width, stride)
  }

  override forward(x: Tensor): Tensor {
    let h = relu(this.bn1.forward(this.conv1.forward(x)))
    h = this.bn2.forward(this.conv2.forward(h))
    return relu(add(h, this.downsample ? this.downsample.forward(x) : x))
  }
}

/** f: 1×1 to fewer channels, 3×3 with the stride, 1×1 to four times as many. For 50 layers and more. */
export class Bottleneck extends Module<[x: Tensor]> {
  static readonly expansion = 4
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  conv3: Conv2d
  bn3: BatchNorm2d
  downsample: Sequential | null

  constructor(inChannels: number, width: number, stride: number) {
    super()
    const outChannels = width * Bottleneck.expansion
    this.conv1 = convolution(inChannels, width, 1)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = convolution(width, width, 3, stride)
    this.bn2 = new BatchNorm2d(width)
    this.conv3 = convolution(width, outChannels, 1)
    this.bn3 = new BatchNorm2d(outChannels)
    this.downsample = shortcut(inChannels, outChannels, stride)
  }

  override forward(x: Tensor): Tensor {
    let h = relu(this.bn1.forward(this.conv1.forward(x)))
    h = relu(this.bn2.forward(this.conv2.forward(h)))
    h = this.bn3.forward(this.conv3.forward(h))
    return relu(add(h, this.downsample ? this.downsample.forward(x) : x))
  }
}
