/**
 * Images in folders: every folder is a class, every JPEG or PNG in it a sample.
 *
 *     photos/cat/001.jpg  photos/cat/002.png  photos/dog/a.jpeg ...
 *
 * Decoding, scaling and cropping are done by the optional package sharp on libuv's worker threads; the event loop only
 * copies the pixels, from interleaved (H, W, C) to planes (C, H, W), as uint8.
 */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { Sharp } from 'sharp'
import { describeGiven, ForjaError } from '../errors.js'
import { refuse } from '../ops/refuse.js'
import { checkChoice, checkOptions, perAxis } from '../options.js'
import { type ArrayDataset, fromArrays, type Normalization } from './dataset.js'

export interface ImageFolderOptions {
  /** Side, or [height, width], in pixels that every image gets. Default: that of the first, which all must have. */
  size?: number | readonly [height: number, width: number]
  /** 'cover' keeps the proportions and crops about the centre; 'stretch' does not. Default 'cover'. */
  fit?: 'cover' | 'stretch'
  /** 1 (grey) or 3 (red, green, blue). Default 3. */
  channels?: 1 | 3
  /** What the folders must be called, in the order of the labels. Default: those there are, sorted. */
  classNames?: readonly string[]
  /** Default: v / 255, from 0 to 1. */
  normalization?: Normalization
  signal?: AbortSignal
  onProgress?: (progress: { done: number; total: number }) => void
}

interface Picture {
  path: string
  label: number
}

interface Pixels {
  data: Uint8Array
  width: number
  height: number
}

const IMAGE_FOLDER = ['size', 'fit', 'channels', 'classNames', 'normalization', 'signal', 'onProgress'] as const

/** Enough that libuv's threads always have work. */
const IN_FLIGHT = 16
const EXTENSIONS = ['.jpg', '.jpeg', '.png']

/**
 * All images of a folder of class folders, in memory: uint8 [N, channels, height, width].
 *
 * @throws ERR_FORMAT naming an image that cannot be decoded, or a class without images; ERR_SHAPE where sizes differ and
 *   none was given; ERR_BACKEND_UNAVAILABLE without sharp; ERR_OUT_OF_MEMORY; the signal's reason.
 */
export async function imageFolder(path: string, options: ImageFolderOptions = {}): Promise<ArrayDataset> {
  checkOptions('imageFolder', options, IMAGE_FOLDER)
  if (typeof path !== 'string')
    refuse('imageFolder', 'ERR_ARGUMENT', `the path of a folder expected, got ${describeGiven(path)}`)
  const { fit = 'cover', channels = 3, signal, onProgress } = options
  const { normalization = { scale: [1 / 255], offset: [0] } } = options
  const wanted = checkSize(options.size)
  checkChoice('imageFolder', 'fit', fit, ['cover', 'stretch'])
  checkChoice('imageFolder', 'channels', channels, [1, 3])
  const { classNames, pictures } = await listPictures(path, options.classNames)
  const decode = await decoder(wanted, fit, channels)
  const { height, width } = wanted ?? (await decode(pictures[0]!.path))
  const size = channels * height * width
  const x = allocate(pictures.length, size, path)
  const y = Int32Array.from(pictures, ({ label }) => label)

  let next = 0
  let done = 0
  let failure: { error: unknown } | undefined
  const worker = async (): Promise<void> => {
    try {
      while (next < pictures.length && !failure) {
        signal?.throwIfAborted()
        const i = next++
        const picture = pictures[i]!
        const pixels = await decode(picture.path)
        if (pixels.width !== width || pixels.height !== height) {
          throw new ForjaError(
            'ERR_SHAPE',
            `${picture.path}: ${pixels.width}×${pixels.height} pixels; ${pictures[0]!.path} has ${width}×${height}`,
            { hint: 'size: 64 scales and crops every image to 64×64.' },
          )
        }
        toPlanes(pixels.data, channels, x.subarray(i * size, (i + 1) * size))
        onProgress?.({ done: ++done, total: pictures.length })
      }
    } catch (error) {
      failure ??= { error }
    }
  }
  // The first failure in time is told, once no image is being decoded any more.
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  if (failure) throw (failure as { error: unknown }).error
  return fromArrays({ x, y, shape: [channels, height, width], classNames, normalization })
}

/** (H, W, C) → (C, H, W). */
function toPlanes(pixels: Uint8Array, channels: number, out: Uint8Array): void {
  const plane = out.length / channels
  for (let c = 0; c < channels; c++) {
    for (let i = 0, from = c; i < plane; i++, from += channels) out[c * plane + i] = pixels[from]!
  }
}

async function listPictures(path: string, wanted?: readonly string[]) {
  const entries = await listFolder(path)
  const folders: string[] = []
  for (const entry of entries) {
    // A link to a folder is a class as well.
    const found = entry.isSymbolicLink() ? await stat(join(path, entry.name)).catch(() => undefined) : entry
    if (found?.isDirectory() && !entry.name.startsWith('.')) folders.push(entry.name)
  }
  const classNames = wanted ?? folders.sort()
  if (classNames.length === 0) {
    throw new ForjaError('ERR_FORMAT', `${path}: no class; expected one folder a class, with the images in it`)
  }
  const pictures: Picture[] = []
  for (const [label, name] of classNames.entries()) {
    const folder = join(path, name)
    const names = folders.includes(name) ? (await listFolder(folder)).map((entry) => entry.name) : []
    const images = names.filter((file) => EXTENSIONS.includes(extname(file).toLowerCase()) && !file.startsWith('.'))
    if (images.length === 0) {
      throw new ForjaError('ERR_FORMAT', `${folder}: the class has no image; expected files ${EXTENSIONS.join(', ')}`)
    }
    for (const file of images.sort()) pictures.push({ path: join(folder, file), label })
  }
  return { classNames, pictures }
}

async function listFolder(path: string): Promise<Dirent[]> {
  return await readdir(path, { withFileTypes: true }).catch((cause: Error) => {
    throw new ForjaError('ERR_ARGUMENT', `imageFolder: ${path} cannot be read: ${cause.message}`, { cause })
  })
}

async function decoder(
  size: { height: number; width: number } | undefined,
  fit: 'cover' | 'stretch',
  channels: 1 | 3,
): Promise<(path: string) => Promise<Pixels>> {
  const { default: sharp } = await import('sharp').catch((cause: Error) => {
    throw new ForjaError('ERR_BACKEND_UNAVAILABLE', `JPEG and PNG need the package sharp: ${cause.message}`, {
      cause,
      hint: 'npm install sharp',
    })
  })
  return async (path) => {
    try {
      let image: Sharp = sharp(path).autoOrient().flatten()
      if (size) image = image.resize({ ...size, fit: fit === 'cover' ? 'cover' : 'fill' })
      image = image.toColourspace(channels === 1 ? 'b-w' : 'srgb')
      const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
      return { data, width: info.width, height: info.height }
    } catch (cause) {
      const [reason] = (cause as Error).message.split('\n')
      throw new ForjaError('ERR_FORMAT', `${path}: the image cannot be decoded: ${reason}`, { cause })
    }
  }
}

function checkSize(size: ImageFolderOptions['size']): { height: number; width: number } | undefined {
  if (size === undefined) return undefined
  const [height, width] = perAxis('imageFolder', 'size', size, 2) as [number, number]
  return { height, width }
}

function allocate(count: number, size: number, path: string): Uint8Array {
  try {
    return new Uint8Array(count * size)
  } catch (cause) {
    throw new ForjaError(
      'ERR_OUT_OF_MEMORY',
      `${path}: ${count} images of ${size} bytes each do not fit into memory (${((count * size) / 1e9).toFixed(1)} GB)`,
      { cause, hint: 'Ask for a smaller size.' },
    )
  }
}
