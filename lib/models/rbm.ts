/**
 * The restricted Boltzmann machine (Smolensky 1986; Hinton 2002): visible units v and hidden units h, all 0 or 1, with the
 * energy E(v, h) = -b·v - c·h - h·Wv. What follows from it:
 *
 *     P(h_j = 1 | v) = σ(c_j + W_j v)            P(v_i = 1 | h) = σ(b_i + hᵀW_i)
 *     F(v) = -b·v - Σ_j log(1 + exp(c_j + W_j v))    free energy; P(v) ∝ exp(-F(v))
 *
 * Training lowers the free energy of the data and raises that of what the machine makes of it in k steps of Gibbs
 * sampling (contrastive divergence, CD-k): the loss is the mean of F(v₀) - F(v_k), with v_k held constant, whose gradient
 * with respect to W is the familiar ⟨h_k v_k⟩ - ⟨h₀ v₀⟩. Hidden units are sampled, visible ones are probabilities.
 */
import { zeros } from '../create.js'
import { normal } from '../nn/init.js'
import { Module } from '../nn/module.js'
import {
  add,
  cast,
  less,
  linear,
  matmul,
  mean,
  mul,
  neg,
  rand,
  reshape,
  sigmoid,
  softplus,
  sub,
  sum,
} from '../ops/index.js'
import { checkInteger, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { rows } from './autoencoder.js'

export interface RBMOptions {
  /** Default 784, an image of MNIST. */
  visible?: number
  /** Default 256. */
  hidden?: number
  /** Steps of Gibbs sampling. Default 1. */
  k?: number
}

/** W, b, c, as variables or as constants to differentiation. */
interface Weights {
  weight: Tensor
  visibleBias: Tensor
  hiddenBias: Tensor
}

/** Samples (N, ...) from 0 to 1 → probabilities of the hidden units (N, hidden). */
export class RBM extends Module<[x: Tensor]> {
  readonly visible: number
  readonly hidden: number
  readonly k: number
  /** (hidden, visible) */
  weight: Variable
  /** (visible,) */
  visibleBias: Variable
  /** (hidden,) */
  hiddenBias: Variable

  constructor(options: RBMOptions = {}) {
    super()
    const { visible = 784, hidden = 256, k = 1 } = checkOptions('rbm', options, ['visible', 'hidden', 'k'])
    checkInteger('RBM', 'visible', visible)
    checkInteger('RBM', 'hidden', hidden)
    checkInteger('RBM', 'k', k)
    this.visible = visible
    this.hidden = hidden
    this.k = k
    this.weight = new Variable(normal({ std: 0.01 })([hidden, visible]), { name: 'weight' })
    this.visibleBias = new Variable(zeros([visible]), { name: 'visible_bias' })
    this.hiddenBias = new Variable(zeros([hidden]), { name: 'hidden_bias' })
  }

  override forward(x: Tensor): Tensor {
    return hiddenGiven(rows(x), this)
  }

  /** P(h = 1 | x), (N, hidden). */
  encode(x: Tensor): Tensor {
    return this.forward(x)
  }

  /** P(v = 1 | code), (N, visible). */
  decode(code: Tensor): Tensor {
    return visibleGiven(code, this)
  }

  /** What the machine makes of samples without sampling, in their shape. */
  reconstruct(x: Tensor): Tensor {
    return reshape(this.decode(this.encode(x)), x.shape)
  }

  /** F of each sample, (N,). */
  freeEnergy(x: Tensor): Tensor {
    const v = rows(x)
    const activity = softplus(linear(v, this.weight, this.hiddenBias))
    return neg(add(sum(mul(v, this.visibleBias), { axes: 1 }), sum(activity, { axes: 1 })))
  }

  /** v_k: what k steps of Gibbs sampling make of samples, (N, visible); a constant to differentiation. */
  chain(x: Tensor): Tensor {
    const weights = {
      weight: this.weight.detach(),
      visibleBias: this.visibleBias.detach(),
      hiddenBias: this.hiddenBias.detach(),
    }
    let v = rows(x)
    for (let step = 0; step < this.k; step++) v = visibleGiven(bernoulli(hiddenGiven(v, weights)), weights)
    return v
  }

  /** The scalar whose gradient is that of CD-k. Its value says little: watch `reconstruct`. */
  loss(x: Tensor): Tensor {
    return this.within(() => mean(sub(this.freeEnergy(x), this.freeEnergy(this.chain(x)))))
  }

  /** @internal The layer that takes this one's place in a network. */
  get encoding(): { weight: Variable; bias: Variable } {
    return { weight: this.weight, bias: this.hiddenBias }
  }
}

function hiddenGiven(v: Tensor, { weight, hiddenBias }: Weights): Tensor {
  return sigmoid(linear(v, weight, hiddenBias))
}

function visibleGiven(h: Tensor, { weight, visibleBias }: Weights): Tensor {
  return sigmoid(add(matmul(h, weight), visibleBias))
}

/** 1 with these probabilities, else 0. */
function bernoulli(p: Tensor): Tensor {
  return cast(less(rand(p.shape), p), 'float32')
}

export function rbm(options: RBMOptions = {}): RBM {
  return new RBM(options)
}
