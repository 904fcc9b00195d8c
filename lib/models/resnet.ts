/**
 * Residual networks: a stem, four stages of blocks with 64, 128, 256, 512 channels (times the block's expansion), each
 * but the first halving the image, the mean over pixels, a linear layer.
 *
 *     imagenet stem   7×7 stride 2, max pooling 3×3 stride 2: 224 → 56 pixels
 *     cifar stem      3×3: 32 → 32 pixels
 */
import { Conv2d } from '../nn/conv.js'
import { kaimingNormal } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { Sequential } from '../nn/sequential.js'
import { flatten, relu } from '../ops/index.js'
import { globalAvgPool2d, maxPool2d } from '../ops/pool_api.js'
import { checkChoice, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { BasicBlock, Bottleneck } from './residual.js'

export interface ResNetOptions {
  /** Default 1000; 10 for CIFAR. */
  classes?: number
}

export interface BottleneckOptions extends ResNetOptions {
  /** 1: as published, with the stride in the first 1×1 of a block. Default 1.5: in the 3×3, as in today's libraries. */
  version?: 1 | 1.5
}

interface Block {
  (inChannels: number, width: number, stride: number): Module
  /** Channels of a block's output for each of its width. */
  readonly expansion: number
}

interface ResNetShape {
  block: Block
  /** Blocks of each stage. */
  blocks: readonly [number, number, number, number]
  stem: 'imagenet' | 'cifar'
  classes: number
}

const basic: Block = Object.assign(
  (inChannels: number, width: number, stride: number) => new BasicBlock(inChannels, width, stride),
  { expansion: BasicBlock.expansion },
)

function bottleneck(version: 1 | 1.5 = 1.5): Block {
  checkChoice('resnet', 'version', version, [1, 1.5])
  return Object.assign(
    (inChannels: number, width: number, stride: number) => new Bottleneck(inChannels, width, stride, version),
    { expansion: Bottleneck.expansion },
  )
}

/** Images (N, 3, H, W) → logits (N, classes). */
export class ResNet extends Module<[x: Tensor]> {
  conv1: Conv2d
  bn1: BatchNorm2d
  layer1: Sequential
  layer2: Sequential
  layer3: Sequential
  layer4: Sequential
  fc: Linear
  readonly #pools: boolean

  constructor({ block, blocks, stem, classes }: ResNetShape) {
    super()
    this.#pools = stem === 'imagenet'
    const [kernelSize, stride, padding] = this.#pools ? [7, 2, 3] : [3, 1, 1]
    const weightInit = kaimingNormal({ mode: 'fanOut', nonlinearity: 'relu' })
    this.conv1 = new Conv2d(3, 64, kernelSize, { stride, padding, bias: false, weightInit })
    this.bn1 = new BatchNorm2d(64)
    let channels = 64
    const stage = (width: number, count: number, stride: number): Sequential => {
      const list = Array.from({ length: count }, (_, i) => {
        const made = block(channels, width, i === 0 ? stride : 1)
        channels = width * block.expansion
        return made
      })
      return new Sequential(...list)
    }
    this.layer1 = stage(64, blocks[0], 1)
    this.layer2 = stage(128, blocks[1], 2)
    this.layer3 = stage(256, blocks[2], 2)
    this.layer4 = stage(512, blocks[3], 2)
    this.fc = new Linear(channels, classes)
  }

  override forward(x: Tensor): Tensor {
    let h = relu(this.bn1.forward(this.conv1.forward(x)))
    if (this.#pools) h = maxPool2d(h, { kernelSize: 3, stride: 2, padding: 1 })
    for (const stage of [this.layer1, this.layer2, this.layer3, this.layer4]) h = stage.forward(h)
    return this.fc.forward(flatten(globalAvgPool2d(h), { startAxis: 1 }))
  }
}

/** 11,689,512 parameters, 1,814,073,344 MACs at 224 pixels. */
export function resnet18(options: ResNetOptions = {}): ResNet {
  const { classes = 1000 } = checkOptions('resnet18', options, ['classes'])
  return new ResNet({ block: basic, blocks: [2, 2, 2, 2], stem: 'imagenet', classes })
}

/** 21,797,672 parameters, 3,663,761,408 MACs at 224 pixels. */
export function resnet34(options: ResNetOptions = {}): ResNet {
  const { classes = 1000 } = checkOptions('resnet34', options, ['classes'])
  return new ResNet({ block: basic, blocks: [3, 4, 6, 3], stem: 'imagenet', classes })
}

/** 25,557,032 parameters, 4,089,184,256 MACs at 224 pixels; version 1 3,857,973,248. */
export function resnet50(options: BottleneckOptions = {}): ResNet {
  const { classes = 1000, version } = checkOptions('resnet50', options, ['classes', 'version'])
  return new ResNet({ block: bottleneck(version), blocks: [3, 4, 6, 3], stem: 'imagenet', classes })
}

/** 44,549,160 parameters, 7,801,405,440 MACs at 224 pixels. */
export function resnet101(options: BottleneckOptions = {}): ResNet {
  const { classes = 1000, version } = checkOptions('resnet101', options, ['classes', 'version'])
  return new ResNet({ block: bottleneck(version), blocks: [3, 4, 23, 3], stem: 'imagenet', classes })
}

/** 60,192,808 parameters, 11,513,626,624 MACs at 224 pixels. */
export function resnet152(options: BottleneckOptions = {}): ResNet {
  const { classes = 1000, version } = checkOptions('resnet152', options, ['classes', 'version'])
  return new ResNet({ block: bottleneck(version), blocks: [3, 8, 36, 3], stem: 'imagenet', classes })
}

/** 11,173,962 parameters, 555,422,720 MACs at 32 pixels. */
export function resnet18Cifar(options: ResNetOptions = {}): ResNet {
  const { classes = 10 } = checkOptions('resnet18Cifar', options, ['classes'])
  return new ResNet({ block: basic, blocks: [2, 2, 2, 2], stem: 'cifar', classes })
}
