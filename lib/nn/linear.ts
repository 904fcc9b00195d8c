/**
 * Linear, Embedding, Flatten.
 */

import { embedding, flatten, linear } from '../ops/index.js'
import { checkInteger, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { fanInUniform } from './fan_in_uniform.js'
import { type Initializer, normal } from './init.js'
import { Module } from './module.js'

/** Initial values; the default is PyTorch's. */
export interface WeightInit {
  weightInit?: Initializer
  biasInit?: Initializer
}

export interface LinearOptions extends WeightInit {
  /** Default true. */
  bias?: boolean
}

/** y = x · weightᵀ + bias over the last axis of x. weight (outFeatures, inFeatures), bias (outFeatures,). */
export class Linear extends Module {
  weight: Variable
  bias: Variable | null

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    super()
    const { bias = true, weightInit, biasInit } = checkOptions('Linear', options, ['bias', 'weightInit', 'biasInit'])
    checkInteger('Linear', 'inFeatures', inFeatures)
    checkInteger('Linear', 'outFeatures', outFeatures)
    const initial = fanInUniform(inFeatures)
    this.weight = new Variable((weightInit ?? initial)([outFeatures, inFeatures]), { name: 'weight' })
    this.bias = bias ? new Variable((biasInit ?? initial)([outFeatures]), { name: 'bias' }) : null
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias)
  }
}

/** Rows of a table: index (any shape, int32) → (..., embeddingDim). weight (numEmbeddings, embeddingDim). */
export class Embedding extends Module {
  weight: Variable

  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    options: { weightInit?: Initializer } = {},
  ) {
    super()
    const { weightInit = normal() } = checkOptions('Embedding', options, ['weightInit'])
    checkInteger('Embedding', 'numEmbeddings', numEmbeddings)
    checkInteger('Embedding', 'embeddingDim', embeddingDim)
    this.weight = new Variable(weightInit([numEmbeddings, embeddingDim]), { name: 'weight' })
  }

  override forward(index: Tensor): Tensor {
    return embedding(index, this.weight)
  }

  override detail(): string {
    return `${this.numEmbeddings} rows`
  }
}

/** All axes from `startAxis` (default 1: all but the batch) in one. */
export class Flatten extends Module {
  readonly startAxis: number

  constructor(options: { startAxis?: number } = {}) {
    super()
    this.startAxis = checkOptions('Flatten', options, ['startAxis']).startAxis ?? 1
  }

  override forward(x: Tensor): Tensor {
    return flatten(x, { startAxis: this.startAxis })
  }
}
