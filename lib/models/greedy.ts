/**
 * Learning without labels: `fitUnsupervised`, and stacks that are trained greedily, one layer after the other, each on
 * what the layers below make of the data. The trained layers are then the start of a sigmoid network that is fine-tuned
 * with labels.
 *
 *     deepBeliefNetwork    restricted Boltzmann machines (Hinton, Osindero, Teh, 2006)
 *     stackedAutoencoder   autoencoders of one layer, denoising or sparse if asked (Bengio and others, 2007; Vincent, 2010)
 */
import type { Dataset } from '../data/dataset.js'
import { describeList, ForjaError } from '../errors.js'
import { Linear } from '../nn/linear.js'
import { type AnyModule, Module } from '../nn/module.js'
import { mseLoss } from '../ops/index.js'
import type { Optimizer } from '../optim/optimizer.js'
import { checkInteger, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { type EvaluateOptions, evaluateModel } from '../train/evaluate.js'
import { type FitOptions, fit } from '../train/fit.js'
import type { History } from '../train/history.js'
import type { Scores } from '../train/objective.js'
import type { Variable } from '../variable.js'
import { Autoencoder, autoencoder, type ReconstructionOptions, rows } from './autoencoder.js'
import { type MLP, mlp } from './mlp.js'
import { RBM } from './rbm.js'

/** A network that says itself how well it does on samples: autoencoders, Boltzmann machines. */
export type Unsupervised = AnyModule & {
  /** x (N, ...) → a scalar, the mean over the samples. */
  loss(x: Tensor): Tensor
}

export type UnsupervisedFitOptions = Omit<FitOptions, 'loss' | 'metrics'>

/**
 * fit() for networks with a loss of their own; labels of the data set are not looked at.
 *
 * @returns the mean of `model.loss` in each epoch, as `loss` and `valLoss`. Errors as fit()'s.
 */
export async function fitUnsupervised(
  model: Unsupervised,
  dataset: Dataset,
  options: UnsupervisedFitOptions,
): Promise<History> {
  return await fit(viewOf(model), dataset, { ...options, loss: (loss) => loss })
}

/** The mean of `model.loss` over a data set, in inference mode, as `loss`. Errors as evaluateModel()'s. */
export async function evaluateUnsupervised(
  model: Unsupervised,
  dataset: Dataset,
  options: Omit<EvaluateOptions, 'loss' | 'metrics'> = {},
): Promise<Scores> {
  return await evaluateModel(viewOf(model), dataset, { ...options, loss: (loss) => loss })
}

/**
 * The mean squared error of a number of a sample that the network makes again, in inference mode; labels are not
 * looked at.
 *
 * @param model its method `reconstruct`, or without one `forward`, gives samples in the shape of x (N, ...)
 */
export async function reconstructionError(
  model: Module<[x: Tensor]> & { reconstruct?(x: Tensor): Tensor },
  dataset: Dataset,
  options: Omit<EvaluateOptions, 'loss' | 'metrics'> = {},
): Promise<number> {
  const view = new LossView(model, (x) => mseLoss(model.reconstruct?.(x) ?? model.forward(x), x))
  return (await evaluateModel(view, dataset, { ...options, loss: (error) => error })).loss
}

/** @param below what the network sees of a sample */
function viewOf(model: Unsupervised, below = (x: Tensor): Tensor => x): LossView {
  if (typeof model?.loss !== 'function') {
    throw new ForjaError('ERR_ARGUMENT', 'fitUnsupervised: a network with a method loss(x) was expected', {
      hint: 'models.autoencoder() and models.rbm() have one; networks that classify are trained by fit()',
    })
  }
  return new LossView(model, (x) => model.loss(below(x)))
}

/** A network whose output is a loss of its own; names, state and mode are those of the network, for callbacks. */
class LossView extends Module<[x: Tensor]> {
  constructor(
    private readonly model: AnyModule,
    private readonly loss: (x: Tensor) => Tensor,
  ) {
    super()
    Object.defineProperty(this, 'training', {
      get: () => model.training,
      set: (training: boolean) => {
        model.training = training
      },
    })
  }

  override forward(x: Tensor): Tensor {
    return this.loss(x)
  }

  override members(): [string, unknown][] {
    return this.model.members()
  }

  override namedModules(): [string, AnyModule][] {
    return this.model.namedModules()
  }
}

/** One layer of a stack. */
export type GreedyLayer = Unsupervised & {
  encode(x: Tensor): Tensor
  /** Weight (outputs, inputs) and bias (outputs,) of the sigmoid layer that does the same as encode. */
  readonly encoding: { weight: Variable; bias: Variable }
}

export interface PretrainOptions extends Omit<UnsupervisedFitOptions, 'optimizer'> {
  /** Made anew for each layer, the first being 0. */
  optimizer: (parameters: readonly Variable[], layer: number) => Optimizer
}

/** Samples (N, ...) from 0 to 1 → the top layer's code (N, size). */
export class GreedyStack<Layer extends GreedyLayer = GreedyLayer> extends Module<[x: Tensor]> {
  constructor(readonly layers: readonly Layer[]) {
    super()
    if (!Array.isArray(layers) || layers.length === 0) {
      throw new ForjaError('ERR_ARGUMENT', 'GreedyStack: an array of at least one layer was expected')
    }
  }

  override forward(x: Tensor): Tensor {
    return this.#through(this.layers.length)(x)
  }

  /** Samples → what the first `count` layers make of them. */
  #through(count: number) {
    return (x: Tensor): Tensor => this.layers.slice(0, count).reduce((h, layer) => layer.encode(h), rows(x))
  }

  /**
   * Trains each layer in turn on the codes of those below, which stay as they are.
   *
   * @returns the history of each layer. Errors as fit()'s.
   */
  async pretrain(dataset: Dataset, options: PretrainOptions): Promise<History[]> {
    if (typeof options?.optimizer !== 'function') {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `pretrain: optimizer must be a function that makes one for each layer, got ${typeof options?.optimizer}`,
        {
          hint: 'optimizer: (parameters) => new optim.SGD(parameters, { lr: 0.1 })',
        },
      )
    }
    const histories: History[] = []
    for (const [i, layer] of this.layers.entries()) {
      const view = viewOf(layer, this.#through(i))
      const optimizer = options.optimizer(layer.parameters(), i)
      try {
        histories.push(await fit(view, dataset, { ...options, optimizer, loss: (loss) => loss }))
      } finally {
        optimizer.dispose()
      }
    }
    return histories
  }

  /** A sigmoid network that begins with copies of the layers; its last layer, to `classes` logits, is fresh. */
  async classifier(options: { classes?: number } = {}): Promise<MLP> {
    const { classes = 10 } = checkOptions('classifier', options, ['classes'])
    const encodings = this.layers.map((layer) => layer.encoding)
    const hidden = encodings.map(({ weight }) => weight.shape[0]!)
    const network = mlp({ inputs: encodings[0]!.weight.shape[1]!, hidden, classes, activation: 'sigmoid' })
    for (const [i, { weight, bias }] of encodings.entries()) {
      await network.layers[i]!.weight.assign(await weight.snapshot())
      await network.layers[i]!.bias!.assign(await bias.snapshot())
    }
    return network
  }
}

export interface StackOptions {
  /** Inputs, then the size of each layer. Default [784, 256, 64]. */
  sizes?: readonly number[]
}

/** Pairs of neighbouring sizes. */
function pairs(sizes: readonly number[], who: string): [number, number][] {
  if (!Array.isArray(sizes) || sizes.length < 2) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${who}: sizes must be inputs and at least one layer, got ${describeList(sizes)}`,
    )
  }
  for (const size of sizes) checkInteger(who, 'sizes', size)
  return sizes.slice(1).map((size, i) => [sizes[i]!, size])
}

export interface DeepBeliefNetworkOptions extends StackOptions {
  /** Steps of Gibbs sampling in each update. Default 1. */
  k?: number
}

export function deepBeliefNetwork(options: DeepBeliefNetworkOptions = {}): GreedyStack<RBM> {
  const { sizes = [784, 256, 64], k = 1 } = checkOptions('deepBeliefNetwork', options, ['sizes', 'k'])
  return new GreedyStack(pairs(sizes, 'deepBeliefNetwork').map(([visible, hidden]) => new RBM({ visible, hidden, k })))
}

export interface StackedAutoencoderOptions extends StackOptions, Omit<ReconstructionOptions, 'output'> {}

/** An autoencoder of one sigmoid layer each way. */
export class AutoencoderLayer extends Autoencoder {
  readonly #linear: Linear

  constructor(inputs: number, code: number, options: Omit<ReconstructionOptions, 'output'>) {
    const { encoder, decoder } = autoencoder({ ...options, inputs, hidden: [], code, codeActivation: 'sigmoid' })
    super(encoder, decoder, options)
    this.#linear = encoder.namedModules().find(([, module]) => module instanceof Linear)![1] as Linear
  }

  /** @internal The layer that takes this one's place in a network. */
  get encoding(): { weight: Variable; bias: Variable } {
    return { weight: this.#linear.weight, bias: this.#linear.bias! }
  }
}

export function stackedAutoencoder(options: StackedAutoencoderOptions = {}): GreedyStack<AutoencoderLayer> {
  const known = ['sizes', 'corruption', 'noise', 'sparsity'] as const
  const { sizes = [784, 256, 64], ...layer } = checkOptions('stackedAutoencoder', options, known)
  return new GreedyStack(
    pairs(sizes, 'stackedAutoencoder').map(([inputs, code]) => new AutoencoderLayer(inputs, code, layer)),
  )
}
