/**
 * Epilogues: what alone reads the result of a kernel is done by it while it stores that. A batch norm adds a residual; an
 * activation is applied by the matmul, convolution or batch norm before it. The gradient of a batch norm applies ReLU's
 * mask while it reads.
 */
import { countUses, Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { reluGradOp } from '../ops/activation.js'
import { addOp } from '../ops/elementwise.js'
import { batchNormGradOp } from '../ops/norm.js'
import type { AnyOp } from '../ops/registry.js'
import { sameShape } from '../shape.js'
import { build } from './build.js'

export function epilogue(graph: Graph): Graph {
  return activations(residuals(graph))
}

/**
 * add(f(x, ..), r) = f(x, .., r). What is added is visited before all else, so that it is there when f is made; where
 * it is not, it or one before it needs f's other outputs, and the sum stays.
 */
function residuals(graph: Graph): Graph {
  const sums = findSums(graph)
  const added = [...sums.values()].map(({ residual }) => residual)
  const visited = new Set<Node>()
  const absorbed = new Map<Node, Value>()
  const { outputs, assignments } = rewrite(
    new Graph([...added, ...graph.outputs], graph.assignments),
    (node, inputs, get) => {
      const sum = sums.get(node)
      const takes = sum !== undefined && visited.has(sum.residual.node)
      visited.add(node)
      const whole = absorbed.get(node)
      if (!takes) return whole && [whole]
      const made = build(node.op, [...inputs, get(sum.residual)], node.attrs, node.name).outputs
      absorbed.set(sum.node, made[0]!)
      return made
    },
  )
  return new Graph(outputs.slice(added.length), assignments)
}

interface Sum {
  readonly node: Node
  readonly residual: Value
}

/** By the node that may take the residual: sums of its first output, which nobody else reads, with a value of that shape. */
function findSums(graph: Graph): Map<Node, Sum> {
  const uses = countUses(graph)
  const found = new Map<Node, Sum>()
  for (const node of graph.nodes()) {
    if (node.op !== (addOp as AnyOp) || !sameShape(node.inputs[0]!.shape, node.inputs[1]!.shape)) continue
    const at = node.inputs.findIndex((input) => takesResidual(input) && uses.get(input) === 1)
    if (at >= 0) found.set(node.inputs[at]!.node, { node, residual: node.inputs[1 - at]! })
  }
  return found
}

function takesResidual({ index, node: { op, inputs, attrs } }: Value): boolean {
  return index === 0 && op.traits.residual === inputs.length && attrs.activation === 0
}

function activations(graph: Graph): Graph {
  const uses = countUses(graph)
  const absorbs = new Map<Node, Node>()
  for (const node of graph.nodes()) {
    const source = node.inputs[0]
    if (node.op.traits.activation === undefined || source?.index !== 0 || uses.get(source) !== 1) continue
    if (source.node.op.traits.epilogue && source.node.attrs.activation === 0) absorbs.set(source.node, node)
  }
  const absorbed = new Set(absorbs.values())
  return rewrite(graph, (node, inputs) => {
    if (absorbed.has(node)) return [inputs[0]!]
    if (readsMasked(node, uses)) {
      const [dy, y] = inputs[0]!.node.inputs
      return build(node.op, [dy!, ...inputs.slice(1), y!], node.attrs, node.name).outputs
    }
    const activation = absorbs.get(node)?.op.traits.activation
    return activation === undefined
      ? undefined
      : build(node.op, inputs, { ...node.attrs, activation }, node.name).outputs
  })
}

/** batchNormGrad(reluGrad(dy, y), x, ..): it may read dy and y itself. */
function readsMasked({ op, inputs }: Node, uses: ReadonlyMap<Value, number>): boolean {
  const masked = inputs[0]
  return (
    op === (batchNormGradOp as AnyOp) &&
    inputs.length === 5 &&
    masked!.node.op === (reluGradOp as AnyOp) &&
    uses.get(masked!) === 1
  )
}
