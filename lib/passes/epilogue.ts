/**
 * Epilogues: what alone reads the result of a kernel is done by it while it stores that. A batch norm adds a residual; a
 * matmul keeps the gradient of ReLU where its result was positive; an activation is applied by the matmul, convolution or
 * batch norm before it. The gradient of a batch norm applies ReLU's mask while it reads.
 */
import { countUses, Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { RELU_GRAD, reluGradOp } from '../ops/activation.js'
import { addOp } from '../ops/elementwise.js'
import { batchNormGradOp } from '../ops/norm.js'
import type { AttrRecord } from '../ops/registry.js'
import { sameShape } from '../shape.js'
import { build, readOnce, reshapeValue } from './build.js'

export function epilogue(graph: Graph): Graph {
  return activations(operands(graph))
}

/**
 * add(f(x, ..), r) = f(x, .., r), and reluGrad(f(x, ..), y) likewise. What f takes is visited before all else, so that it
 * is there when f is made; where it is not, it or one before it needs f's outputs, and the operation stays.
 */
function operands(graph: Graph): Graph {
  const followers = findFollowers(graph)
  const taken = [...followers.values()].map(({ operand }) => operand)
  const visited = new Set<Node>()
  const absorbed = new Map<Node, Value>()
  const { outputs, assignments } = rewrite(
    new Graph([...taken, ...graph.outputs], graph.assignments),
    (node, inputs, get) => {
      const follower = followers.get(node)
      const takes = follower !== undefined && visited.has(follower.operand.node)
      visited.add(node)
      const whole = absorbed.get(node)
      if (!takes) return whole && [whole]
      const operand = reshapeValue(get(follower.operand), node.outputs[0]!.shape)
      const made = build(node.op, [...inputs, operand], { ...node.attrs, ...follower.attrs }, node.name).outputs
      absorbed.set(follower.node, reshapeValue(made[0]!, follower.node.outputs[0]!.shape))
      return made
    },
  )
  return new Graph(outputs.slice(taken.length), assignments)
}

/** An operation that the node before it can do, with one operand more. */
interface Follower {
  readonly node: Node
  readonly operand: Value
  readonly attrs: AttrRecord
}

/** By the node that may do it: what alone reads its first output, or a view of that, and has its size. */
function findFollowers(graph: Graph): Map<Node, Follower> {
  const uses = countUses(graph)
  const found = new Map<Node, Follower>()
  for (const node of graph.nodes()) {
    const [a, b] = node.inputs
    if (node.inputs.length !== 2 || !sameShape(a!.shape, b!.shape)) continue
    const follow = (value: Value, operand: Value, kind: 'residual' | 'masked', attrs: AttrRecord): boolean => {
      const source = readOnce(value, uses)
      if (!source || !takes(source, kind)) return false
      found.set(source.node, { node, operand, attrs })
      return true
    }
    if (node.op === addOp) follow(a!, b!, 'residual', {}) || follow(b!, a!, 'residual', {})
    if (node.op === reluGradOp) follow(a!, b!, 'masked', { activation: RELU_GRAD })
  }
  return found
}

function takes({ index, node: { op, inputs, attrs } }: Value, operand: 'residual' | 'masked'): boolean {
  return index === 0 && op.traits[operand] === inputs.length && attrs.activation === 0
}

function activations(graph: Graph): Graph {
  const uses = countUses(graph)
  const absorbs = new Map<Node, Node>()
  for (const node of graph.nodes()) {
    const source = node.inputs[0]
    if (node.op.traits.activation === undefined || node.inputs.length !== 1) continue
    if (source?.index !== 0 || uses.get(source) !== 1) continue
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
  return op === batchNormGradOp && inputs.length === 5 && masked!.node.op === reluGradOp && uses.get(masked!) === 1
}
