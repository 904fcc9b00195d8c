/**
 * Metrics: what fit() and evaluateModel() report besides the loss. Each is a few sums over samples that every step
 * computes on the device, and a formula that turns the sums over all samples seen into one figure:
 *
 *     accuracy   Σ [argmax ŷ = y] / n
 *     mse        Σ (y − ŷ)² / n          mae   Σ |y − ŷ| / n
 *     R²         1 − Σ (y − ŷ)² / Σ (y − mean y)²
 */
import { ForjaError } from '../errors.js'
import { argMax, topK } from '../ops/axis.js'
import { cast } from '../ops/cast.js'
import { equal, greater } from '../ops/compare.js'
import { div, mul, sub } from '../ops/elementwise.js'
import { abs, square } from '../ops/math.js'
import { any, mean, sum } from '../ops/reduce.js'
import { reshape, unsqueeze } from '../ops/shape.js'
import { checkInteger, checkOptions } from '../options.js'
import { formatShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'

export { ConfusionMatrix, type ConfusionMatrixOptions, confusionMatrix } from './confusion_matrix.js'

/** Sums over all samples seen, by the names that {@link Metric.sums} gave them. */
export type MetricSums = Readonly<Record<string, Float64Array>>

export interface Metric {
  /** What it is called in logs: 'accuracy' gives `accuracy` and, of the validation data, `valAccuracy`. */
  readonly name: string
  /** Whether it should rise or fall. Default 'min'. */
  readonly mode?: 'min' | 'max'
  /** While tracing: what adds up over batches, tensors of any shape that does not depend on the batch's size. */
  sums(output: Tensor, target: Tensor): Readonly<Record<string, Tensor>>
  /** The figure of all `samples` together. */
  value(sums: MetricSums, samples: number): number
}

/** A figure of one batch, a scalar; reported is its mean over the samples. Called by the function's name. */
export type MetricFunction = (output: Tensor, target: Tensor) => Tensor

/** `top<k>Accuracy` with any k. */
export type MetricName = 'accuracy' | 'binaryAccuracy' | `top${number}Accuracy` | 'mse' | 'mae' | 'r2'

/** Everything that `metrics: [...]` takes. */
export type MetricLike = MetricName | Metric | MetricFunction

export interface BinaryAccuracyOptions {
  /** Outputs above it mean class 1. Default 0.5, for probabilities; 0 for logits. */
  threshold?: number
}

/**
 * Share of the samples that are classified correctly: outputs (N, C, ..) and int32 labels (N, ..) or targets of the
 * outputs' shape are compared by their largest class, outputs (N,) or (N, 1) as {@link binaryAccuracy} does.
 */
export function accuracy(options: BinaryAccuracyOptions = {}): Metric {
  const binary = binaryAccuracy(checkOptions('metrics.accuracy', options, ['threshold']))
  return {
    name: 'accuracy',
    mode: 'max',
    sums(output, target) {
      if (output.size === output.shape[0]) return binary.sums(output, target)
      const labels = sameShape(output.shape, target.shape) ? argMax(target, { axis: 1 }) : target
      requireLabels(output, labels, target, 'accuracy')
      return { correct: perSample(equal(argMax(output, { axis: 1 }), labels)) }
    },
    value: share,
  }
}

/** Share of outputs, (N,) or (N, 1) or any shape of the targets', that are on their target's side of a threshold. */
export function binaryAccuracy(options: BinaryAccuracyOptions = {}): Metric {
  const { threshold = 0.5 } = checkOptions('metrics.binaryAccuracy', options, ['threshold'])
  return {
    name: 'binaryAccuracy',
    mode: 'max',
    sums(output, target) {
      if (output.size !== target.size) throw mismatch('binaryAccuracy', output, target, 'as many targets as outputs')
      const wanted = greater(cast(reshape(target, output.shape), 'float32'), 0.5)
      return { correct: perSample(equal(greater(output, threshold), wanted)) }
    },
    value: share,
  }
}

/** Share of the samples whose label is among the k classes with the largest outputs. Default k: 5. */
export function topKAccuracy(options: { k?: number } = {}): Metric {
  const { k = 5 } = checkOptions('metrics.topKAccuracy', options, ['k'])
  checkInteger('metrics.topKAccuracy', 'k', k)
  const name = `top${k}Accuracy`
  return {
    name,
    mode: 'max',
    sums(output, target) {
      requireLabels(output, target, target, name)
      if (k > output.shape[1]!) {
        throw new ForjaError(
          'ERR_ARGUMENT',
          `${name}: the output ${formatShape(output.shape)} has ${output.shape[1]} classes`,
        )
      }
      const { indices } = topK(output, { k, axis: 1 })
      return { correct: perSample(any(equal(indices, unsqueeze(target, { axis: 1 })), { axes: [1] })) }
    },
    value: share,
  }
}

/** Mean over samples, and over the elements of each, of (y − ŷ)². */
export function meanSquaredError(): Metric {
  return meanError('mse', square)
}

/** Mean over samples, and over the elements of each, of |y − ŷ|. */
export function meanAbsoluteError(): Metric {
  return meanError('mae', abs)
}

/**
 * R², the share of the targets' variance that the outputs explain: 1 is perfect, 0 as good as the targets' mean; of
 * several outputs the mean. Not finite where all targets are equal.
 */
export function r2Score(): Metric {
  return {
    name: 'r2',
    mode: 'max',
    sums(output, target) {
      requireSameSize('r2', output, target)
      const rows = [output.shape[0]!, output.size / output.shape[0]!]
      const y = reshape(cast(target, 'float32'), rows)
      const error = reshape(difference(output, target), rows)
      const centre = mean(y, { axes: [0], keepDims: true })
      const first = reshape(centre, [rows[1]!])
      // Around each batch's own mean, so that large targets lose no digits; how the means differ is added in value().
      return {
        residual: sum(square(error), { axes: [0] }),
        within: sum(square(sub(y, centre)), { axes: [0] }),
        first: mul(first, rows[0]!),
        second: mul(square(first), rows[0]!),
      }
    },
    value({ residual, within, first, second }, samples) {
      const scores = residual!.map((error, i) => {
        const between = Math.max(second![i]! - first![i]! ** 2 / samples, 0)
        return 1 - error / (within![i]! + between)
      })
      return scores.reduce((total, score) => total + score, 0) / scores.length
    },
  }
}

function meanError(name: string, of: (x: Tensor) => Tensor): Metric {
  return {
    name,
    sums(output, target) {
      requireSameSize(name, output, target)
      return { error: perSample(of(difference(output, target))) }
    },
    value: ({ error }, samples) => error![0]! / samples,
  }
}

/** Σ over the batch of each sample's mean. @param values (N, ..); yes and no count as 1 and 0 */
function perSample(values: Tensor): Tensor {
  const each = values.size / values.shape[0]!
  const total = sum(cast(values, 'float32'))
  return each === 1 ? total : div(total, each)
}

/** ŷ − y in the outputs' shape. */
function difference(output: Tensor, target: Tensor): Tensor {
  return sub(output, reshape(cast(target, 'float32'), output.shape))
}

function share({ correct }: MetricSums, samples: number): number {
  return correct![0]! / samples
}

function requireLabels(output: Tensor, labels: Tensor, target: Tensor, who: string): void {
  const wanted = output.shape.filter((_, axis) => axis !== 1)
  if (output.rank >= 2 && sameShape(labels.shape, wanted) && labels.dtype === 'int32') return
  throw mismatch(who, output, target, 'scores (N, classes, ..) and int32 labels (N, ..)')
}

function requireSameSize(who: string, output: Tensor, target: Tensor): void {
  if (output.size !== target.size) throw mismatch(who, output, target, 'as many targets as outputs')
}

function mismatch(who: string, output: Tensor, target: Tensor, wanted: string): ForjaError {
  return new ForjaError(
    'ERR_SHAPE',
    `${who} needs ${wanted}, got ${formatShape(output.shape)} and ${target.dtype} ${formatShape(target.shape)}`,
  )
}
