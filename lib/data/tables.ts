/**
 * Two well-known sets that are CSV files: California housing and the 8×8 digits.
 */
import { ForjaError } from '../errors.js'
import { checkChoice, checkOptions } from '../options.js'
import { LOCATE, type LocateOptions, locateFile } from './cache.js'
import { split } from './combine.js'
import { columnMeans, dropIncomplete, fillMissing, readTable, toDataset } from './csv.js'
import { fromArrays, type Splits, standardize } from './dataset.js'
import { SOURCES } from './sources.js'

export interface PartOptions extends LocateOptions {
  /** The share that is held out. */
  test?: number
  /** Which rows are held out. Default 0, whatever setSeed() says: the parts stay the same while runs differ. */
  seed?: number
}

export interface HousingOptions extends PartOptions {
  /** The 207 districts without total_bedrooms: filled with the mean of the training rows, or left out. Default 'mean'. */
  missing?: 'mean' | 'drop'
  /** The word ocean_proximity: five columns of zeros and ones, or left out. Default 'onehot'. */
  oceanProximity?: 'onehot' | 'drop'
}

/** Dollars: targets are in hundreds of thousands. */
const HOUSE_UNIT = 100_000
const HOUSE_FEATURES = [
  'longitude',
  'latitude',
  'housing_median_age',
  'total_rooms',
  'total_bedrooms',
  'population',
  'households',
  'median_income',
]
const OCEAN = 'ocean_proximity'

/**
 * California housing (Pace and Barry, "Sparse spatial autoregressions", 1997): 20,640 districts of the 1990 census. x:
 * float32 [N, 13], columns with mean 0 and deviation 1 over the training rows; y: the median house value in 100,000
 * dollars, float32 [N, 1]. A fifth is held out unless `test` says otherwise.
 */
export async function housing(options: HousingOptions = {}): Promise<Splits> {
  const known = ['missing', 'oceanProximity', 'test', 'seed', ...LOCATE] as const
  checkOptions('housing', options, known)
  const { missing = 'mean', oceanProximity = 'onehot', test = 0.2, seed = 0, ...located } = options
  checkChoice('housing', 'missing', missing, ['mean', 'drop'])
  checkChoice('housing', 'oceanProximity', oceanProximity, ['onehot', 'drop'])
  const path = await locateFile(SOURCES.housing, SOURCES.housing.files[0], located)
  const table = await readTable(path, {
    label: 'median_house_value',
    features: oceanProximity === 'onehot' ? [...HOUSE_FEATURES, OCEAN] : HOUSE_FEATURES,
    categories: oceanProximity === 'onehot' ? [OCEAN] : [],
    missing,
  })
  const rows = toDataset(path, missing === 'drop' ? dropIncomplete(table) : table, 'number')
  for (let i = 0; i < rows.y.length; i++) rows.y[i]! /= HOUSE_UNIT
  const parts = split(rows, { test, seed })
  const means = columnMeans(parts.train.x, rows.fields[0].shape[0]!)
  for (const part of [parts.train, parts.test]) fillMissing(part.x, means)
  const normalization = standardize(parts.train.x, parts.train.fields[0].shape)
  return { train: parts.train.normalized(normalization), test: parts.test.normalized(normalization) }
}

/**
 * Handwritten digits of 8×8 pixels, 0 to 16 each (Alpaydin and Kaynak, "Optical recognition of handwritten digits",
 * UCI, 1998): 1,797 images, uint8 [N, 1, 8, 8], the network seeing v / 16. 30 % are held out unless `test` says
 * otherwise. The file is `digits/digits.csv.gz`, 64 values and the label a row; it is never fetched.
 */
export async function digits(options: PartOptions = {}): Promise<Splits> {
  const { test = 0.3, seed = 0, ...located } = checkOptions('digits', options, ['test', 'seed', ...LOCATE])
  const path = await locateFile(SOURCES.digits, SOURCES.digits.files[0], located)
  const table = await readTable(path, { header: false })
  const width = table.featureNames.length
  if (width !== 64) {
    throw new ForjaError('ERR_FORMAT', `${path}: ${width + 1} columns; expected 65, 64 pixels and the label`)
  }
  const all = fromArrays({
    x: pixels(path, table.x, table.lines),
    y: labels(path, table.labels, table.lines),
    shape: [1, 8, 8],
    classNames: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
    normalization: { scale: [1 / 16], offset: [0] },
  })
  return split(all, { test, seed })
}

function pixels(path: string, values: Float32Array, lines: Int32Array): Uint8Array {
  const bad = values.findIndex((value) => !Number.isInteger(value) || value < 0 || value > 16)
  if (bad >= 0) {
    const place = `line ${lines[Math.floor(bad / 64)]}, column '${bad % 64}'`
    throw new ForjaError('ERR_FORMAT', `${path}: ${place}: ${values[bad]}; expected an integer from 0 to 16`)
  }
  return Uint8Array.from(values)
}

function labels(path: string, texts: readonly string[], lines: Int32Array): Int32Array {
  const bad = texts.findIndex((text) => !/^[0-9]$/.test(text))
  if (bad >= 0) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${path}: line ${lines[bad]}, column '64': label '${texts[bad]}'; expected 0 to 9`,
    )
  }
  return Int32Array.from(texts, Number)
}
