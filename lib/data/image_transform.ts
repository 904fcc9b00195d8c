/**
 * One random change of one image, a pure function of (image, seed, epoch, index of the sample):
 *
 *   geometry    source = centre + A⁻¹ (F (target - centre) + shift),  A = k R(θ) [1 tan φ; 0 1],  F a flip
 *               θ rotation, φ shear, k scale; shift by whole pixels (crop) and parts of the side (translate). Between
 *               pixels bilinear; where A is the identity pixels are copied. Outside the image: `fill`.
 *   light       v → mean + c (v - mean) + b, c contrast, b brightness as a share of the range (255 of uint8, else 1)
 *   cutout      a square of `fill` about a random pixel
 *
 * Runs in a worker; nothing here touches the rest of the package but random numbers.
 */
import { DOMAINS, RandomStream } from '../random.js'

/** How far chance may go; 0, [1, 1] or false is "not at all". */
export interface ImageChanges {
  /** Pixels: ± in both directions, what a random crop of an image with so much padding gives. */
  crop: number
  flipHorizontal: boolean
  flipVertical: boolean
  /** Degrees, ±. */
  rotate: number
  scale: readonly [low: number, high: number]
  /** Degrees, ±. */
  shear: number
  /** Share of the side, ±. */
  translate: number
  brightness: number
  contrast: number
  /** Side in pixels. */
  cutout: number
  /** A stored value. */
  fill: number
}

/** Images (N, C, H, W), one after another, and who they are. */
export interface ImageJob {
  changes: ImageChanges
  x: Float32Array | Uint8Array
  shape: readonly [channels: number, height: number, width: number]
  indices: Int32Array
  seed: number
  epoch: number
  /** What to make of stored values; absent: they stay stored values, uint8 rounded. */
  normalization?: { readonly scale: readonly number[]; readonly offset: readonly number[] }
}

const RADIANS = Math.PI / 180

/** The changed images; float32 unless stored values of uint8 were asked for. */
export function changeImages(job: ImageJob): Float32Array | Uint8Array {
  const { x, shape, indices, normalization } = job
  const size = shape[0] * shape[1] * shape[2]
  const values = new Float32Array(x.length)
  const seed = epochSeed(job.seed, job.epoch)
  for (let i = 0; i < indices.length; i++) {
    const random = new RandomStream(seed, indices[i]!, DOMAINS.augment)
    const image = values.subarray(i * size, (i + 1) * size)
    move(x.subarray(i * size, (i + 1) * size), image, job, random)
    light(image, job, random)
    cut(image, job, random)
    if (normalization) normalize(image, normalization)
  }
  // A Uint8ClampedArray rounds to the nearest and stays within 0 .. 255.
  return normalization || x instanceof Float32Array ? values : new Uint8Array(Uint8ClampedArray.from(values).buffer)
}

/** Epochs share no numbers: each has a seed of its own, of 53 bits. */
function epochSeed(seed: number, epoch: number): number {
  const random = new RandomStream(seed, epoch, DOMAINS.augment)
  return random.word() * 2 ** 21 + (random.word() >>> 11)
}

function move(from: Float32Array | Uint8Array, to: Float32Array, job: ImageJob, random: RandomStream): void {
  const { crop, flipHorizontal, flipVertical, rotate, scale, shear, translate } = job.changes
  const [, height, width] = job.shape
  const flipX = flipHorizontal && random.below(2) === 1 ? -1 : 1
  const flipY = flipVertical && random.below(2) === 1 ? -1 : 1
  const shiftX = random.below(2 * crop + 1) - crop + width * random.uniform(-translate, translate)
  const shiftY = random.below(2 * crop + 1) - crop + height * random.uniform(-translate, translate)
  const angle = RADIANS * random.uniform(-rotate, rotate)
  const slant = Math.tan(RADIANS * random.uniform(-shear, shear))
  const k = random.uniform(...scale)
  const [cosine, sine] = [Math.cos(angle) / k, Math.sin(angle) / k]
  // A⁻¹ = 1/k [1 -tan φ; 0 1] R(-θ)
  const [xx, xy] = [cosine + slant * sine, sine - slant * cosine]
  const [yx, yy] = [-sine, cosine]
  const [centreX, centreY] = [(width - 1) / 2, (height - 1) / 2]
  /** Source of target (0, 0), and what one step to the right and one down add. */
  const place = {
    x: centreX + xx * (shiftX - flipX * centreX) + xy * (shiftY - flipY * centreY),
    y: centreY + yx * (shiftX - flipX * centreX) + yy * (shiftY - flipY * centreY),
    right: [flipX * xx, flipX * yx],
    down: [flipY * xy, flipY * yy],
  } as const
  const onGrid = rotate === 0 && shear === 0 && translate === 0 && scale[0] === 1 && scale[1] === 1
  if (onGrid) copy(from, to, job, place)
  else interpolate(from, to, job, place)
}

interface Place {
  readonly x: number
  readonly y: number
  readonly right: readonly [dx: number, dy: number]
  readonly down: readonly [dx: number, dy: number]
}

/** Rows shifted and mirrored by whole pixels: what {@link interpolate} gives then, several times faster. */
function copy(from: ImageJob['x'], to: Float32Array, { shape, changes }: ImageJob, place: Place): void {
  const [channels, height, width] = shape
  const step = place.right[0]
  let i = 0
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const sourceY = place.y + y * place.down[1]
      const inside = sourceY >= 0 && sourceY < height
      const row = (c * height + sourceY) * width
      let sourceX = place.x
      for (let x = 0; x < width; x++, sourceX += step) {
        to[i++] = inside && sourceX >= 0 && sourceX < width ? from[row + sourceX]! : changes.fill
      }
    }
  }
}

/** Bilinear, from the four pixels around the source. */
function interpolate(from: ImageJob['x'], to: Float32Array, { shape, changes }: ImageJob, place: Place): void {
  const [channels, height, width] = shape
  const { fill } = changes
  const plane = height * width
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const sourceX = place.x + x * place.right[0] + y * place.down[0]
      const sourceY = place.y + x * place.right[1] + y * place.down[1]
      const left = Math.floor(sourceX)
      const top = Math.floor(sourceY)
      const right = sourceX - left
      const bottom = sourceY - top
      const inLeft = left >= 0 && left < width
      const inRight = left >= -1 && left < width - 1
      const inTop = top >= 0 && top < height
      const inBottom = top >= -1 && top < height - 1
      for (let c = 0, at = top * width + left; c < channels; c++, at += plane) {
        const topLeft = inTop && inLeft ? from[at]! : fill
        const topRight = inTop && inRight ? from[at + 1]! : fill
        const bottomLeft = inBottom && inLeft ? from[at + width]! : fill
        const bottomRight = inBottom && inRight ? from[at + width + 1]! : fill
        to[c * plane + i] =
          (1 - bottom) * ((1 - right) * topLeft + right * topRight) +
          bottom * ((1 - right) * bottomLeft + right * bottomRight)
      }
    }
  }
}

function light(image: Float32Array, job: ImageJob, random: RandomStream): void {
  const { brightness, contrast } = job.changes
  const range = job.x instanceof Uint8Array ? 255 : 1
  const factor = random.uniform(1 - contrast, 1 + contrast)
  const shift = range * random.uniform(-brightness, brightness)
  if (brightness === 0 && contrast === 0) return
  let sum = 0
  for (let i = 0; i < image.length; i++) sum += image[i]!
  const mean = sum / image.length
  for (let i = 0; i < image.length; i++) {
    image[i] = Math.min(Math.max(mean + factor * (image[i]! - mean) + shift, 0), range)
  }
}

function cut(image: Float32Array, job: ImageJob, random: RandomStream): void {
  const { cutout, fill } = job.changes
  if (cutout === 0) return
  const [channels, height, width] = job.shape
  const left = random.below(width) - Math.floor(cutout / 2)
  const top = random.below(height) - Math.floor(cutout / 2)
  const [x0, x1] = [Math.max(left, 0), Math.min(left + cutout, width)]
  for (let c = 0; c < channels; c++) {
    for (let y = Math.max(top, 0); y < Math.min(top + cutout, height); y++) {
      const row = (c * height + y) * width
      image.fill(fill, row + x0, row + x1)
    }
  }
}

function normalize(image: Float32Array, { scale, offset }: NonNullable<ImageJob['normalization']>): void {
  const plane = image.length / scale.length
  let i = 0
  for (let c = 0; c < scale.length; c++) {
    const factor = scale[c]!
    const shift = offset[c]!
    for (const end = i + plane; i < end; i++) image[i] = image[i]! * factor + shift
  }
}
