/**
 * What a step computes besides the update: the loss, and the sums of the metrics.
 */
import type { TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import * as losses from '../ops/loss.js'
import { formatShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { metricsOf } from './listed_metrics.js'
import type { Metric, MetricLike } from './metrics.js'

/** From the network's output and the targets to a scalar, a mean over the batch. */
export type LossFunction = (output: Tensor, target: Tensor) => Tensor

const NAMED = {
  crossEntropy: losses.crossEntropy,
  nllLoss: losses.nllLoss,
  mseLoss: losses.mseLoss,
  l1Loss: losses.l1Loss,
  smoothL1Loss: losses.smoothL1Loss,
  huberLoss: losses.huberLoss,
  binaryCrossEntropy: losses.binaryCrossEntropy,
  binaryCrossEntropyWithLogits: losses.binaryCrossEntropyWithLogits,
  klDivLoss: losses.klDivLoss,
} as const satisfies Record<string, (output: Tensor, target: Tensor) => Tensor>

export type LossName = keyof typeof NAMED

export interface ObjectiveOptions {
  /** Default 'crossEntropy'. */
  loss?: LossName | LossFunction
  /** What to report besides the loss: names, members of `fj.metrics`, functions. */
  metrics?: readonly MetricLike[]
}

/** Means over the samples seen: the loss, and each metric by its name. */
export interface Scores {
  loss: number
  accuracy?: number
  [metric: string]: number | undefined
}

/** By metric and name of the sum. */
export type BatchSums<T> = { [metric: string]: { [sum: string]: T } }

export interface Objective {
  readonly metrics: readonly Metric[]
  /** While tracing. */
  score(output: Tensor, target: Tensor): { loss: Tensor; sums: BatchSums<Tensor> }
}

export function objectiveOf(options: ObjectiveOptions, who: string): Objective {
  const { loss = 'crossEntropy', metrics: listed = [] } = options
  const lossOf: LossFunction | undefined =
    typeof loss === 'function' ? loss : Object.hasOwn(NAMED, loss) ? NAMED[loss] : undefined
  if (lossOf === undefined) {
    const known = Object.keys(NAMED).join(', ')
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${who}: unknown loss ${describeGiven(loss)}; expected a function or one of ${known}`,
    )
  }
  const logits = loss === 'binaryCrossEntropyWithLogits' || loss === losses.binaryCrossEntropyWithLogits
  const metrics = metricsOf(listed, logits, who)
  return {
    metrics,
    score(output, target) {
      const value = lossOf(output, target)
      if (!(value instanceof Tensor)) {
        throw new ForjaError('ERR_ARGUMENT', `${who}: the loss must be a tensor, got ${describeGiven(value)}`)
      }
      if (value.size !== 1) {
        throw new ForjaError(
          'ERR_SHAPE',
          `${who}: the loss has shape ${formatShape(value.shape)}; a scalar was expected`,
          { hint: "use reduction 'mean'" },
        )
      }
      const sums = Object.fromEntries(metrics.map((metric) => [metric.name, { ...metric.sums(output, target) }]))
      return { loss: value, sums }
    },
  }
}

/** What a {@link ScoreSum} has added up, as checkpoints keep it. */
export interface ScoreState {
  samples: number
  loss: number
  sums: BatchSums<number[]>
}

/** Sums over batches, turned into figures. */
export class ScoreSum {
  #samples = 0
  #loss = 0
  #sums: BatchSums<Float64Array> = {}

  constructor(private readonly metrics: readonly Metric[]) {}

  /** @param loss the batch's mean */
  add(samples: number, loss: number, sums: BatchSums<TypedArray>): void {
    this.#samples += samples
    this.#loss += loss * samples
    for (const { name } of this.metrics) {
      this.#sums[name] ??= {}
      const totals = this.#sums[name]
      for (const [key, values] of Object.entries(sums[name]!)) {
        totals[key] ??= new Float64Array(values.length)
        const total = totals[key]
        for (let i = 0; i < total.length; i++) total[i]! += values[i]!
      }
    }
  }

  get samples(): number {
    return this.#samples
  }

  mean(): Scores {
    const scores: Scores = { loss: this.#loss / this.#samples }
    for (const metric of this.metrics) scores[metric.name] = metric.value(this.#sums[metric.name] ?? {}, this.#samples)
    return scores
  }

  state(): ScoreState {
    return { samples: this.#samples, loss: this.#loss, sums: mapSums(this.#sums, (values) => [...values]) }
  }

  restore({ samples, loss, sums }: ScoreState): void {
    this.#samples = samples
    this.#loss = loss
    this.#sums = mapSums(sums, (values) => Float64Array.from(values))
  }
}

/** The same structure, each sum replaced. */
export function mapSums<T, U>(sums: BatchSums<T>, replace: (value: T) => U): BatchSums<U> {
  const each = (group: { [sum: string]: T }) =>
    Object.fromEntries(Object.entries(group).map(([key, value]) => [key, replace(value)]))
  return Object.fromEntries(Object.entries(sums).map(([name, group]) => [name, each(group)]))
}
