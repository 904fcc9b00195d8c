/**
 * Recurrent layers as users call them: several layers, both directions, initial and last states, weights under
 * PyTorch's names. Each direction of each layer is the operation of recurrent.ts.
 */

import { describeGiven } from '../errors.js'
import { checkChoice, checkInteger, checkNumber, checkOptions } from '../options.js'
import { formatShape, sameShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { filled } from './apply.js'
import { requireTensors } from './check_call.js'
import { dropout } from './random.js'
import { blocksOf, type Cell, type LayerWeights, recurrentLayer } from './recurrent.js'
import { refuse } from './refuse.js'
import { reshape } from './shape.js'
import { concat, slice, stack } from './slice.js'

/** The state of every layer and direction, (numLayers · directions, N, hiddenSize): layer 0, layer 0 reverse, layer 1 .. */
export interface RecurrentState {
  h: Tensor
  /** The cell state of an lstm. */
  c?: Tensor
}

export interface RecurrentOutput extends RecurrentState {
  /** h of the last layer at every step, (N, T, directions · hiddenSize); the reverse direction's features last. */
  y: Tensor
}

/** What lstm gives. */
export interface LSTMOutput extends RecurrentOutput {
  c: Tensor
}

export interface RecurrentOptions {
  /** Default: what weight_hh_l0 says. */
  hiddenSize?: number
  /** Default 1. */
  numLayers?: number
  /** A second pass from the last step to the first, with weights of its own (`_reverse`). Default false. */
  bidirectional?: boolean
  /** States before the first step; what a call returned is one. Default: zeros. */
  initial?: Partial<RecurrentState> | null
  /** Probability that an element between two layers becomes 0 in training. Default 0. */
  dropout?: number
  /** Default false. */
  training?: boolean
}

const RECURRENT = ['hiddenSize', 'numLayers', 'bidirectional', 'initial', 'dropout', 'training'] as const

/** What a plain recurrent network may apply. */
export const NONLINEARITIES = ['tanh', 'relu'] as const

export interface RNNOptions extends RecurrentOptions {
  /** Default 'tanh'. */
  nonlinearity?: (typeof NONLINEARITIES)[number]
}

/**
 * weight_ih_l0 (G·H, I), weight_hh_l0 (G·H, H), bias_ih_l0 and bias_hh_l0 (G·H,), of layer 1 weight_ih_l1 and so on, of
 * the reverse direction weight_ih_l0_reverse and so on. From layer 1 on, I is directions · H. Biases may be absent.
 */
export type RecurrentWeights = Readonly<Record<string, Tensor>>

/**
 * h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu, over x (N, T, I).
 *
 * @throws ERR_SHAPE naming the weight, its shape and the one expected; ERR_ARGUMENT for missing and unexpected names
 *   and bad options; ERR_DTYPE where operands are not float32.
 */
export function rnn(x: Tensor, weights: RecurrentWeights, options: RNNOptions = {}): RecurrentOutput {
  const { nonlinearity = 'tanh' } = checkOptions('rnn', options, ['nonlinearity', ...RECURRENT])
  checkChoice('rnn', 'nonlinearity', nonlinearity, NONLINEARITIES)
  return run('rnn', nonlinearity, x, weights, options)
}

/**
 * Long short-term memory over x (N, T, I); rows of the weights: input, forget, cell, output gate. Formula: recurrent.ts.
 *
 * @throws as rnn.
 */
export function lstm(x: Tensor, weights: RecurrentWeights, options: RecurrentOptions = {}): LSTMOutput {
  return run('lstm', 'lstm', x, weights, checkOptions('lstm', options, RECURRENT)) as LSTMOutput
}

/**
 * Gated recurrent unit over x (N, T, I); rows of the weights: reset, update, new gate; the reset gate acts on
 * W_hn h + b_hn. Formula: recurrent.ts.
 *
 * @throws as rnn.
 */
export function gru(x: Tensor, weights: RecurrentWeights, options: RecurrentOptions = {}): RecurrentOutput {
  return run('gru', 'gru', x, weights, checkOptions('gru', options, RECURRENT))
}

const PARTS = ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'] as const

/** The names of one direction of one layer, weights first: `weight_ih_l0_reverse`. */
export function weightNames(layer: number, reverse: boolean): string[] {
  return PARTS.map((part) => `${part}_l${layer}${reverse ? '_reverse' : ''}`)
}

/** Their shapes, in the same order. */
export function weightShapes(cell: Cell, inputs: number, hidden: number): number[][] {
  const rows = blocksOf(cell) * hidden
  return [[rows, inputs], [rows, hidden], [rows], [rows]]
}

function run(
  name: string,
  cell: Cell,
  x: Tensor,
  weights: RecurrentWeights,
  options: RecurrentOptions,
): RecurrentOutput {
  const { numLayers = 1, bidirectional = false, initial, dropout: p = 0, training = false } = options
  requireTensors(name, { x })
  if (x.rank !== 3 || x.size === 0) {
    refuse(name, 'ERR_SHAPE', `x must be (N, T, features) with no empty axis, got shape ${formatShape(x.shape)}`)
  }
  checkFloat(name, 'x', x)
  checkInteger(name, 'numLayers', numLayers)
  checkNumber(name, 'dropout', p, 0, 1)
  const directions = bidirectional ? [false, true] : [false]
  checkNames(name, weights, numLayers, directions)
  const hidden = options.hiddenSize ?? weights.weight_hh_l0!.shape[1]
  checkInteger(name, 'hiddenSize', hidden)
  const [n] = x.shape as [number]
  const states = numLayers * directions.length
  const h = initialStates(name, 'h', initial?.h, [states, n, hidden], x)
  const c = cell === 'lstm' ? initialStates(name, 'c', initial?.c, [states, n, hidden], x) : undefined
  if (cell !== 'lstm' && initial?.c) refuse(name, 'ERR_ARGUMENT', 'initial.c is the cell state of an lstm')
  const last: { h: Tensor; c?: Tensor }[] = []
  let y = x
  for (let layer = 0; layer < numLayers; layer++) {
    const input = layer > 0 && p > 0 ? dropout(y, { p, training }) : y
    const outputs = directions.map((reverse) => {
      const own = layerWeights(name, cell, weights, weightNames(layer, reverse), input, hidden)
      const state = c ? { h: h[last.length]!, c: c[last.length]! } : { h: h[last.length]! }
      const output = recurrentLayer(cell, input, own, state, reverse)
      last.push(output)
      return output.y
    })
    y = concat(outputs, { axis: 2 })
  }
  const lastH = stack(last.map((state) => state.h))
  return cell === 'lstm' ? { y, h: lastH, c: stack(last.map((state) => state.c!)) } : { y, h: lastH }
}

function checkNames(name: string, weights: RecurrentWeights, numLayers: number, directions: readonly boolean[]): void {
  if (typeof weights !== 'object' || weights === null) {
    refuse(name, 'ERR_ARGUMENT', `weights must be an object of tensors by name, got ${describeGiven(weights)}`)
  }
  // More layers than there are weights need no names to be refused.
  const layersNamed = Math.min(numLayers, Object.keys(weights).length + 1)
  const known = Array.from({ length: layersNamed }, (_, layer) =>
    directions.map((reverse) => weightNames(layer, reverse)),
  ).flat(2)
  const missing = known.filter((key) => key.startsWith('weight') && !(weights[key] instanceof Tensor))
  const unexpected = Object.keys(weights).filter((key) => !known.includes(key))
  if (missing.length + unexpected.length === 0) return
  const parts = [
    missing.length && `missing ${missing.join(', ')}`,
    unexpected.length && `unexpected ${unexpected.join(', ')}`,
  ]
  const layers = `${numLayers} ${numLayers === 1 ? 'layer' : 'layers'} in ${directions.length === 1 ? 'one direction' : 'two directions'}`
  refuse(name, 'ERR_ARGUMENT', `weights of ${layers}: ${parts.filter(Boolean).join('; ')}`)
}

/** Weights of one direction of one layer, checked; absent biases are zeros. */
function layerWeights(
  name: string,
  cell: Cell,
  weights: RecurrentWeights,
  names: readonly string[],
  x: Tensor,
  hidden: number,
): LayerWeights {
  const [weightIh, weightHh, biasIh, biasHh] = weightShapes(cell, x.shape[2]!, hidden).map((shape, i) => {
    const key = names[i]!
    const weight = weights[key]
    if (weight === undefined) return filled(shape, 0, x.dtype)
    checkOperand(name, key, weight, shape)
    return weight
  })
  return { weightIh: weightIh!, weightHh: weightHh!, biasIh: biasIh!, biasHh: biasHh! }
}

/** One (N, H) for each layer and direction. */
function initialStates(
  name: string,
  what: string,
  given: Tensor | undefined,
  shape: readonly [number, number, number],
  x: Tensor,
): Tensor[] {
  const [states, n, hidden] = shape
  if (given === undefined) return new Array<Tensor>(states).fill(filled([n, hidden], 0, x.dtype))
  checkOperand(name, `initial.${what}`, given, shape)
  return Array.from({ length: states }, (_, i) => reshape(slice(given, { starts: [i], ends: [i + 1] }), [n, hidden]))
}

function checkOperand(name: string, what: string, x: Tensor, shape: readonly number[]): void {
  requireTensors(name, { [what]: x })
  checkFloat(name, what, x)
  if (!sameShape(x.shape, shape)) {
    refuse(name, 'ERR_SHAPE', `${what} has shape ${formatShape(x.shape)}; ${formatShape(shape)} expected`)
  }
}

function checkFloat(name: string, what: string, { dtype }: Tensor): void {
  if (dtype === 'float32' || dtype === 'float64') return
  refuse(name, 'ERR_DTYPE', `${what} must be float32, got ${dtype}`, "use cast(x, 'float32')")
}
