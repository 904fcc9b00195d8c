/**
 * Learning-rate schedules, as PyTorch's: made with an optimizer whose lr is the base rate, they set the rate of the
 * first step at once and that of each later one by `step()`, once an epoch (OneCycleLR: once a batch).
 */
import { ForjaError } from '../errors.js'
import { checkOptions } from '../options.js'
import { checkRate } from './groups.js'
import type { Optimizer } from './optimizer.js'

export interface ScheduleState {
  steps: number
  baseLr: number
}

/** A schedule whose rate is a function of the number of steps. */
export abstract class Schedule {
  /** The optimizer's rate when the schedule was made. */
  baseLr: number
  /** Calls of step() so far. */
  steps = 0

  constructor(readonly optimizer: Optimizer) {
    this.baseLr = optimizer.lr
  }

  /** The rate after `steps` calls of step(). */
  protected abstract at(steps: number): number

  /** Sets the rate of the next epoch or batch. The argument is that of ReduceLROnPlateau, not used here. */
  step(_metric?: number): void {
    this.steps++
    this.optimizer.lr = this.at(this.steps)
  }

  /** For constructors, when their options are known. */
  protected start(): void {
    this.optimizer.lr = this.at(0)
  }

  stateDict(): ScheduleState {
    return { steps: this.steps, baseLr: this.baseLr }
  }

  loadStateDict({ steps, baseLr }: ScheduleState): void {
    this.steps = steps
    this.baseLr = baseLr
    this.optimizer.lr = this.at(steps)
  }
}

export interface StepLROptions {
  /** Steps between two falls. */
  stepSize: number
  /** Default 0.1. */
  gamma?: number
}

/** The rate times `gamma` every `stepSize` steps. */
export class StepLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly options: StepLROptions,
  ) {
    super(optimizer)
    checkOptions('StepLR', options, ['stepSize', 'gamma'])
    checkCount(options.stepSize, 'StepLR: stepSize')
    checkRate(options.gamma ?? 0.1, 'StepLR: gamma')
    this.start()
  }

  protected at(steps: number): number {
    const { stepSize, gamma = 0.1 } = this.options
    return this.baseLr * gamma ** Math.floor(steps / stepSize)
  }
}

export interface MultiStepLROptions {
  /** After these many steps. */
  milestones: readonly number[]
  /** Default 0.1. */
  gamma?: number
}

/** The rate times `gamma` at each milestone. */
export class MultiStepLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly options: MultiStepLROptions,
  ) {
    super(optimizer)
    checkOptions('MultiStepLR', options, ['milestones', 'gamma'])
    for (const milestone of options.milestones) checkCount(milestone, 'MultiStepLR: a milestone')
    checkRate(options.gamma ?? 0.1, 'MultiStepLR: gamma')
    this.start()
  }

  protected at(steps: number): number {
    const { milestones, gamma = 0.1 } = this.options
    return this.baseLr * gamma ** milestones.filter((milestone) => milestone <= steps).length
  }
}

/** The rate times `gamma` every step. */
export class ExponentialLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly options: { gamma: number },
  ) {
    super(optimizer)
    checkOptions('ExponentialLR', options, ['gamma'])
    checkRate(options.gamma, 'ExponentialLR: gamma')
    this.start()
  }

  protected at(steps: number): number {
    return this.baseLr * this.options.gamma ** steps
  }
}

export interface CosineAnnealingLROptions {
  /** Steps from the base rate to etaMin. */
  tMax: number
  /** Default 0. */
  etaMin?: number
}

/** Half a cosine from the base rate to etaMin, and back again after tMax steps. */
export class CosineAnnealingLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly options: CosineAnnealingLROptions,
  ) {
    super(optimizer)
    checkOptions('CosineAnnealingLR', options, ['tMax', 'etaMin'])
    checkCount(options.tMax, 'CosineAnnealingLR: tMax')
    checkRate(options.etaMin ?? 0, 'CosineAnnealingLR: etaMin')
    this.start()
  }

  protected at(steps: number): number {
    const { tMax, etaMin = 0 } = this.options
    return etaMin + ((this.baseLr - etaMin) * (1 + Math.cos((Math.PI * steps) / tMax))) / 2
  }
}

export interface LinearLROptions {
  /** Share of the base rate in the beginning. Default 1/3. */
  startFactor?: number
  /** Default 1. */
  endFactor?: number
  /** Steps from one to the other. Default 5. */
  totalIters?: number
}

/** A straight line from one share of the base rate to another, then level: a warm-up. */
export class LinearLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly options: LinearLROptions = {},
  ) {
    super(optimizer)
    checkOptions('LinearLR', options, ['startFactor', 'endFactor', 'totalIters'])
    checkCount(options.totalIters ?? 5, 'LinearLR: totalIters')
    checkRate(options.startFactor ?? 1, 'LinearLR: startFactor')
    checkRate(options.endFactor ?? 1, 'LinearLR: endFactor')
    this.start()
  }

  protected at(steps: number): number {
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5 } = this.options
    const share = Math.min(steps, totalIters) / totalIters
    // endFactor itself at the end: startFactor plus their difference may be less than 0.
    return this.baseLr * (startFactor * (1 - share) + endFactor * share)
  }
}

export interface OneCycleLROptions {
  /** The highest rate. */
  maxLr: number
  /** Batches of the whole training. */
  totalSteps: number
  /** Share of the steps in which the rate rises. Default 0.3. */
  pctStart?: number
  /** maxLr / the first rate. Default 25. */
  divFactor?: number
  /** The first rate / the last. Default 10,000. */
  finalDivFactor?: number
}

/**
 * Half a cosine up to maxLr, half a cosine down to next to nothing; steps beyond totalSteps keep the last rate. Stepped every
 * batch. Momentum stays as it is, where PyTorch's moves it against the rate.
 */
export class OneCycleLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly options: OneCycleLROptions,
  ) {
    super(optimizer)
    checkOptions('OneCycleLR', options, ['maxLr', 'totalSteps', 'pctStart', 'divFactor', 'finalDivFactor'])
    const { maxLr, totalSteps, pctStart = 0.3 } = options
    checkRate(maxLr, 'OneCycleLR: maxLr')
    checkCount(totalSteps, 'OneCycleLR: totalSteps')
    checkRate(pctStart, 'OneCycleLR: pctStart', 0, 1)
    this.start()
  }

  protected at(steps: number): number {
    const { maxLr, totalSteps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = this.options
    const [first, last] = [maxLr / divFactor, maxLr / divFactor / finalDivFactor]
    const peak = pctStart * totalSteps - 1
    const at = Math.min(steps, totalSteps - 1)
    return at <= peak
      ? cosineBetween(first, maxLr, peak > 0 ? at / peak : 1)
      : cosineBetween(maxLr, last, (at - peak) / (totalSteps - 1 - peak))
  }
}

/** `from` at share 0, `to` at share 1. */
function cosineBetween(from: number, to: number, share: number): number {
  return to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share))
}

export interface ReduceLROnPlateauOptions {
  /** Whether the figure should fall or rise. Default 'min'. */
  mode?: 'min' | 'max'
  /** Default 0.1. */
  factor?: number
  /** Steps without improvement that are let pass. Default 10. */
  patience?: number
  /** What a better figure must gain: a share of the best one, or, with thresholdMode 'abs', so much. Default 1e-4. */
  threshold?: number
  /** Default 'rel'. */
  thresholdMode?: 'rel' | 'abs'
  /** Steps after a fall in which nothing is counted. Default 0. */
  cooldown?: number
  /** Default 0. */
  minLr?: number
  /** A fall by no more than this is left out. Default 1e-8. */
  eps?: number
}

const PLATEAU = ['mode', 'factor', 'patience', 'threshold', 'thresholdMode', 'cooldown', 'minLr', 'eps'] as const

/** The rate times `factor` when a figure no longer improves: step(loss). */
export class ReduceLROnPlateau {
  #best: number
  #bad = 0
  #cooldown = 0

  constructor(
    readonly optimizer: Optimizer,
    private readonly options: ReduceLROnPlateauOptions = {},
  ) {
    checkOptions('ReduceLROnPlateau', options, PLATEAU)
    checkRate(options.factor ?? 0.1, 'ReduceLROnPlateau: factor', 0, 1)
    checkRate(options.minLr ?? 0, 'ReduceLROnPlateau: minLr')
    checkRate(options.eps ?? 1e-8, 'ReduceLROnPlateau: eps')
    this.#best = options.mode === 'max' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }

  step(metric?: number): void {
    if (typeof metric !== 'number') {
      throw new ForjaError('ERR_ARGUMENT', `ReduceLROnPlateau.step: a number was expected, got ${typeof metric}`, {
        hint: 'schedule.step(validationLoss)',
      })
    }
    const { mode = 'min', factor = 0.1, patience = 10, threshold = 1e-4, cooldown = 0 } = this.options
    const { minLr = 0, eps = 1e-8 } = this.options
    const gain = mode === 'min' ? -threshold : threshold
    const bar = this.options.thresholdMode === 'abs' ? this.#best + gain : this.#best * (1 + gain)
    const better = mode === 'min' ? metric < bar : metric > bar
    if (better) this.#best = metric
    this.#bad = better ? 0 : this.#bad + 1
    if (this.#cooldown > 0) {
      this.#cooldown--
      this.#bad = 0
    }
    if (this.#bad <= patience) return
    const next = Math.max(this.optimizer.lr * factor, minLr)
    if (this.optimizer.lr - next > eps) this.optimizer.lr = next
    this.#cooldown = cooldown
    this.#bad = 0
  }

  stateDict(): { best: number; bad: number; cooldown: number } {
    return { best: this.#best, bad: this.#bad, cooldown: this.#cooldown }
  }

  loadStateDict({ best, bad, cooldown }: { best: number; bad: number; cooldown: number }): void {
    this.#best = best
    this.#bad = bad
    this.#cooldown = cooldown
  }
}

function checkCount(value: number, what: string): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new ForjaError('ERR_ARGUMENT', `${what} is ${String(value)}; expected an integer from 1`)
  }
}
