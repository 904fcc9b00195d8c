/**
 * The network of the ConvNetJS demonstration on CIFAR-10 (Karpathy, 2014), which learns in a browser window: three
 * 5×5 convolutions, each with ReLU and 2×2 max pooling, and one linear layer. 22,466 parameters, 3,920,000 MACs.
 *
 *     3×32×32 → conv 16 → pool → 16×16×16 → conv 20 → pool → 20×8×8 → conv 20 → pool → 20×4×4 → 10
 */
import { Conv2d } from '../nn/conv.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { flatten, relu } from '../ops/index.js'
import { maxPool2d } from '../ops/pool_api.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

export interface ConvNetJSCifarOptions {
  /** Default 10. */
  classes?: number
}

/** Images (N, 3, 32, 32) → logits (N, classes). */
export class ConvNetJSCifar extends Module<[x: Tensor]> {
  conv1 = new Conv2d(3, 16, 5, { padding: 2 })
  conv2 = new Conv2d(16, 20, 5, { padding: 2 })
  conv3 = new Conv2d(20, 20, 5, { padding: 2 })
  fc: Linear

  constructor(options: ConvNetJSCifarOptions = {}) {
    super()
    const { classes = 10 } = checkOptions('convnetjsCifar', options, ['classes'])
    this.fc = new Linear(320, classes)
  }

  override forward(x: Tensor): Tensor {
    const h = [this.conv1, this.conv2, this.conv3].reduce(
      (h, conv) => maxPool2d(relu(conv.forward(h)), { kernelSize: 2 }),
      x,
    )
    return this.fc.forward(flatten(h, { startAxis: 1 }))
  }
}

export function convnetjsCifar(options: ConvNetJSCifarOptions = {}): ConvNetJSCifar {
  return new ConvNetJSCifar(options)
}
