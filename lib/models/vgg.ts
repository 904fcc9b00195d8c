/**
 * VGG (Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014): 3×3
 * convolutions with ReLU, max pooling between stages of 64, 128, 256, 512, 512 channels, three linear layers.
 */
import { Dropout, ReLU } from '../nn/activation.js'
import { Conv2d } from '../nn/conv.js'
import { kaimingNormal, normal, zeros } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { AdaptiveAvgPool2d, MaxPool2d } from '../nn/pool.js'
import { Sequential } from '../nn/sequential.js'
import { flatten } from '../ops/shape.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

export interface VGGOptions {
  /** Default 1000. */
  classes?: number
  /** Probability of the classifier's two dropout layers. Default 0.5. */
  dropout?: number
}

const OPTIONS = ['classes', 'dropout'] as const

const CHANNELS = [64, 128, 256, 512, 512] as const

/** Images (N, 3, 224, 224) → logits (N, classes). */
export class VGG extends Module<[x: Tensor]> {
  features: Sequential
  avgpool = new AdaptiveAvgPool2d(7)
  classifier: Sequential

  /** @param convolutions how many each of the five stages has @param normalized batch normalisation behind each */
  constructor(convolutions: readonly number[], { classes = 1000, dropout = 0.5 }: VGGOptions, normalized = false) {
    super()
    const convInit = { weightInit: kaimingNormal({ mode: 'fanOut', nonlinearity: 'relu' }), biasInit: zeros() }
    const linearInit = { weightInit: normal({ std: 0.01 }), biasInit: zeros() }
    let channels = 3
    const stages = convolutions.map((count, stage) => {
      const layers: Module[] = []
      for (let i = 0; i < count; i++) {
        const width = CHANNELS[stage]!
        layers.push(new Conv2d(channels, width, 3, { padding: 1, ...convInit }))
        if (normalized) layers.push(new BatchNorm2d(width))
        layers.push(new ReLU())
        channels = width
      }
      return [...layers, new MaxPool2d(2)]
    })
    this.features = new Sequential(...stages.flat())
    this.classifier = new Sequential(
      new Linear(512 * 7 * 7, 4096, linearInit),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, 4096, linearInit),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, classes, linearInit),
    )
  }

  override forward(x: Tensor): Tensor {
    const maps = this.avgpool.forward(this.features.forward(x))
    return this.classifier.forward(flatten(maps, { startAxis: 1 }))
  }
}

/** 132,863,336 parameters, 7,609,090,048 MACs at 224 pixels. */
export function vgg11(options: VGGOptions = {}): VGG {
  return new VGG([1, 1, 2, 2, 2], checkOptions('vgg11', options, OPTIONS))
}

/** 133,047,848 parameters, 11,308,466,176 MACs at 224 pixels. */
export function vgg13(options: VGGOptions = {}): VGG {
  return new VGG([2, 2, 2, 2, 2], checkOptions('vgg13', options, OPTIONS))
}

/** 138,357,544 parameters, 15,470,264,320 MACs at 224 pixels. */
export function vgg16(options: VGGOptions = {}): VGG {
  return new VGG([2, 2, 3, 3, 3], checkOptions('vgg16', options, OPTIONS))
}

/** 143,667,240 parameters, 19,632,062,464 MACs at 224 pixels. */
export function vgg19(options: VGGOptions = {}): VGG {
  return new VGG([2, 2, 4, 4, 4], checkOptions('vgg19', options, OPTIONS))
}

/** VGG-11 with batch normalisation: 132,868,840 parameters, 7,609,090,048 MACs at 224 pixels. */
export function vgg11Bn(options: VGGOptions = {}): VGG {
  return new VGG([1, 1, 2, 2, 2], checkOptions('vgg11Bn', options, OPTIONS), true)
}

/** VGG-13 with batch normalisation: 133,053,736 parameters, 11,308,466,176 MACs at 224 pixels. */
export function vgg13Bn(options: VGGOptions = {}): VGG {
  return new VGG([2, 2, 2, 2, 2], checkOptions('vgg13Bn', options, OPTIONS), true)
}

/** VGG-16 with batch normalisation: 138,365,992 parameters, 15,470,264,320 MACs at 224 pixels. */
export function vgg16Bn(options: VGGOptions = {}): VGG {
  return new VGG([2, 2, 3, 3, 3], checkOptions('vgg16Bn', options, OPTIONS), true)
}

/** VGG-19 with batch normalisation: 143,678,248 parameters, 19,632,062,464 MACs at 224 pixels. */
export function vgg19Bn(options: VGGOptions = {}): VGG {
  return new VGG([2, 2, 4, 4, 4], checkOptions('vgg19Bn', options, OPTIONS), true)
}
