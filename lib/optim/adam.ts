/**
 * Adam (Kingma and Ba, 2015): steps of about lr in each coordinate, from running means of the gradient and of its
 * square. AdamW (Loshchilov and Hutter, 2019) takes the weight decay out of these means.
 */
import { applyAll } from '../ops/apply.js'
import { adamUpdateOp } from '../ops/optim.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { checkRate, type Parameters } from './groups.js'
import { type LearningRate, Optimizer, type Step } from './optimizer.js'

export interface AdamOptions extends LearningRate {
  /** Share of the running means that stays: of the gradient and of its square. Default [0.9, 0.999]. */
  betas?: readonly [number, number]
  /** Keeps the division finite. Default 1e-8. */
  eps?: number
  weightDecay?: number
  /** Divide by the largest mean square so far. */
  amsgrad?: boolean
}

const OPTIONS = ['lr', 'betas', 'eps', 'weightDecay', 'amsgrad'] as const

export class Adam extends Optimizer {
  readonly #attrs: { rate1: number; rate2: number; eps: number; decoupled: number }

  /** Default learning rate 0.001; weightDecay (default 0) is added to the gradient as an L2 penalty's would be. */
  constructor(parameters: Parameters, options: AdamOptions = {}) {
    checkOptions('Adam', options, OPTIONS)
    super(parameters, options.lr ?? 0.001, { m: 0, v: 0, ...(options.amsgrad ? { vmax: 0 } : {}) }, options.weightDecay)
    const [beta1, beta2] = checkBetas(options.betas, this.name)
    this.#attrs = {
      rate1: 1 - beta1,
      rate2: 1 - beta2,
      eps: checkRate(options.eps ?? 1e-8, `${this.name}: eps`),
      decoupled: this.decoupled ? 1 : 0,
    }
  }

  protected get decoupled(): boolean {
    return false
  }

  protected update(p: Tensor, g: Tensor, state: readonly Tensor[], { lr, count, weightDecay }: Step): Tensor[] {
    return applyAll(adamUpdateOp, [lr, count, p, g, ...state], { ...this.#attrs, weightDecay })
  }
}

/** weightDecay (default 0.01) shrinks every parameter by lr · weightDecay a step. */
export class AdamW extends Adam {
  constructor(parameters: Parameters, options: AdamOptions = {}) {
    checkOptions('AdamW', options, OPTIONS)
    super(parameters, { ...options, weightDecay: options.weightDecay ?? 0.01 })
  }

  protected override get decoupled(): boolean {
    return true
  }
}

export function checkBetas(betas: readonly [number, number] | undefined, who: string): readonly [number, number] {
  const [beta1, beta2] = betas ?? [0.9, 0.999]
  return [checkRate(beta1, `${who}: betas[0]`, 0, 1), checkRate(beta2, `${who}: betas[1]`, 0, 1)]
}
