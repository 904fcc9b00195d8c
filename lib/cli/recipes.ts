/**
 * What `forja train` does where the user says nothing: data, epochs and optimizer of each network. The figures reach
 * on MNIST: softmaxRegression 92 %, mlp 97.9 %, lenet5 98.8 %, lstmClassifier 98.8 %.
 */
import type { AugmentOptions } from '../data/augment.js'
import { PLAYGROUND_SETS } from '../data/playground.js'
import { ForjaError } from '../errors.js'
import * as optim from '../optim/index.js'
import type { Variable } from '../variable.js'

type Make = (parameters: readonly Variable[], lr: number) => optim.Optimizer

/** By the names of --optimizer; each with its usual learning rate. */
export const OPTIMIZERS: Readonly<Record<string, { lr: number; make: Make }>> = {
  sgd: { lr: 0.05, make: (parameters, lr) => new optim.SGD(parameters, { lr }) },
  momentum: { lr: 0.05, make: (parameters, lr) => new optim.SGD(parameters, { lr, momentum: 0.9 }) },
  nesterov: { lr: 0.05, make: (parameters, lr) => new optim.SGD(parameters, { lr, momentum: 0.9, nesterov: true }) },
  adam: { lr: 0.001, make: (parameters, lr) => new optim.Adam(parameters, { lr }) },
  adamw: { lr: 0.001, make: (parameters, lr) => new optim.AdamW(parameters, { lr }) },
}

export interface Recipe {
  /** The first that is available is taken. */
  readonly data: readonly string[]
  readonly epochs: number
  readonly batchSize: number
  readonly optimizer: string
  readonly lr: number
  /** What the rate is multiplied by after every epoch; not where the user chose optimizer or rate. Default 1. */
  readonly decay?: number
  /** How training images are changed. */
  readonly augment?: AugmentOptions
}

const DIGITS: Recipe = { data: ['mnist', 'synthetic'], epochs: 3, batchSize: 64, optimizer: 'momentum', lr: 0.02 }

const CIFAR: Partial<Recipe> = {
  data: ['cifar10', 'shapes'],
  epochs: 15,
  batchSize: 128,
  lr: 0.05,
  decay: 0.8,
  augment: { crop: 4, flip: true },
}

const CODE: Partial<Recipe> = { epochs: 10, batchSize: 64, optimizer: 'adam', lr: 0.003 }

const RECIPES: Readonly<Record<string, Partial<Recipe>>> = {
  softmaxRegression: { epochs: 5, batchSize: 128, optimizer: 'adam', lr: 0.001 },
  mlp: { epochs: 5, batchSize: 128, optimizer: 'adam', lr: 0.001 },
  lenet5: { lr: 0.05, decay: 0.5 },
  lenet1998: { lr: 0.002 },
  rnnClassifier: { epochs: 5, batchSize: 128, optimizer: 'adam', lr: 0.001, decay: 0.7 },
  lstmClassifier: { epochs: 5, batchSize: 128, optimizer: 'adam', lr: 0.003, decay: 0.6 },
  gruClassifier: { epochs: 5, batchSize: 128, optimizer: 'adam', lr: 0.003, decay: 0.6 },
  autoencoder: { epochs: 5, batchSize: 128, optimizer: 'adam', lr: 0.002 },
  denoisingAutoencoder: CODE,
  sparseAutoencoder: CODE,
  convAutoencoder: { epochs: 2, batchSize: 128, optimizer: 'adam', lr: 0.002 },
  convnetjsCifar: { ...CIFAR, batchSize: 64, optimizer: 'adam', lr: 0.002, augment: { crop: 2, flip: true } },
  resnet18Cifar: CIFAR,
  resnet20Cifar: CIFAR,
  resnet56Cifar: CIFAR,
  resnet110Cifar: CIFAR,
}

/** Small sets are seen more often. */
const SMALL: Partial<Recipe> = { epochs: 40, batchSize: 32, optimizer: 'adam', lr: 0.001 }
const POINTS: Partial<Recipe> = { epochs: 100, batchSize: 10, optimizer: 'adam', lr: 0.003 }
const BY_DATA: Readonly<Record<string, Partial<Recipe>>> = {
  digits: SMALL,
  housing: { ...SMALL, epochs: 20, batchSize: 64, decay: 0.9 },
  ...Object.fromEntries(PLAYGROUND_SETS.map((name) => [name, POINTS])),
}

/** @param data the data set that the user asked for, if any */
export function recipeFor(model: string, data = ''): Recipe {
  return { ...DIGITS, ...RECIPES[model], ...BY_DATA[data] }
}

export function makeOptimizer(name: string, parameters: readonly Variable[], lr: number | undefined): optim.Optimizer {
  const entry = Object.hasOwn(OPTIMIZERS, name) ? OPTIMIZERS[name]! : undefined
  if (!entry) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `unknown optimizer '${name}'; expected one of ${Object.keys(OPTIMIZERS).join(', ')}`,
    )
  }
  return entry.make(parameters, lr ?? entry.lr)
}
