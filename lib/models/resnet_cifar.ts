/**
 * The residual networks of He and others (2015, section 4.2) for images of 32×32: a convolution and three stages of n
 * blocks with 16, 32, 64 channels, 6n + 2 layers. Shortcuts have no parameters, so that a network without them, of the
 * same depth and size, can be compared: it learns worse the deeper it is.
 */
import type { Conv2d } from '../nn/conv.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { Sequential } from '../nn/sequential.js'
import { flatten, relu } from '../ops/index.js'
import { globalAvgPool2d } from '../ops/pool_api.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { BasicBlock, convolution } from './residual.js'

export interface ResNetCifarOptions {
  /** Default 10. */
  classes?: number
  /** false: the plain network of the same layers. Default true. */
  residual?: boolean
}

const OPTIONS = ['classes', 'residual'] as const

/** Images (N, 3, H, W) → logits (N, classes). */
export class ResNetCifar extends Module<[x: Tensor]> {
  conv1: Conv2d
  bn1 = new BatchNorm2d(16)
  layer1: Sequential
  layer2: Sequential
  layer3: Sequential
  fc: Linear

  /** @param blocks of each stage, two layers a block */
  constructor(blocks: number, { classes = 10, residual = true }: ResNetCifarOptions) {
    super()
    const stage = (inChannels: number, width: number, stride: number): Sequential => {
      const block = (_: unknown, i: number) =>
        new BasicBlock(i === 0 ? inChannels : width, width, i === 0 ? stride : 1, residual ? 'padded' : 'none')
      return new Sequential(...Array.from({ length: blocks }, block))
    }
    this.conv1 = convolution(3, 16, 3)
    this.layer1 = stage(16, 16, 1)
    this.layer2 = stage(16, 32, 2)
    this.layer3 = stage(32, 64, 2)
    this.fc = new Linear(64, classes)
  }

  override forward(x: Tensor): Tensor {
    let h = relu(this.bn1.forward(this.conv1.forward(x)))
    for (const stage of [this.layer1, this.layer2, this.layer3]) h = stage.forward(h)
    return this.fc.forward(flatten(globalAvgPool2d(h), { startAxis: 1 }))
  }
}

/** 269,722 parameters, 40,551,040 MACs at 32 pixels. */
export function resnet20Cifar(options: ResNetCifarOptions = {}): ResNetCifar {
  return new ResNetCifar(3, checkOptions('resnet20Cifar', options, OPTIONS))
}

/** 853,018 parameters, 125,485,696 MACs at 32 pixels. */
export function resnet56Cifar(options: ResNetCifarOptions = {}): ResNetCifar {
  return new ResNetCifar(9, checkOptions('resnet56Cifar', options, OPTIONS))
}

/** 1,727,962 parameters, 252,887,680 MACs at 32 pixels. */
export function resnet110Cifar(options: ResNetCifarOptions = {}): ResNetCifar {
  return new ResNetCifar(18, checkOptions('resnet110Cifar', options, OPTIONS))
}
