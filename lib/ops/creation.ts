/**
 * Leaves of the graph and tensors made from nothing: input, constant, variable, hostScalar, full.
 */
import { allocate, DTYPES, type DType, dtypeCode, isFloat } from '../dtype.js'
import { type ConstantSource, type LeafSource, Node, type TensorType, type Value } from '../graph/graph.js'
import { refArray } from '../reference/array.js'
import { defineOp, makeNode } from './registry.js'

function defineLeaf(name: string, code: number) {
  return defineOp({
    name,
    code,
    inputs: [],
    attrs: {},
    infer: (_inputs, _attrs, site) => site.fail('ERR_INTERNAL', 'leaves are made by their own functions'),
    grad: null,
    traits: { leaf: true },
    reference: null,
  })
}

const leafOps = {
  input: defineLeaf('input', 1),
  constant: defineLeaf('constant', 2),
  variable: defineLeaf('variable', 3),
  hostScalar: defineLeaf('hostScalar', 4),
}

/** The value of a leaf node with this source. */
export function makeLeaf(source: LeafSource, type: TensorType): Value {
  const name = 'name' in source ? source.name : undefined
  const value = new Node(leafOps[source.kind], [], {}, [type], name, source).outputs[0]!
  if (source.kind === 'constant') value.resident = (source as ConstantSource).data
  return value
}

export const fullOp = defineOp({
  name: 'full',
  code: 5,
  inputs: [],
  // `integer` is the value of integer dtypes: float32 cannot hold all of them.
  attrs: { value: 'f32', integer: 'i32', dtype: 'i32', shape: 'i32[]' },
  infer: (_inputs, attrs) => [{ shape: attrs.shape, dtype: DTYPES[attrs.dtype]! }],
  grad: () => [],
  reference: (_inputs, attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    out.data.fill(attrs.value)
    return [out]
  },
})

/** The value of a node that holds `number` everywhere, as its dtype can hold it. */
export function makeFull(shape: readonly number[], number: number, dtype: DType): Value {
  const value = isFloat(dtype) ? number : dtype === 'bool' ? Number(number !== 0) : allocate(dtype, 1).fill(number)[0]!
  const integer = isFloat(dtype) ? 0 : value
  return makeNode(fullOp, [], { value, integer, dtype: dtypeCode(dtype), shape: [...shape] }).outputs[0]!
}
