/**
 * Batch norm with given statistics, and whatever else scales and shifts the result of a convolution channel by channel
 * by what is of the parameters alone, goes into its filter and bias:
 *
 *     (x * w + b) · s + t = x * (w · s) + (b · s + t)
 *
 * Filter and bias are then of the parameters alone too, and hoist.ts has them computed once.
 */
import { countUses, type Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { conv2dOp } from '../ops/conv.js'
import { addOp, mulOp } from '../ops/elementwise.js'
import { build, reshapeValue } from './build.js'
import { parameterValues } from './parameters.js'

export function absorb(graph: Graph): Graph {
  const known = parameterValues(graph)
  const uses = countUses(graph)
  return rewrite(graph, (node, inputs) => {
    if (node.op !== mulOp && node.op !== addOp) return undefined
    const at = inputs.findIndex((input, i) => isOpen(input.node) && uses.get(node.inputs[i]!) === 1)
    if (at < 0 || !known.has(node.inputs[1 - at]!)) return undefined
    const conv = inputs[at]!.node
    const [x, weight, bias] = conv.inputs
    if (!known.has(weight!) || (bias && !known.has(bias))) return undefined
    const channels = perChannel(inputs[1 - at]!, conv.outputs[0]!)
    if (channels === undefined || node.outputs[0]!.shape.length > 4) return undefined
    const { attrs, name } = conv
    const apply = (value: Value) => build(node.op, [value, channels], {}, name).outputs[0]!
    const isScale = node.op === mulOp
    const filter = isScale ? apply(weight!) : weight!
    const shift = bias ? apply(bias) : isScale ? undefined : channels
    for (const value of [filter, shift]) if (value) known.add(value)
    return build(conv2dOp, [x!, filter, ...(shift ? [shift] : [])], attrs, name).outputs
  })
}

/** A convolution that nothing follows yet inside its kernel. */
function isOpen({ op, attrs }: Node): boolean {
  return op === conv2dOp && attrs.activation === 0
}

/** `value` as (K,) where it has one number for each of the maps' K channels, else undefined. */
function perChannel(value: Value, maps: Value): Value | undefined {
  const k = maps.shape[3]!
  if (value.size !== k || value.shape.at(-1) !== k || value.dtype !== maps.dtype) return undefined
  return reshapeValue(value, [k])
}
