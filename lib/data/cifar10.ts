/**
 * CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009): 60,000 colour images 32×32 of
 * ten classes, 50,000 to train and 10,000 to test. It is read in any of these forms:
 *
 *     cifar10/cifar-10-binary.tar.gz         as it is published
 *     cifar10/cifar-10-batches-bin/*.bin     unpacked; the .bin files may also lie in cifar10/ itself
 *     cifar10/{train,test}/<class>/*.jpg     a folder of images, which needs the package sharp
 *
 * Binary: records of 3,073 bytes, the label and 3 planes (red, green, blue) of 32×32 pixels, row by row.
 */
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { ForjaError } from '../errors.js'
import { readFileWhole } from '../io/read.js'
import { checkOptions } from '../options.js'
import { findUnpacked, LOCATE, type LocateOptions, locateFile } from './cache.js'
import { type ArrayDataset, fromArrays, type Splits } from './dataset.js'
import { imageFolder } from './image_folder.js'
import { SOURCES } from './sources.js'
import { parseTar } from './tar.js'

export interface Cifar10Options extends LocateOptions {
  /** While a folder of images is decoded. */
  onDecode?: (progress: { done: number; total: number }) => void
}

const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
const SIZE = 32
const PIXELS = 3 * SIZE * SIZE
const RECORD = 1 + PIXELS
const TRAIN = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`)
const TEST = ['test_batch.bin']
/** More than the archive unpacks to. */
const MAX_UNPACKED_BYTES = 2 ** 28

/** Of the training images, a channel: (v / 255 - mean) / deviation. */
const MEAN = [0.4914, 0.4822, 0.4465]
const DEVIATION = [0.247, 0.2435, 0.2616]
const COMMON = {
  classNames: CLASSES,
  normalization: {
    scale: DEVIATION.map((deviation) => 1 / (255 * deviation)),
    offset: MEAN.map((mean, c) => -mean / DEVIATION[c]!),
  },
}

/** One file of records; `what` names it in error texts. */
interface BatchFile {
  bytes: Uint8Array
  what: string
}

/** Finds one by its name. */
type ReadBatch = (name: string) => Promise<BatchFile>

/**
 * Photographs of ten classes: uint8 [N, 3, 32, 32] with the usual normalisation.
 *
 * @throws ERR_FORMAT naming file and byte; ERR_OFFLINE; ERR_CHECKSUM.
 */
export async function cifar10(options: Cifar10Options = {}): Promise<Splits> {
  const { onDecode, ...located } = checkOptions('cifar10', options, ['onDecode', ...LOCATE])
  const unpacked = await findUnpacked(SOURCES.cifar10, located)
  if (unpacked !== undefined && basename(unpacked) === 'train')
    return readFolders(dirname(unpacked), located.signal, onDecode)
  const read = unpacked !== undefined ? fromFolder(dirname(unpacked)) : await fromArchive(located)
  return { train: await readSplit(TRAIN, read), test: await readSplit(TEST, read) }
}

function fromFolder(folder: string): ReadBatch {
  return async (name) => {
    const what = join(folder, name)
    return { bytes: await readFileWhole(what), what }
  }
}

async function fromArchive(options: LocateOptions): Promise<ReadBatch> {
  const path = await locateFile(SOURCES.cifar10, SOURCES.cifar10.files[0], options)
  // Also under its name without .gz.
  const bytes = path.endsWith('.gz') ? await unzip(path) : await readFileWhole(path)
  const files = new Map([...parseTar(bytes, path)].map(([name, file]) => [basename(name), file]))
  return async (name) => {
    const found = files.get(name)
    if (!found) throw new ForjaError('ERR_FORMAT', `${path}: the archive has no ${name}`)
    return { bytes: found, what: `${path}: ${name}` }
  }
}

async function unzip(path: string): Promise<Uint8Array> {
  const packed = await readFileWhole(path)
  return promisify(gunzip)(packed, { maxOutputLength: MAX_UNPACKED_BYTES }).catch((cause: Error) => {
    throw new ForjaError('ERR_FORMAT', `${path}: the gzip stream cannot be read: ${cause.message}`, { cause })
  })
}

async function readFolders(
  folder: string,
  signal: AbortSignal | undefined,
  onProgress: Cifar10Options['onDecode'],
): Promise<Splits> {
  const read = (name: string) =>
    imageFolder(join(folder, name), {
      ...COMMON,
      size: SIZE,
      signal,
      onProgress,
    })
  return { train: await read('train'), test: await read('test') }
}

async function readSplit(names: readonly string[], read: ReadBatch): Promise<ArrayDataset> {
  const batches: Uint8Array[] = []
  for (const name of names) batches.push(checkBatch(await read(name)))
  const count = batches.reduce((total, batch) => total + batch.length / RECORD, 0)
  const x = new Uint8Array(count * PIXELS)
  const y = new Int32Array(count)
  let i = 0
  for (const batch of batches) {
    for (let at = 0; at < batch.length; at += RECORD, i++) {
      y[i] = batch[at]!
      x.set(batch.subarray(at + 1, at + RECORD), i * PIXELS)
    }
  }
  return fromArrays({ x, y, shape: [3, SIZE, SIZE], ...COMMON })
}

function checkBatch({ bytes, what }: BatchFile): Uint8Array {
  const rest = bytes.length % RECORD
  if (bytes.length === 0 || rest !== 0) {
    const start = bytes.length - rest
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: ${bytes.length} bytes; expected whole records of ${RECORD} bytes (10,000 of them, 30,730,000 bytes, in the ` +
        `original): record ${start / RECORD} at byte ${start} has ${rest}`,
      { hint: 'The file was not copied to its end, or is the python form; the binary form is read.' },
    )
  }
  for (let at = 0; at < bytes.length; at += RECORD) {
    if (bytes[at]! >= CLASSES.length) {
      throw new ForjaError(
        'ERR_FORMAT',
        `${what}: label ${bytes[at]} of record ${at / RECORD} at byte ${at}; expected 0 to ${CLASSES.length - 1}`,
      )
    }
  }
  return bytes
}
