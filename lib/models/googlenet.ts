/**
 * GoogLeNet (Szegedy and others, "Going deeper with convolutions", 2014): nine Inception modules, each of four branches on
 * the same maps. In its later form it has batch normalisation and 3×3 in place of 5×5 convolutions: 6,624,904 parameters,
 * 1,498,376,192 MACs, with both auxiliary heads 13,004,888 parameters. As published it has biases, 5×5 convolutions and
 * local response normalisation at the bottom: 6,998,552 parameters, 1,582,671,872 MACs.
 *
 * The auxiliary heads classify from half-way up (4a and 4d), so that the lower layers get a strong gradient. They take
 * part in training only: loss = loss(logits) + 0.3 · (loss(first) + loss(second)).
 */
import { Dropout } from '../nn/activation.js'
import { Conv2d, type Conv2dOptions } from '../nn/conv.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { BatchNorm2d, LocalResponseNorm } from '../nn/norm.js'
import { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from '../nn/pool.js'
import { Sequential } from '../nn/sequential.js'
import { concat, flatten, relu } from '../ops/index.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

type Form = 'modern' | '2014'

/** Convolution, batch normalisation (in 2014 none, but a bias), ReLU. */
class ConvUnit extends Module<[x: Tensor]> {
  conv: Conv2d
  bn: BatchNorm2d | null

  constructor(
    form: Form,
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    options: Omit<Conv2dOptions, 'bias'> = {},
  ) {
    super()
    this.conv = new Conv2d(inChannels, outChannels, kernelSize, { ...options, bias: form === '2014' })
    this.bn = form === '2014' ? null : new BatchNorm2d(outChannels, { eps: 1e-3 })
  }

  override forward(x: Tensor): Tensor {
    const h = this.conv.forward(x)
    return relu(this.bn ? this.bn.forward(h) : h)
  }
}

interface InceptionChannels {
  input: number
  /** Branch 1: 1×1. */
  one: number
  /** Branch 2: 1×1, then 3×3. */
  two: readonly [number, number]
  /** Branch 3: as branch 2, in 2014 with 5×5. */
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

  constructor(form: Form, { input, one, two, three, four }: InceptionChannels) {
    super()
    const pair = ([reduced, out]: readonly [number, number], size: number) =>
      new Sequential(
        new ConvUnit(form, input, reduced, 1),
        new ConvUnit(form, reduced, out, size, { padding: (size - 1) / 2 }),
      )
    this.branch1 = new ConvUnit(form, input, one, 1)
    this.branch2 = pair(two, 3)
    this.branch3 = pair(three, form === '2014' ? 5 : 3)
    const pool = new MaxPool2d(3, { stride: 1, padding: 1, ceilMode: true })
    this.branch4 = new Sequential(pool, new ConvUnit(form, input, four, 1))
  }

  override forward(x: Tensor): Tensor {
    const branches = [this.branch1, this.branch2, this.branch3, this.branch4]
    return concat(
      branches.map((branch) => branch.forward(x)),
      { axis: 1 },
    )
  }
}

/** An auxiliary head: maps (N, C, 14, 14) → 4×4 means → 1×1 convolution → 1024 → logits (N, classes). */
class AuxiliaryHead extends Module<[x: Tensor]> {
  pool: AvgPool2d | AdaptiveAvgPool2d
  conv: ConvUnit
  fc1 = new Linear(2048, 1024)
  fc2: Linear
  dropout = new Dropout(0.7)

  constructor(form: Form, inChannels: number, classes: number) {
    super()
    this.pool = form === '2014' ? new AvgPool2d(5, { stride: 3 }) : new AdaptiveAvgPool2d(4)
    this.conv = new ConvUnit(form, inChannels, 128, 1)
    this.fc2 = new Linear(1024, classes)
  }

  override forward(x: Tensor): Tensor {
    const h = flatten(this.conv.forward(this.pool.forward(x)), { startAxis: 1 })
    return this.fc2.forward(this.dropout.forward(relu(this.fc1.forward(h))))
  }
}

/** Halves the image, rounding up. */
function pool(kernelSize: number): MaxPool2d {
  return new MaxPool2d(kernelSize, { stride: 2, ceilMode: true })
}

export interface GoogLeNetOptions {
  /** Default 1000. */
  classes?: number
  /** Probability of the dropout before the linear layer. Default 0.2; of googlenet2014 0.4. */
  dropout?: number
  /** With the two heads of training: see `heads()`. Default false. */
  auxiliary?: boolean
}

const OPTIONS = ['classes', 'dropout', 'auxiliary'] as const

/** What all heads say, each (N, classes). */
export interface GoogLeNetHeads {
  logits: Tensor
  /** Of the heads behind 4a and 4d; empty without auxiliary heads. */
  auxiliary: Tensor[]
}

/** Images (N, 3, 224, 224) → logits (N, classes). */
export class GoogLeNet extends Module<[x: Tensor]> {
  conv1: ConvUnit
  maxpool1 = pool(3)
  lrn1: LocalResponseNorm | null
  conv2: ConvUnit
  conv3: ConvUnit
  lrn2: LocalResponseNorm | null
  maxpool2 = pool(3)
  inception3a: Inception
  inception3b: Inception
  maxpool3 = pool(3)
  inception4a: Inception
  inception4b: Inception
  inception4c: Inception
  inception4d: Inception
  inception4e: Inception
  maxpool4: MaxPool2d
  inception5a: Inception
  inception5b: Inception
  aux1: AuxiliaryHead | null
  aux2: AuxiliaryHead | null
  avgpool = new AdaptiveAvgPool2d(1)
  dropout: Dropout
  fc: Linear

  constructor(form: Form, { classes = 1000, dropout, auxiliary = false }: GoogLeNetOptions = {}) {
    super()
    const published = form === '2014'
    const inception = (channels: InceptionChannels) => new Inception(form, channels)
    const responseNorm = () => (published ? new LocalResponseNorm(5, { alpha: 5e-4, beta: 0.75, k: 1 }) : null)
    const head = (channels: number) => (auxiliary ? new AuxiliaryHead(form, channels, classes) : null)
    this.conv1 = new ConvUnit(form, 3, 64, 7, { stride: 2, padding: 3 })
    this.lrn1 = responseNorm()
    this.conv2 = new ConvUnit(form, 64, 64, 1)
    this.conv3 = new ConvUnit(form, 64, 192, 3, { padding: 1 })
    this.lrn2 = responseNorm()
    this.inception3a = inception({ input: 192, one: 64, two: [96, 128], three: [16, 32], four: 32 })
    this.inception3b = inception({ input: 256, one: 128, two: [128, 192], three: [32, 96], four: 64 })
    this.inception4a = inception({ input: 480, one: 192, two: [96, 208], three: [16, 48], four: 64 })
    this.inception4b = inception({ input: 512, one: 160, two: [112, 224], three: [24, 64], four: 64 })
    this.inception4c = inception({ input: 512, one: 128, two: [128, 256], three: [24, 64], four: 64 })
    this.inception4d = inception({ input: 512, one: 112, two: [144, 288], three: [32, 64], four: 64 })
    this.inception4e = inception({ input: 528, one: 256, two: [160, 320], three: [32, 128], four: 128 })
    this.maxpool4 = pool(published ? 3 : 2)
    this.inception5a = inception({ input: 832, one: 256, two: [160, 320], three: [32, 128], four: 128 })
    this.inception5b = inception({ input: 832, one: 384, two: [192, 384], three: [48, 128], four: 128 })
    this.aux1 = head(512)
    this.aux2 = head(528)
    this.dropout = new Dropout(dropout ?? (published ? 0.4 : 0.2))
    this.fc = new Linear(1024, classes)
  }

  override forward(x: Tensor): Tensor {
    return this.heads(x).logits
  }

  /** What a training step looks at; the auxiliary heads cost nothing where only `logits` is used. */
  heads(x: Tensor): GoogLeNetHeads {
    return this.within(() => {
      let h = this.maxpool1.forward(this.conv1.forward(x))
      if (this.lrn1) h = this.lrn1.forward(h)
      h = this.conv3.forward(this.conv2.forward(h))
      if (this.lrn2) h = this.lrn2.forward(h)
      h = this.maxpool2.forward(h)
      h = this.maxpool3.forward(this.inception3b.forward(this.inception3a.forward(h)))
      const lower = this.inception4a.forward(h)
      const upper = this.inception4d.forward(this.inception4c.forward(this.inception4b.forward(lower)))
      h = this.maxpool4.forward(this.inception4e.forward(upper))
      h = this.inception5b.forward(this.inception5a.forward(h))
      const logits = this.fc.forward(this.dropout.forward(flatten(this.avgpool.forward(h), { startAxis: 1 })))
      const auxiliary = this.aux1 && this.aux2 ? [this.aux1.forward(lower), this.aux2.forward(upper)] : []
      return { logits, auxiliary }
    })
  }
}

/** The later form, as in today's libraries. */
export function googlenet(options: GoogLeNetOptions = {}): GoogLeNet {
  return new GoogLeNet('modern', checkOptions('googlenet', options, OPTIONS))
}

/** As published. */
export function googlenet2014(options: GoogLeNetOptions = {}): GoogLeNet {
  return new GoogLeNet('2014', checkOptions('googlenet2014', options, OPTIONS))
}
