/**
 * The members of `fj.data`.
 */
export {
  cacheFolder,
  type DataFolder,
  dataFolders,
  findFile,
  type LocateOptions,
  locateFile,
  verifyFile,
} from './cache.js'
export {
  ArrayDataset,
  type ArraysOptions,
  type Batch,
  type BatchOptions,
  type Dataset,
  type Field,
  fromArrays,
  type Normalization,
  type OrderOptions,
  type ReadOptions,
  type Sample,
  standardize,
} from './dataset.js'
export { type DownloadProgress, download } from './download.js'
export { type IdxArray, parseIdx } from './idx.js'
export { fashionMnist, mnist, type Splits } from './mnist.js'
export { SOURCES, type Source, type SourceFile } from './sources.js'
export { type SyntheticDigitsOptions, syntheticDigits } from './synthetic_digits.js'
