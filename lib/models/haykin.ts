/**
 * The character recogniser of Haykin's "Neural networks" (section on convolutional networks), after LeCun and others,
 * "Handwritten digit recognition with a back-propagation network" (1990):
 *
 *     1×28×28 → conv 5×5 → 4×24×24 → subsampling → 4×12×12 → conv 5×5 → 12×8×8 → subsampling → 12×4×4 → conv 4×4 → 26
 *
 * Each of the twelve maps sees one or two of the four before it, by the table of 1990. With ten classes this is that
 * network: 2,578 parameters, 98,442 connections.
 */
import { Module } from '../nn/module.js'
import { flatten } from '../ops/index.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Subsampling, squash, squashConv, TableConv2d } from './subsampling.js'

/** The first six maps see 0 and 1, the last six 2 and 3: 20 connections. */
const TABLE = [[0], [0, 1], [0, 1], [1], [0, 1], [0, 1], [2], [2, 3], [2, 3], [3], [2, 3], [2, 3]]

export interface HaykinOptions {
  /** Default 26, the letters. */
  classes?: number
}

/** Images (N, 1, 28, 28) → logits (N, classes). */
export class Haykin extends Module<[x: Tensor]> {
  conv1 = squashConv(1, 4, 5)
  pool1 = new Subsampling(4)
  conv2 = new TableConv2d(4, TABLE, 5)
  pool2 = new Subsampling(12)
  conv3

  constructor(options: HaykinOptions = {}) {
    super()
    const { classes = 26 } = checkOptions('haykin', options, ['classes'])
    this.conv3 = squashConv(12, classes, 4)
  }

  override forward(x: Tensor): Tensor {
    let h = squash(this.pool1.forward(squash(this.conv1.forward(x))))
    h = squash(this.pool2.forward(squash(this.conv2.forward(h))))
    return flatten(this.conv3.forward(h), { startAxis: 1 })
  }
}

export function haykin(options: HaykinOptions = {}): Haykin {
  return new Haykin(options)
}
