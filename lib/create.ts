/**
 * Tensors from host data and from nothing: tensor, zeros, ones, full, arange, eye.
 */
import { allocate, checkDType, type DType, dtypeOfArray, isHalf, type TypedArray } from './dtype.js'
import { describeGiven, ForjaError } from './errors.js'
import { filled } from './ops/apply.js'
import { makeLeaf } from './ops/creation.js'
import { checkNumber, checkOptions } from './options.js'
import { fromRef, refArray } from './reference/array.js'
import { checkShape, formatShape, MAX_RANK, type Shape, sizeOfShape } from './shape.js'
import { type NestedArray, Tensor } from './tensor.js'

export interface TensorOptions {
  shape?: Shape
  dtype?: DType
  name?: string
}

/** @internal A tensor of elements that the graph may keep. */
export function fromData(data: TypedArray, shape: Shape, dtype: DType, name?: string): Tensor {
  return new Tensor(makeLeaf({ kind: 'constant', data }, { shape, dtype }), name)
}

/**
 * A tensor with the elements of a number, nested arrays or a typed array (copied).
 *
 * @param values nested arrays of equal lengths; dtype float32 unless given. A typed array's dtype follows it
 *   (Float64Array becomes float32 unless dtype says float64); a Uint16Array holds the bits of float16 and bfloat16.
 * @throws ERR_SHAPE for ragged arrays or a shape that does not fit; ERR_DTYPE for an unknown dtype, or none where the
 *   typed array is of no dtype (Int16Array); ERR_ARGUMENT for anything else than numbers.
 */
export function tensor(values: NestedArray | boolean | TypedArray, options: TensorOptions = {}): Tensor {
  checkOptions('tensor', options, ['shape', 'dtype', 'name'])
  const isTyped = ArrayBuffer.isView(values)
  if (isTyped && !isNumbers(values)) {
    throw new ForjaError('ERR_DTYPE', `tensor: elements of ${describeGiven(values)} are no numbers of a dtype`)
  }
  const dtype = options.dtype ?? naturalDType(values)
  checkDType(dtype, 'tensor')
  const source: ArrayLike<number> = isTyped ? (values as TypedArray) : flatten(values as NestedArray)
  const shape = options.shape ?? (isTyped ? [source.length] : shapeOf(values as NestedArray))
  checkShape(shape, 'tensor')
  if (sizeOfShape(shape) !== source.length) {
    throw new ForjaError(
      'ERR_SHAPE',
      `tensor: shape ${formatShape(shape)} needs ${sizeOfShape(shape)} elements, got ${source.length}`,
    )
  }
  return fromData(carried(source, dtype), [...shape], dtype, options.name)
}

/** Neither a DataView nor one of BigInts. */
function isNumbers(array: object): boolean {
  return 'length' in array && !(array instanceof BigInt64Array || array instanceof BigUint64Array)
}

/** A copy of `source` in the array that carries `dtype`. */
function carried(source: ArrayLike<number>, dtype: DType): TypedArray {
  if (isHalf(dtype) && !(source instanceof Uint16Array)) {
    return fromRef(refArray([source.length], dtype, Float64Array.from(source)))
  }
  const data = allocate(dtype, source.length)
  data.set(dtype === 'bool' ? Uint8Array.from(source, (x) => (x ? 1 : 0)) : source)
  return data
}

function naturalDType(values: unknown): DType {
  if (!ArrayBuffer.isView(values)) return 'float32'
  const dtype = dtypeOfArray(values)
  if (dtype === undefined) {
    throw new ForjaError('ERR_DTYPE', `tensor: ${describeGiven(values)} is the array of no dtype`, {
      hint: "name one, { dtype: 'int32' }, or give a Float32Array, Float64Array, Int32Array or Uint8Array",
    })
  }
  return dtype === 'float64' ? 'float32' : dtype
}

function shapeOf(values: NestedArray): number[] {
  const shape: number[] = []
  for (let inner = values; Array.isArray(inner); inner = inner[0]!) {
    // An array that holds itself has no end.
    if (shape.length === MAX_RANK)
      throw new ForjaError(
        'ERR_SHAPE',
        `tensor: arrays are nested more than ${MAX_RANK} deep, the most dimensions there are`,
      )
    shape.push(inner.length)
  }
  return shape
}

function flatten(values: NestedArray): number[] {
  const shape = shapeOf(values)
  const flat: number[] = []
  const visit = (item: NestedArray, axis: number): void => {
    if (!Array.isArray(item)) {
      if (typeof item !== 'number' && typeof item !== 'boolean') throw noNumber(item, axis)
      if (axis !== shape.length) throw ragged()
      flat.push(Number(item))
      return
    }
    if (axis >= shape.length || item.length !== shape[axis]) throw ragged()
    for (const child of item) visit(child, axis + 1)
  }
  const noNumber = (item: unknown, axis: number) =>
    new ForjaError(
      'ERR_ARGUMENT',
      axis === 0
        ? `tensor: a number, nested arrays of numbers or a typed array was expected, got ${describeGiven(item)}`
        : `tensor: nested arrays must hold numbers, got ${describeGiven(item)}`,
      ArrayBuffer.isView(item) ? { hint: 'join the rows in one typed array and give its shape' } : {},
    )
  const ragged = () =>
    new ForjaError(
      'ERR_SHAPE',
      `tensor: nested arrays must have equal lengths, expected ${formatShape(shape)} everywhere`,
    )
  visit(values, 0)
  return flat
}

interface FillOptions {
  dtype?: DType
}

function filledWith(what: string, shape: Shape, value: number, options: FillOptions): Tensor {
  const { dtype = 'float32' } = checkOptions(what, options, ['dtype'])
  checkShape(shape, what)
  checkDType(dtype, what)
  return filled(shape, value, dtype)
}

/** A tensor of `value` everywhere. */
export function full(shape: Shape, value: number, options: FillOptions = {}): Tensor {
  return filledWith('full', shape, value, options)
}

export function zeros(shape: Shape, options: FillOptions = {}): Tensor {
  return filledWith('zeros', shape, 0, options)
}

export function ones(shape: Shape, options: FillOptions = {}): Tensor {
  return filledWith('ones', shape, 1, options)
}

/** start, start + step, .. up to but without `stop`, nothing where that lies the other way; arange(n) counts from 0. */
export function arange(start: number, stop?: number, step = 1, options: FillOptions = {}): Tensor {
  const { dtype = 'float32' } = checkOptions('arange', options, ['dtype'])
  for (const [name, value] of Object.entries({ start, stop: stop ?? 0, step })) checkNumber('arange', name, value)
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  if (step === 0 || !Number.isFinite(step) || !Number.isFinite(to - from))
    throw new ForjaError('ERR_ARGUMENT', `arange: step ${step} never reaches ${to} from ${from}`)
  const count = Math.max(0, Math.ceil((to - from) / step))
  const values = allocate('float64', count).map((_, i) => from + i * step)
  return tensor(values, { dtype })
}

/** The identity matrix of size n. */
export function eye(n: number, options: FillOptions = {}): Tensor {
  const { dtype = 'float32' } = checkOptions('eye', options, ['dtype'])
  checkShape([n, n], 'eye')
  const data = allocate('float64', n * n)
  for (let i = 0; i < n; i++) data[i * n + i] = 1
  return tensor(data, { shape: [n, n], dtype })
}
