/**
 * From a data set to the arguments of a compiled step.
 *
 * A data set in memory is handed to the device once, as it is stored (images stay uint8), and a step takes the int32
 * indices of its batch only: gathering, conversion and normalisation are part of the program and cost the event loop
 * nothing. Any other data set, and one that is too large for the device, is read batch by batch.
 */
import { fromData, tensor } from '../create.js'
import {
  ArrayDataset,
  type Batch,
  type BatchOptions,
  type Dataset,
  epochOrder,
  type Field,
  requireDataset,
} from '../data/dataset.js'
import { dtypeOfArray, type TypedArray } from '../dtype.js'
import { describeGiven, describeList, ForjaError } from '../errors.js'
import { cast } from '../ops/cast.js'
import { add, mul } from '../ops/elementwise.js'
import { gather } from '../ops/indexing.js'
import { checkChoice } from '../options.js'
import type { Device } from '../runtime/device.js'
import { formatShape, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'

export interface FeedBatch {
  /** What the step is called with. */
  args: Tensor[]
  /** Samples in it. */
  length: number
}

export interface FeedOptions extends Pick<BatchOptions, 'shuffle' | 'seed' | 'epoch'> {
  batchSize: number
  /** Batches in the beginning that are left out. Default 0. */
  skip?: number
  /** The batch after which the epoch ends. Default: the last one. */
  end?: number
}

export interface Feed {
  /** Samples. */
  readonly length: number
  batches(options: FeedOptions): AsyncIterable<FeedBatch>
  /** While tracing: what the network gets and what it should give. */
  read(args: readonly Tensor[]): { x: Tensor; y: Tensor }
  dispose(): void
}

export interface PlacementOptions {
  /**
   * Whether all samples are kept on the device, where each step gathers its batch: 'auto' (the default) where the data set
   * is one in memory and takes at most a quarter of the device's; true asks for it; false hands over batch by batch.
   */
  dataOnDevice?: 'auto' | boolean
}

/**
 * @param who names the caller in messages: `fit`
 * @param role what the data are to the caller: `validation`
 * @throws ERR_ARGUMENT where `dataset` is none, is empty, or cannot be placed as asked.
 */
export function feedOf(
  dataset: Dataset,
  who: string,
  device: Device,
  options: PlacementOptions = {},
  role = 'the data set',
): Feed {
  const what = `${who}: ${role}`
  const { dataOnDevice = 'auto' } = options
  requireDataset(what, dataset)
  if (dataset.length === 0) throw new ForjaError('ERR_ARGUMENT', `${what} has no samples`)
  checkChoice(who, 'dataOnDevice', dataOnDevice, ['auto', true, false])
  if (dataset instanceof ArrayDataset) {
    for (const { name, shape } of dataset.fields) {
      const [found, expected] = [dataset[name].length, dataset.length * sizeOfShape(shape)]
      if (found === expected) continue
      throw new ForjaError('ERR_ARGUMENT', `${what}: ${name} has ${found} elements left of ${expected}`, {
        hint: 'its memory was transferred to someone else, such as a worker',
      })
    }
    const fits = dataset.x.byteLength + dataset.y.byteLength <= device.memoryBytes / 4
    return dataOnDevice === true || (dataOnDevice === 'auto' && fits) ? new DeviceFeed(dataset) : new HostFeed(dataset)
  }
  if (dataOnDevice === true) {
    throw new ForjaError('ERR_ARGUMENT', `${what} is read batch by batch, so it cannot be kept on the device`, {
      hint: "make one in memory with data.fromArrays({ x, y, shape }), or leave dataOnDevice at 'auto'",
    })
  }
  return new HostFeed(dataset)
}

class DeviceFeed implements Feed {
  readonly length: number
  readonly #x: Variable
  readonly #y: Variable

  constructor(private readonly dataset: ArrayDataset) {
    this.length = dataset.length
    // Variables, since programs of all batch sizes share their memory.
    this.#x = upload(dataset.x, dataset.length, dataset.fields[0])
    this.#y = upload(dataset.y, dataset.length, dataset.fields[1])
  }

  batches(options: FeedOptions): AsyncIterable<FeedBatch> {
    const { batchSize, skip = 0, end = Number.POSITIVE_INFINITY } = options
    const order = epochOrder(this.length, options)
    const last = Math.min(this.length, end * batchSize)
    return {
      async *[Symbol.asyncIterator]() {
        for (let from = skip * batchSize; from < last; from += batchSize) {
          const indices = order.slice(from, Math.min(from + batchSize, last))
          yield { args: [fromData(indices, [indices.length], 'int32')], length: indices.length }
        }
      },
    }
  }

  read([indices]: readonly Tensor[]): { x: Tensor; y: Tensor } {
    const [fieldX] = this.dataset.fields
    return {
      x: normalized(gather(this.#x, indices!, { axis: 0 }), fieldX),
      y: gather(this.#y, indices!, { axis: 0 }),
    }
  }

  dispose(): void {
    this.#x.dispose()
    this.#y.dispose()
  }
}

function upload(data: TypedArray, length: number, field: Field): Variable {
  return new Variable(fromData(data, [length, ...field.shape], field.dtype), {
    name: `data.${field.name}`,
    buffer: true,
  })
}

/** Indices, as an Embedding takes them, stay int32; numbers of any other dtype become float32. */
function asInput(x: Tensor): Tensor {
  return x.dtype === 'int32' ? x : cast(x, 'float32')
}

/** float32, stored · scale + offset; channels are axis 1 of the batch. */
function normalized(x: Tensor, { normalization }: Field): Tensor {
  if (normalization === undefined) return asInput(x)
  const values = cast(x, 'float32')
  const { scale, offset } = normalization
  const shape = scale.length === 1 ? [] : [scale.length, ...new Array<number>(x.rank - 2).fill(1)]
  const constant = (numbers: readonly number[]) => tensor(Float32Array.from(numbers), { shape })
  return add(mul(values, constant(scale)), constant(offset))
}

/** What a user's own data set gave; ERR_SHAPE, ERR_DTYPE unless a program can take it. */
function hostTensor(name: string, data: TypedArray, shape: readonly number[]): Tensor {
  const dtype = dtypeOfArray(data)
  if (dtype === undefined) {
    throw new ForjaError(
      'ERR_DTYPE',
      `batches(): ${name} of a batch must be a Float32Array, Int32Array or Uint8Array, got ${describeGiven(data)}`,
    )
  }
  if (!Array.isArray(shape) || sizeOfShape(shape) !== data.length) {
    throw new ForjaError(
      'ERR_SHAPE',
      `batches(): ${name} of a batch has ${data.length} elements, its ${name}Shape is ${describeList(shape)}`,
    )
  }
  return fromData(data, shape, dtype)
}

function iterable(batches: AsyncIterable<Batch>): AsyncIterable<Batch> {
  const given = batches as Partial<AsyncIterable<Batch> & Iterable<Batch>> | null
  if (given?.[Symbol.asyncIterator] ?? given?.[Symbol.iterator]) return batches
  throw new ForjaError('ERR_ARGUMENT', `batches() must give an iterable of batches, got ${describeGiven(batches)}`)
}

function hostBatch(batch: Batch): FeedBatch {
  if (typeof batch !== 'object' || batch === null)
    throw new ForjaError('ERR_ARGUMENT', `batches(): a batch must be an object, got ${describeGiven(batch)}`)
  const args = [hostTensor('x', batch.x, batch.xShape), hostTensor('y', batch.y, batch.yShape)]
  const { length } = batch
  if (args.every(({ shape }) => shape[0] === length)) return { args, length }
  const [x, y] = args.map(({ shape }) => formatShape(shape))
  const text = `length ${describeGiven(length)} of a batch whose x is ${x} and y is ${y}; expected the first axis of both`
  throw new ForjaError('ERR_SHAPE', `batches(): ${text}`)
}

class HostFeed implements Feed {
  readonly length: number

  constructor(private readonly dataset: Dataset) {
    this.length = dataset.length
  }

  batches({ skip = 0, end = Number.POSITIVE_INFINITY, ...options }: FeedOptions): AsyncIterable<FeedBatch> {
    const { dataset } = this
    return {
      async *[Symbol.asyncIterator]() {
        let count = 0
        if (end === 0) return
        for await (const batch of iterable(dataset.batches(options))) {
          if (++count <= skip) continue
          yield hostBatch(batch)
          if (count === end) return
        }
        if (count > 0) return
        throw new ForjaError('ERR_ARGUMENT', `batches() gave no batch of a data set of ${dataset.length} samples`)
      },
    }
  }

  read([x, y]: readonly Tensor[]): { x: Tensor; y: Tensor } {
    return { x: asInput(x!), y: y! }
  }

  dispose(): void {}
}
