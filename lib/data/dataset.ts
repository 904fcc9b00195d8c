/**
 * Data sets in memory.
 *
 * An {@link ArrayDataset} holds x as ONE typed array, samples one after another, in the type it was stored in: images
 * stay uint8 [N, C, H, W]. What the network sees is `stored * scale[c] + offset[c]`, c being the first axis of a sample
 * (the channel of an image, the column of a table), or one pair for all. A trainer hands `x`, `y` and the normalisation to the device once
 * and gathers batches there by index; `get` and `batches` do the same on the host for loops written by hand.
 *
 * y is int32 class labels [N], or float32 targets [N, ...].
 *
 * The order of an epoch is `permutation(length, seed, epoch)` of lib/random.ts: (seed, epoch) decides it everywhere.
 */
import { allocate, type DType, dtypeOfArray, isFloat, type TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { requireArray } from '../ops/check_call.js'
import { refuse } from '../ops/refuse.js'
import { checkInteger, checkOptions } from '../options.js'
import { checkSeed, defaultSeed, range, Shuffle } from '../random.js'
import { checkShape, formatShape, sizeOfShape } from '../shape.js'

/** value = stored * scale + offset; one entry for each index of a sample's first axis, or one for all. */
export interface Normalization {
  readonly scale: readonly number[]
  readonly offset: readonly number[]
}

export interface Field {
  readonly name: 'x' | 'y'
  /** Of one sample. */
  readonly shape: readonly number[]
  /** As stored; normalised values are float32. */
  readonly dtype: DType
  readonly normalization?: Normalization
  /** Of labels: they lie in [0, classes). */
  readonly classes?: number
}

export interface Sample {
  x: TypedArray
  /** A number where a target has no dimensions, as a label. */
  y: number | TypedArray
}

/** Its arrays are its own: while one batch is used the next ones are made, so that none may be written again. */
export interface Batch {
  x: TypedArray
  xShape: number[]
  y: TypedArray
  yShape: number[]
  /** Which samples these are. */
  indices: Int32Array
  length: number
}

export interface ReadOptions {
  /** Values as stored, without normalisation. */
  raw?: boolean
}

export interface OrderOptions {
  shuffle?: boolean
  /** Default: the seed of setSeed(). */
  seed?: number
  /** With the seed decides the order. Default 0. */
  epoch?: number
}

export interface BatchOptions extends ReadOptions, OrderOptions {
  /** Default 32. */
  batchSize?: number
  /** Leave out a last batch that is smaller than batchSize. */
  dropLast?: boolean
}

/** Names of the options above. */
export const READ = ['raw'] as const
const ORDER = ['shuffle', 'seed', 'epoch'] as const
export const BATCHES = ['batchSize', 'dropLast', ...READ, ...ORDER] as const

export interface Dataset {
  readonly length: number
  readonly fields: readonly Field[]
  get(index: number, options?: ReadOptions): Sample
  batches(options?: BatchOptions): AsyncIterable<Batch>
}

export type Numbers = TypedArray | readonly number[] | readonly (readonly number[])[]

export interface ArraysOptions {
  /**
   * All samples one after another, or an array of rows. Typed arrays are kept, not copied. A network gets an Int32Array as
   * int32, as an Embedding takes it, and anything else as float32.
   */
  x: Numbers
  /** Labels, or targets one after another. */
  y: Numbers
  /** Of one sample of x, without the batch: [1, 28, 28]. Rows need none. */
  shape?: readonly number[]
  /** Given, or y an integer typed array: y are labels in [0, classes). */
  classes?: number
  /** What the classes are called, in order. */
  classNames?: readonly string[]
  /** What the numbers of a flat sample are called, in order: the columns of a table. */
  featureNames?: readonly string[]
  /** Of one target; default [] where y is flat. */
  targetShape?: readonly number[]
  normalization?: Normalization
}

const ARRAYS = ['x', 'y', 'shape', 'classes', 'classNames', 'featureNames', 'targetShape', 'normalization'] as const

const DEFAULT_BATCH_SIZE = 32

export class ArrayDataset implements Dataset {
  readonly length: number
  readonly fields: readonly [Field, Field]
  /** [length, ...fields[0].shape] */
  readonly x: TypedArray
  /** [length, ...fields[1].shape] */
  readonly y: TypedArray
  readonly classNames: readonly string[] | undefined
  readonly featureNames: readonly string[] | undefined

  /** Arrays that already agree; users call {@link fromArrays}, which checks. */
  constructor(
    x: TypedArray,
    y: TypedArray,
    fields: readonly [Field, Field],
    length: number,
    names: { classes?: readonly string[]; features?: readonly string[] } = {},
  ) {
    this.x = x
    this.y = y
    this.fields = fields
    this.length = length
    this.classNames = names.classes
    this.featureNames = names.features
  }

  get classes(): number | undefined {
    return this.fields[1].classes
  }

  get(index: number, options: ReadOptions = {}): Sample {
    checkOptions('dataset.get', options, READ)
    checkIndex(index, this.length)
    const { x, y, yShape } = this.#gather(Int32Array.of(index), options)
    return { x, y: yShape.length === 1 ? y[0]! : y }
  }

  /**
   * The samples of `indices`, in that order.
   *
   * @throws ERR_ARGUMENT for an index outside the data set
   */
  gather(indices: Int32Array, options: ReadOptions = {}): Batch {
    checkOptions('dataset.gather', options, READ)
    return this.#gather(checkIndices('dataset.gather', indices, this.length), options)
  }

  #gather(indices: Int32Array, options: ReadOptions): Batch {
    const [fieldX, fieldY] = this.fields
    return {
      x: gatherField(this.x, fieldX, indices, options.raw ?? false),
      xShape: [indices.length, ...fieldX.shape],
      y: gatherField(this.y, fieldY, indices, options.raw ?? false),
      yShape: [indices.length, ...fieldY.shape],
      indices,
      length: indices.length,
    }
  }

  /** The order in which an epoch visits the samples. */
  order(options: OrderOptions = {}): Int32Array {
    return epochOrder(this.length, checkOptions('dataset.order', options, ORDER)).slice(0, this.length)
  }

  batches(options: BatchOptions = {}): AsyncIterable<Batch> {
    const { raw } = options
    return batchesOf(this.length, options, (indices) => this.#gather(indices, { raw }))
  }

  /** The same samples, sharing this data set's memory, under another normalisation (none if undefined). */
  normalized(normalization: Normalization | undefined): ArrayDataset {
    const [x, y] = this.fields
    if (normalization) checkNormalization(normalization, x.shape)
    return this.#with(this.x, this.y, [{ ...x, normalization }, y], this.length)
  }

  /** Samples start .. end - 1, sharing this data set's memory. */
  slice(start: number, end: number = this.length): ArrayDataset {
    if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > this.length) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `dataset.slice: [${describeGiven(start)}, ${describeGiven(end)}); expected integers with 0 <= start <= end <= ${this.length}`,
      )
    }
    const [sizeX, sizeY] = this.fields.map((field) => sizeOfShape(field.shape)) as [number, number]
    const x = this.x.subarray(start * sizeX, end * sizeX)
    return this.#with(x, this.y.subarray(start * sizeY, end * sizeY), this.fields, end - start)
  }

  /** A copy of the samples of `indices`, in that order, as they are stored. */
  take(indices: Int32Array): ArrayDataset {
    const { x, y, length } = this.#gather(checkIndices('dataset.take', indices, this.length), { raw: true })
    return this.#with(x, y, this.fields, length)
  }

  #with(x: TypedArray, y: TypedArray, fields: readonly [Field, Field], length: number): ArrayDataset {
    return new ArrayDataset(x, y, fields, length, { classes: this.classNames, features: this.featureNames })
  }
}

/** What a data set comes as: samples to train on, and others to test with. */
export interface Splits {
  train: ArrayDataset
  test: ArrayDataset
}

/** @throws ERR_ARGUMENT unless `dataset` has what a data set has */
export function requireDataset(what: string, dataset: Dataset): void {
  if (typeof dataset?.batches === 'function' && Number.isSafeInteger(dataset.length) && dataset.length >= 0) return
  throw new ForjaError(
    'ERR_ARGUMENT',
    `${what} must be a data set with length and batches(), got ${describeGiven(dataset)}`,
    { hint: 'make one from arrays with data.fromArrays({ x, y, shape })' },
  )
}

export function checkIndex(index: number, length: number): void {
  checkInteger('dataset.get', 'index', index, 0, length - 1)
}

/**
 * Places in a data set of `length` samples.
 *
 * @throws ERR_ARGUMENT for anything else
 */
export function checkIndices(what: string, indices: ArrayLike<number>, length: number): Int32Array {
  if (!Array.isArray(indices) && !ArrayBuffer.isView(indices)) {
    refuse(what, 'ERR_ARGUMENT', `indices must be an array of integers, got ${describeGiven(indices)}`)
  }
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]
    if (Number.isInteger(index) && index! >= 0 && index! < length) continue
    const text = `index ${describeGiven(index)} at place ${i}; expected integers from 0 to ${length - 1}`
    refuse(what, 'ERR_ARGUMENT', text)
  }
  return indices instanceof Int32Array ? indices : Int32Array.from(indices)
}

/** The order in which an epoch visits `length` samples, known as far as it was asked for. */
export function epochOrder(length: number, options: OrderOptions = {}): Pick<Shuffle, 'slice'> {
  const { shuffle = false, seed = defaultSeed(), epoch = 0 } = options
  checkSeed(seed, 'dataset.order')
  checkInteger('dataset.order', 'epoch', epoch, 0)
  return shuffle ? new Shuffle(length, seed, epoch) : range(length)
}

/** The batches of an epoch, each made by `gather` when it is asked for. */
export function batchesOf(
  length: number,
  options: BatchOptions,
  gather: (indices: Int32Array) => Batch | Promise<Batch>,
): AsyncIterable<Batch> {
  const { batchSize = DEFAULT_BATCH_SIZE, dropLast = false } = checkOptions('dataset.batches', options, BATCHES)
  checkInteger('dataset.batches', 'batchSize', batchSize)
  const order = epochOrder(length, options)
  const end = dropLast ? length - (length % batchSize) : length
  return {
    async *[Symbol.asyncIterator]() {
      for (let from = 0; from < end; from += batchSize) yield gather(order.slice(from, Math.min(from + batchSize, end)))
    },
  }
}

/** A data set of arrays that are already in memory. */
export function fromArrays(options: ArraysOptions): ArrayDataset {
  checkOptions('fromArrays', options, ARRAYS)
  const { normalization, classNames, featureNames } = options
  if (classNames !== undefined) requireArray('fromArrays', 'classNames', classNames)
  if (featureNames !== undefined) requireArray('fromArrays', 'featureNames', featureNames)
  const x = flatten(options.x, 'x', options.shape)
  const classes = options.classes ?? classNames?.length ?? inferClasses(options.y)
  const y = flatten(options.y, 'y', classes === undefined ? options.targetShape : [])
  const sampleSize = sizeOfShape(x.shape)
  const targetSize = sizeOfShape(y.shape)
  if (sampleSize < 1 || targetSize < 1) {
    throw new ForjaError('ERR_SHAPE', `fromArrays: a sample of shape [${x.shape.join(', ')}] has no elements`)
  }
  const length = x.data.length / sampleSize
  const targets = y.data.length / targetSize
  if (!Number.isInteger(length) || !Number.isInteger(targets) || length !== targets) {
    const whole = sizeOfShape(x.shape) === x.data.length && x.shape[0] === targets && targets > 1
    throw new ForjaError(
      'ERR_SHAPE',
      `fromArrays: x has ${x.data.length} elements = ${length} samples of shape [${x.shape.join(', ')}], ` +
        `y has ${y.data.length} = ${targets} of shape [${y.shape.join(', ')}]; expected as many of one as of the other`,
      whole ? { hint: `shape is that of one sample, without the batch: [${x.shape.slice(1).join(', ')}].` } : {},
    )
  }
  if (normalization) checkNormalization(normalization, x.shape)
  const names = classNames && classes !== undefined ? checkNames(classNames, classes) : undefined
  const labels = classes === undefined ? y.data : toLabels(y.data, classes)
  const fieldX: Field = { name: 'x', shape: x.shape, dtype: dtypeOfArray(x.data)!, normalization }
  const fieldY: Field = { name: 'y', shape: y.shape, dtype: dtypeOfArray(labels)!, classes }
  if (featureNames && featureNames.length !== sampleSize) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `fromArrays: ${featureNames.length} featureNames for samples of ${sampleSize} numbers`,
    )
  }
  return new ArrayDataset(x.data, labels, [fieldX, fieldY], length, { classes: names, features: featureNames })
}

/**
 * The normalisation that gives mean 0 and standard deviation 1 to every channel of images, every column of a table.
 *
 * @param x samples one after another
 * @param shape of one sample: [C, H, W], [columns]
 * @throws ERR_ARGUMENT for anything else; ERR_SHAPE where x does not hold whole samples
 */
export function standardize(x: TypedArray, shape: readonly number[]): Normalization {
  if (!ArrayBuffer.isView(x) && !Array.isArray(x)) {
    refuse('standardize', 'ERR_ARGUMENT', `x must be a typed array, got ${describeGiven(x)}`)
  }
  checkShape(shape, 'standardize')
  if (!Number.isInteger(x.length / sizeOfShape(shape))) {
    const text = `x has ${x.length} elements; expected whole samples of shape ${formatShape(shape)}`
    refuse('standardize', 'ERR_SHAPE', text)
  }
  const channels = shape[0] ?? 1
  const plane = sizeOfShape(shape) / channels
  const scale: number[] = []
  const offset: number[] = []
  const count = Math.max(x.length / channels, 1)
  for (let c = 0; c < channels; c++) {
    const sum = (term: (value: number) => number): number => {
      let total = 0
      for (let start = c * plane; start < x.length; start += channels * plane) {
        for (let i = start; i < start + plane; i++) total += term(x[i]!)
      }
      return total
    }
    const mean = sum((value) => value) / count
    const spread = Math.sqrt(sum((value) => (value - mean) ** 2) / count)
    // What rounding of the mean leaves of equal values is no variation.
    const deviation = spread > 1e-10 * Math.abs(mean) ? spread : 1
    scale.push(1 / deviation)
    offset.push(-mean / deviation)
  }
  return { scale, offset }
}

function gatherField(data: TypedArray, field: Field, indices: Int32Array, raw: boolean): TypedArray {
  const size = sizeOfShape(field.shape)
  if (raw || field.normalization === undefined) {
    const out = allocate(field.dtype, indices.length * size)
    for (let i = 0; i < indices.length; i++) {
      out.set(data.subarray(indices[i]! * size, (indices[i]! + 1) * size), i * size)
    }
    return out
  }
  const { scale, offset } = field.normalization
  const plane = size / scale.length
  const out = allocate('float32', indices.length * size)
  let at = 0
  for (const index of indices) {
    let from = index * size
    for (let c = 0; c < scale.length; c++) {
      const factor = scale[c]!
      const shift = offset[c]!
      for (let i = 0; i < plane; i++) out[at++] = data[from++]! * factor + shift
    }
  }
  return out
}

function flatten(
  values: Numbers,
  name: string,
  shape?: readonly number[],
): { data: TypedArray; shape: readonly number[] } {
  const dtype = dtypeOfArray(values)
  if (dtype !== undefined) return { data: values as TypedArray, shape: checkSampleShape(shape ?? [], name) }
  if (!Array.isArray(values)) {
    throw new ForjaError('ERR_ARGUMENT', `fromArrays: ${name}: expected a typed array, numbers or rows of numbers`)
  }
  if (!Array.isArray(values[0])) {
    return { data: toFloats(values as readonly number[], name), shape: checkSampleShape(shape ?? [], name) }
  }
  const rows = values as readonly (readonly number[])[]
  const width = rows[0]!.length
  const ragged = rows.findIndex((row) => row?.length !== width)
  if (ragged >= 0) {
    throw new ForjaError(
      'ERR_SHAPE',
      `fromArrays: row ${ragged} of ${name} has ${rows[ragged]?.length ?? 'no'} numbers; row 0 has ${width}`,
    )
  }
  return { data: toFloats(rows.flat(), name), shape: checkSampleShape(shape ?? [width], name) }
}

function toFloats(numbers: readonly number[], name: string): Float32Array {
  const at = numbers.findIndex((value) => typeof value !== 'number' && typeof value !== 'boolean')
  if (at >= 0) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `fromArrays: ${name}: expected a typed array, numbers or rows of numbers, got ${describeGiven(numbers[at])} among them`,
      typeof numbers[at] === 'object' ? { hint: 'join the samples in one typed array and give the shape of one' } : {},
    )
  }
  return Float32Array.from(numbers)
}

/** Integer typed arrays are labels; plain numbers are targets unless `classes` says otherwise. */
function inferClasses(y: Numbers): number | undefined {
  const dtype = dtypeOfArray(y)
  if (dtype === undefined || isFloat(dtype)) return undefined
  let largest = 0
  for (const label of y as TypedArray) if (label > largest) largest = label
  return largest + 1
}

function toLabels(y: TypedArray, classes: number): Int32Array {
  checkInteger('fromArrays', 'classes', classes)
  for (let i = 0; i < y.length; i++) {
    const label = y[i]!
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `fromArrays: label ${label} of sample ${i}; expected an integer from 0 to ${classes - 1} (${classes} classes)`,
      )
    }
  }
  return y instanceof Int32Array ? y : Int32Array.from(y)
}

function checkSampleShape(shape: readonly number[], name: string): readonly number[] {
  requireArray('fromArrays', `the shape of one ${name}`, shape)
  const bad = shape.find((size) => !Number.isSafeInteger(size) || size < 1)
  if (bad !== undefined) {
    throw new ForjaError(
      'ERR_SHAPE',
      `fromArrays: the shape [${shape.join(', ')}] of one ${name} holds ${bad}; expected integers from 1`,
    )
  }
  return [...shape]
}

function checkNormalization({ scale, offset }: Normalization, shape: readonly number[]): void {
  requireArray('fromArrays: normalization', 'scale', scale)
  requireArray('fromArrays: normalization', 'offset', offset)
  const channels = shape[0] ?? 1
  const fits = scale.length === offset.length && (scale.length === 1 || scale.length === channels)
  if (!fits || ![...scale, ...offset].every(Number.isFinite)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `fromArrays: normalization has scale [${scale.join(', ')}] and offset [${offset.join(', ')}]; ` +
        `expected ${channels === 1 ? '1 finite number' : `1 or ${channels} finite numbers (one for each index of the first axis)`} in each`,
    )
  }
}

function checkNames(names: readonly string[], classes: number): readonly string[] {
  if (names.length !== classes) {
    throw new ForjaError('ERR_ARGUMENT', `fromArrays: ${names.length} classNames for ${classes} classes`)
  }
  return names
}
