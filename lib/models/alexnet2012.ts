/**
 * AlexNet as it was published (Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
 * networks", 2012): 60,965,224 parameters, 724,406,816 MACs.
 *
 *     3×227×227 → 96@11×11/4 → LRN → pool → 256@5×5 → LRN → pool → 384@3×3 → 384@3×3 → 256@3×3 → pool → 4096 → 4096 → 1000
 *
 * It was trained on two GPUs of 3 GB: the second, fourth and fifth convolution see only the maps of their own GPU, which
 * is what two groups are. Pooling windows of 3×3 overlap, two pixels apart. Local response normalisation divides by
 * (2 + 10⁻⁴ Σ squares of five neighbouring maps)^¾. Weights begin as N(0, 0.01²); biases behind which a ReLU must not be
 * dead at the start begin at 1.
 */
import { Dropout, ReLU } from '../nn/activation.js'
import { Conv2d } from '../nn/conv.js'
import { normal, ones, zeros } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { LocalResponseNorm } from '../nn/norm.js'
import { MaxPool2d } from '../nn/pool.js'
import { Sequential } from '../nn/sequential.js'
import { flatten } from '../ops/shape.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import type { AlexNetOptions } from './alexnet.js'

export interface AlexNet2012Options extends AlexNetOptions {
  /** 2, or 1: every map sees all maps before it, 62,378,344 parameters and 1,135,256,096 MACs. Default 2. */
  groups?: number
}

/** Over five maps; alpha is that of the sum, 10⁻⁴, times the five of the mean. */
function responseNorm(): LocalResponseNorm {
  return new LocalResponseNorm(5, { alpha: 5e-4, beta: 0.75, k: 2 })
}

function initial(bias: 0 | 1) {
  return { weightInit: normal({ std: 0.01 }), biasInit: bias === 1 ? ones() : zeros() }
}

/** Images (N, 3, 227, 227) → logits (N, classes). */
export class AlexNet2012 extends Module<[x: Tensor]> {
  features: Sequential
  classifier: Sequential

  constructor(options: AlexNet2012Options = {}) {
    super()
    const {
      classes = 1000,
      dropout = 0.5,
      groups = 2,
    } = checkOptions('alexnet2012', options, ['classes', 'dropout', 'groups'])
    this.features = new Sequential(
      new Conv2d(3, 96, 11, { stride: 4, ...initial(0) }),
      new ReLU(),
      responseNorm(),
      new MaxPool2d(3, { stride: 2 }),
      new Conv2d(96, 256, 5, { padding: 2, groups, ...initial(1) }),
      new ReLU(),
      responseNorm(),
      new MaxPool2d(3, { stride: 2 }),
      new Conv2d(256, 384, 3, { padding: 1, ...initial(0) }),
      new ReLU(),
      new Conv2d(384, 384, 3, { padding: 1, groups, ...initial(1) }),
      new ReLU(),
      new Conv2d(384, 256, 3, { padding: 1, groups, ...initial(1) }),
      new ReLU(),
      new MaxPool2d(3, { stride: 2 }),
    )
    this.classifier = new Sequential(
      new Linear(256 * 6 * 6, 4096, initial(1)),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, 4096, initial(1)),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, classes, initial(0)),
    )
  }

  override forward(x: Tensor): Tensor {
    return this.classifier.forward(flatten(this.features.forward(x), { startAxis: 1 }))
  }
}

export function alexnet2012(options: AlexNet2012Options = {}): AlexNet2012 {
  return new AlexNet2012(options)
}
