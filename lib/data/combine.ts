/**
 * Data sets made of data sets: a part, several in a row, every sample changed, batches made ahead. What is in memory
 * stays in memory ({@link ArrayDataset}), so that a trainer still gathers batches on the device; any other data set is
 * read sample by sample.
 */
import { allocate, dtypeOfArray, type TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { requireArray } from '../ops/check_call.js'
import { refuse } from '../ops/refuse.js'
import { checkInteger, checkOptions } from '../options.js'
import { permutation, range } from '../random.js'
import { sameShape, sizeOfShape } from '../shape.js'
import {
  ArrayDataset,
  type Batch,
  type BatchOptions,
  batchesOf,
  checkIndex,
  checkIndices,
  type Dataset,
  type Field,
  READ,
  type ReadOptions,
  requireDataset,
  type Sample,
} from './dataset.js'

export interface SplitOptions {
  /** The share, in (0, 1), that goes to the second part. Default 0.2. */
  test?: number
  /** Draw the parts at random; otherwise the second is the end of the data set. Default true. */
  shuffle?: boolean
  /** Default 0, whatever setSeed() says: the parts stay the same while runs differ. */
  seed?: number
}

export interface MapOptions {
  /** Of x after the function. Default: as before. */
  shape?: readonly number[]
}

export interface PrefetchOptions {
  /** Batches that are made before they are asked for. Default 2. */
  ahead?: number
}

/** Samples by index; batches are stacked of them. */
class SampleDataset implements Dataset {
  constructor(
    readonly length: number,
    readonly fields: readonly Field[],
    private readonly read: (index: number, options: ReadOptions) => Sample,
  ) {}

  get(index: number, options: ReadOptions = {}): Sample {
    checkOptions('dataset.get', options, READ)
    checkIndex(index, this.length)
    return this.read(index, options)
  }

  batches(options: BatchOptions = {}): AsyncIterable<Batch> {
    const { raw } = options
    return batchesOf(this.length, options, (indices) => this.#stack(indices, { raw }))
  }

  #stack(indices: Int32Array, options: ReadOptions): Batch {
    const [fieldX, fieldY] = this.fields as [Field, Field]
    const samples = Array.from(indices, (index) => this.read(index, options))
    return {
      x: stack(
        samples.map(({ x }) => x),
        fieldX,
      ),
      xShape: [indices.length, ...fieldX.shape],
      y: stack(
        samples.map(({ y }) => (typeof y === 'number' ? [y] : y)),
        fieldY,
      ),
      yShape: [indices.length, ...fieldY.shape],
      indices,
      length: indices.length,
    }
  }
}

/** The rows one after another, in the type of the first (of the field where they are plain numbers). */
function stack(rows: readonly (TypedArray | readonly number[])[], field: Field): TypedArray {
  const size = sizeOfShape(field.shape)
  const out = allocate(dtypeOfArray(rows[0]) ?? field.dtype, rows.length * size)
  for (const [i, row] of rows.entries()) {
    if (row.length !== size) {
      throw new ForjaError(
        'ERR_SHAPE',
        `dataset.batches: ${field.name} of a sample has ${row.length} numbers; ` +
          `expected ${size}, the shape [${field.shape.join(', ')}]`,
      )
    }
    out.set(row, i * size)
  }
  return out
}

/**
 * The samples of `indices`, in that order; an index may come twice.
 *
 * @throws ERR_ARGUMENT for an index outside the data set.
 */
export function subset(dataset: ArrayDataset, indices: ArrayLike<number>): ArrayDataset
export function subset(dataset: Dataset, indices: ArrayLike<number>): Dataset
export function subset(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  requireDataset('subset: the data set', dataset)
  const chosen = checkIndices('subset', indices, dataset.length)
  if (dataset instanceof ArrayDataset) return dataset.take(chosen)
  return new SampleDataset(chosen.length, dataset.fields, (index, options) => dataset.get(chosen[index]!, options))
}

/**
 * Two parts without common samples: `train`, and `test` with round(length · share) of them.
 *
 * @throws ERR_ARGUMENT where the share is not between 0 and 1, or leaves a part empty.
 */
export function split(dataset: ArrayDataset, options?: SplitOptions): { train: ArrayDataset; test: ArrayDataset }
export function split(dataset: Dataset, options?: SplitOptions): { train: Dataset; test: Dataset }
export function split(dataset: Dataset, options: SplitOptions = {}): { train: Dataset; test: Dataset } {
  requireDataset('split: the data set', dataset)
  const { test = 0.2, shuffle = true, seed = 0 } = checkOptions('split', options, ['test', 'shuffle', 'seed'])
  if (!(test > 0 && test < 1)) {
    throw new ForjaError('ERR_ARGUMENT', `split: test ${test}; expected a share between 0 and 1`)
  }
  const { length } = dataset
  const testLength = Math.round(length * test)
  if (testLength === 0 || testLength === length) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `split: test ${test} of ${length} samples leaves ${length - testLength} to train and ${testLength} to test; ` +
        'expected at least one of each',
    )
  }
  const order = shuffle ? permutation(length, seed) : range(length)
  return {
    train: subset(dataset, order.subarray(0, length - testLength)),
    test: subset(dataset, order.subarray(length - testLength)),
  }
}

/**
 * All samples of the first, then of the second ...
 *
 * @throws ERR_SHAPE where samples differ in shape, type or number of classes; ERR_ARGUMENT where normalisations differ.
 */
export function concat(datasets: readonly ArrayDataset[]): ArrayDataset
export function concat(datasets: readonly Dataset[]): Dataset
export function concat(datasets: readonly Dataset[]): Dataset {
  requireArray('concat', 'datasets', datasets)
  for (const [i, dataset] of datasets.entries()) requireDataset(`concat: data set ${i}`, dataset)
  const [first] = datasets
  if (first === undefined) throw new ForjaError('ERR_ARGUMENT', 'concat: expected at least one data set')
  for (const [i, { fields }] of datasets.entries()) checkAlike(first.fields, fields, i)
  const length = datasets.reduce((total, dataset) => total + dataset.length, 0)
  if (datasets.every((dataset) => dataset instanceof ArrayDataset)) {
    const join = (name: 'x' | 'y', field: Field) => {
      const out = allocate(field.dtype, length * sizeOfShape(field.shape))
      let at = 0
      for (const { [name]: part } of datasets) {
        out.set(part, at)
        at += part.length
      }
      return out
    }
    const { fields, classNames, featureNames } = datasets[0]!
    const names = { classes: classNames, features: featureNames }
    return new ArrayDataset(join('x', fields[0]), join('y', fields[1]), fields, length, names)
  }
  return new SampleDataset(length, first.fields, (index, options) => {
    let at = index
    for (const dataset of datasets) {
      if (at < dataset.length) return dataset.get(at, options)
      at -= dataset.length
    }
    throw new ForjaError('ERR_INTERNAL', `concat: no data set holds sample ${index}`)
  })
}

function checkAlike(expected: readonly Field[], found: readonly Field[], place: number): void {
  for (const [f, field] of expected.entries()) {
    const other = found[f]
    const alike =
      other !== undefined &&
      sameShape(field.shape, other.shape) &&
      field.dtype === other.dtype &&
      field.classes === other.classes
    if (!alike) {
      throw new ForjaError(
        'ERR_SHAPE',
        `concat: ${field.name} of data set ${place} is ${other ? describe(other) : 'missing'}, that of the first ${describe(field)}`,
      )
    }
    if (JSON.stringify(field.normalization) !== JSON.stringify(other.normalization)) {
      throw new ForjaError('ERR_ARGUMENT', `concat: data set ${place} is normalised otherwise than the first`, {
        hint: 'give both the same: b.normalized(a.fields[0].normalization)',
      })
    }
  }
}

function describe({ dtype, shape, classes }: Field): string {
  return `${dtype} [${shape.join(', ')}]${classes === undefined ? '' : ` of ${classes} classes`}`
}

/**
 * Every sample changed by a function, whenever it is read. The function runs on the event loop; augmentation of images,
 * which does not, is {@link augment}.
 *
 * @param change gets a sample, normalised, and its index; what it gives is what the new data set stores
 */
export function map(
  dataset: Dataset,
  change: (sample: Sample, index: number) => Sample,
  options: MapOptions = {},
): Dataset {
  requireDataset('map: the data set', dataset)
  if (typeof change !== 'function')
    refuse('map', 'ERR_ARGUMENT', `a function of a sample expected, got ${describeGiven(change)}`)
  checkOptions('map', options, ['shape'])
  const read = (index: number) => change(dataset.get(index), index)
  const [fieldX, fieldY] = dataset.fields as [Field, Field]
  const shape = options.shape ?? fieldX.shape
  if (dataset.length === 0) return new SampleDataset(0, [{ ...fieldX, shape }, fieldY], read)
  const { x, y } = read(0)
  const fields: Field[] = [
    { name: 'x', shape: [...shape], dtype: dtypeOfArray(x) ?? 'float32' },
    typeof y === 'number' ? { ...fieldY, shape: [] } : { ...fieldY, dtype: dtypeOfArray(y) ?? 'float32' },
  ]
  return new SampleDataset(dataset.length, fields, read)
}

/**
 * The same data set, `ahead` batches of it being made while one is used. Of use where batches take time off the event
 * loop.
 */
export function prefetch(dataset: Dataset, options: PrefetchOptions = {}): Dataset {
  requireDataset('prefetch: the data set', dataset)
  const { ahead = 2 } = checkOptions('prefetch', options, ['ahead'])
  checkInteger('prefetch', 'ahead', ahead)
  return {
    length: dataset.length,
    fields: dataset.fields,
    get: (index, readOptions) => dataset.get(index, readOptions),
    batches: (batchOptions) => ({
      async *[Symbol.asyncIterator]() {
        const iterator = dataset.batches(batchOptions)[Symbol.asyncIterator]()
        const pending: Promise<IteratorResult<Batch>>[] = []
        const ask = () => {
          const next = iterator.next()
          next.catch(() => {}) // reported when its turn comes
          pending.push(next)
        }
        try {
          // There are at most as many batches as samples.
          while (pending.length < Math.min(ahead, dataset.length)) ask()
          for (;;) {
            const result = await pending.shift()!
            if (result.done) return
            ask()
            yield result.value
          }
        } finally {
          await iterator.return?.()
        }
      },
    }),
  }
}
