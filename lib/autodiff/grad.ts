/**
 * Reverse-mode differentiation: walks the graph from the outputs to the inputs and appends ordinary nodes, each
 * operation's own `grad` rule saying which. The result is graph like any other, so it can be differentiated again.
 */
import { isFloat } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { type Node, topological, type Value } from '../graph/graph.js'
import { filled } from '../ops/apply.js'
import { requireTensorList } from '../ops/check_call.js'
import { add } from '../ops/elementwise.js'
import { sumTo } from '../ops/reduce.js'
import { checkOptions } from '../options.js'
import { formatShape, sameShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { isDetached } from './detach.js'

export interface GradOptions {
  /** Vectors of the vector-Jacobian product, one per output. Default: ones, for scalars only. */
  gradOutputs?: readonly Tensor[]
}

/**
 * Gradients of the sum of `outputs` (weighted by `gradOutputs`) with respect to `inputs`, shapes as the inputs'.
 * An input that the outputs do not depend on gets zeros.
 *
 * @throws ERR_SHAPE for an output that is no scalar without gradOutputs, and for vectors of another shape; ERR_DTYPE for
 *   integer inputs, and for vectors of another dtype; ERR_ARGUMENT for another number of vectors than of outputs;
 *   ERR_UNSUPPORTED_OP naming an operation on the way that has no gradient.
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions = {},
): Tensor[] {
  const list = outputs instanceof Tensor ? [outputs] : outputs
  requireTensorList('grad', 'outputs', list)
  requireTensorList('grad', 'inputs', inputs)
  const { gradOutputs } = checkOptions('grad', options, ['gradOutputs'])
  if (gradOutputs !== undefined) {
    requireTensorList('grad', 'gradOutputs', gradOutputs)
    const [given, wanted] = [gradOutputs.length, list.length]
    if (given !== wanted) {
      throw new ForjaError('ERR_ARGUMENT', `grad: ${given} gradOutputs, expected one for each of ${wanted} outputs`)
    }
  }
  const seeds = list.map((output, i) => seedFor(output, gradOutputs?.[i]))
  return gradValues(
    list.map((t) => t.value),
    inputs.map((t) => t.value),
    seeds,
  ).map((g, i) => g ?? filled(inputs[i]!.shape, 0, inputs[i]!.dtype))
}

function seedFor(output: Tensor, given: Tensor | undefined): Tensor {
  if (given === undefined) {
    if (output.size !== 1) {
      throw new ForjaError(
        'ERR_SHAPE',
        `grad: the output has shape ${formatShape(output.shape)}; a scalar was expected`,
        {
          hint: 'reduce it with sum() or mean(), or give gradOutputs',
        },
      )
    }
    return filled(output.shape, 1, output.dtype)
  }
  if (!sameShape(given.shape, output.shape)) {
    throw new ForjaError(
      'ERR_SHAPE',
      `grad: gradOutputs has shape ${formatShape(given.shape)}, the output ${formatShape(output.shape)}`,
    )
  }
  if (given.dtype !== output.dtype) {
    throw new ForjaError('ERR_DTYPE', `grad: gradOutputs is ${given.dtype}, the output ${output.dtype}`)
  }
  return given
}

/** As `grad`, on graph values; null where an input is not reached. */
export function gradValues(
  outputs: readonly Value[],
  inputs: readonly Value[],
  seeds: readonly Tensor[],
): (Tensor | null)[] {
  for (const input of inputs) {
    if (!isFloat(input.dtype)) {
      throw new ForjaError('ERR_DTYPE', `grad: an input is ${input.dtype}; expected a float dtype`)
    }
  }
  const wanted = new Set(inputs)
  const order = topological(outputs, (value) => !isDetached(value.node))
  const reaches = markReaching(order, wanted)
  const grads = new Map<Value, Tensor>()
  const accumulate = (value: Value, g: Tensor) => {
    const sum = grads.get(value)
    grads.set(value, sum ? add(sum, g) : g)
  }
  outputs.forEach((output, i) => {
    accumulate(output, seeds[i]!)
  })
  for (const node of [...order].reverse()) {
    if (!reaches.has(node)) continue
    const gradOutputs = node.outputs.map((output) => grads.get(output) ?? null)
    if (gradOutputs.every((g) => g === null)) continue
    const needs = node.inputs.map((input) => wanted.has(input) || reaches.has(input.node))
    if (!needs.some(Boolean)) continue
    if (node.op.grad === null) {
      throw new ForjaError(
        'ERR_UNSUPPORTED_OP',
        `grad: ${node.op.name}${node.name ? ` (${node.name})` : ''} is not differentiable`,
      )
    }
    const gradInputs = node.op.grad({
      inputs: node.inputs.map((v) => new Tensor(v)),
      outputs: node.outputs.map((v) => new Tensor(v)),
      gradOutputs,
      attrs: node.attrs,
      needs,
    })
    node.inputs.forEach((input, i) => {
      const g = gradInputs[i]
      if (g && needs[i]) accumulate(input, node.op.traits.elementwise ? sumTo(g, input.shape) : g)
    })
  }
  return inputs.map((input) => grads.get(input) ?? null)
}

/** Nodes from which a wanted value can be reached going towards the inputs, wanted values' own nodes included. */
function markReaching(order: readonly Node[], wanted: ReadonlySet<Value>): Set<Node> {
  const reaches = new Set<Node>()
  for (const node of order) {
    if (node.inputs.some((input) => wanted.has(input) || reaches.has(input.node))) reaches.add(node)
  }
  return reaches
}
