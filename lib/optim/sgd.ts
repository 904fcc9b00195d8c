/**
 * Stochastic gradient descent: p -= lr d, where with momentum d is a running sum of gradients, the velocity.
 */
import { ForjaError } from '../errors.js'
import { applyAll } from '../ops/apply.js'
import { sgdUpdateOp } from '../ops/optim.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { checkRate, type Parameters } from './groups.js'
import { type LearningRate, Optimizer, type Step } from './optimizer.js'

export interface SGDOptions extends LearningRate {
  /** Share of the velocity that stays. Default 0. */
  momentum?: number
  /** Share of each gradient that does not enter the velocity. Default 0. */
  dampening?: number
  /** Look ahead along the velocity. Needs momentum, and no dampening. */
  nesterov?: boolean
  /** L2 penalty: weightDecay · p is added to the gradient. Default 0. */
  weightDecay?: number
}

const OPTIONS = ['lr', 'momentum', 'dampening', 'nesterov', 'weightDecay'] as const

export class SGD extends Optimizer {
  readonly #attrs: { momentum: number; dampening: number; nesterov: number }

  /** Default learning rate 0.001. */
  constructor(parameters: Parameters, options: SGDOptions = {}) {
    const {
      lr = 0.001,
      momentum = 0,
      dampening = 0,
      nesterov = false,
      weightDecay = 0,
    } = checkOptions('SGD', options, OPTIONS)
    checkRate(momentum, 'SGD: momentum')
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `SGD: nesterov needs momentum > 0 and no dampening, got ${momentum} and ${dampening}`,
      )
    }
    super(parameters, lr, momentum > 0 ? { velocity: 0 } : {}, weightDecay)
    this.#attrs = { momentum, dampening, nesterov: nesterov ? 1 : 0 }
  }

  protected update(p: Tensor, g: Tensor, state: readonly Tensor[], { lr, count, weightDecay }: Step): Tensor[] {
    return applyAll(sgdUpdateOp, [lr, count, p, g, ...state], { ...this.#attrs, weightDecay })
  }
}
