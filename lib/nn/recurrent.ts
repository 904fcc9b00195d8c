/**
 * Recurrent layers: RNN, LSTM, GRU over sequences (N, T, inputSize), batch first. Parameters have PyTorch's names
 * (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `.._l1`, `.._reverse`), shapes and initial values: evenly
 * within 1/√hiddenSize.
 */

import type { Cell } from '../ops/recurrent.js'
import {
  gru,
  type LSTMOutput,
  lstm,
  NONLINEARITIES,
  type RecurrentOptions,
  type RecurrentOutput,
  type RecurrentState,
  rnn,
  weightNames,
  weightShapes,
} from '../ops/recurrent_api.js'
import { checkChoice, checkInteger, checkNumber, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { fanInUniform } from './fan_in_uniform.js'
import { Module } from './module.js'

export interface RecurrentLayerOptions {
  /** Layers one above the other; each reads what the one below gives. Default 1. */
  numLayers?: number
  /** A second pass from the last step to the first, its features behind those of the first. Default false. */
  bidirectional?: boolean
  /** Probability that an element between two layers becomes 0 in training. Default 0. */
  dropout?: number
  /** Default true. */
  bias?: boolean
}

export interface RNNLayerOptions extends RecurrentLayerOptions {
  /** Default 'tanh'. */
  nonlinearity?: 'tanh' | 'relu'
}

const OPTIONS = ['numLayers', 'bidirectional', 'dropout', 'bias'] as const

/** What RNN, LSTM and GRU share; they differ in the cell. */
abstract class Recurrent<Output extends RecurrentOutput> extends Module<
  [x: Tensor, initial?: Partial<RecurrentState> | null],
  Output
> {
  readonly numLayers: number
  readonly bidirectional: boolean
  readonly dropout: number
  /** In PyTorch's order, called by PyTorch's names. */
  readonly weights: readonly Variable[]

  constructor(
    cell: Cell,
    readonly inputSize: number,
    readonly hiddenSize: number,
    options: RecurrentLayerOptions,
    known: readonly string[],
  ) {
    super()
    const layer = this.constructor.name
    checkOptions(layer, options, known as readonly (keyof RecurrentLayerOptions)[])
    const { numLayers = 1, bidirectional = false, dropout = 0, bias = true } = options
    checkInteger(layer, 'inputSize', inputSize)
    checkInteger(layer, 'hiddenSize', hiddenSize)
    checkInteger(layer, 'numLayers', numLayers)
    checkNumber(layer, 'dropout', dropout, 0, 1)
    this.numLayers = numLayers
    this.bidirectional = bidirectional
    this.dropout = dropout
    const initial = fanInUniform(hiddenSize)
    const weights: Variable[] = []
    for (let level = 0; level < numLayers; level++) {
      for (const reverse of bidirectional ? [false, true] : [false]) {
        const inputs = level === 0 ? inputSize : hiddenSize * (bidirectional ? 2 : 1)
        const shapes = weightShapes(cell, inputs, hiddenSize)
        for (const [i, name] of weightNames(level, reverse).entries()) {
          if (bias || name.startsWith('weight')) weights.push(new Variable(initial(shapes[i]!), { name }))
        }
      }
    }
    this.weights = weights
  }

  /** The layer's weights by name, and its options, as the operations take them. */
  protected call(initial: Partial<RecurrentState> | null | undefined): [Record<string, Tensor>, RecurrentOptions] {
    const { hiddenSize, numLayers, bidirectional, dropout, training } = this
    const weights = Object.fromEntries(this.ownVariables())
    return [weights, { hiddenSize, numLayers, bidirectional, dropout, training, initial: initial ?? null }]
  }

  override detail(): string {
    const layers = this.numLayers > 1 ? ` ×${this.numLayers}` : ''
    return `${this.inputSize}→${this.hiddenSize}${layers}${this.bidirectional ? ', both ways' : ''}`
  }
}

/** h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu: (N, T, inputSize) → { y, h }. */
export class RNN extends Recurrent<RecurrentOutput> {
  readonly nonlinearity: 'tanh' | 'relu'

  constructor(inputSize: number, hiddenSize: number, options: RNNLayerOptions = {}) {
    super('tanh', inputSize, hiddenSize, options, [...OPTIONS, 'nonlinearity'])
    const { nonlinearity = 'tanh' } = options
    this.nonlinearity = checkChoice(this.constructor.name, 'nonlinearity', nonlinearity, NONLINEARITIES)
  }

  override forward(x: Tensor, initial?: Partial<RecurrentState> | null): RecurrentOutput {
    const [weights, options] = this.call(initial)
    return rnn(x, weights, { ...options, nonlinearity: this.nonlinearity })
  }
}

/** Long short-term memory: (N, T, inputSize) → { y, h, c }. */
export class LSTM extends Recurrent<LSTMOutput> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentLayerOptions = {}) {
    super('lstm', inputSize, hiddenSize, options, OPTIONS)
  }

  override forward(x: Tensor, initial?: Partial<RecurrentState> | null): LSTMOutput {
    return lstm(x, ...this.call(initial))
  }
}

/** Gated recurrent unit: (N, T, inputSize) → { y, h }. */
export class GRU extends Recurrent<RecurrentOutput> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentLayerOptions = {}) {
    super('gru', inputSize, hiddenSize, options, OPTIONS)
  }

  override forward(x: Tensor, initial?: Partial<RecurrentState> | null): RecurrentOutput {
    return gru(x, ...this.call(initial))
  }
}
