/**
 * `fj.models`: networks, most of them also by name. To add one: its file, an entry in MODELS, its counts in
 * test/models.
 */
import type { DType } from '../dtype.js'
import { ForjaError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Tensor } from '../tensor.js'
import { alexnet } from './alexnet.js'
import { type AlexNet2012Options, alexnet2012 } from './alexnet2012.js'
import {
  type AutoencoderOptions,
  autoencoder,
  type ConvAutoencoderOptions,
  convAutoencoder,
  denoisingAutoencoder,
  sparseAutoencoder,
} from './autoencoder.js'
import { type ConvNetJSCifarOptions, convnetjsCifar } from './convnetjs.js'
import { type GoogLeNetOptions, googlenet, googlenet2014 } from './googlenet.js'
import {
  type DeepBeliefNetworkOptions,
  deepBeliefNetwork,
  type StackedAutoencoderOptions,
  stackedAutoencoder,
} from './greedy.js'
import { type HaykinOptions, haykin } from './haykin.js'
import { type LeNet5Options, lenet5 } from './lenet5.js'
import { type LeNet1998Options, lenet1998 } from './lenet1998.js'
import { type MLPOptions, mlp, softmaxRegression } from './mlp.js'
import { type PerceptronOptions, perceptron } from './perceptron.js'
import {
  type CharLSTMOptions,
  charLSTM,
  gruClassifier,
  lstmClassifier,
  type RecurrentClassifierOptions,
  rnnClassifier,
} from './recurrent.js'
import { type BottleneckOptions, resnet18, resnet18Cifar, resnet34, resnet50, resnet101, resnet152 } from './resnet.js'
import { type ResNetCifarOptions, resnet20Cifar, resnet56Cifar, resnet110Cifar } from './resnet_cifar.js'
import { type VGGOptions, vgg11, vgg11Bn, vgg13, vgg13Bn, vgg16, vgg16Bn, vgg19, vgg19Bn } from './vgg.js'

export { type AlexNet, type AlexNetOptions, alexnet } from './alexnet.js'
export { type AlexNet2012, type AlexNet2012Options, alexnet2012 } from './alexnet2012.js'
export {
  Autoencoder,
  type AutoencoderOptions,
  autoencoder,
  type ConvAutoencoderOptions,
  convAutoencoder,
  denoisingAutoencoder,
  type ReconstructionOptions,
  type SparsityOptions,
  sparseAutoencoder,
  sparsityPenalty,
} from './autoencoder.js'
export { type ConvNetJSCifar, type ConvNetJSCifarOptions, convnetjsCifar } from './convnetjs.js'
export {
  type GoogLeNet,
  type GoogLeNetHeads,
  type GoogLeNetOptions,
  googlenet,
  googlenet2014,
} from './googlenet.js'
export {
  type AutoencoderLayer,
  type DeepBeliefNetworkOptions,
  deepBeliefNetwork,
  evaluateUnsupervised,
  fitUnsupervised,
  type GreedyLayer,
  GreedyStack,
  type PretrainOptions,
  reconstructionError,
  type StackedAutoencoderOptions,
  stackedAutoencoder,
  type Unsupervised,
  type UnsupervisedFitOptions,
} from './greedy.js'
export { type Haykin, type HaykinOptions, haykin } from './haykin.js'
export { type LeNet5, type LeNet5Options, lenet5 } from './lenet5.js'
export { type LeNet1998, type LeNet1998Options, lenet1998 } from './lenet1998.js'
export {
  type HiddenActivation,
  type MLP,
  type MLPOptions,
  mlp,
  type SoftmaxRegression,
  type SoftmaxRegressionOptions,
  softmaxRegression,
} from './mlp.js'
export { type Perceptron, type PerceptronOptions, perceptron, perceptronLoss } from './perceptron.js'
export { RBM, type RBMOptions, rbm } from './rbm.js'
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
  type BottleneckOptions,
  type ResNet,
  type ResNetOptions,
  resnet18,
  resnet18Cifar,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
} from './resnet.js'
export {
  type ResNetCifar,
  type ResNetCifarOptions,
  resnet20Cifar,
  resnet56Cifar,
  resnet110Cifar,
} from './resnet_cifar.js'
export {
  type VGG,
  type VGGOptions,
  vgg11,
  vgg11Bn,
  vgg13,
  vgg13Bn,
  vgg16,
  vgg16Bn,
  vgg19,
  vgg19Bn,
} from './vgg.js'

export interface ModelInfo {
  readonly name: string
  /** One line. */
  readonly description: string
  /** The shape of a sample, with default options. */
  readonly input: readonly number[]
  /** Of its elements: int32 for networks that begin with an embedding. */
  readonly dtype: DType
  /** Outputs, with default options: classes, numbers of a sample or of a code. */
  readonly classes: number
  /** What trains it: fit() with labels, fitUnsupervised() on samples alone, or its own pretrain(), layer by layer. */
  readonly trainedBy: 'fit' | 'fitUnsupervised' | 'pretrain'
  /** Whether it takes samples of any shape, flattened to as many numbers as its option `inputs` says. */
  readonly flattens: boolean
}

/** Options of every network of this package; each takes those it knows. */
export type ModelOptions = PerceptronOptions &
  MLPOptions &
  LeNet5Options &
  Omit<LeNet1998Options, 'output'> &
  ConvNetJSCifarOptions &
  HaykinOptions &
  BottleneckOptions &
  ResNetCifarOptions &
  AlexNet2012Options &
  VGGOptions &
  GoogLeNetOptions &
  RecurrentClassifierOptions &
  CharLSTMOptions &
  Omit<AutoencoderOptions & ConvAutoencoderOptions, 'output'> &
  DeepBeliefNetworkOptions &
  StackedAutoencoderOptions & { output?: LeNet1998Options['output'] | AutoencoderOptions['output'] }

/** A network that takes and gives one tensor. */
export type Network = Module<[x: Tensor]>

interface Entry extends Omit<ModelInfo, 'name' | 'dtype' | 'flattens' | 'trainedBy'> {
  /** Default float32. */
  readonly dtype?: DType
  readonly create: (options: ModelOptions) => Network
  readonly flattens?: boolean
  /** Default 'fit'. */
  readonly trainedBy?: ModelInfo['trainedBy']
}

const MNIST = [1, 28, 28]
const CIFAR = [3, 32, 32]
const IMAGENET = [3, 224, 224]

function cifar(create: Entry['create'], description: string): Entry {
  return { create, description, input: CIFAR, classes: 10 }
}

function imagenet(create: Entry['create'], description: string): Entry {
  return { create, description, input: IMAGENET, classes: 1000 }
}

function rows(create: Entry['create'], cell: string): Entry {
  const description = `${cell} 28→128 over the rows of an image, its last state to a linear layer`
  return { create, description, input: MNIST, classes: 10 }
}

function autoencoderOf(make: (options: AutoencoderOptions) => Network, description: string): Entry {
  const create = (options: ModelOptions) => make(options as AutoencoderOptions)
  return { create, description, input: MNIST, classes: 784, flattens: true, trainedBy: 'fitUnsupervised' }
}

function stack(create: Entry['create'], description: string): Entry {
  return { create, description, input: MNIST, classes: 64, trainedBy: 'pretrain' }
}

const MODELS: Readonly<Record<string, Entry>> = {
  softmaxRegression: {
    create: softmaxRegression,
    description: 'one linear layer, the baseline',
    input: MNIST,
    classes: 10,
    flattens: true,
  },
  perceptron: {
    create: perceptron,
    description: 'Rosenblatt’s threshold units, one a class',
    input: MNIST,
    classes: 10,
    flattens: true,
  },
  mlp: {
    create: mlp,
    description: 'multilayer perceptron 784-512-10 with ReLU',
    input: MNIST,
    classes: 10,
    flattens: true,
  },
  lenet5: {
    create: lenet5,
    description: 'LeNet-5 with ReLU and max pooling',
    input: MNIST,
    classes: 10,
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
  },
  lenet1998: {
    create: (options) => lenet1998(options as LeNet1998Options),
    description: 'LeNet-5 as published: trained subsampling, scaled tanh, radial basis output',
    input: MNIST,
    classes: 10,
  },
  haykin: {
    create: haykin,
    description: 'Haykin’s recogniser of 26 characters',
    input: MNIST,
    classes: 26,
  },
  convnetjsCifar: cifar(convnetjsCifar, 'three convolutions 5×5, as ConvNetJS learns CIFAR-10'),
  resnet18Cifar: cifar(resnet18Cifar, 'ResNet-18 for 32×32 images: 3×3 stem, no first pooling'),
  resnet20Cifar: cifar(resnet20Cifar, 'residual network of 20 layers for 32×32 images'),
  resnet56Cifar: cifar(resnet56Cifar, 'residual network of 56 layers for 32×32 images'),
  resnet110Cifar: cifar(resnet110Cifar, 'residual network of 110 layers for 32×32 images'),
  autoencoder: autoencoderOf(autoencoder, 'autoencoder 784-128-32-128-784 with ReLU'),
  denoisingAutoencoder: autoencoderOf(
    denoisingAutoencoder,
    'autoencoder 784-100-784 that gets 40 % of its numbers as 0',
  ),
  sparseAutoencoder: autoencoderOf(sparseAutoencoder, 'autoencoder 784-100-784, units active for 5 % of the samples'),
  convAutoencoder: {
    create: (options) => convAutoencoder(options as ConvAutoencoderOptions),
    description: 'autoencoder of two convolutions, a code of 32, two transposed convolutions',
    input: MNIST,
    classes: 784,
    trainedBy: 'fitUnsupervised',
  },
  stackedAutoencoder: stack(stackedAutoencoder, 'autoencoders 784-256 and 256-64, trained one by one'),
  deepBeliefNetwork: stack(deepBeliefNetwork, 'Boltzmann machines 784-256 and 256-64, trained one by one'),
  alexnet: imagenet(alexnet, 'AlexNet in its single-tower form'),
  alexnet2012: {
    ...imagenet(alexnet2012, 'AlexNet as published: two groups, local response normalisation'),
    input: [3, 227, 227],
  },
  vgg11: imagenet(vgg11, 'VGG with 8 convolutions'),
  vgg13: imagenet(vgg13, 'VGG with 10 convolutions'),
  vgg16: imagenet(vgg16, 'VGG with 13 convolutions'),
  vgg19: imagenet(vgg19, 'VGG with 16 convolutions'),
  vgg11Bn: imagenet(vgg11Bn, 'VGG with 8 convolutions and batch normalisation'),
  vgg13Bn: imagenet(vgg13Bn, 'VGG with 10 convolutions and batch normalisation'),
  vgg16Bn: imagenet(vgg16Bn, 'VGG with 13 convolutions and batch normalisation'),
  vgg19Bn: imagenet(vgg19Bn, 'VGG with 16 convolutions and batch normalisation'),
  googlenet: imagenet(googlenet, 'GoogLeNet with batch normalisation'),
  googlenet2014: imagenet(googlenet2014, 'GoogLeNet as published, 5×5 convolutions'),
  resnet18: imagenet(resnet18, 'residual network of 18 layers'),
  resnet34: imagenet(resnet34, 'residual network of 34 layers'),
  resnet50: imagenet(resnet50, 'residual network of 50 layers, bottleneck blocks'),
  resnet101: imagenet(resnet101, 'residual network of 101 layers, bottleneck blocks'),
  resnet152: imagenet(resnet152, 'residual network of 152 layers, bottleneck blocks'),
}

/** The networks of this package. */
export function list(): ModelInfo[] {
  return Object.entries(MODELS).map(
    ([name, { description, input, dtype = 'float32', classes, flattens = false, trainedBy = 'fit' }]) => ({
      name,
      description,
      input: [...input],
      dtype,
      classes,
      flattens,
      trainedBy,
    }),
  )
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
  return MODELS[name]!.create(options)
}
