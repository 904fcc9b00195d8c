/**
 * AlexNet (Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012) in
 * its later single-tower form with 64-192-384-256-256 channels: 61,100,840 parameters, 714,188,480 MACs.
 */
import { Dropout, ReLU } from '../nn/activation.js'
import { Conv2d } from '../nn/conv.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { AdaptiveAvgPool2d, MaxPool2d } from '../nn/pool.js'
import { Sequential } from '../nn/sequential.js'
import { flatten } from '../ops/shape.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

export interface AlexNetOptions {
  /** Default 1000. */
  classes?: number
  /** Probability of the classifier's two dropout layers. Default 0.5. */
  dropout?: number
}

/** Images (N, 3, 224, 224) → logits (N, classes). */
export class AlexNet extends Module<[x: Tensor]> {
  features = new Sequential(
    new Conv2d(3, 64, 11, { stride: 4, padding: 2 }),
    new ReLU(),
    new MaxPool2d(3, { stride: 2 }),
    new Conv2d(64, 192, 5, { padding: 2 }),
    new ReLU(),
    new MaxPool2d(3, { stride: 2 }),
    new Conv2d(192, 384, 3, { padding: 1 }),
    new ReLU(),
    new Conv2d(384, 256, 3, { padding: 1 }),
    new ReLU(),
    new Conv2d(256, 256, 3, { padding: 1 }),
    new ReLU(),
    new MaxPool2d(3, { stride: 2 }),
  )
  avgpool = new AdaptiveAvgPool2d(6)
  classifier: Sequential

  constructor(options: AlexNetOptions = {}) {
    super()
    const { classes = 1000, dropout = 0.5 } = checkOptions('alexnet', options, ['classes', 'dropout'])
    this.classifier = new Sequential(
      new Dropout(dropout),
      new Linear(256 * 6 * 6, 4096),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, 4096),
      new ReLU(),
      new Linear(4096, classes),
    )
  }

  override forward(x: Tensor): Tensor {
    const maps = this.avgpool.forward(this.features.forward(x))
    return this.classifier.forward(flatten(maps, { startAxis: 1 }))
  }
}

export function alexnet(options: AlexNetOptions = {}): AlexNet {
  return new AlexNet(options)
}
