/**
 * What the convolutional networks before ReLU were made of: subsampling with a coefficient and a bias that are trained,
 * convolutions that see only some of the maps before them, and a scaled tanh.
 */
import { full, tensor, zeros } from '../create.js'
import { ForjaError } from '../errors.js'
import { Conv2d, type Conv2dOptions } from '../nn/conv.js'
import { type Initializer, normal, zeros as zero } from '../nn/init.js'
import { Module } from '../nn/module.js'
import { add, avgPool2d, concat, conv2d, gather, mul, randn, reshape, tanh } from '../ops/index.js'
import { checkInteger } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'

/** 1.7159 tanh(2x / 3), which is ±1 at ±1 and curves most there: targets of ±1 do not drive it into saturation. */
export function squash(x: Tensor): Tensor {
  return mul(tanh(mul(x, 2 / 3)), 1.7159)
}

/** Weights that keep the variance of what they sum. */
function scaled(fanIn: number): Initializer {
  return normal({ std: 1 / Math.sqrt(fanIn) })
}

/** For layers behind `squash`: normal weights of variance 1 / fan-in, biases 0. */
export function squashInit(fanIn: number): { weightInit: Initializer; biasInit: Initializer } {
  return { weightInit: scaled(fanIn), biasInit: zero() }
}

/** A convolution behind or before `squash`. */
export function squashConv(inChannels: number, outChannels: number, size: number, options: Conv2dOptions = {}): Conv2d {
  return new Conv2d(inChannels, outChannels, size, { ...options, ...squashInit(inChannels * size * size) })
}

/** The sum of 2×2 pixels times a coefficient plus a bias, two trained numbers a map: (N, C, H, W) → (N, C, H/2, W/2). */
export class Subsampling extends Module<[x: Tensor]> {
  /** (channels,); at first 1/4, which makes the sum a mean. */
  coefficient: Variable
  /** (channels,) */
  bias: Variable

  constructor(readonly channels: number) {
    super()
    checkInteger('Subsampling', 'channels', channels)
    this.coefficient = new Variable(full([channels], 0.25), { name: 'coefficient' })
    this.bias = new Variable(zeros([channels]), { name: 'bias' })
  }

  override forward(x: Tensor): Tensor {
    const sums = mul(avgPool2d(x, { kernelSize: 2 }), 4)
    const perMap = (v: Tensor) => reshape(v, [this.channels, 1, 1])
    return add(mul(sums, perMap(this.coefficient)), perMap(this.bias))
  }

  override detail(): string {
    return '2×2'
  }
}

/**
 * A convolution whose map k sees the maps `table[k]` only: one filter for each connection of the table and one bias a
 * map. It runs as a full convolution whose other filters are 0.
 */
export class TableConv2d extends Module<[x: Tensor]> {
  /** (connections, size, size), in the order of the table. */
  weight: Variable
  /** (table.length,) */
  bias: Variable
  /** (maps · inChannels,): which filter joins a pair; the number of connections for none. */
  readonly #filters: Tensor

  constructor(
    readonly inChannels: number,
    readonly table: readonly (readonly number[])[],
    readonly size: number,
  ) {
    super()
    const connections = table.flat().length
    const filters = new Int32Array(table.length * inChannels).fill(connections)
    let next = 0
    for (const [k, maps] of table.entries()) {
      for (const map of maps) {
        if (!Number.isInteger(map) || map < 0 || map >= inChannels || filters[k * inChannels + map] !== connections) {
          throw new ForjaError(
            'ERR_ARGUMENT',
            `TableConv2d: map ${k} is joined to [${maps}]; different maps from 0 to ${inChannels - 1} were expected`,
          )
        }
        filters[k * inChannels + map] = next++
      }
    }
    const deviations = table.flatMap((maps) => maps.map(() => 1 / Math.sqrt(maps.length * size * size)))
    const initial = mul(randn([connections, size, size]), tensor(deviations, { shape: [connections, 1, 1] }))
    this.weight = new Variable(initial, { name: 'weight' })
    this.bias = new Variable(zeros([table.length]), { name: 'bias' })
    this.#filters = tensor(filters)
  }

  override forward(x: Tensor): Tensor {
    const { inChannels, table, size } = this
    const filters = concat([this.weight, zeros([1, size, size])], { axis: 0 })
    const full = reshape(gather(filters, this.#filters, { axis: 0 }), [table.length, inChannels, size, size])
    return conv2d(x, full, this.bias)
  }

  override detail(): string {
    return `${this.size}×${this.size}, ${this.table.flat().length} connections`
  }
}
