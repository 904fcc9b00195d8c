/**
 * Recurrent layers: one direction of one layer over the whole sequence is one operation, and so is its gradient.
 * PyTorch's cells; W_i* (I inputs) and W_h* (H hidden units) are blocks of rows of weightIh and weightHh:
 *
 *     tanh, relu   h' = f(W_i x + b_i + W_h h + b_h)
 *     lstm         i, f, o = σ(W_i* x + b_i* + W_h* h + b_h*)      g = tanh(the same)      rows i, f, g, o
 *                  c' = f · c + i · g      h' = o · tanh(c')
 *     gru          r, z = σ(W_i* x + b_i* + W_h* h + b_h*)                                 rows r, z, n
 *                  n = tanh(W_in x + b_in + r · (W_hn h + b_hn))      h' = (1 - z) · n + z · h
 *
 * x (N, T, I), weightIh (G·H, I), weightHh (G·H, H), biases (G·H), h and c (N, H). For the gradient the operation keeps,
 * in the order in which steps run (last first where `reverse`):
 *
 *     gates (T, N, S·H)         tanh, relu: h' · lstm: i, f, g, o, c' · gru: r, z, n, W_hn h + b_hn
 *
 * The functions users call are in recurrent_api.ts.
 */
import { ForjaError } from '../errors.js'
import type { Value } from '../graph/graph.js'
import { type RefArray, refArray } from '../reference/array.js'
import { formatShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { applyAll } from './apply.js'
import { secondGradient } from './recurrent_unrolled.js'
import { defineOp, type Op, requireDType, type Site } from './registry.js'

/** Values of the attribute `cell`; the index is the code. */
export const CELLS = ['tanh', 'relu', 'lstm', 'gru'] as const
export type Cell = (typeof CELLS)[number]

/** What one hidden unit computes, on numbers: `ax` and `ah` are its rows of W_i x + b_i and of W_h h + b_h. */
interface CellRule {
  /** Blocks of rows of the weights. */
  readonly blocks: number
  forward(ax: number[], ah: number[], h: number, c: number): { h: number; c: number; saved: number[] }
  /** `dh`, `dc`: of h' and c'. `keep`: the part of h's gradient that does not pass through the weights. */
  backward(
    saved: number[],
    before: { h: number; c: number },
    grads: { dh: number; dc: number },
  ): { dax: number[]; dah: number[]; keep: number; dc: number }
}

const sigma = (x: number): number => 1 / (1 + Math.exp(-x))

function plainRule(f: (x: number) => number, slope: (y: number) => number): CellRule {
  return {
    blocks: 1,
    forward: ([x], [r]) => {
      const h = f(x! + r!)
      return { h, c: 0, saved: [h] }
    },
    backward: ([h], _before, { dh }) => {
      const d = [dh * slope(h!)]
      return { dax: d, dah: d, keep: 0, dc: 0 }
    },
  }
}

const RULES: Readonly<Record<Cell, CellRule>> = {
  tanh: plainRule(Math.tanh, (y) => 1 - y * y),
  relu: plainRule(
    (x) => Math.max(x, 0),
    (y) => Number(y > 0),
  ),
  lstm: {
    blocks: 4,
    forward: (ax, ah, _h, c) => {
      const a = ax.map((x, q) => x + ah[q]!)
      const [i, f, g, o] = [sigma(a[0]!), sigma(a[1]!), Math.tanh(a[2]!), sigma(a[3]!)]
      const next = f * c + i * g
      return { h: o * Math.tanh(next), c: next, saved: [i, f, g, o, next] }
    },
    backward: (saved, { c }, { dh, dc }) => {
      const [i, f, g, o, next] = saved as [number, number, number, number, number]
      const t = Math.tanh(next)
      const dn = dc + dh * o * (1 - t * t)
      const d = [dn * g * i * (1 - i), dn * c * f * (1 - f), dn * i * (1 - g * g), dh * t * o * (1 - o)]
      return { dax: d, dah: d, keep: 0, dc: dn * f }
    },
  },
  gru: {
    blocks: 3,
    forward: (ax, ah, h) => {
      const [r, z] = [sigma(ax[0]! + ah[0]!), sigma(ax[1]! + ah[1]!)]
      const n = Math.tanh(ax[2]! + r * ah[2]!)
      return { h: (1 - z) * n + z * h, c: 0, saved: [r, z, n, ah[2]!] }
    },
    backward: (saved, { h }, { dh }) => {
      const [r, z, n, m] = saved as [number, number, number, number]
      const dn = dh * (1 - z) * (1 - n * n)
      const [dr, dz] = [dn * m * r * (1 - r), dh * (h - n) * z * (1 - z)]
      return { dax: [dr, dz, dn], dah: [dr, dz, dn * r], keep: dh * z, dc: 0 }
    },
  },
}

/** Blocks of rows of a cell's weights: 1, 4 or 3. */
export function blocksOf(cell: Cell): number {
  return RULES[cell].blocks
}

/** Numbers that a unit keeps for the gradient: S. */
function savedOf(cell: Cell): number {
  return cell === 'lstm' ? 5 : cell === 'gru' ? 4 : 1
}

const WEIGHTS = ['weightIh', 'weightHh', 'biasIh', 'biasHh'] as const
const ATTRS = { cell: 'i32', reverse: 'i32' } as const

/** x, weights, h0 (and c0 of an lstm) → y (N, T, H), the last h, gates (and the last c). */
const recurrentOp: Op<typeof ATTRS> = defineOp({
  name: 'recurrent',
  code: 244,
  inputs: ['x', ...WEIGHTS, 'h0', 'c0?'],
  attrs: ATTRS,
  infer: (inputs, attrs, site) => {
    const cell = CELLS[attrs.cell]!
    const { n, t, h } = checkInputs(inputs, cell, site)
    const type = (...shape: number[]) => ({ shape, dtype: inputs[0]!.dtype })
    const outputs = [type(n, t, h), type(n, h), type(t, n, savedOf(cell) * h)]
    return cell === 'lstm' ? [...outputs, type(n, h)] : outputs
  },
  grad: ({ inputs, outputs: [y, , gates], gradOutputs, attrs, needs }) => {
    const [dy, dh, dgates, dc] = gradOutputs
    const given = [dy, dh, dc].map((g, bit) => (g ? 2 ** bit : 0)).reduce((a, b) => a + b, 0)
    const seeds = [dy, dh, dc].filter((g): g is Tensor => !!g)
    if (dgates) {
      throw new ForjaError('ERR_INTERNAL', 'recurrent: what is kept for the gradient has no gradient of its own')
    }
    const dx = needs[0] ? 1 : 0
    const grads = applyAll(recurrentGradOp, [...inputs, y!, gates!, ...seeds], { ...attrs, given, dx })
    return [dx ? grads.pop()! : null, ...grads]
  },
  traits: { product: true },
  // Those of the matrix products.
  flops: ([x, weightIh, weightHh]) => 2 * x!.shape[0]! * x!.shape[1]! * (weightIh!.size + weightHh!.size),
  reference: (inputs, attrs, types) => {
    const cell = CELLS[attrs.cell]!
    const [x, weightIh, weightHh, biasIh, biasHh, h0, c0] = inputs
    const { n, t, i, h } = dimsOf(x!, h0!)
    const [y, last, gates, lastC] = types.map((type) => refArray(type.shape, type.dtype))
    forEachStep(n, t, attrs.reverse, (row, s, at) => {
      const before = new Float64Array(h).map((_, u) => (s > 0 ? y!.data[at(s - 1) * h + u]! : h0!.data[row * h + u]!))
      const input = x!.data.subarray(at(s) * i, (at(s) + 1) * i)
      const ax = product(weightIh!, biasIh!, input)
      const ah = product(weightHh!, biasHh!, before)
      for (let u = 0; u < h; u++) {
        const of = (rows: Float64Array) => Array.from({ length: rows.length / h }, (_, q) => rows[q * h + u]!)
        const c =
          cell !== 'lstm' ? 0 : s > 0 ? gates!.data[((s - 1) * n + row) * 5 * h + 4 * h + u]! : c0!.data[row * h + u]!
        const next = RULES[cell].forward(of(ax), of(ah), before[u]!, c)
        y!.data[at(s) * h + u] = next.h
        next.saved.forEach((value, q) => {
          gates!.data[(s * n + row) * next.saved.length * h + q * h + u] = value
        })
        if (s < t - 1) continue
        last!.data[row * h + u] = next.h
        if (lastC) lastC.data[row * h + u] = next.c
      }
    })
    return [y!, last!, gates!, ...(lastC ? [lastC] : [])]
  },
})

/**
 * The inputs of `recurrent`, y, gates, then those of dy, dh, dc (1, 2, 4) that are in `given` → gradients of the
 * weights, of h0 (and c0), and of x where `dx` is 1.
 */
const recurrentGradOp: Op<typeof ATTRS & { given: 'i32'; dx: 'i32' }> = defineOp({
  name: 'recurrentGrad',
  code: 245,
  inputs: ['x', ...WEIGHTS, 'h0', 'operand...'],
  attrs: { ...ATTRS, given: 'i32', dx: 'i32' },
  infer: (inputs, attrs, site) => {
    const first = CELLS[attrs.cell] === 'lstm' ? 7 : 6
    checkInputs(inputs.slice(0, first), CELLS[attrs.cell]!, site)
    const types = inputs.slice(1, first).map((value) => value.type)
    return attrs.dx ? [...types, inputs[0]!.type] : types
  },
  grad: (context) => secondGradient(context, CELLS[context.attrs.cell]!),
  traits: { product: true },
  flops: ([x, weightIh, weightHh], _outputs, { dx }) => {
    const steps = x!.shape[0]! * x!.shape[1]!
    return 4 * steps * (weightIh!.size + weightHh!.size) - (dx ? 0 : 2 * steps * weightIh!.size)
  },
  reference: (inputs, attrs, types) => {
    const cell = CELLS[attrs.cell]!
    const first = cell === 'lstm' ? 7 : 6
    const [x, weightIh, weightHh, , , h0, c0] = inputs
    const [y, gates, ...seeds] = inputs.slice(first)
    const [dy, dhLast, dcLast] = [1, 2, 4].map((bit) => (attrs.given & bit ? seeds.shift() : undefined))
    const { n, t, i, h } = dimsOf(x!, h0!)
    const saved = savedOf(cell)
    const grads = types.map((type) => refArray(type.shape, type.dtype))
    const [dWeightIh, dWeightHh, dBiasIh, dBiasHh, dh] = grads
    const dc = cell === 'lstm' ? grads[5] : undefined
    const dx = attrs.dx ? grads.at(-1) : undefined
    if (dhLast) dh!.data.set(dhLast.data)
    if (dcLast) dc?.data.set(dcLast.data)
    // Downwards through the steps: dh and dc hold the gradients of the state behind step s, then before it.
    forEachStep(n, t, attrs.reverse, (row, forward, at) => {
      const s = t - 1 - forward
      const state =
        s > 0 ? y!.data.subarray(at(s - 1) * h, (at(s - 1) + 1) * h) : h0!.data.subarray(row * h, (row + 1) * h)
      const dax = new Float64Array(dBiasIh!.data.length)
      const dah = new Float64Array(dBiasHh!.data.length)
      for (let u = 0; u < h; u++) {
        const cBefore = s > 0 ? gates!.data[((s - 1) * n + row) * saved * h + 4 * h + u]! : c0?.data[row * h + u]
        const values = Array.from({ length: saved }, (_, q) => gates!.data[(s * n + row) * saved * h + q * h + u]!)
        const unit = row * h + u
        const step = RULES[cell].backward(
          values,
          { h: state[u]!, c: cell === 'lstm' ? cBefore! : 0 },
          { dh: dh!.data[unit]! + (dy?.data[at(s) * h + u] ?? 0), dc: dc?.data[unit] ?? 0 },
        )
        step.dax.forEach((d, q) => {
          dax[q * h + u] = d
        })
        step.dah.forEach((d, q) => {
          dah[q * h + u] = d
        })
        dh!.data[unit] = step.keep
        if (dc) dc.data[unit] = step.dc
      }
      for (let q = 0; q < dax.length; q++) {
        dBiasIh!.data[q]! += dax[q]!
        dBiasHh!.data[q]! += dah[q]!
        for (let j = 0; j < i; j++) {
          dWeightIh!.data[q * i + j]! += dax[q]! * x!.data[at(s) * i + j]!
          if (dx) dx.data[at(s) * i + j]! += dax[q]! * weightIh!.data[q * i + j]!
        }
        for (let j = 0; j < h; j++) {
          dWeightHh!.data[q * h + j]! += dah[q]! * state[j]!
          dh!.data[row * h + j]! += dah[q]! * weightHh!.data[q * h + j]!
        }
      }
    })
    return grads
  },
})

interface Dims {
  n: number
  t: number
  i: number
  h: number
}

function dimsOf(x: { readonly shape: readonly number[] }, h0: { readonly shape: readonly number[] }): Dims {
  const [n, t, i] = x.shape as [number, number, number]
  const h = h0.shape[1]!
  return { n, t, i, h }
}

/** Calls `visit(row, s, at)` for each sample and step in order; at(s) is the row of x and y that step s reads. */
function forEachStep(
  n: number,
  t: number,
  reverse: number,
  visit: (row: number, s: number, at: (s: number) => number) => void,
): void {
  for (let row = 0; row < n; row++) {
    const at = (s: number) => row * t + (reverse ? t - 1 - s : s)
    for (let s = 0; s < t; s++) visit(row, s, at)
  }
}

/** weight · v + bias. */
function product(weight: RefArray, bias: RefArray, v: Float64Array): Float64Array {
  return bias.data.map((b, row) => v.reduce((sum, value, j) => sum + value * weight.data[row * v.length + j]!, b))
}

function checkInputs(inputs: readonly Value[], cell: Cell, site: Site): Dims {
  const [x, weightIh, weightHh, biasIh, biasHh, h0, c0] = inputs
  for (const value of inputs) requireDType(value, site, 'float32')
  if (inputs.length !== (cell === 'lstm' ? 7 : 6)) site.fail('ERR_ARGUMENT', 'wrong number of operands')
  if (x!.shape.length !== 3 || h0!.shape.length !== 2) site.fail('ERR_SHAPE', 'x must be (N, T, I), h0 (N, H)')
  const dims = dimsOf(x!, h0!)
  const { n, t, i, h } = dims
  if (t < 1 || i < 1 || h < 1) site.fail('ERR_SHAPE', 'at least one step, one input and one hidden unit are needed')
  const rows = blocksOf(cell) * h
  const expected: [string, Value, number[]][] = [
    ['weightIh', weightIh!, [rows, i]],
    ['weightHh', weightHh!, [rows, h]],
    ['biasIh', biasIh!, [rows]],
    ['biasHh', biasHh!, [rows]],
    ['h0', h0!, [n, h]],
    ...(c0 ? [['c0', c0, [n, h]] as [string, Value, number[]]] : []),
  ]
  for (const [name, value, shape] of expected)
    if (!sameShape(value.shape, shape)) site.fail('ERR_SHAPE', `${name} must have shape ${formatShape(shape)}`)
  return dims
}

/** The operands of one direction of one layer. */
export interface LayerWeights {
  weightIh: Tensor
  weightHh: Tensor
  biasIh: Tensor
  biasHh: Tensor
}

/** One direction of one layer over x (N, T, I) from the state h, c (N, H): every h', and the last state. */
export function recurrentLayer(
  cell: Cell,
  x: Tensor,
  { weightIh, weightHh, biasIh, biasHh }: LayerWeights,
  state: { h: Tensor; c?: Tensor },
  reverse: boolean,
): { y: Tensor; h: Tensor; c?: Tensor } {
  const inputs = [x, weightIh, weightHh, biasIh, biasHh, state.h, ...(cell === 'lstm' ? [state.c!] : [])]
  const attrs = { cell: CELLS.indexOf(cell), reverse: reverse ? 1 : 0 }
  const [y, h, , c] = applyAll(recurrentOp, inputs, attrs) as [Tensor, Tensor, Tensor, Tensor?]
  return c ? { y, h, c } : { y, h }
}
