/**
 * Epilogues: what alone reads the result of a kernel is done by it while it stores that. A batch norm adds a residual; a
 * matmul keeps the gradient of ReLU where its result was positive; a cross entropy gives the gradient of its logits; an
 * activation is applied by the matmul, convolution or batch norm before it. The gradient of a batch norm applies ReLU's mask
 * while it reads.
 */
import { attrKey, countUses, Graph, type Node, rewrite, type Value } from '../graph/graph.js'
import { RELU_GRAD, reluGradOp } from '../ops/activation.js'
import { crossEntropyGradOp, crossEntropyOp, crossEntropyWithGradOp } from '../ops/cross_entropy.js'
import { addOp } from '../ops/elementwise.js'
import { batchNormGradOp } from '../ops/norm.js'
import type { AttrRecord } from '../ops/registry.js'
import { sameShape } from '../shape.js'
import { build, readOnce, reshapeValue } from './build.js'

export function epilogue(graph: Graph): Graph {
  return activations(operands(graph))
}

/**
 * add(f(x, ..), r) = f(x, .., r), and what else a node before it can do with one operand more. What f takes is visited
 * before all else, so that it is there when f is made; where it is not, it or one before it needs f's outputs, and the
 * operation stays.
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
      const { own, following } = follower.join(inputs, get(follower.operand))
      absorbed.set(follower.node, following)
      return own
    },
  )
  return new Graph(outputs.slice(taken.length), assignments)
}

/** An operation that the node before it can do, with one operand more. */
interface Follower {
  readonly node: Node
  readonly operand: Value
  /** The outputs of the node before it, made of its inputs and the operand, and what the follower has given. */
  readonly join: (inputs: readonly Value[], operand: Value) => { own: readonly Value[]; following: Value }
}

/** By the node that may do it. */
function findFollowers(graph: Graph): Map<Node, Follower> {
  const uses = countUses(graph)
  const found = new Map<Node, Follower>()
  for (const node of graph.nodes()) {
    if (node.op === crossEntropyGradOp) {
      const loss = lossBefore(node, uses)
      if (loss) found.set(loss, { node, operand: node.inputs[4]!, join: joinLoss(loss) })
      continue
    }
    const [a, b] = node.inputs
    if (node.inputs.length !== 2 || !sameShape(a!.shape, b!.shape)) continue
    const follow = (value: Value, operand: Value, kind: 'residual' | 'masked', attrs: AttrRecord): boolean => {
      const source = readOnce(value, uses)
      if (!source || !takes(source, kind)) return false
      const { node: before } = source
      const join: Follower['join'] = (inputs, operand) => {
        const operands = [...inputs, reshapeValue(operand, source.shape)]
        const own = build(before.op, operands, { ...before.attrs, ...attrs }, before.name).outputs
        return { own, following: reshapeValue(own[0]!, node.outputs[0]!.shape) }
      }
      found.set(before, { node, operand, join })
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

/** The cross entropy whose gradient this is, if nobody else reads more of it than the loss. */
function lossBefore({ inputs, attrs }: Node, uses: ReadonlyMap<Value, number>): Node | undefined {
  const [logits, labels, shift, logSum, , weight] = inputs
  const { node } = shift!
  const [, ownShift, ownLogSum, weights] = node.outputs
  const isOwn =
    node.op === crossEntropyOp &&
    [logits, labels, weight].every((input, i) => input === node.inputs[i]) &&
    attrKey(attrs) === attrKey(node.attrs)
  const isAlone = [ownShift, ownLogSum].every((value) => uses.get(value!) === 1) && !uses.has(weights!)
  return isOwn && shift === ownShift && logSum === ownLogSum && isAlone ? node : undefined
}

function joinLoss({ attrs, name }: Node): Follower['join'] {
  return ([logits, labels, ...weight], dloss) => {
    const [loss, dlogits] = build(crossEntropyWithGradOp, [logits!, labels!, dloss, ...weight], attrs, name).outputs
    return { own: [loss!], following: dlogits! }
  }
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
