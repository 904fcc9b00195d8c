/**
 * Networks of linear layers: softmax regression and the multilayer perceptron. Images are flattened.
 */
import { describeGiven, describeList, ForjaError } from '../errors.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { flatten, relu, sigmoid, tanh } from '../ops/index.js'
import { checkInteger, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

export interface SoftmaxRegressionOptions {
  /** Numbers in a sample. Default 784, an image of MNIST. */
  inputs?: number
  /** Default 10. */
  classes?: number
}

/** One linear layer whose outputs are logits: 784-10 has 7,850 parameters. */
export class SoftmaxRegression extends Module<[x: Tensor]> {
  fc: Linear

  constructor(options: SoftmaxRegressionOptions = {}) {
    super()
    const { inputs = 784, classes = 10 } = checkOptions('softmaxRegression', options, ['inputs', 'classes'])
    this.fc = new Linear(inputs, classes)
  }

  override forward(x: Tensor): Tensor {
    return this.fc.forward(flatten(x, { startAxis: 1 }))
  }
}

export function softmaxRegression(options: SoftmaxRegressionOptions = {}): SoftmaxRegression {
  return new SoftmaxRegression(options)
}

export interface MLPOptions extends SoftmaxRegressionOptions {
  /** Sizes of the hidden layers. Default [512]. */
  hidden?: readonly number[]
  /** Of the hidden layers. Default 'relu'. */
  activation?: HiddenActivation
}

const ACTIVATIONS = { relu, sigmoid, tanh }
export type HiddenActivation = keyof typeof ACTIVATIONS

/** The function called `name`. @throws ERR_ARGUMENT listing those there are. */
export function hiddenActivation(name: HiddenActivation, who: string): (x: Tensor) => Tensor {
  if (!Object.hasOwn(ACTIVATIONS, name)) {
    const known = Object.keys(ACTIVATIONS).join(', ')
    throw new ForjaError('ERR_ARGUMENT', `${who}: unknown activation ${describeGiven(name)}; expected one of ${known}`)
  }
  return ACTIVATIONS[name]
}

/** Linear layers with an activation between them: 784-512-10 has 407,050 parameters. */
export class MLP extends Module<[x: Tensor]> {
  layers: Linear[]
  readonly #activate: (x: Tensor) => Tensor

  constructor(options: MLPOptions = {}) {
    super()
    const {
      inputs = 784,
      hidden = [512],
      classes = 10,
      activation = 'relu',
    } = checkOptions('mlp', options, ['inputs', 'hidden', 'classes', 'activation'])
    this.#activate = hiddenActivation(activation, 'mlp')
    if (!Array.isArray(hidden)) {
      throw new ForjaError('ERR_ARGUMENT', `mlp: hidden must be an array of sizes, got ${describeList(hidden)}`)
    }
    for (const size of hidden) checkInteger('mlp', 'hidden', size)
    const sizes = [inputs, ...hidden, classes]
    this.layers = sizes.slice(1).map((size, i) => new Linear(sizes[i]!, size))
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce(
      (h, layer, i) => layer.forward(i === 0 ? h : this.#activate(h)),
      flatten(x, { startAxis: 1 }),
    )
  }
}

export function mlp(options: MLPOptions = {}): MLP {
  return new MLP(options)
}
