/**
 * A flatten reads images in the order of their channels, (C, H, W), which kernels keep last: a transpose. A product with
 * the flattened rows needs none where its other operand, or its result, has these features in the order of memory too:
 * weights change their order in place of images. So do they where a product's rows become images.
 */
import type { Node, Value } from '../graph/graph.js'
import { matmulOp } from '../ops/matmul.js'
import { reshapeOp, transposeOp } from '../ops/shape.js'
import { inversePermutation, MAX_RANK, sizeOfShape } from '../shape.js'
import { build, reshapeValue, transposeValue } from './build.js'

/** Elements that may be moved beside all else in place of fewer on the way: 1 MB is over before the next kernel begins. */
const BESIDE = 1 << 18

/** Whether to move `there` in place of `here`, on a device that runs steps side by side (`branches`) or not. */
function pays(there: number, here: number, branches: boolean): boolean {
  return there <= (branches ? Math.max(here, BESIDE) : here / 2)
}

/** The order of features: those of the graph, `dims`, are memory's under `perm`. */
class Order {
  constructor(
    private readonly dims: readonly number[],
    private readonly perm: readonly number[],
  ) {}

  /** An axis of features in memory's order. */
  inMemory(value: Value, axis: number): Value {
    return reordered(value, axis, this.dims, inversePermutation(this.perm))
  }

  /** And back. */
  inGraph(value: Value, axis: number): Value {
    const stored = inversePermutation(this.perm).map((at) => this.dims[at]!)
    return reordered(value, axis, stored, this.perm)
  }
}

function reordered(value: Value, axis: number, dims: readonly number[], perm: readonly number[]): Value {
  const split = [...value.shape.slice(0, axis), ...dims, ...value.shape.slice(axis + 1)]
  const moved = split.map((_, i) => (i >= axis && i < axis + dims.length ? axis + perm[i - axis]! : i))
  return reshapeValue(transposeValue(reshapeValue(value, split), moved), value.shape)
}

/**
 * How a matrix (rows, features) orders features that `shape` (rows.., features..) has under `perm`; undefined where that
 * moves rows, or features have so many axes that the other operand's would be one too many.
 */
function orderOf(shape: readonly number[], perm: readonly number[], [rows]: readonly number[]): Order | undefined {
  let axes = 0
  while (perm[axes] === axes && sizeOfShape(shape.slice(0, axes)) < rows!) axes++
  if (sizeOfShape(shape.slice(0, axes)) !== rows || shape.length - axes >= MAX_RANK) return undefined
  return new Order(
    shape.slice(axes),
    perm.slice(axes).map((axis) => axis - axes),
  )
}

interface Flattened {
  /** The matrix as memory has it. */
  readonly rows: Value
  readonly order: Order
}

/** reshape(transpose(x)) → (rows, features). */
function flattened(value: Value): Flattened | undefined {
  const source = value.node.op === reshapeOp ? value.node.inputs[0]! : value
  if (value.shape.length !== 2 || source.node.op !== transposeOp) return undefined
  const order = orderOf(source.shape, source.node.attrs.perm as readonly number[], value.shape)
  return order && { rows: reshapeValue(source.node.inputs[0]!, value.shape), order }
}

/** A product of flattened images without their transpose, where that pays. */
export function multiplyFlattened(node: Node, inputs: readonly Value[], branches: boolean): Value[] | undefined {
  const [a, b] = inputs
  const [y] = node.outputs
  if (node.op !== matmulOp || a!.shape.length !== 2 || b!.shape.length !== 2) return undefined
  const { transposeA, transposeB } = node.attrs
  for (const side of [0, 1]) {
    const flat = flattened(inputs[side]!)
    if (!flat) continue
    const summed = side === 0 ? !transposeA : !!transposeB
    const other = inputs[1 - side]!
    if (!summed && inputs.length > 2) continue // a bias has the graph's order
    if (!pays(summed ? other.size : y!.size, flat.rows.size, branches)) continue
    const along = side === 0 ? Number(!!transposeB) : Number(!transposeA)
    const operands = [...inputs]
    operands[side] = flat.rows
    if (summed) operands[1 - side] = flat.order.inMemory(other, along)
    const made = build(node.op, operands, node.attrs, node.name).outputs[0]!
    return [summed ? made : flat.order.inGraph(made, side)]
  }
  return undefined
}

/** transpose(reshape(product), perm) by a product that nobody else reads, in the order that memory wants, where that pays. */
export function multiplyUnflattened(value: Value, perm: readonly number[], branches: boolean): Value | undefined {
  const product = value.node.op === reshapeOp ? value.node.inputs[0]! : value
  const { op, inputs, attrs, name } = product.node
  const [a, b, ...bias] = inputs
  if (op !== matmulOp || product.shape.length !== 2 || b!.shape.length !== 2) return undefined
  const order = orderOf(value.shape, inversePermutation(perm), product.shape)
  if (!order || !pays(b!.size, product.size, branches)) return undefined
  const operands = [
    a!,
    order.inMemory(b!, attrs.transposeB ? 0 : 1),
    ...bias.map((vector) => order.inMemory(vector, 0)),
  ]
  return reshapeValue(
    build(op, operands, attrs, name).outputs[0]!,
    perm.map((axis) => value.shape[axis]!),
  )
}
