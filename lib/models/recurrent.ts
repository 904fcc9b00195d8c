/**
 * Recurrent networks: classifiers that read an image row by row, and a language model of characters.
 */
import { Embedding, Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { GRU, LSTM, RNN } from '../nn/recurrent.js'
import { reshape } from '../ops/index.js'
import type { LSTMOutput, RecurrentState } from '../ops/recurrent_api.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'

export interface RecurrentClassifierOptions {
  /** Numbers in a row. Default 28. */
  inputs?: number
  /** Default 128. */
  hiddenSize?: number
  /** Default 10. */
  classes?: number
}

const OPTIONS = ['inputs', 'hiddenSize', 'classes'] as const

/** Rows of an image, one a step; the state behind the last row goes to a linear layer. (N, 1, T, inputs) or (N, T, inputs). */
export class RecurrentClassifier extends Module<[x: Tensor]> {
  rnn: RNN | LSTM | GRU
  fc: Linear

  constructor(
    Layer: typeof RNN | typeof LSTM | typeof GRU,
    { inputs = 28, hiddenSize = 128, classes = 10 }: RecurrentClassifierOptions = {},
  ) {
    super()
    this.rnn = new Layer(inputs, hiddenSize)
    this.fc = new Linear(hiddenSize, classes)
  }

  override forward(x: Tensor): Tensor {
    const rows = x.rank === 4 && x.shape[1] === 1 ? reshape(x, [x.shape[0]!, x.shape[2]!, x.shape[3]!]) : x
    const { h } = this.rnn.forward(rows)
    return this.fc.forward(reshape(h, [x.shape[0]!, this.rnn.hiddenSize]))
  }
}

/** A simple recurrent network, 28→128 over 28 rows: 21,514 parameters. */
export function rnnClassifier(options: RecurrentClassifierOptions = {}): RecurrentClassifier {
  return new RecurrentClassifier(RNN, checkOptions('rnnClassifier', options, OPTIONS))
}

/** Long short-term memory, 28→128 over 28 rows: 82,186 parameters. */
export function lstmClassifier(options: RecurrentClassifierOptions = {}): RecurrentClassifier {
  return new RecurrentClassifier(LSTM, checkOptions('lstmClassifier', options, OPTIONS))
}

/** Gated recurrent units, 28→128 over 28 rows: 61,962 parameters. */
export function gruClassifier(options: RecurrentClassifierOptions = {}): RecurrentClassifier {
  return new RecurrentClassifier(GRU, checkOptions('gruClassifier', options, OPTIONS))
}

export interface CharLSTMOptions {
  /** Different characters. Default 96: printable ASCII and the line break. */
  vocabulary?: number
  /** Numbers that stand for a character. Default 64. */
  embeddingSize?: number
  /** Default 256. */
  hiddenSize?: number
  /** Default 1. */
  numLayers?: number
}

/** Codes of characters, int32 (N, T) → logits of the character that follows each, (N, T, vocabulary). */
export class CharLSTM extends Module<[x: Tensor]> {
  embedding: Embedding
  lstm: LSTM
  fc: Linear

  constructor(options: CharLSTMOptions = {}) {
    super()
    const {
      vocabulary = 96,
      embeddingSize = 64,
      hiddenSize = 256,
      numLayers = 1,
    } = checkOptions('charLSTM', options, ['vocabulary', 'embeddingSize', 'hiddenSize', 'numLayers'])
    this.embedding = new Embedding(vocabulary, embeddingSize)
    this.lstm = new LSTM(embeddingSize, hiddenSize, { numLayers })
    this.fc = new Linear(hiddenSize, vocabulary)
  }

  override forward(x: Tensor): Tensor {
    return this.continue(x).logits
  }

  /** As forward, from the state that an earlier call left behind; for writing text character by character. */
  continue(x: Tensor, state?: Partial<RecurrentState> | null): { logits: Tensor; state: Omit<LSTMOutput, 'y'> } {
    const { y, h, c } = this.lstm.forward(this.embedding.forward(x), state)
    return { logits: this.fc.forward(y), state: { h, c } }
  }
}

/** Embedding 64, LSTM 256, linear: 360,544 parameters. */
export function charLSTM(options: CharLSTMOptions = {}): CharLSTM {
  return new CharLSTM(options)
}
