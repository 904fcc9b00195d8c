/**
 * MNIST and the data sets that share its layout: four IDX files, uint8 images [N, 28, 28] and labels [N] in 0..9.
 * Images come out as uint8 [N, 1, 28, 28] with the normalisation (v / 255 - mean) / deviation of the training images.
 */
import { ForjaError } from '../errors.js'
import { readFileWhole } from '../io/read.js'
import { checkOptions } from '../options.js'
import { LOCATE, type LocateOptions, locateFile } from './cache.js'
import { type ArrayDataset, fromArrays, type Normalization, type Splits } from './dataset.js'
import { parseIdx } from './idx.js'
import { SOURCES, type Source } from './sources.js'

const SIZE = 28
const DIGITS = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
const GARMENTS = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
]

/** Handwritten digits: 60,000 and 10,000. */
export async function mnist(options: LocateOptions = {}): Promise<Splits> {
  checkOptions('mnist', options, LOCATE)
  return load(SOURCES.mnist, DIGITS, { mean: 0.1307, deviation: 0.3081 }, options)
}

/** Pictures of clothes: 60,000 and 10,000. */
export async function fashionMnist(options: LocateOptions = {}): Promise<Splits> {
  checkOptions('fashionMnist', options, LOCATE)
  return load(SOURCES.fashionMnist, GARMENTS, { mean: 0.286, deviation: 0.353 }, options)
}

async function load(
  source: Source,
  classNames: readonly string[],
  { mean, deviation }: { mean: number; deviation: number },
  options: LocateOptions,
): Promise<Splits> {
  const paths: string[] = []
  for (const file of source.files) paths.push(await locateFile(source, file, options))
  const [trainImages, trainLabels, testImages, testLabels] = paths as [string, string, string, string]
  const normalization = { scale: [1 / (255 * deviation)], offset: [-mean / deviation] }
  return {
    train: await readSplit(trainImages, trainLabels, classNames, normalization),
    test: await readSplit(testImages, testLabels, classNames, normalization),
  }
}

async function readSplit(
  imagePath: string,
  labelPath: string,
  classNames: readonly string[],
  normalization: Normalization,
): Promise<ArrayDataset> {
  const images = parseIdx(await readFileWhole(imagePath), imagePath)
  const labels = parseIdx(await readFileWhole(labelPath), labelPath)
  const [count, rows, columns] = images.shape
  if (images.dtype !== 'uint8' || images.shape.length !== 3 || rows !== SIZE || columns !== SIZE) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${imagePath}: expected uint8 images [N, ${SIZE}, ${SIZE}], found ${images.dtype} [${images.shape.join(', ')}]`,
    )
  }
  if (labels.dtype !== 'uint8' || labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${labelPath}: expected uint8 labels [${count}] for the images of ${imagePath}, ` +
        `found ${labels.dtype} [${labels.shape.join(', ')}]`,
    )
  }
  const wrong = labels.data.findIndex((label) => label >= classNames.length)
  if (wrong >= 0) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${labelPath}: label ${labels.data[wrong]} of sample ${wrong} at byte ${8 + wrong} (unpacked); expected 0 to 9`,
    )
  }
  return fromArrays({ x: images.data, y: labels.data, shape: [1, SIZE, SIZE], classNames, normalization })
}
