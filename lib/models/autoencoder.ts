/**
 * Autoencoders: an encoder squeezes a sample into a code, a decoder makes the sample again, and what is lost on the way is
 * the loss. Variants change what the code must be good for:
 *
 *     denoising   (Vincent and others, 2008) the encoder gets a corrupted sample, the loss compares with the clean one
 *     sparse      (Ng, 2011) each unit of the code is active for a small share ρ of the samples only: the loss gets
 *                 β Σ_j KL(ρ ‖ ρ̂_j), ρ̂_j the mean activity of unit j over the batch
 *
 * Samples are expected from 0 to 1 where the output is a sigmoid, the default.
 */
import { describeGiven, describeList, ForjaError } from '../errors.js'
import { ReLU, Sigmoid, Tanh } from '../nn/activation.js'
import { Conv2d, ConvTranspose2d } from '../nn/conv.js'
import { Flatten, Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { Sequential } from '../nn/sequential.js'
import {
  add,
  binaryCrossEntropyWithLogits,
  cast,
  flatten,
  greaterEqual,
  log,
  mean,
  mseLoss,
  mul,
  rand,
  randn,
  reshape,
  sigmoid,
  sub,
  sum,
} from '../ops/index.js'
import { checkChoice, checkInteger, checkNumber, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { type HiddenActivation, hiddenActivation } from './mlp.js'

export interface SparsityOptions {
  /** ρ, the share of samples for which a unit is active. Default 0.05. */
  target?: number
  /** β. Default 1. */
  weight?: number
}

/** What autoencoders of every architecture have in common. */
export interface ReconstructionOptions {
  /** 'sigmoid': outputs from 0 to 1, cross entropy. 'linear': mean squared error. Default 'sigmoid'. */
  output?: 'sigmoid' | 'linear'
  /** Probability that a number of the sample is set to 0 in training. Default 0. */
  corruption?: number
  /** Standard deviation of normal noise added in training. Default 0. */
  noise?: number
  /** Needs a code from 0 to 1: codeActivation 'sigmoid'. Default: none. */
  sparsity?: SparsityOptions
}

const RECONSTRUCTION = ['output', 'corruption', 'noise', 'sparsity'] as const

/** Samples (N, ...) → reconstructions of the same shape. */
export class Autoencoder extends Module<[x: Tensor]> {
  readonly #options: Required<Omit<ReconstructionOptions, 'sparsity'>> & { sparsity: SparsityOptions | undefined }

  /** @param encoder samples → codes (N, code) @param decoder codes → samples, before the output's sigmoid */
  constructor(
    readonly encoder: Module,
    readonly decoder: Module,
    { output = 'sigmoid', corruption = 0, noise = 0, sparsity }: ReconstructionOptions = {},
  ) {
    super()
    checkChoice('autoencoder', 'output', output, ['sigmoid', 'linear'])
    checkNumber('autoencoder', 'corruption', corruption, 0, 1)
    checkNumber('autoencoder', 'noise', noise, 0)
    if (sparsity) {
      checkOptions('autoencoder: sparsity', sparsity, ['target', 'weight'])
      checkTarget(sparsity.target ?? 0.05, 'autoencoder: sparsity.target')
      checkNumber('autoencoder', 'sparsity.weight', sparsity.weight ?? 1, 0)
    }
    this.#options = { output, corruption, noise, sparsity }
  }

  /** The code of samples, (N, code). */
  encode(x: Tensor): Tensor {
    return this.within(() => this.encoder.forward(x))
  }

  /** The samples of codes. */
  decode(code: Tensor): Tensor {
    const y = this.within(() => this.decoder.forward(code))
    return this.#options.output === 'sigmoid' ? sigmoid(y) : y
  }

  /** In training mode the reconstruction of the corrupted sample. */
  override forward(x: Tensor): Tensor {
    return reshape(this.decode(this.encode(this.corrupt(x))), x.shape)
  }

  /** What the encoder gets: in training mode with numbers set to 0 and noise, else x itself. */
  corrupt(x: Tensor): Tensor {
    const { corruption, noise } = this.#options
    if (!this.training) return x
    const masked = corruption > 0 ? mul(x, cast(greaterEqual(rand(x.shape), corruption), 'float32')) : x
    return noise > 0 ? add(masked, mul(randn(x.shape), noise)) : masked
  }

  /** The scalar to be minimised for samples x. */
  loss(x: Tensor): Tensor {
    return this.within(() => {
      const { output, sparsity } = this.#options
      const code = this.encoder.forward(this.corrupt(x))
      const y = reshape(this.decoder.forward(code), x.shape)
      const error = output === 'sigmoid' ? binaryCrossEntropyWithLogits(y, x) : mseLoss(y, x)
      if (!sparsity) return error
      return add(error, mul(sparsityPenalty(code, sparsity.target), sparsity.weight ?? 1))
    })
  }
}

/**
 * Σ_j KL(ρ ‖ ρ̂_j) = Σ_j ρ log(ρ / ρ̂_j) + (1 - ρ) log((1 - ρ) / (1 - ρ̂_j)), a scalar.
 *
 * @param activations (N, units), from 0 to 1; ρ̂_j is the mean of column j @param target ρ, in (0, 1)
 */
export function sparsityPenalty(activations: Tensor, target = 0.05): Tensor {
  checkTarget(target, 'sparsityPenalty: target')
  const active = mean(activations, { axes: 0 })
  // Away from 0 and 1, where a unit that is never or always active would have an infinite penalty.
  const share = (p: Tensor) => log(add(mul(p, 1 - 2e-7), 1e-7))
  const entropy = target * Math.log(target) + (1 - target) * Math.log(1 - target)
  const cross = add(mul(share(active), target), mul(share(sub(1, active)), 1 - target))
  return sum(sub(entropy, cross))
}

function checkTarget(target: number, what: string): void {
  if (!(target > 0 && target < 1)) {
    throw new ForjaError('ERR_ARGUMENT', `${what} is ${describeGiven(target)}; expected a number between 0 and 1`)
  }
}

export interface AutoencoderOptions extends ReconstructionOptions {
  /** Numbers in a sample. Default 784, an image of MNIST. */
  inputs?: number
  /** Sizes of the layers from input to code; the decoder has them in reverse. Default [128]. */
  hidden?: readonly number[]
  /** Numbers in a code. Default 32. */
  code?: number
  /** Of the hidden layers. Default 'relu'. */
  activation?: HiddenActivation
  /** Default 'linear'. */
  codeActivation?: HiddenActivation | 'linear'
}

const OPTIONS = ['inputs', 'hidden', 'code', 'activation', 'codeActivation', ...RECONSTRUCTION] as const

const LAYERS = { relu: ReLU, sigmoid: Sigmoid, tanh: Tanh }

/** Linear layers with an activation between them. */
function chain(sizes: readonly number[], activation: HiddenActivation): Module[] {
  return sizes.slice(1).flatMap((size, i) => {
    const linear = new Linear(sizes[i]!, size)
    return i === 0 ? [linear] : [new LAYERS[activation](), linear]
  })
}

/** Encoder and decoder of linear layers: 784-128-32-128-784 unless `options` say otherwise. */
export function autoencoder(options: AutoencoderOptions = {}): Autoencoder {
  checkOptions('autoencoder', options, OPTIONS)
  const { inputs = 784, hidden = [128], code = 32, activation = 'relu', codeActivation = 'linear' } = options
  hiddenActivation(activation, 'autoencoder')
  if (codeActivation !== 'linear') hiddenActivation(codeActivation, 'autoencoder')
  if (!Array.isArray(hidden)) {
    throw new ForjaError('ERR_ARGUMENT', `autoencoder: hidden must be an array of sizes, got ${describeList(hidden)}`)
  }
  const sizes = [inputs, ...(hidden as readonly number[]), code]
  for (const size of sizes) checkInteger('autoencoder', 'inputs, hidden and code', size)
  if (options.sparsity && codeActivation !== 'sigmoid') {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `autoencoder: sparsity needs a code from 0 to 1, got a ${codeActivation} one`,
      {
        hint: "use { codeActivation: 'sigmoid' }",
      },
    )
  }
  const encoder = [new Flatten(), ...chain(sizes, activation)]
  if (codeActivation !== 'linear') encoder.push(new LAYERS[codeActivation]())
  return new Autoencoder(new Sequential(...encoder), new Sequential(...chain(sizes.toReversed(), activation)), options)
}

/** One layer of units from 0 to 1 each way, 784-100-784, that gets 40 % of its numbers as 0, unless `options` say otherwise. */
export function denoisingAutoencoder(options: AutoencoderOptions = {}): Autoencoder {
  checkOptions('denoisingAutoencoder', options, OPTIONS)
  return autoencoder({ hidden: [], code: 100, codeActivation: 'sigmoid', corruption: 0.4, ...options })
}

/** One layer of units each way, 784-100-784, each to be active for 5 % of the samples, unless `options` say otherwise. */
export function sparseAutoencoder(options: AutoencoderOptions = {}): Autoencoder {
  checkOptions('sparseAutoencoder', options, OPTIONS)
  const sparsity = { target: 0.05, weight: 0.002 }
  return autoencoder({ hidden: [], code: 100, codeActivation: 'sigmoid', sparsity, ...options })
}

export interface ConvAutoencoderOptions extends ReconstructionOptions {
  /** Of a sample, [C, H, W]; H and W divide by four. Default [1, 28, 28]. */
  input?: readonly [number, number, number]
  /** Of the two convolutions, each of which halves the image. Default [16, 32]. */
  channels?: readonly [number, number]
  /** Numbers in a code. Default 32. */
  code?: number
}

/** (N, C·H·W) → (N, C, H, W). */
class Unflatten extends Module<[x: Tensor]> {
  constructor(readonly shape: readonly number[]) {
    super()
  }

  override forward(x: Tensor): Tensor {
    return reshape(x, [x.shape[0]!, ...this.shape])
  }
}

/** Two convolutions of stride 2 and a linear layer, and their mirror image of transposed convolutions. */
export function convAutoencoder(options: ConvAutoencoderOptions = {}): Autoencoder {
  checkOptions('convAutoencoder', options, ['input', 'channels', 'code', ...RECONSTRUCTION])
  const { input = [1, 28, 28], channels = [16, 32], code = 32 } = options
  const [c, h, w] = input
  const [first, second] = channels
  for (const size of [...input, ...channels, code]) checkInteger('convAutoencoder', 'input, channels and code', size)
  if (input.length !== 3 || h % 4 !== 0 || w % 4 !== 0) {
    throw new ForjaError(
      'ERR_SHAPE',
      `convAutoencoder: input [${input}]; [C, H, W] with H and W that divide by 4 expected`,
    )
  }
  if (options.sparsity) {
    throw new ForjaError('ERR_ARGUMENT', 'convAutoencoder: sparsity needs a code from 0 to 1, this one is linear')
  }
  const halve = { stride: 2, padding: 1 }
  const double = { ...halve, outputPadding: 1 }
  const maps = [second, h / 4, w / 4]
  const size = (second * h * w) / 16
  const encoder = new Sequential(
    new Conv2d(c, first, 3, halve),
    new ReLU(),
    new Conv2d(first, second, 3, halve),
    new ReLU(),
    new Flatten(),
    new Linear(size, code),
  )
  const decoder = new Sequential(
    new Linear(code, size),
    new ReLU(),
    new Unflatten(maps),
    new ConvTranspose2d(second, first, 3, double),
    new ReLU(),
    new ConvTranspose2d(first, c, 3, double),
  )
  return new Autoencoder(encoder, decoder, options)
}

/** Samples in rows, whatever their shape: (N, ...) → (N, features). */
export function rows(x: Tensor): Tensor {
  return flatten(x, { startAxis: 1 })
}
