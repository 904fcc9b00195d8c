/**
 * Rosenblatt's perceptron (1958): a weighted sum and a threshold. Its rule changes weights only where the answer is wrong,
 *
 *     w_label += lr · x,   w_answer -= lr · x
 *
 * which is a step of gradient descent on `perceptronLoss`. With two classes, w₁ - w₀ is the classic unit of one output.
 */

import { zeros } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { argMax, flatten, mean, sub, takeAlongAxis, unsqueeze } from '../ops/index.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import type { SoftmaxRegressionOptions } from './mlp.js'

export type PerceptronOptions = SoftmaxRegressionOptions

/** Samples (N, ...) → sums before the threshold (N, classes); the largest is the answer. Weights begin at 0. */
export class Perceptron extends Module<[x: Tensor]> {
  fc: Linear

  constructor(options: PerceptronOptions = {}) {
    super()
    const { inputs = 784, classes = 10 } = checkOptions('perceptron', options, ['inputs', 'classes'])
    this.fc = new Linear(inputs, classes, { weightInit: zeros(), biasInit: zeros() })
  }

  override forward(x: Tensor): Tensor {
    return this.fc.forward(flatten(x, { startAxis: 1 }))
  }
}

export function perceptron(options: PerceptronOptions = {}): Perceptron {
  return new Perceptron(options)
}

/**
 * How far the answers are above the right ones, a mean over the batch: 0 where all are right. For fit's `loss`.
 *
 * @param scores (N, classes) @param labels (N,), int32
 */
export function perceptronLoss(scores: Tensor, labels: Tensor): Tensor {
  const of = (index: Tensor) => takeAlongAxis(scores, unsqueeze(index, { axis: 1 }), { axis: 1 })
  return mean(sub(of(argMax(scores, { axis: 1 })), of(labels)))
}
