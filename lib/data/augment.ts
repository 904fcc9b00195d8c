/**
 * Augmentation: every image of every epoch a little different, decided by (seed, epoch, index of the sample) and so the
 * same for any batch size, order and number of workers. The work is done in worker threads, batches ahead of the one
 * that is used; the event loop copies stored images and takes float32 batches.
 */
import { describeList, ForjaError } from '../errors.js'
import { checkInteger, checkOptions } from '../options.js'
import { checkSeed, defaultSeed } from '../random.js'
import { MOST_THREADS } from '../runtime/devices.js'
import { formatShape } from '../shape.js'
import {
  BATCHES,
  type Batch,
  type BatchOptions,
  checkIndex,
  type Dataset,
  type Field,
  READ,
  type ReadOptions,
  requireDataset,
  type Sample,
} from './dataset.js'
import { changeImages, type ImageChanges, type ImageJob } from './image_transform.js'
import { WorkerPool } from './worker_pool.js'

export interface AugmentOptions {
  /** Crop at random from the image with so many pixels of padding on each side: 4 is usual for 32×32. */
  crop?: number
  /** Mirror half of the images left to right (true), top to bottom, or both ways independently. */
  flip?: boolean | 'horizontal' | 'vertical' | 'both'
  /** Rotate by up to so many degrees either way. */
  rotate?: number
  /** Scale by a factor from low to high. */
  scale?: readonly [low: number, high: number]
  /** Shear by up to so many degrees either way. */
  shear?: number
  /** Shift by up to this share of the side either way. */
  translate?: number
  /** Add up to this share of the range of values (255, or 1 where images are not uint8) either way. */
  brightness?: number
  /** Multiply the distance to the image's mean by 1 - contrast to 1 + contrast. */
  contrast?: number
  /** Hide a square of this side, in pixels, about a random pixel. */
  cutout?: number
  /** The stored value outside the image and in cutouts. Default 0. */
  fill?: number
  /** Threads. Default 1. */
  workers?: number
}

const AUGMENT = [
  'crop',
  'flip',
  'rotate',
  'scale',
  'shear',
  'translate',
  'brightness',
  'contrast',
  'cutout',
  'fill',
  'workers',
] as const

/** Twice as many places can be drawn from 32 bits. */
const MOST_PIXELS = 2 ** 31 - 1

/**
 * `dataset` with its images, (C, H, W) of uint8 or float32, changed at random whenever they are read.
 *
 * @throws ERR_SHAPE where samples are no images; ERR_ARGUMENT for an option out of range.
 */
export function augment(dataset: Dataset, options: AugmentOptions): Dataset {
  checkOptions('augment', options, AUGMENT)
  requireDataset('augment: the data set', dataset)
  const [field] = dataset.fields
  if (field?.shape.length !== 3 || (field.dtype !== 'uint8' && field.dtype !== 'float32')) {
    const found = field ? `${field.dtype} ${formatShape(field.shape)}` : 'none'
    throw new ForjaError('ERR_SHAPE', `augment: samples are ${found}; expected uint8 or float32 images (C, H, W)`)
  }
  const { workers = 1 } = options
  checkInteger('augment', 'workers', workers, 1, MOST_THREADS)
  return new AugmentedDataset(dataset, field, checkChanges(options), workers)
}

class AugmentedDataset implements Dataset {
  readonly length: number
  readonly fields: readonly Field[]

  constructor(
    private readonly source: Dataset,
    private readonly field: Field,
    private readonly changes: ImageChanges,
    private readonly workers: number,
  ) {
    this.length = source.length
    this.fields = source.fields
  }

  /** As in epoch 0 under the seed of setSeed(); computed at once. */
  get(index: number, options: ReadOptions = {}): Sample {
    checkOptions('dataset.get', options, READ)
    checkIndex(index, this.length)
    const { x, y } = this.source.get(index, { raw: true })
    return { x: changeImages(this.#job(x as Float32Array, Int32Array.of(index), options)), y }
  }

  batches(options: BatchOptions = {}): AsyncIterable<Batch> {
    checkOptions('dataset.batches', options, BATCHES)
    const { source, workers } = this
    const job = (batch: Batch) => this.#job(batch.x as Float32Array, batch.indices, options)
    return {
      async *[Symbol.asyncIterator]() {
        const pool = new WorkerPool<ImageJob, Float32Array | Uint8Array>('data/augment_worker.js', workers)
        const pending: Promise<Batch>[] = []
        try {
          for await (const batch of source.batches({ ...options, raw: true })) {
            const changed = pool.run(job(batch)).then((x) => ({ ...batch, x }))
            changed.catch(() => {}) // reported when its turn comes
            pending.push(changed)
            // One batch a thread under way and one waiting for it.
            if (pending.length > 2 * workers) yield await pending.shift()!
          }
          while (pending.length > 0) yield await pending.shift()!
        } finally {
          await pool.close()
        }
      },
    }
  }

  #job(x: ImageJob['x'], indices: Int32Array, options: BatchOptions): ImageJob {
    const { seed = defaultSeed(), epoch = 0, raw = false } = options
    checkSeed(seed, 'augment')
    const { shape, normalization } = this.field
    const channels = shape[0]!
    const one = { scale: new Array<number>(channels).fill(1), offset: new Array<number>(channels).fill(0) }
    // Without a normalisation the network still gets float32.
    const { scale, offset } = normalization ?? one
    const perChannel = (numbers: readonly number[]) =>
      numbers.length === 1 ? one.scale.map(() => numbers[0]!) : numbers
    return {
      changes: this.changes,
      x,
      shape: shape as unknown as ImageJob['shape'],
      indices,
      seed,
      epoch,
      ...(raw ? {} : { normalization: { scale: perChannel(scale), offset: perChannel(offset) } }),
    }
  }
}

function checkChanges(options: AugmentOptions): ImageChanges {
  const { flip = false, scale = [1, 1], fill = 0 } = options
  const check = (name: keyof AugmentOptions, value: unknown, good: boolean, expected: string): void => {
    if (!good) throw new ForjaError('ERR_ARGUMENT', `augment: ${name} ${describeList(value)}; expected ${expected}`)
  }
  const number = (name: 'rotate' | 'shear' | 'translate' | 'brightness' | 'contrast', most: number): number => {
    const value = options[name] ?? 0
    check(name, value, value >= 0 && value <= most, `a number from 0 to ${most}`)
    return value
  }
  const pixels = (name: 'crop' | 'cutout'): number => {
    const value = options[name] ?? 0
    const fits = Number.isInteger(value) && value >= 0 && value <= MOST_PIXELS
    check(name, value, fits, 'an integer from 0, in pixels, up to 2^31 - 1')
    return value
  }
  check(
    'flip',
    flip,
    [true, false, 'horizontal', 'vertical', 'both'].includes(flip),
    "a boolean, 'horizontal', 'vertical' or 'both'",
  )
  check(
    'scale',
    scale,
    scale.length === 2 && scale[0] > 0 && scale[1] >= scale[0] && Number.isFinite(scale[1]),
    '[low, high] over 0',
  )
  check('fill', fill, Number.isFinite(fill), 'a finite number')
  return {
    crop: pixels('crop'),
    flipHorizontal: flip === true || flip === 'horizontal' || flip === 'both',
    flipVertical: flip === 'vertical' || flip === 'both',
    rotate: number('rotate', 180),
    scale: [...scale],
    shear: number('shear', 80),
    translate: number('translate', 1),
    brightness: number('brightness', 1),
    contrast: number('contrast', 1),
    cutout: pixels('cutout'),
    fill,
  }
}
