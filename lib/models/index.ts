/**
 * `fj.models`: networks by name. To add one: its file, an entry in MODELS, its counts in test/models.
 */
import type { DType } from '../dtype.js'
import { ForjaError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Tensor } from '../tensor.js'
import { type AlexNetOptions, alexnet } from './alexnet.js'
import { type GoogLeNetOptions, googlenet } from './googlenet.js'
import { type LeNet5Options, lenet5 } from './lenet5.js'
import { type MLPOptions, mlp, softmaxRegression } from './mlp.js'
import {
  type CharLSTMOptions,
  charLSTM,
  gruClassifier,
  lstmClassifier,
  type RecurrentClassifierOptions,
  rnnClassifier,
} from './recurrent.js'
import { type ResNetOptions, resnet18, resnet18Cifar, resnet34, resnet50, resnet101, resnet152 } from './resnet.js'
import { type VGGOptions, vgg11, vgg13, vgg16, vgg19 } from './vgg.js'

export { type AlexNet, type AlexNetOptions, alexnet } from './alexnet.js'
export { type GoogLeNet, type GoogLeNetOptions, googlenet } from './googlenet.js'
export { type LeNet5, type LeNet5Options, lenet5 } from './lenet5.js'
export {
  type MLP,
  type MLPOptions,
  mlp,
  type SoftmaxRegression,
  type SoftmaxRegressionOptions,
  softmaxRegression,
} from './mlp.js'
export {
  type CharLSTM,
  type CharLSTMOptions,
  charLSTM,
  gruClassifier,
  lstmClassifier,
  type RecurrentClassifier,
  type RecurrentClassifierOptions,
  rnnClassifier,
} from './recurrent.js'
export {
  type ResNet,
  type ResNetOptions,
  resnet18,
  resnet18Cifar,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
} from './resnet.js'
export { type VGG, type VGGOptions, vgg11, vgg13, vgg16, vgg19 } from './vgg.js'

export interface ModelInfo {
  readonly name: string
  /** One line. */
  readonly description: string
  /** The shape of a sample, with default options. */
  readonly input: readonly number[]
  /** Of its elements: int32 for networks that begin with an embedding. */
  readonly dtype: DType
  /** Outputs, with default options. */
  readonly classes: number
}

/** Options of every network of this package; each takes those it knows. */
export type ModelOptions = MLPOptions &
  LeNet5Options &
  ResNetOptions &
  AlexNetOptions &
  VGGOptions &
  GoogLeNetOptions &
  RecurrentClassifierOptions &
  CharLSTMOptions

/** A network that takes and gives one tensor. */
export type Network = Module<[x: Tensor]>

interface Entry extends Omit<ModelInfo, 'name' | 'dtype'> {
  /** Default float32. */
  readonly dtype?: DType
  readonly create: (options: ModelOptions) => Network
  readonly options: readonly string[]
}

const MNIST = [1, 28, 28]
const CIFAR = [3, 32, 32]
const IMAGENET = [3, 224, 224]

function imagenet(create: Entry['create'], description: string, ...options: string[]): Entry {
  return { create, description, input: IMAGENET, classes: 1000, options: ['classes', ...options] }
}

function rows(create: Entry['create'], cell: string): Entry {
  const description = `${cell} 28→128 over the rows of an image, its last state to a linear layer`
  return { create, description, input: MNIST, classes: 10, options: ['inputs', 'hiddenSize', 'classes'] }
}

const MODELS: Readonly<Record<string, Entry>> = {
  softmaxRegression: {
    create: softmaxRegression,
    description: 'one linear layer, the baseline',
    input: MNIST,
    classes: 10,
    options: ['inputs', 'classes'],
  },
  mlp: {
    create: mlp,
    description: 'multilayer perceptron 784-512-10 with ReLU',
    input: MNIST,
    classes: 10,
    options: ['inputs', 'hidden', 'classes'],
  },
  lenet5: {
    create: lenet5,
    description: 'LeNet-5 with ReLU and max pooling',
    input: MNIST,
    classes: 10,
    options: ['classes'],
  },
  rnnClassifier: rows(rnnClassifier, 'simple RNN'),
  lstmClassifier: rows(lstmClassifier, 'LSTM'),
  gruClassifier: rows(gruClassifier, 'GRU'),
  charLSTM: {
    create: charLSTM,
    description: 'language model of characters: embedding 64, LSTM 256, linear layer',
    input: [100],
    dtype: 'int32',
    classes: 96,
    options: ['vocabulary', 'embeddingSize', 'hiddenSize', 'numLayers'],
  },
  resnet18Cifar: {
    create: resnet18Cifar,
    description: 'ResNet-18 for 32×32 images: 3×3 stem, no first pooling',
    input: CIFAR,
    classes: 10,
    options: ['classes'],
  },
  alexnet: imagenet(alexnet, 'AlexNet in its single-tower form', 'dropout'),
  vgg11: imagenet(vgg11, 'VGG with 8 convolutions', 'dropout'),
  vgg13: imagenet(vgg13, 'VGG with 10 convolutions', 'dropout'),
  vgg16: imagenet(vgg16, 'VGG with 13 convolutions', 'dropout'),
  vgg19: imagenet(vgg19, 'VGG with 16 convolutions', 'dropout'),
  googlenet: imagenet(googlenet, 'GoogLeNet with batch normalisation, no auxiliary heads', 'dropout'),
  resnet18: imagenet(resnet18, 'residual network of 18 layers'),
  resnet34: imagenet(resnet34, 'residual network of 34 layers'),
  resnet50: imagenet(resnet50, 'residual network of 50 layers, bottleneck blocks'),
  resnet101: imagenet(resnet101, 'residual network of 101 layers, bottleneck blocks'),
  resnet152: imagenet(resnet152, 'residual network of 152 layers, bottleneck blocks'),
}

/** The networks of this package. */
export function list(): ModelInfo[] {
  return Object.entries(MODELS).map(([name, { description, input, dtype = 'float32', classes }]) => ({
    name,
    description,
    input: [...input],
    dtype,
    classes,
  }))
}

/**
 * The network called `name`, with fresh weights.
 *
 * @throws ERR_ARGUMENT for an unknown name or option, listing those there are.
 */
export function create(name: string, options: ModelOptions = {}): Network {
  if (!Object.hasOwn(MODELS, name)) {
    throw new ForjaError('ERR_ARGUMENT', `unknown model '${name}'; expected one of ${Object.keys(MODELS).join(', ')}`)
  }
  const entry = MODELS[name]!
  for (const option of Object.keys(options)) {
    if (!entry.options.includes(option)) {
      throw new ForjaError('ERR_ARGUMENT', `${name} has no option '${option}'; it takes ${entry.options.join(', ')}`)
    }
  }
  return entry.create(options)
}
