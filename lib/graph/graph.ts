/**
 * The graph: what every part of forja between the user's code and the native program speaks.
 *
 * A `Node` is an operation applied to `Value`s; a `Value` is one output of a node, with a shape and a dtype. Both are
 * immutable, but that detached ones become constants (autodiff/detach.ts); passes build new nodes. Leaves (`input`, `constant`,
 * `variable`, `hostScalar`) carry a reference to where their numbers come from instead of attributes.
 */
import type { DType, TypedArray } from '../dtype.js'
import type { AnyOp, AttrRecord } from '../ops/registry.js'
import { type Shape, sizeOfShape } from '../shape.js'

export interface TensorType {
  readonly shape: Shape
  readonly dtype: DType
}

export class Value {
  /** Elements on the host, once the value has been read or where it was given: graphs stop here. */
  resident?: TypedArray

  constructor(
    readonly node: Node,
    readonly index: number,
    readonly type: TensorType,
  ) {}

  get shape(): Shape {
    return this.type.shape
  }

  get dtype(): DType {
    return this.type.dtype
  }

  get size(): number {
    return sizeOfShape(this.type.shape)
  }
}

let nextId = 0

export class Node {
  readonly id = nextId++
  readonly outputs: readonly Value[]

  constructor(
    readonly op: AnyOp,
    readonly inputs: readonly Value[],
    readonly attrs: AttrRecord,
    types: readonly TensorType[],
    /** The layer or variable it came from: `conv1`, `conv1.weight`. */
    readonly name?: string,
    /** Leaves only: what the numbers come from. */
    readonly source?: LeafSource,
  ) {
    this.outputs = types.map((type, index) => new Value(this, index, type))
  }
}

/** State that outlives a program: a device buffer with a current value. Implemented by runtime/state.ts. */
export interface VariableSource {
  readonly kind: 'variable'
  readonly id: number
  readonly name: string
  readonly type: TensorType
}

/** A number read from JavaScript at every run, such as a learning rate: changes need no new program. */
export interface HostScalarSource {
  readonly kind: 'hostScalar'
  readonly name: string
  read(): number
}

/** An argument of a compiled function, or a placeholder of a session. */
export interface InputSource {
  readonly kind: 'input'
  readonly name: string
  /** Of placeholders: what messages call it, such as `placeholder 'x' (null, 784) float32`. */
  readonly placeholder?: string
}

/** Elements given on the host; the node's value is `resident` from the start. */
export interface ConstantSource {
  readonly kind: 'constant'
  /** The typed array; never written to after the node was made. */
  readonly data: TypedArray
}

export type LeafSource = VariableSource | HostScalarSource | InputSource | ConstantSource

/** `variable` takes `value` when the program that holds this assignment succeeds. */
export interface Assignment {
  readonly variable: VariableSource
  readonly value: Value
}

export class Graph {
  constructor(
    readonly outputs: readonly Value[],
    readonly assignments: readonly Assignment[] = [],
  ) {}

  /** Every value the graph must produce: outputs first, then assigned values. */
  roots(): Value[] {
    return [...this.outputs, ...this.assignments.map((a) => a.value)]
  }

  /** Nodes in execution order: inputs before users, otherwise in the order they were written. */
  nodes(): Node[] {
    return topological(this.roots())
  }
}

/**
 * Nodes that `roots` need, inputs first; values that `follow` refuses are not looked behind. Iterative: graphs of
 * unrolled loops are deeper than the stack.
 */
export function topological(roots: readonly Value[], follow: (value: Value) => boolean = () => true): Node[] {
  const order: Node[] = []
  const done = new Set<Node>()
  const stack: { node: Node; next: number }[] = []
  for (const root of roots) {
    if (done.has(root.node) || !follow(root)) continue
    done.add(root.node)
    stack.push({ node: root.node, next: 0 })
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!
      if (top.next < top.node.inputs.length) {
        const input = top.node.inputs[top.next++]!
        if (!done.has(input.node) && follow(input)) {
          done.add(input.node)
          stack.push({ node: input.node, next: 0 })
        }
      } else {
        order.push(top.node)
        stack.pop()
      }
    }
  }
  return order
}

/** What `rewrite` calls for each node: other values for its outputs, or undefined to keep it. */
export type Replace = (
  node: Node,
  /** The node's inputs, already replaced. */
  inputs: readonly Value[],
  /** The replacement of any value that was visited before. */
  get: (value: Value) => Value,
) => readonly Value[] | undefined

/** A copy of `graph` with nodes replaced, in execution order; nodes whose inputs did not change are kept as they are. */
export function rewrite(graph: Graph, replace: Replace): Graph {
  const map = new Map<Value, Value>()
  const get = (value: Value): Value => map.get(value) ?? value
  for (const node of graph.nodes()) {
    const inputs = node.inputs.map(get)
    const values = replace(node, inputs, get) ?? rebuild(node, inputs).outputs
    node.outputs.forEach((output, i) => {
      map.set(output, values[i]!)
    })
  }
  return new Graph(
    graph.outputs.map(get),
    graph.assignments.map((a) => ({ variable: a.variable, value: get(a.value) })),
  )
}

/** The node itself if `inputs` are its own, else its twin with these inputs (same types: infer is not run again). */
export function rebuild(node: Node, inputs: readonly Value[]): Node {
  if (inputs.every((input, i) => input === node.inputs[i])) return node
  return new Node(
    node.op,
    inputs,
    node.attrs,
    node.outputs.map((o) => o.type),
    node.name,
    node.source,
  )
}

/** How many times each value is used, by nodes and as a root. */
export function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>()
  const add = (value: Value) => uses.set(value, (uses.get(value) ?? 0) + 1)
  for (const node of graph.nodes()) node.inputs.forEach(add)
  graph.roots().forEach(add)
  return uses
}

/** Attributes as text, different for different attributes. */
export function attrKey(attrs: AttrRecord): string {
  let key = ''
  for (const name in attrs) {
    const value = attrs[name]!
    key += `${name}=${typeof value === 'number' ? numberKey(value) : `[${value.map(numberKey)}]`} `
  }
  return key
}

function numberKey(x: number): string {
  return Object.is(x, -0) ? '-0' : String(x)
}
