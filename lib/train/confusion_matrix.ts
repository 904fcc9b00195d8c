/**
 * Confusion matrix: how many samples of each class were taken for which.
 */
import type { TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { checkOptions } from '../options.js'
import type { Chart } from '../plot/chart.js'
import { heatmap } from '../plot/charts.js'

export interface ConfusionMatrixOptions {
  /** What the classes are called, in order; default: their numbers. */
  classNames?: readonly string[]
  /** Default: as many as there are names, else one more than the largest class that occurs. */
  classes?: number
}

type Classes = TypedArray | readonly number[]

export class ConfusionMatrix {
  /** @param counts counts[i][j]: samples of class i that were taken for class j */
  constructor(
    readonly counts: readonly (readonly number[])[],
    readonly classNames: readonly string[],
  ) {}

  /** Share of all samples on the diagonal. */
  get accuracy(): number {
    const right = this.counts.reduce((total, row, i) => total + row[i]!, 0)
    return right / this.counts.reduce((total, row) => total + sum(row), 0)
  }

  /** Of the samples of each class, the share that was found. NaN for a class without samples. */
  get recall(): number[] {
    return this.counts.map((row, i) => row[i]! / sum(row))
  }

  /** Of the samples taken for each class, the share that is of it. NaN where none was. */
  get precision(): number[] {
    return this.counts.map((row, j) => row[j]! / this.counts.reduce((total, other) => total + other[j]!, 0))
  }

  /** One coloured cell a pair of classes. */
  chart(title?: string): Chart {
    const { counts: values, classNames: names } = this
    const labels = { x: 'predicted', y: 'true', ...(title === undefined ? {} : { title }) }
    return heatmap({ values, rows: names, columns: names, numbers: true, ...labels, width: 420, height: 420 })
  }
}

/**
 * Counts pairs of true and predicted classes.
 *
 * @param labels classes, integers from 0: `await tensor.data()` or an array
 * @param predictions as many, such as `await argMax(scores, { axis: 1 }).data()`
 * @throws ERR_SHAPE where there are not as many of one as of the other; ERR_ARGUMENT for what is no array, and naming an entry
 *   that is no class.
 */
export function confusionMatrix(
  labels: Classes,
  predictions: Classes,
  options: ConfusionMatrixOptions = {},
): ConfusionMatrix {
  checkOptions('confusionMatrix', options, ['classes', 'classNames'])
  for (const [name, values] of Object.entries({ labels, predictions })) {
    if (typeof values?.length === 'number') continue
    throw new ForjaError('ERR_ARGUMENT', `confusionMatrix: ${name} must be an array, got ${describeGiven(values)}`, {
      hint: 'of a tensor, await its data()',
    })
  }
  if (labels.length !== predictions.length) {
    throw new ForjaError(
      'ERR_SHAPE',
      `confusionMatrix: ${labels.length} labels and ${predictions.length} predictions; expected as many`,
    )
  }
  const classes = options.classes ?? options.classNames?.length ?? 1 + Math.max(largest(labels), largest(predictions))
  const names = options.classNames ?? Array.from({ length: classes }, (_, i) => String(i))
  if (names.length !== classes) {
    throw new ForjaError('ERR_ARGUMENT', `confusionMatrix: ${names.length} classNames for ${classes} classes`)
  }
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
  for (let i = 0; i < labels.length; i++) {
    const row = counts[checkClass(labels[i]!, classes, 'label', i)]!
    row[checkClass(predictions[i]!, classes, 'prediction', i)]!++
  }
  return new ConfusionMatrix(counts, names)
}

function checkClass(value: number, classes: number, what: string, index: number): number {
  if (Number.isInteger(value) && value >= 0 && value < classes) return value
  throw new ForjaError(
    'ERR_ARGUMENT',
    `confusionMatrix: ${what} ${index} is ${describeGiven(value)}; expected an integer from 0 to ${classes - 1}`,
  )
}

function largest(values: Classes): number {
  let found = -1
  for (const value of values) if (Number.isInteger(value) && value > found) found = value
  return found
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
