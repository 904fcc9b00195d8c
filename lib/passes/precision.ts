/**
 * Precision 'bfloat16': products of matrices and convolutions, forward and backward, read and write bfloat16 and add up in
 * float32, on tensor cores. What lies between them is computed in float32 and stored as bfloat16 where products alone read
 * it: the casts become part of the elementwise kernels beside them. Variables, and with them weights, optimizers' states
 * and running statistics, stay float32, and so do normalisation, softmax and losses; a weight is cast once a step, since
 * equal casts become one (cse).
 */
import { type DType, dtypeCode } from '../dtype.js'
import { type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { castOp } from '../ops/cast.js'
import type { AnyOp } from '../ops/registry.js'
import { reshapeOp } from '../ops/shape.js'
import { build, reshapeValue } from './build.js'

/** Channels of a group from which on tiles of tensor cores are worth filling. */
const FEWEST_CHANNELS = 8

export function narrowProducts(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    if (!isProduct(node)) return undefined
    const narrow = inputs.map((input, i) => (i < 2 ? castTo(input, 'bfloat16') : input)) // a bias stays float32
    return build(node.op, narrow, node.attrs, node.name).outputs.map((output) => castTo(output, 'float32'))
  })
}

function isProduct({ op, inputs, outputs, attrs }: Node): boolean {
  if (inputs[0]?.dtype !== 'float32') return false
  if (op.name === 'matmul') return true
  const filter = { conv2d: inputs[1], conv2dGradInput: inputs[1], conv2dGradWeight: outputs[0] }[op.name]
  return filter !== undefined && filter.shape[3]! / (attrs.groups as number) >= FEWEST_CHANNELS
}

/** The value as `dtype`; what a cast, or reshapes of one, was made of where that is it. */
function castTo(value: Value, dtype: DType): Value {
  if (value.dtype === dtype) return value
  const [source] = value.node.inputs
  if (value.node.op === (castOp as AnyOp) && source!.dtype === dtype) return source!
  if (value.node.op === (reshapeOp as AnyOp)) return reshapeValue(castTo(source!, dtype), value.shape)
  return build(castOp, [value], { dtype: dtypeCode(dtype) }).outputs[0]!
}
