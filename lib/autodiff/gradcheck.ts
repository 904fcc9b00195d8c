/**
 * Analytic against numeric gradients, in float64 on the reference interpreter; variables have the values of this moment.
 */

import { fromData } from '../create.js'
import { describeGiven, ForjaError } from '../errors.js'
import { Graph, type InputSource } from '../graph/graph.js'
import { requireTensorList, requireTensors } from '../ops/check_call.js'
import { makeLeaf } from '../ops/creation.js'
import { mul } from '../ops/elementwise.js'
import { sum } from '../ops/reduce.js'
import { checkOptions } from '../options.js'
import { type RefArray, refArray, toRef } from '../reference/array.js'
import { interpret } from '../reference/interpret.js'
import { evaluate, missingFeed } from '../runtime/evaluate.js'
import type { VariableState } from '../runtime/state.js'
import { formatShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { grad } from './grad.js'

export interface GradcheckOptions {
  /** Step of the central difference. Default 1e-5. */
  epsilon?: number
  /** Allowed |analytic - numeric| / max(1, |numeric|). Default 1e-5. */
  tolerance?: number
}

/**
 * Compares the gradients of `fn` with central differences at `inputs`, element by element; outputs of any shape are
 * weighted with fixed numbers so that every element counts.
 *
 * @throws ERR_ARGUMENT naming the input, the index, the analytic and the numeric value where they part.
 */
export async function gradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): Promise<void> {
  if (typeof fn !== 'function') {
    throw new ForjaError('ERR_ARGUMENT', `gradcheck: a function was expected, got ${describeGiven(fn)}`)
  }
  requireTensorList('gradcheck', 'inputs', inputs)
  const { epsilon = 1e-5, tolerance = 1e-5 } = checkOptions('gradcheck', options, ['epsilon', 'tolerance'])
  const data = await evaluate(inputs.map((t) => t.value))
  const sources = inputs.map((_, i): InputSource => ({ kind: 'input', name: `input ${i}` }))
  const leaves = inputs.map((t, i) => new Tensor(makeLeaf(sources[i]!, { shape: t.shape, dtype: t.dtype })))
  const y = fn(...leaves)
  requireTensors('gradcheck', { 'the result of fn': y })
  const weights = Float32Array.from({ length: y.size }, (_, i) => Math.fround(Math.sin(i * 1.7 + 0.5) + 0.1))
  const loss = sum(mul(y, fromData(weights, y.shape, 'float32')))
  const differentiable = inputs.map((_, i) => i).filter((i) => inputs[i]!.dtype === 'float32')
  const grads = grad(
    loss,
    differentiable.map((i) => leaves[i]!),
  )
  const arrays = inputs.map((t, i) => toRef(t.shape, t.dtype, data[i]!))
  const forward = new Graph([loss.value])
  const backward = new Graph(grads.map((g) => g.value))
  const leafValues = new Map<unknown, RefArray>(sources.map((source, i) => [source, arrays[i]!]))
  for (const { source, outputs } of new Graph([...forward.outputs, ...backward.outputs]).nodes()) {
    const { shape, dtype } = outputs[0]!
    if (source?.kind === 'variable') {
      leafValues.set(source, toRef(shape, dtype, await (source as VariableState).read()))
    } else if (source?.kind === 'hostScalar') {
      leafValues.set(source, refArray(shape, dtype, Float64Array.of(source.read())))
    } else if (source?.kind === 'constant') {
      leafValues.set(source, toRef(shape, dtype, source.data))
    } else if (source?.kind === 'input' && !leafValues.has(source)) {
      missingFeed(source)
    }
  }
  const run = (graph: Graph): RefArray[] => {
    const values = interpret(graph, (value) => leafValues.get(value.node.source)!)
    return graph.outputs.map((o) => values.get(o)!)
  }
  const analytic = run(backward)
  differentiable.forEach((input, k) => {
    const x = arrays[input]!.data
    for (let i = 0; i < x.length; i++) {
      const kept = x[i]!
      x[i] = kept + epsilon
      const above = run(forward)[0]!.data[0]!
      x[i] = kept - epsilon
      const below = run(forward)[0]!.data[0]!
      x[i] = kept
      const numeric = (above - below) / (2 * epsilon)
      const given = analytic[k]!.data[i]!
      const error = Math.abs(given - numeric) / Math.max(1, Math.abs(numeric))
      if (!(error <= tolerance)) {
        throw new ForjaError(
          'ERR_ARGUMENT',
          `gradcheck: input ${input} ${formatShape(inputs[input]!.shape)}, element ${i}: analytic ${given}, numeric ${numeric}`,
        )
      }
    }
  })
}
