/**
 * LeNet-5 (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998) in the
 * form that is usual today: full connections, ReLU, max pooling, logits. 61,706 parameters, 416,520 MACs.
 *
 *     1×28×28 → conv 5×5 pad 2 → 6×28×28 → pool → 6×14×14 → conv 5×5 → 16×10×10 → pool → 16×5×5 → 120 → 84 → 10
 */
import { Conv2d } from '../nn/conv.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { flatten, relu } from '../ops/index.js'
import { maxPool2d } from '../ops/pool_api.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

export interface LeNet5Options {
  /** Default 10. */
  classes?: number
}

/** Images (N, 1, 28, 28) → logits (N, classes). */
export class LeNet5 extends Module<[x: Tensor]> {
  conv1 = new Conv2d(1, 6, 5, { padding: 2 })
  conv2 = new Conv2d(6, 16, 5)
  fc1 = new Linear(400, 120)
  fc2 = new Linear(120, 84)
  fc3: Linear

  constructor(options: LeNet5Options = {}) {
    super()
    const { classes = 10 } = checkOptions('lenet5', options, ['classes'])
    this.fc3 = new Linear(84, classes)
  }

  override forward(x: Tensor): Tensor {
    let h = maxPool2d(relu(this.conv1.forward(x)), { kernelSize: 2 })
    h = maxPool2d(relu(this.conv2.forward(h)), { kernelSize: 2 })
    h = flatten(h, { startAxis: 1 })
    h = relu(this.fc1.forward(h))
    h = relu(this.fc2.forward(h))
    return this.fc3.forward(h)
  }
}

export function lenet5(options: LeNet5Options = {}): LeNet5 {
  return new LeNet5(options)
}
