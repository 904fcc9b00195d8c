/**
 * What a step computes besides the update: the loss and the number of samples that were classified correctly.
 */
import { ForjaError } from '../errors.js'
import { argMax } from '../ops/axis.js'
import { cast } from '../ops/cast.js'
import { equal } from '../ops/compare.js'
import * as losses from '../ops/loss.js'
import { sum } from '../ops/reduce.js'
import { formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'

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
export type Metric = 'accuracy'

export interface ObjectiveOptions {
  /** Default 'crossEntropy'. */
  loss?: LossName | LossFunction
  /** What to report besides the loss. */
  metrics?: readonly Metric[]
}

/** Means over the samples seen. */
export interface Scores {
  loss: number
  accuracy?: number
}

export interface Objective {
  /** While tracing. `correct` is a float32 scalar, or absent. */
  score(output: Tensor, target: Tensor): { loss: Tensor; correct?: Tensor }
}

export function objectiveOf(options: ObjectiveOptions, who: string): Objective {
  const { loss = 'crossEntropy', metrics = [] } = options
  const lossOf: LossFunction | undefined = typeof loss === 'function' ? loss : NAMED[loss]
  if (lossOf === undefined) {
    const known = Object.keys(NAMED).join(', ')
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${who}: unknown loss '${String(loss)}'; expected a function or one of ${known}`,
    )
  }
  const unknown = metrics.find((metric) => metric !== 'accuracy')
  if (unknown !== undefined) {
    throw new ForjaError('ERR_ARGUMENT', `${who}: unknown metric '${String(unknown)}'; expected 'accuracy'`)
  }
  return {
    score(output, target) {
      const value = lossOf(output, target)
      if (value.size !== 1) {
        throw new ForjaError(
          'ERR_SHAPE',
          `${who}: the loss has shape ${formatShape(value.shape)}; a scalar was expected`,
          { hint: "use reduction 'mean'" },
        )
      }
      return metrics.length > 0 ? { loss: value, correct: countCorrect(output, target, who) } : { loss: value }
    },
  }
}

function countCorrect(output: Tensor, target: Tensor, who: string): Tensor {
  if (output.rank !== 2 || target.rank !== 1 || target.dtype !== 'int32') {
    throw new ForjaError(
      'ERR_SHAPE',
      `${who}: accuracy needs scores (N, classes) and int32 labels (N,), got ${formatShape(output.shape)} ` +
        `and ${target.dtype} ${formatShape(target.shape)}`,
    )
  }
  return sum(cast(equal(argMax(output, { axis: 1 }), target), 'float32'))
}

/** Sums over batches, turned into means. */
export class ScoreSum {
  #samples = 0
  #loss = 0
  #correct: number | undefined

  add(samples: number, loss: number, correct: number | undefined): void {
    this.#samples += samples
    this.#loss += loss * samples
    if (correct !== undefined) this.#correct = (this.#correct ?? 0) + correct
  }

  get samples(): number {
    return this.#samples
  }

  mean(): Scores {
    const loss = this.#loss / this.#samples
    return this.#correct === undefined ? { loss } : { loss, accuracy: this.#correct / this.#samples }
  }
}
