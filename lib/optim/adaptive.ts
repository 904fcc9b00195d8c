/**
 * Optimizers that are written as tensor operations: Adagrad, RMSprop, Adadelta, Adamax, NAdam. Fusion makes one or two
 * passes over memory of each. Formulas and defaults are PyTorch's; weightDecay is added to the gradient.
 */
import { cast } from '../ops/cast.js'
import { add, div, maximum, mul, sub } from '../ops/elementwise.js'
import { abs, exp, expm1, sqrt, square } from '../ops/math.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import type { Variable } from '../variable.js'
import { checkBetas } from './adam.js'
import { checkRate, type Parameters } from './groups.js'
import { type LearningRate, Optimizer, type Step } from './optimizer.js'

export interface AdaptiveOptions extends LearningRate {
  /** Keeps the division finite. */
  eps?: number
  /** Default 0. */
  weightDecay?: number
}

const COMMON = ['lr', 'eps', 'weightDecay'] as const

/** What these have in common: the L2 penalty. */
abstract class Adaptive extends Optimizer {
  protected readonly eps: number

  constructor(
    parameters: Parameters,
    lr: number,
    slots: Record<string, number>,
    { eps, weightDecay }: AdaptiveOptions,
    defaultEps: number,
  ) {
    super(parameters, lr, slots, weightDecay)
    this.eps = checkRate(eps ?? defaultEps, `${this.name}: eps`)
  }

  protected update(p: Tensor, g: Tensor, state: readonly Tensor[], step: Step): readonly Tensor[] {
    return this.adapt(p, step.weightDecay > 0 ? add(g, mul(p, step.weightDecay)) : g, state, step)
  }

  protected abstract adapt(p: Tensor, g: Tensor, state: readonly Tensor[], step: Step): readonly Tensor[]
}

/** beta · mean + (1 - beta) · value */
function running(mean: Tensor, value: Tensor, beta: number): Tensor {
  return add(mul(mean, beta), mul(value, 1 - beta))
}

/** 1 - beta^t; expm1 keeps its digits where beta is close to 1. */
function correction(beta: number, t: Tensor): Tensor {
  return mul(expm1(mul(t, Math.log(beta))), -1)
}

/** 1, 2, .. in the first, second .. step, float32. */
function stepNumber(count: Tensor): Tensor {
  return add(cast(count, 'float32'), 1)
}

export interface AdagradOptions extends AdaptiveOptions {
  /** lr / (1 + steps · lrDecay). Default 0. */
  lrDecay?: number
  initialAccumulatorValue?: number
}

/** Duchi, Hazan, Singer, 2011: each coordinate's rate falls with the sum of its squared gradients. */
export class Adagrad extends Adaptive {
  readonly #lrDecay: number

  /** Defaults: lr 0.01, eps 1e-10. */
  constructor(parameters: Parameters, options: AdagradOptions = {}) {
    const known = [...COMMON, 'lrDecay', 'initialAccumulatorValue'] as const
    const { lr = 0.01, lrDecay = 0, initialAccumulatorValue = 0 } = checkOptions('Adagrad', options, known)
    super(
      parameters,
      lr,
      { sum: checkRate(initialAccumulatorValue, 'Adagrad: initialAccumulatorValue') },
      options,
      1e-10,
    )
    this.#lrDecay = checkRate(lrDecay, 'Adagrad: lrDecay')
  }

  protected adapt(p: Tensor, g: Tensor, [sum]: readonly Tensor[], { lr, count }: Step): Tensor[] {
    const total = add(sum!, square(g))
    const rate = this.#lrDecay > 0 ? div(lr, add(mul(cast(count, 'float32'), this.#lrDecay), 1)) : lr
    return [sub(p, div(mul(g, rate), add(sqrt(total), this.eps))), total]
  }
}

export interface RMSpropOptions extends AdaptiveOptions {
  /** Share of the mean square that stays. Default 0.99. */
  alpha?: number
  /** Subtract the mean gradient's square. */
  centered?: boolean
  /** Default 0. */
  momentum?: number
}

/** Tieleman and Hinton, 2012: gradients divided by the root of their running mean square. */
export class RMSprop extends Adaptive {
  readonly #alpha: number
  readonly #centered: boolean
  readonly #momentum: number

  /** Defaults: lr 0.01, eps 1e-8. */
  constructor(parameters: Parameters, options: RMSpropOptions = {}) {
    const known = [...COMMON, 'alpha', 'centered', 'momentum'] as const
    const { lr = 0.01, alpha = 0.99, centered = false, momentum = 0 } = checkOptions('RMSprop', options, known)
    const slots = { square: 0, ...(centered ? { mean: 0 } : {}), ...(momentum > 0 ? { velocity: 0 } : {}) }
    super(parameters, lr, slots, options, 1e-8)
    this.#alpha = checkRate(alpha, 'RMSprop: alpha')
    this.#centered = centered
    this.#momentum = checkRate(momentum, 'RMSprop: momentum')
  }

  protected adapt(p: Tensor, g: Tensor, [before, ...rest]: readonly Tensor[], { lr }: Step): Tensor[] {
    const squares = running(before!, square(g), this.#alpha)
    const mean = this.#centered ? running(rest.shift()!, g, this.#alpha) : undefined
    const variance = mean ? sub(squares, square(mean)) : squares
    const d = div(g, add(sqrt(variance), this.eps))
    const velocity = this.#momentum > 0 ? add(mul(rest[0]!, this.#momentum), d) : undefined
    return [sub(p, mul(velocity ?? d, lr)), squares, ...(mean ? [mean] : []), ...(velocity ? [velocity] : [])]
  }
}

export interface AdadeltaOptions extends AdaptiveOptions {
  /** Share of the running means that stays. Default 0.9. */
  rho?: number
}

/** Zeiler, 2012: steps in the units of the parameter, from running means of squared gradients and squared steps. */
export class Adadelta extends Adaptive {
  readonly #rho: number

  /** Defaults: lr 1, eps 1e-6. */
  constructor(parameters: Parameters, options: AdadeltaOptions = {}) {
    checkOptions('Adadelta', options, [...COMMON, 'rho'])
    super(parameters, options.lr ?? 1, { square: 0, delta: 0 }, options, 1e-6)
    this.#rho = checkRate(options.rho ?? 0.9, 'Adadelta: rho')
  }

  protected adapt(p: Tensor, g: Tensor, [before, deltas]: readonly Tensor[], { lr }: Step): Tensor[] {
    const squares = running(before!, square(g), this.#rho)
    const delta = mul(div(sqrt(add(deltas!, this.eps)), sqrt(add(squares, this.eps))), g)
    return [sub(p, mul(delta, lr)), squares, running(deltas!, square(delta), this.#rho)]
  }
}

export interface AdamaxOptions extends AdaptiveOptions {
  betas?: readonly [number, number]
}

/** Adam with the largest gradient in place of the mean square (Kingma and Ba, 2015, section 7). */
export class Adamax extends Adaptive {
  readonly #betas: readonly [number, number]

  /** Defaults: lr 0.002, betas [0.9, 0.999], eps 1e-8. */
  constructor(parameters: Parameters, options: AdamaxOptions = {}) {
    checkOptions('Adamax', options, [...COMMON, 'betas'])
    super(parameters, options.lr ?? 0.002, { mean: 0, largest: 0 }, options, 1e-8)
    this.#betas = checkBetas(options.betas, 'Adamax')
  }

  protected adapt(p: Tensor, g: Tensor, [before, high]: readonly Tensor[], step: Step): Tensor[] {
    const [beta1, beta2] = this.#betas
    const mean = running(before!, g, beta1)
    const largest = maximum(mul(high!, beta2), add(abs(g), this.eps))
    const rate = div(step.lr, correction(beta1, stepNumber(step.count)))
    return [sub(p, div(mul(mean, rate), largest)), mean, largest]
  }
}

export interface NAdamOptions extends AdaptiveOptions {
  betas?: readonly [number, number]
  /** How slowly momentum rises to betas[0]. Default 0.004. */
  momentumDecay?: number
}

/** Adam that looks ahead as Nesterov's momentum does (Dozat, 2016). */
export class NAdam extends Adaptive {
  readonly #betas: readonly [number, number]
  readonly #decay: number
  readonly #product: Variable

  /** Defaults: lr 0.002, betas [0.9, 0.999], eps 1e-8. */
  constructor(parameters: Parameters, options: NAdamOptions = {}) {
    checkOptions('NAdam', options, [...COMMON, 'betas', 'momentumDecay'])
    super(parameters, options.lr ?? 0.002, { mean: 0, square: 0 }, options, 1e-8)
    this.#betas = checkBetas(options.betas, 'NAdam')
    this.#decay = checkRate(options.momentumDecay ?? 0.004, 'NAdam: momentumDecay')
    this.#product = this.stateVariable('product', [], 'float32', 1)
  }

  /** beta1 · (1 - 0.96^(t · decay) / 2) */
  #momentum(t: Tensor): Tensor {
    const [beta1] = this.#betas
    return mul(add(mul(exp(mul(t, this.#decay * Math.log(0.96))), -0.5), 1), beta1)
  }

  protected override begin(count: Tensor): void {
    this.#product.assignStorage(mul(this.#product.storage, this.#momentum(stepNumber(count))))
  }

  protected adapt(p: Tensor, g: Tensor, [before, squaresBefore]: readonly Tensor[], step: Step): Tensor[] {
    const [beta1, beta2] = this.#betas
    const t = stepNumber(step.count)
    const [now, next] = [this.#momentum(t), this.#momentum(add(t, 1))]
    const product = mul(this.#product.storage, now)
    const mean = running(before!, g, beta1)
    const squares = running(squaresBefore!, square(g), beta2)
    const root = add(sqrt(div(squares, correction(beta2, t))), this.eps)
    const ofGradient = div(mul(step.lr, sub(1, now)), sub(1, product))
    // PyTorch 1.13's default path, which the golden vectors come from, has mu_t in this product twice; Dozat has it once.
    const ofMean = div(mul(step.lr, next), sub(1, mul(mul(product, now), next)))
    const d = div(add(mul(g, ofGradient), mul(mean, ofMean)), root)
    return [sub(p, d), mean, squares]
  }
}
