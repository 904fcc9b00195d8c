/**
 * Event files that TensorBoard reads: scalars, histograms, images and graphs, in the order in which they were added.
 *
 *     const writer = new TensorBoardWriter('runs/first')
 *     await writer.addScalar('loss', 0.31, 1)
 *     await writer.close()                            // then: tensorboard --logdir runs
 *
 * A file is a sequence of TFRecords (crc32c.ts), each an Event (messages.ts); the first names the version.
 */
import { mkdirSync } from 'node:fs'
import { appendFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { encodePng } from '../io/png.js'
import { requireTensorList, requireTensors } from '../ops/check_call.js'
import { checkInteger } from '../options.js'
import { formatShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { frameRecord } from './crc32c.js'
import { graphNodes } from './graph.js'
import { type EventMessage, encodeEvent, encodeGraph, type HistogramMessage, type SummaryValue } from './messages.js'

let files = 0

/** More than any chart shows. */
const MOST_BINS = 2 ** 20

export class TensorBoardWriter {
  /** The event file. */
  readonly path: string
  /** Writes follow one another; the file is open only while one goes on. */
  #last: Promise<void>
  #closed = false

  /** @param dir made where it is not there; every writer begins a file of its own in it */
  constructor(readonly dir: string) {
    if (typeof dir !== 'string' || dir === '') {
      throw new ForjaError('ERR_ARGUMENT', `TensorBoardWriter: ${describeGiven(dir)}; expected the path of a folder`)
    }
    const seconds = String(Math.floor(Date.now() / 1000)).padStart(10, '0')
    this.path = join(dir, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${files++}`)
    try {
      mkdirSync(dir, { recursive: true })
    } catch (cause) {
      throw this.#failed(cause)
    }
    const first = frameRecord(encodeEvent({ wallTime: Date.now() / 1000, fileVersion: 'brain.Event:2' }))
    this.#last = appendFile(this.path, first, { flag: 'ax' })
    this.#last.catch(() => {}) // reported by the next call
  }

  /** One point of a curve. */
  async addScalar(tag: string, value: number, step: number): Promise<void> {
    if (typeof value !== 'number') {
      const text = `value ${describeGiven(value)} of ${describeGiven(tag)}; expected a number`
      throw new ForjaError('ERR_ARGUMENT', `TensorBoardWriter: ${text}`)
    }
    await this.#summary(step, { tag, simpleValue: value })
  }

  /**
   * How values are spread, in `bins` intervals of equal width between the smallest and the largest.
   *
   * @param values any shape; NaN and infinities are left out
   */
  async addHistogram(
    tag: string,
    values: Tensor | TypedArray | readonly number[],
    step: number,
    bins = 30,
  ): Promise<void> {
    const isList = Array.isArray(values) || ArrayBuffer.isView(values)
    if (!isList) requireTensors('addHistogram', { values })
    const histo = histogram(values instanceof Tensor ? await values.data() : values, bins)
    await this.#summary(step, { tag, histo })
  }

  /**
   * A picture.
   *
   * @param image (H, W), or (C, H, W) with 1 to 4 channels; uint8 from 0 to 255, floats from 0 to 1
   * @throws ERR_SHAPE for another shape.
   */
  async addImage(tag: string, image: Tensor, step: number): Promise<void> {
    requireTensors('addImage', { image })
    const [channels, height, width] = image.rank === 2 ? [1, ...image.shape] : image.shape
    if ((image.rank !== 2 && image.rank !== 3) || !(channels! >= 1 && channels! <= 4) || image.size === 0) {
      throw new ForjaError(
        'ERR_SHAPE',
        `addImage: '${tag}' has shape ${formatShape(image.shape)}; expected (H, W) or (C, H, W) with 1 to 4 channels`,
      )
    }
    const pixels = toPixels(await image.data(), channels!, image.dtype === 'uint8' ? 1 : 255)
    const encodedImageString = encodePng(pixels, height!, width!, channels!)
    const size = { height: height!, width: width!, colorspace: channels! }
    await this.#summary(step, { tag, image: { ...size, encodedImageString } })
  }

  /** The operations that lead to these tensors, layer by layer: `addGraph(model.forward(zeros([1, 1, 28, 28])))`. */
  async addGraph(outputs: Tensor | readonly Tensor[]): Promise<void> {
    const list = outputs instanceof Tensor ? [outputs] : outputs
    requireTensorList('addGraph', 'outputs', list)
    await this.#write({ graphDef: encodeGraph(graphNodes(list.map((tensor) => tensor.value))) })
  }

  /** When everything that was added before is written. */
  async flush(): Promise<void> {
    await this.#last.catch((cause) => {
      throw this.#failed(cause)
    })
  }

  /** Writes what is left; nothing can be added any more. Safe to call twice. */
  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #summary(step: number, value: SummaryValue): Promise<void> {
    if (typeof value.tag !== 'string' || value.tag === '') {
      throw new ForjaError('ERR_ARGUMENT', `TensorBoardWriter: tag ${describeGiven(value.tag)}; expected a name`)
    }
    if (!Number.isSafeInteger(step)) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `TensorBoardWriter: step ${describeGiven(step)} of '${value.tag}'; expected an integer`,
      )
    }
    await this.#write({ step, summary: { value: [value] } })
  }

  async #write(event: Omit<EventMessage, 'wallTime'>): Promise<void> {
    if (this.#closed) throw new ForjaError('ERR_DISPOSED', `the TensorBoardWriter of ${this.dir} was closed`)
    const record = frameRecord(encodeEvent({ wallTime: Date.now() / 1000, ...event }))
    this.#last = this.#last.then(() => appendFile(this.path, record))
    await this.flush()
  }

  #failed(cause: unknown): ForjaError {
    return new ForjaError('ERR_ARGUMENT', `${this.path} cannot be written: ${(cause as Error).message}`, { cause })
  }
}

function histogram(values: TypedArray | readonly number[], bins: number): HistogramMessage {
  checkInteger('addHistogram', 'bins', bins, 1, MOST_BINS)
  let [min, max, num, sum, sumSquares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0]
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    min = Math.min(min, value)
    max = Math.max(max, value)
    num++
    sum += value
    sumSquares += value * value
  }
  if (num === 0) return { min: 0, max: 0, num, sum, sumSquares, bucketLimit: [0], bucket: [0] }
  const count = max > min ? bins : 1
  const width = (max - min) / count
  const bucket = new Array<number>(count).fill(0)
  for (const value of values) {
    if (Number.isFinite(value)) bucket[width > 0 ? Math.min(Math.floor((value - min) / width), count - 1) : 0]!++
  }
  const bucketLimit = bucket.map((_, i) => (i === count - 1 ? max : min + width * (i + 1)))
  return { min, max, num, sum, sumSquares, bucketLimit, bucket }
}

/** (C, H, W) to bytes (H, W, C). */
function toPixels(data: TypedArray, channels: number, scale: number): Uint8Array {
  const plane = data.length / channels
  const pixels = new Uint8ClampedArray(data.length) // rounds, and keeps to 0..255
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < plane; i++) pixels[i * channels + c] = data[c * plane + i]! * scale
  }
  return new Uint8Array(pixels.buffer)
}
