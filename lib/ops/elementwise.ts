/**
 * Elementwise arithmetic with NumPy broadcasting. Every operation here has one output and the trait `elementwise`, so
 * chains of them become one pass over memory (passes/fuse.ts → native/cpu/elementwise.cc).
 */
import type { DType } from '../dtype.js'
import type { Value } from '../graph/graph.js'
import { broadcastOffset, forEachIndex, refArray } from '../reference/array.js'
import { broadcastShapes, formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply, asTensor, type TensorLike } from './apply.js'
import { sumTo } from './reduce.js'
import { type AttrLayout, type Attrs, defineOp, type GradContext, type Op, type Site, type Traits } from './registry.js'

/** The broadcast shape of all inputs; ERR_SHAPE where they do not broadcast. */
export function inferBroadcast(inputs: readonly Value[], site: Site): number[] {
  let shape: number[] = [...inputs[0]!.shape]
  for (const input of inputs.slice(1)) {
    const next = broadcastShapes(shape, input.shape)
    if (next === null) {
      site.fail('ERR_SHAPE', `shapes ${formatShape(shape)} and ${formatShape(input.shape)} do not broadcast`)
    }
    shape = next
  }
  return shape
}

export function requireSameDType(inputs: readonly Value[], site: Site): DType {
  const dtype = inputs[0]!.dtype
  for (const input of inputs) {
    if (input.dtype !== dtype) {
      site.fail(
        'ERR_DTYPE',
        `operands must have one dtype, got ${inputs.map((i) => i.dtype).join(' and ')}`,
        'use cast()',
      )
    }
  }
  return dtype
}

interface ElementwiseSpec<L extends AttrLayout> {
  name: string
  code: number
  inputs: readonly string[]
  attrs: L
  /** Result dtype; default: the common dtype of all inputs. */
  dtype?: (inputs: readonly Value[], attrs: Attrs<L>, site: Site) => DType
  /** One element in float64. */
  scalar: (x: readonly number[], attrs: Attrs<L>) => number
  /** Gradients before they are summed back to broadcast inputs' shapes. */
  grad: null | ((context: GradContext<L>, dy: Tensor) => readonly (Tensor | null)[])
  flops?: number
  traits?: Pick<Traits, 'identity' | 'activation'>
}

/** An elementwise operation; gradients of broadcast inputs are summed to their shapes here, once for all. */
export function defineElementwise<const L extends AttrLayout>(spec: ElementwiseSpec<L>): Op<L> {
  const { grad } = spec
  return defineOp<L>({
    name: spec.name,
    code: spec.code,
    inputs: spec.inputs,
    attrs: spec.attrs,
    infer: (inputs, attrs, site) => {
      const dtype = spec.dtype ? spec.dtype(inputs, attrs, site) : requireSameDType(inputs, site)
      return [{ shape: inferBroadcast(inputs, site), dtype }]
    },
    grad:
      grad === null
        ? null
        : (context) => grad(context, context.gradOutputs[0]!).map((g, i) => g && sumTo(g, context.inputs[i]!.shape)),
    traits: { ...spec.traits, elementwise: true },
    flops: (_inputs, outputs) => outputs[0]!.size * (spec.flops ?? 1),
    reference: (inputs, attrs, [type]) => {
      const out = refArray(type!.shape, type!.dtype)
      const x = new Array<number>(inputs.length)
      forEachIndex(type!.shape, (index, flat) => {
        inputs.forEach((input, i) => {
          x[i] = input.data[broadcastOffset(input.shape, index)]!
        })
        out.data[flat] = spec.scalar(x, attrs)
      })
      return [out]
    },
  })
}

function binary(op: Op<Record<never, never>>, a: TensorLike, b: TensorLike): Tensor {
  const dtype = typeof a !== 'number' ? a.dtype : typeof b !== 'number' ? b.dtype : 'float32'
  return apply(op, [asTensor(a, dtype), asTensor(b, dtype)], {})
}

const addOp = defineElementwise({
  name: 'add',
  code: 16,
  inputs: ['a', 'b'],
  attrs: {},
  scalar: ([a, b]) => a! + b!,
  traits: {
    identity: [
      [0, 0],
      [1, 0],
    ],
  },
  grad: (_context, dy) => [dy, dy],
})

/** a + b, broadcast. */
export function add(a: TensorLike, b: TensorLike): Tensor {
  return binary(addOp, a, b)
}

const subOp = defineElementwise({
  name: 'sub',
  code: 17,
  inputs: ['a', 'b'],
  attrs: {},
  scalar: ([a, b]) => a! - b!,
  traits: { identity: [[1, 0]] },
  grad: (_context, dy) => [dy, neg(dy)],
})

/** a - b, broadcast. */
export function sub(a: TensorLike, b: TensorLike): Tensor {
  return binary(subOp, a, b)
}

const mulOp = defineElementwise({
  name: 'mul',
  code: 18,
  inputs: ['a', 'b'],
  attrs: {},
  scalar: ([a, b]) => a! * b!,
  traits: {
    identity: [
      [0, 1],
      [1, 1],
    ],
  },
  grad: ({ inputs: [a, b] }, dy) => [mul(dy, b!), mul(dy, a!)],
})

/** a · b elementwise, broadcast. */
export function mul(a: TensorLike, b: TensorLike): Tensor {
  return binary(mulOp, a, b)
}

const divOp = defineElementwise({
  name: 'div',
  code: 19,
  inputs: ['a', 'b'],
  attrs: {},
  scalar: ([a, b]) => a! / b!,
  traits: { identity: [[1, 1]] },
  grad: ({ inputs: [, b], outputs: [y] }, dy) => {
    const da = div(dy, b!)
    return [da, neg(mul(da, y!))]
  },
})

/** a / b elementwise, broadcast. int32 division truncates towards zero. */
export function div(a: TensorLike, b: TensorLike): Tensor {
  return binary(divOp, a, b)
}

const negOp = defineElementwise({
  name: 'neg',
  code: 20,
  inputs: ['x'],
  attrs: {},
  scalar: ([x]) => -x!,
  grad: (_context, dy) => [neg(dy)],
})

/** -x. */
export function neg(x: Tensor): Tensor {
  return apply(negOp, [x], {})
}
