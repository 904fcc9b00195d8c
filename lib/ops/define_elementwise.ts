/**
 * How elementwise operations are defined. Each has one output and the trait `elementwise`, so chains of them become one
 * pass over memory (passes/fuse.ts → native/cpu/elementwise.cc). The family: elementwise.ts (arithmetic), math.ts,
 * compare.ts, cast.ts, activation.ts. This file imports none of them, nor tensors, so that any may load first.
 *
 * Dtypes: all operands have one dtype; a number takes the other operand's. Functions of real numbers take float dtypes
 * only; arithmetic takes float dtypes and int32, where it wraps around as the machine's does; division of int32
 * truncates, by zero gives 0. uint8 and bool are storage: they are compared, selected and cast, not computed with.
 */
import { type DType, isFloat } from '../dtype.js'
import type { Value } from '../graph/graph.js'
import { broadcastOffset, forEachIndex, refArray } from '../reference/array.js'
import { broadcastShapes, formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import {
  type AttrLayout,
  type Attrs,
  defineOp,
  type GradContext,
  type Op,
  requireSameDType,
  type Site,
  type Traits,
} from './registry.js'

/** The broadcast shape of all inputs; ERR_SHAPE where they do not broadcast. */
function inferBroadcast(inputs: readonly Value[], site: Site): number[] {
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

/** Operand dtypes: float ones; those and int32; those and uint8; all. */
export type Accepts = 'float' | 'arithmetic' | 'ordered' | 'any'

function accepts(kind: Accepts, dtype: DType): boolean {
  if (isFloat(dtype) || kind === 'any') return true
  return kind === 'ordered' ? dtype !== 'bool' : kind === 'arithmetic' && dtype === 'int32'
}

export interface ElementwiseSpec<L extends AttrLayout> {
  name: string
  code: number
  inputs: readonly string[]
  attrs: L
  /** ERR_DTYPE for operands of other dtypes. Default 'any'. */
  accepts?: Accepts
  /** Result dtype; default: the common dtype of all inputs. */
  dtype?: (inputs: readonly Value[], attrs: Attrs<L>, site: Site) => DType
  /** One element in float64. */
  scalar: (x: readonly number[], attrs: Attrs<L>) => number
  /** One element of int32 operands, where that is not `scalar` made an int32. */
  integer?: (x: readonly number[], attrs: Attrs<L>) => number
  /** Gradients before they are summed back to broadcast inputs' shapes. */
  grad: null | ((context: GradContext<L>, dy: Tensor) => readonly (Tensor | null)[])
  flops?: number
  traits?: Pick<Traits, 'identity' | 'activation'>
}

/** An elementwise operation; autodiff/grad.ts sums gradients of broadcast inputs to their shapes. */
export function defineElementwise<const L extends AttrLayout>(spec: ElementwiseSpec<L>): Op<L> {
  const { grad } = spec
  return defineOp<L>({
    name: spec.name,
    code: spec.code,
    inputs: spec.inputs,
    attrs: spec.attrs,
    infer: (inputs, attrs, site) => {
      const wanted = spec.accepts ?? 'any'
      const refused = inputs.find((input) => !accepts(wanted, input.dtype))
      if (refused) {
        const hint = wanted === 'float' ? "use cast(x, 'float32')" : "use cast(x, 'int32') or cast(x, 'float32')"
        const known = { float: 'float', arithmetic: 'float or int32', ordered: 'number', any: '' }[wanted]
        site.fail('ERR_DTYPE', `needs ${known} operands, got ${inputs.map((i) => i.dtype).join(' and ')}`, hint)
      }
      const dtype = spec.dtype ? spec.dtype(inputs, attrs, site) : requireSameDType(inputs, site)
      return [{ shape: inferBroadcast(inputs, site), dtype }]
    },
    grad: grad === null ? null : (context) => grad(context, context.gradOutputs[0]!),
    traits: { ...spec.traits, elementwise: true },
    flops: (_inputs, outputs) => outputs[0]!.size * (spec.flops ?? 1),
    reference: (inputs, attrs, [type]) => {
      const out = refArray(type!.shape, type!.dtype)
      const x = new Array<number>(inputs.length)
      const scalar = (!isFloat(inputs[0]!.dtype) && spec.integer) || spec.scalar
      forEachIndex(type!.shape, (index, flat) => {
        inputs.forEach((input, i) => {
          x[i] = input.data[broadcastOffset(input.shape, index)]!
        })
        out.data[flat] = scalar(x, attrs)
      })
      return [out]
    },
  })
}
