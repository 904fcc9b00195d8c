/**
 * The cells of recurrent.ts written out step by step in other operations, for gradients of gradients: those of
 * `recurrentGrad` are the gradients of the unrolled layer, differentiated once more.
 */
import { grad } from '../autodiff/grad.js'
import { Graph, type InputSource, rewrite } from '../graph/graph.js'
import { Tensor } from '../tensor.js'
import { relu, sigmoid, tanh } from './activation.js'
import { makeLeaf } from './creation.js'
import { add, mul, sub } from './elementwise.js'
import { linear } from './matmul.js'
import type { Cell } from './recurrent.js'
import type { GradContext } from './registry.js'
import { squeeze } from './shape.js'
import { split, stack } from './slice.js'

interface State {
  h: Tensor
  c?: Tensor
}

/** ax = W_i x + b_i and ah = W_h h + b_h, (N, G·H) → the state behind the step. */
const STEPS: Readonly<Record<Cell, (ax: Tensor, ah: Tensor, state: State) => State>> = {
  tanh: (ax, ah) => ({ h: tanh(add(ax, ah)) }),
  relu: (ax, ah) => ({ h: relu(add(ax, ah)) }),
  lstm: (ax, ah, { c }) => {
    const [i, f, g, o] = split(add(ax, ah), 4, { axis: 1 }) as [Tensor, Tensor, Tensor, Tensor]
    const next = add(mul(sigmoid(f), c!), mul(sigmoid(i), tanh(g)))
    return { h: mul(sigmoid(o), tanh(next)), c: next }
  },
  gru: (ax, ah, { h }) => {
    const [xr, xz, xn] = split(ax, 3, { axis: 1 }) as [Tensor, Tensor, Tensor]
    const [hr, hz, hn] = split(ah, 3, { axis: 1 }) as [Tensor, Tensor, Tensor]
    const [r, z] = [sigmoid(add(xr, hr)), sigmoid(add(xz, hz))]
    const n = tanh(add(xn, mul(r, hn)))
    return { h: add(mul(sub(1, z), n), mul(z, h)) }
  },
}

/** y (N, T, H), the last h and the last c, from the inputs of `recurrent`. */
function unrolled(cell: Cell, inputs: readonly Tensor[], reverse: boolean): Tensor[] {
  const [x, weightIh, weightHh, biasIh, biasHh, h, c] = inputs as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor?,
  ]
  let state: State = c ? { h, c } : { h }
  const order = split(x, x.shape[1]!, { axis: 1 }).map((step) => squeeze(step, { axes: 1 }))
  const ys: Tensor[] = []
  for (const step of reverse ? order.reverse() : order) {
    state = STEPS[cell](linear(step, weightIh, biasIh), linear(state.h, weightHh, biasHh), state)
    ys.push(state.h)
  }
  const y = stack(reverse ? ys.reverse() : ys, { axis: 1 })
  return state.c ? [y, state.h, state.c] : [y, state.h]
}

/** The gradient of `recurrentGrad` with respect to its operands; y and gates follow from the others. */
export function secondGradient(
  { inputs, gradOutputs, attrs }: GradContext<{ cell: 'i32'; reverse: 'i32'; given: 'i32'; dx: 'i32' }>,
  cell: Cell,
): (Tensor | null)[] {
  const first = cell === 'lstm' ? 7 : 6
  // Placeholders cut what the operands themselves were made of: each gradient counts its own operand only.
  const sources = inputs.map((_, i): InputSource => ({ kind: 'input', name: `operand ${i}` }))
  const stand = sources.map((source, i) => new Tensor(makeLeaf(source, inputs[i]!.value.type)))
  const operands = stand.slice(0, first)
  const seeds = stand.slice(first + 2)
  const outputs = unrolled(cell, operands, attrs.reverse === 1).filter((_, bit) => attrs.given & (2 ** bit))
  const grads = grad(outputs, attrs.dx ? [...operands.slice(1), operands[0]!] : operands.slice(1), {
    gradOutputs: seeds,
  })
  const wanted = grads.map((g, i) => [g, gradOutputs[i]] as const).filter(([, seed]) => seed)
  const second = grad(
    wanted.map(([g]) => g),
    [...operands, ...seeds],
    { gradOutputs: wanted.map(([, seed]) => seed!) },
  )
  const graph = rewrite(new Graph(second.map((t) => t.value)), (node) => {
    const index = sources.indexOf(node.source as InputSource)
    return index < 0 ? undefined : [inputs[index]!.value]
  })
  const results = graph.outputs.map((value) => new Tensor(value))
  return [...results.slice(0, first), null, null, ...results.slice(first)]
}
