/**
 * GoogLeNet (Szegedy and others, "Going deeper with convolutions", 2014) in its later form with batch normalisation,
 * 3×3 in place of 5×5 convolutions, no auxiliary heads: 6,624,904 parameters, 1,498,376,192 MACs.
 */
import { Dropout } from '../nn/activation.js'
import { Conv2d, type Conv2dOptions } from '../nn/conv.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { AdaptiveAvgPool2d, MaxPool2d } from '../nn/pool.js'
import { Sequential } from '../nn/sequential.js'
import { concat, flatten, relu } from '../ops/index.js'
import type { Tensor } from '../tensor.js'

/** Convolution, batch normalisation, ReLU. */
class ConvUnit extends Module<[x: Tensor]> {
  conv: Conv2d
  bn: BatchNorm2d

  constructor(inChannels: number, outChannels: number, kernelSize: number, options: Conv2dOptions = {}) {
    super()
    this.conv = new Conv2d(inChannels, outChannels, kernelSize, { ...options, bias: false })
    this.bn = new BatchNorm2d(outChannels, { eps: 1e-3 })
  }

  override forward(x: Tensor): Tensor {
    return relu(this.bn.forward(this.conv.forward(x)))
  }
}

interface InceptionChannels {
  input: number
  /** Branch 1: 1×1. */
  one: number
  /** Branch 2: 1×1, then 3×3. */
  two: readonly [number, number]
  /** Branch 3: as branch 2. */
  three: readonly [number, number]
  /** Branch 4: max pooling, then 1×1. */
  four: number
}

/** Four branches on the same maps, their channels joined. */
class Inception extends Module<[x: Tensor]> {
  branch1: ConvUnit
  branch2: Sequential
  branch3: Sequential
  branch4: Sequential

  constructor({ input, one, two, three, four }: InceptionChannels) {
    super()
    const pair = ([reduced, out]: readonly [number, number]) =>
      new Sequential(new ConvUnit(input, reduced, 1), new ConvUnit(reduced, out, 3, { padding: 1 }))
    this.branch1 = new ConvUnit(input, one, 1)
    this.branch2 = pair(two)
    this.branch3 = pair(three)
    const pool = new MaxPool2d(3, { stride: 1, padding: 1, ceilMode: true })
    this.branch4 = new Sequential(pool, new ConvUnit(input, four, 1))
  }

  override forward(x: Tensor): Tensor {
    const branches = [this.branch1, this.branch2, this.branch3, this.branch4]
    return concat(
      branches.map((branch) => branch.forward(x)),
      { axis: 1 },
    )
  }
}

export interface GoogLeNetOptions {
  /** Default 1000. */
  classes?: number
  /** Probability of the dropout before the linear layer. Default 0.2. */
  dropout?: number
}

/** Halves the image, rounding up. */
function pool(kernelSize: number): MaxPool2d {
  return new MaxPool2d(kernelSize, { stride: 2, ceilMode: true })
}

/** Images (N, 3, 224, 224) → logits (N, classes). */
export class GoogLeNet extends Module<[x: Tensor]> {
  conv1 = new ConvUnit(3, 64, 7, { stride: 2, padding: 3 })
  maxpool1 = pool(3)
  conv2 = new ConvUnit(64, 64, 1)
  conv3 = new ConvUnit(64, 192, 3, { padding: 1 })
  maxpool2 = pool(3)
  inception3a = new Inception({ input: 192, one: 64, two: [96, 128], three: [16, 32], four: 32 })
  inception3b = new Inception({ input: 256, one: 128, two: [128, 192], three: [32, 96], four: 64 })
  maxpool3 = pool(3)
  inception4a = new Inception({ input: 480, one: 192, two: [96, 208], three: [16, 48], four: 64 })
  inception4b = new Inception({ input: 512, one: 160, two: [112, 224], three: [24, 64], four: 64 })
  inception4c = new Inception({ input: 512, one: 128, two: [128, 256], three: [24, 64], four: 64 })
  inception4d = new Inception({ input: 512, one: 112, two: [144, 288], three: [32, 64], four: 64 })
  inception4e = new Inception({ input: 528, one: 256, two: [160, 320], three: [32, 128], four: 128 })
  maxpool4 = pool(2)
  inception5a = new Inception({ input: 832, one: 256, two: [160, 320], three: [32, 128], four: 128 })
  inception5b = new Inception({ input: 832, one: 384, two: [192, 384], three: [48, 128], four: 128 })
  avgpool = new AdaptiveAvgPool2d(1)
  dropout: Dropout
  fc: Linear

  constructor({ classes = 1000, dropout = 0.2 }: GoogLeNetOptions = {}) {
    super()
    this.dropout = new Dropout(dropout)
    this.fc = new Linear(1024, classes)
  }

  override forward(x: Tensor): Tensor {
    let h = this.maxpool1.forward(this.conv1.forward(x))
    h = this.maxpool2.forward(this.conv3.forward(this.conv2.forward(h)))
    h = this.maxpool3.forward(this.inception3b.forward(this.inception3a.forward(h)))
    const stage4 = [this.inception4a, this.inception4b, this.inception4c, this.inception4d, this.inception4e]
    for (const inception of stage4) h = inception.forward(h)
    h = this.inception5b.forward(this.inception5a.forward(this.maxpool4.forward(h)))
    return this.fc.forward(this.dropout.forward(flatten(this.avgpool.forward(h), { startAxis: 1 })))
  }
}

export function googlenet(options: GoogLeNetOptions = {}): GoogLeNet {
  return new GoogLeNet(options)
}
