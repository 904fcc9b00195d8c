/**
 * Learning-rate schedules, as PyTorch's: made with an optimizer whose lr is the base rate, they set the rate of the
 * first step at once and that of each later one by `step()`, once an epoch (OneCycleLR: once a batch).
 */
import { describeGiven, ForjaError } from '../errors.js'
import { requireArray } from '../ops/check_call.js'
import { refuse } from '../ops/refuse.js'
import { checkChoice, checkInteger, checkOptions } from '../options.js'
import { checkRate } from './groups.js'
import type { Optimizer } from './optimizer.js'

export interface ScheduleState {
  steps: number
  baseLr: number
}

/** @throws ERR_ARGUMENT unless there is a rate to set */
function requireOptimizer(what: string, optimizer: { lr: number }): void {
  if (typeof optimizer?.lr === 'number') return
  refuse(what, 'ERR_ARGUMENT', `an optimizer was expected, got ${describeGiven(optimizer)}`)
}

/** A schedule whose rate is a function of the number of steps. */
export abstract class Schedule {
  /** The optimizer's rate when the schedule was made. */
  baseLr: number
  /** Calls of step() so far. */
  steps = 0

  constructor(readonly optimizer: Optimizer) {
    requireOptimizer(this.constructor.name, optimizer)
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

  loadStateDict(state: ScheduleState): void {
    const what = `${this.constructor.name}.loadStateDict`
    const { steps, baseLr } = state ?? {}
    checkInteger(what, 'steps', steps, 0)
    checkRate(baseLr, `${what}: baseLr`)
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
  readonly #stepSize: number
  readonly #gamma: number

  constructor(optimizer: Optimizer, options: StepLROptions) {
    super(optimizer)
    const { stepSize, gamma = 0.1 } = checkOptions('StepLR', options, ['stepSize', 'gamma'])
    checkInteger('StepLR', 'stepSize', stepSize)
    this.#stepSize = stepSize
    this.#gamma = checkRate(gamma, 'StepLR: gamma')
    this.start()
  }

  protected at(steps: number): number {
    return this.baseLr * this.#gamma ** Math.floor(steps / this.#stepSize)
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
  readonly #milestones: readonly number[]
  readonly #gamma: number

  constructor(optimizer: Optimizer, options: MultiStepLROptions) {
    super(optimizer)
    const { milestones, gamma = 0.1 } = checkOptions('MultiStepLR', options, ['milestones', 'gamma'])
    requireArray('MultiStepLR', 'milestones', milestones)
    for (const [i, milestone] of milestones.entries()) checkInteger('MultiStepLR', `milestones[${i}]`, milestone)
    this.#milestones = [...milestones]
    this.#gamma = checkRate(gamma, 'MultiStepLR: gamma')
    this.start()
  }

  protected at(steps: number): number {
    return this.baseLr * this.#gamma ** this.#milestones.filter((milestone) => milestone <= steps).length
  }
}

/** The rate times `gamma` every step. */
export class ExponentialLR extends Schedule {
  readonly #gamma: number

  constructor(optimizer: Optimizer, options: { gamma: number }) {
    super(optimizer)
    this.#gamma = checkRate(checkOptions('ExponentialLR', options, ['gamma']).gamma, 'ExponentialLR: gamma')
    this.start()
  }

  protected at(steps: number): number {
    return this.baseLr * this.#gamma ** steps
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
  readonly #tMax: number
  readonly #etaMin: number

  constructor(optimizer: Optimizer, options: CosineAnnealingLROptions) {
    super(optimizer)
    const { tMax, etaMin = 0 } = checkOptions('CosineAnnealingLR', options, ['tMax', 'etaMin'])
    checkInteger('CosineAnnealingLR', 'tMax', tMax)
    this.#tMax = tMax
    this.#etaMin = checkRate(etaMin, 'CosineAnnealingLR: etaMin')
    this.start()
  }

  protected at(steps: number): number {
    return this.#etaMin + ((this.baseLr - this.#etaMin) * (1 + Math.cos((Math.PI * steps) / this.#tMax))) / 2
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
  readonly #startFactor: number
  readonly #endFactor: number
  readonly #totalIters: number

  constructor(optimizer: Optimizer, options: LinearLROptions = {}) {
    super(optimizer)
    const known = ['startFactor', 'endFactor', 'totalIters'] as const
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5 } = checkOptions('LinearLR', options, known)
    this.#startFactor = checkRate(startFactor, 'LinearLR: startFactor')
    this.#endFactor = checkRate(endFactor, 'LinearLR: endFactor')
    checkInteger('LinearLR', 'totalIters', totalIters)
    this.#totalIters = totalIters
    this.start()
  }

  protected at(steps: number): number {
    const share = Math.min(steps, this.#totalIters) / this.#totalIters
    // endFactor itself at the end: startFactor plus their difference may be less than 0.
    return this.baseLr * (this.#startFactor * (1 - share) + this.#endFactor * share)
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
  readonly #options: Readonly<Required<OneCycleLROptions>>

  constructor(optimizer: Optimizer, options: OneCycleLROptions) {
    super(optimizer)
    const known = ['maxLr', 'totalSteps', 'pctStart', 'divFactor', 'finalDivFactor'] as const
    const given = checkOptions('OneCycleLR', options, known)
    const { maxLr, totalSteps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = given
    checkRate(maxLr, 'OneCycleLR: maxLr')
    checkInteger('OneCycleLR', 'totalSteps', totalSteps)
    checkRate(pctStart, 'OneCycleLR: pctStart', 0, 1)
    this.#options = { maxLr, totalSteps, pctStart, divFactor, finalDivFactor }
    this.start()
  }

  protected at(steps: number): number {
    const { maxLr, totalSteps, pctStart, divFactor, finalDivFactor } = this.#options
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
  readonly #options: Readonly<Required<ReduceLROnPlateauOptions>>
  #best: number
  #bad = 0
  #cooldown = 0

  constructor(
    readonly optimizer: Optimizer,
    options: ReduceLROnPlateauOptions = {},
  ) {
    const { mode = 'min', factor = 0.1, patience = 10, ...rest } = checkOptions('ReduceLROnPlateau', options, PLATEAU)
    const { threshold = 1e-4, thresholdMode = 'rel', cooldown = 0, minLr = 0, eps = 1e-8 } = rest
    checkChoice('ReduceLROnPlateau', 'mode', mode, ['min', 'max'])
    checkChoice('ReduceLROnPlateau', 'thresholdMode', thresholdMode, ['rel', 'abs'])
    checkRate(factor, 'ReduceLROnPlateau: factor', 0, 1)
    checkRate(minLr, 'ReduceLROnPlateau: minLr')
    checkRate(eps, 'ReduceLROnPlateau: eps')
    this.#options = { mode, factor, patience, threshold, thresholdMode, cooldown, minLr, eps }
    this.#best = mode === 'max' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }

  step(metric?: number): void {
    if (typeof metric !== 'number') {
      throw new ForjaError('ERR_ARGUMENT', `ReduceLROnPlateau.step: a number was expected, got ${typeof metric}`, {
        hint: 'schedule.step(validationLoss)',
      })
    }
    const { mode, factor, patience, threshold, thresholdMode, cooldown, minLr, eps } = this.#options
    const gain = mode === 'min' ? -threshold : threshold
    const bar = thresholdMode === 'abs' ? this.#best + gain : this.#best * (1 + gain)
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

  loadStateDict(state: { best: number; bad: number; cooldown: number }): void {
    const { best, bad, cooldown } = state ?? {}
    const what = 'ReduceLROnPlateau.loadStateDict'
    if (typeof best !== 'number') refuse(what, 'ERR_ARGUMENT', `best ${describeGiven(best)}; expected a number`)
    checkInteger(what, 'bad', bad, 0)
    checkInteger(what, 'cooldown', cooldown, 0)
    this.#best = best
    this.#bad = bad
    this.#cooldown = cooldown
  }
}
