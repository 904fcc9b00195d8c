/**
 * The members of `fj.data`.
 */
export { type AugmentOptions, augment } from './augment.js'
export {
  cacheFolder,
  type DataFolder,
  dataFolders,
  findFile,
  type LocateOptions,
  locateFile,
  verifyFile,
} from './cache.js'
export { type Cifar10Options, cifar10 } from './cifar10.js'
export {
  concat,
  type MapOptions,
  map,
  type PrefetchOptions,
  prefetch,
  type SplitOptions,
  split,
  subset,
} from './combine.js'
export { type CsvOptions, csv } from './csv.js'
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
  type Splits,
  standardize,
} from './dataset.js'
export { type DownloadProgress, download } from './download.js'
export { type IdxArray, parseIdx } from './idx.js'
export { type ImageFolderOptions, imageFolder } from './image_folder.js'
export { fashionMnist, mnist } from './mnist.js'
export { PLAYGROUND_SETS, type PlaygroundOptions, playground } from './playground.js'
export { SOURCES, type Source, type SourceFile } from './sources.js'
export { type SyntheticDigitsOptions, syntheticDigits } from './synthetic_digits.js'
export { type SyntheticShapesOptions, syntheticShapes } from './synthetic_shapes.js'
export { digits, type HousingOptions, housing, type PartOptions } from './tables.js'
