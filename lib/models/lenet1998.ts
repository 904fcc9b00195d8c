/**
 * LeNet-5 as it was published (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
 * recognition", 1998), 60,000 trained parameters:
 *
 *     1×32×32 → C1 conv 5×5 → 6×28×28 → S2 subsampling → 6×14×14 → C3 conv 5×5 by a table → 16×10×10
 *             → S4 subsampling → 16×5×5 → C5 conv 5×5 → 120 → F6 84 → 10
 *
 * Every layer is followed by 1.7159 tanh(2x / 3). Images of 28×28 get a margin of two pixels. C3's maps see three, four
 * or all of S2's: that keeps connections few and makes the maps differ. The last layer measures the distance of F6 to a
 * picture of each digit, 7×12 pixels of ±1.
 */
import { tensor } from '../create.js'
import { ForjaError } from '../errors.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { flatten, mul, pad, square, sub, sum, unsqueeze } from '../ops/index.js'
import { checkChoice, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { digitCodes } from './digit_codes.js'
import { Subsampling, squash, squashConv, squashInit, TableConv2d } from './subsampling.js'

/** S2's maps that each map of C3 sees: table I of the paper, 60 connections. */
const C3 = [
  ...[0, 1, 2, 3, 4, 5].map((first) => neighbours(first, 3)),
  ...[0, 1, 2, 3, 4, 5].map((first) => neighbours(first, 4)),
  [0, 1, 3, 4],
  [1, 2, 4, 5],
  [0, 2, 3, 5],
  [0, 1, 2, 3, 4, 5],
]

/** `count` maps from `first` on, of six in a ring. */
function neighbours(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (first + i) % 6)
}

/** Logits from distances: the log-likelihood of F6 as a picture of each digit with normal noise of variance 1. */
class RadialBasis extends Module<[x: Tensor]> {
  /** (10, 84), fixed. */
  codes = new Variable(tensor(digitCodes(), { shape: [10, 84] }), { name: 'codes', buffer: true })

  /** x (N, 84) → -½ Σ (x - code)², (N, 10). */
  override forward(x: Tensor): Tensor {
    return mul(sum(square(sub(unsqueeze(x, { axis: 1 }), this.codes)), { axes: 2 }), -0.5)
  }
}

export interface LeNet1998Options {
  /** Default 10. */
  classes?: number
  /** 'rbf': distances to pictures of the ten digits, fixed, as published. 'linear': a trained layer. Default 'rbf'. */
  output?: 'rbf' | 'linear'
}

/** Images (N, 1, 28, 28) or (N, 1, 32, 32) → logits (N, classes). */
export class LeNet1998 extends Module<[x: Tensor]> {
  c1 = squashConv(1, 6, 5)
  s2 = new Subsampling(6)
  c3 = new TableConv2d(6, C3, 5)
  s4 = new Subsampling(16)
  c5 = squashConv(16, 120, 5)
  f6 = new Linear(120, 84, squashInit(120))
  output: RadialBasis | Linear

  /** @throws ERR_ARGUMENT for other than ten classes with output 'rbf': its pictures are digits. */
  constructor(options: LeNet1998Options = {}) {
    super()
    const { classes = 10, output = 'rbf' } = checkOptions('lenet1998', options, ['classes', 'output'])
    checkChoice('lenet1998', 'output', output, ['rbf', 'linear'])
    if (output === 'rbf' && classes !== 10) {
      throw new ForjaError('ERR_ARGUMENT', `lenet1998: output 'rbf' knows the 10 digits, got ${classes} classes`, {
        hint: "use { output: 'linear' }",
      })
    }
    this.output = output === 'rbf' ? new RadialBasis() : new Linear(84, classes)
  }

  override forward(x: Tensor): Tensor {
    const margin = x.shape[2] === 28 ? [2, 2] : [0, 0]
    const image = pad(x, { pads: [[0, 0], [0, 0], margin, margin] as [number, number][] })
    let h = squash(this.s2.forward(squash(this.c1.forward(image))))
    h = squash(this.s4.forward(squash(this.c3.forward(h))))
    h = flatten(squash(this.c5.forward(h)), { startAxis: 1 })
    return this.output.forward(squash(this.f6.forward(h)))
  }
}

export function lenet1998(options: LeNet1998Options = {}): LeNet1998 {
  return new LeNet1998(options)
}
