/**
 * The learning-rate range test (Smith, 2017): a few training steps whose rate rises from next to nothing until the loss
 * explodes. Where the curve of the loss over the logarithm of the rate falls steepest is a good rate to begin with.
 *
 * Single losses are noisy: what is looked at is their running mean m ← β m + (1 − β) L, divided by 1 − βᵗ.
 */
import type { Dataset } from '../data/dataset.js'
import { describeGiven, ForjaError } from '../errors.js'
import { checkOptions } from '../options.js'
import type { Chart } from '../plot/chart.js'
import { lines } from '../plot/charts.js'
import { resolveDevice } from '../runtime/device.js'
import type { Callback } from './callbacks/callback.js'
import { type FitOptions, fit } from './fit.js'
import type { Trainable } from './model.js'
import { takeSnapshot } from './snapshot.js'

export interface LearningRateFinderOptions
  extends Pick<
    FitOptions,
    'optimizer' | 'loss' | 'batchSize' | 'device' | 'precision' | 'seed' | 'signal' | 'accumulate' | 'clipGradNorm'
  > {
  /** Default 1e-7. */
  minLr?: number
  /** Default 10. */
  maxLr?: number
  /** From one to the other. Default 100. */
  steps?: number
}

const FINDER = [
  'optimizer',
  'minLr',
  'maxLr',
  'steps',
  'loss',
  'batchSize',
  'device',
  'precision',
  'seed',
  'signal',
  'accumulate',
  'clipGradNorm',
] as const

/** β */
const SMOOTHING = 0.9
/** The sweep ends where the smoothed loss is so many times the best one. */
const EXPLODED = 4

export class LearningRateSweep {
  /** @param losses smoothed, one a rate */
  constructor(
    readonly rates: readonly number[],
    readonly losses: readonly number[],
  ) {}

  /**
   * The rate at which the loss fell steepest, up to its minimum. The first tenth of the curve, where the running mean is
   * that of few losses, does not count.
   *
   * @throws ERR_ARGUMENT where it never fell.
   */
  get suggestion(): number {
    const { rates, losses } = this
    const lowest = losses.indexOf(Math.min(...losses))
    let best = { slope: 0, at: -1 }
    for (let i = Math.max(1, Math.floor(rates.length / 10)); i < lowest; i++) {
      const slope = (losses[i + 1]! - losses[i - 1]!) / Math.log(rates[i + 1]! / rates[i - 1]!)
      if (slope < best.slope) best = { slope, at: i }
    }
    if (best.at < 0) {
      throw new ForjaError('ERR_ARGUMENT', 'learningRateFinder: the loss fell at no rate, so none can be suggested', {
        hint: 'sweep other rates (minLr, maxLr), in more steps or larger batches',
      })
    }
    return rates[best.at]!
  }

  /** The smoothed loss over the rate, and a line at the suggestion. */
  chart(): Chart {
    const { rates, losses, suggestion } = this
    const [low, high] = [Math.min(...losses), Math.max(...losses)]
    const curve = rates.map((rate, i): [number, number] => [rate, losses[i]!])
    const mark: [number, number][] = [
      [suggestion, low],
      [suggestion, high],
    ]
    return lines({
      title: 'Learning-rate finder',
      x: 'learning rate',
      y: 'loss, smoothed',
      xScale: 'log',
      dots: false,
      series: { loss: curve, [`suggested: ${suggestion.toPrecision(2)}`]: mark },
    })
  }
}

/**
 * Sweeps the learning rate over training batches. Model, optimizer and random numbers are as before when it is done.
 *
 * @throws ERR_ARGUMENT for rates that do not rise.
 */
export async function learningRateFinder(
  model: Trainable,
  dataset: Dataset,
  options: LearningRateFinderOptions,
): Promise<LearningRateSweep> {
  checkOptions('learningRateFinder', options, FINDER)
  const { minLr = 1e-7, maxLr = 10, steps = 100, optimizer, ...rest } = options
  if (!(minLr > 0 && maxLr > minLr && Number.isFinite(maxLr)) || !Number.isInteger(steps) || steps < 4) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `learningRateFinder: ${describeGiven(steps)} steps from ${describeGiven(minLr)} to ${describeGiven(maxLr)}; ` +
        'expected rates 0 < minLr < maxLr and an integer from 4 of steps',
    )
  }
  const rateAt = (step: number) => minLr * (maxLr / minLr) ** (step / (steps - 1))
  const [rates, losses]: [number[], number[]] = [[], []]
  let mean = 0
  const sweep: Callback = {
    waitsAt: () => true,
    onBatchEnd({ loss }, { stop }) {
      mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
      const smooth = mean / (1 - SMOOTHING ** (rates.length + 1))
      const exploded = !(smooth <= EXPLODED * Math.min(smooth, ...losses))
      if (!exploded) {
        rates.push(optimizer.lr)
        losses.push(smooth)
      }
      if (exploded || rates.length === steps) stop('the sweep is done')
      else optimizer.lr = rateAt(rates.length)
    },
  }
  const before = await takeSnapshot(model, optimizer, resolveDevice(options.device))
  try {
    optimizer.lr = rateAt(0)
    await fit(model, dataset, { ...rest, optimizer, epochs: steps, callbacks: [sweep], verbose: 0 })
  } finally {
    await before.restore()
  }
  return new LearningRateSweep(rates, losses)
}
