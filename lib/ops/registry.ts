/**
 * The one list of operations. Each entry holds everything that is known about an operation: its attributes (and so the
 * C struct), shape rule, gradient, traits, FLOPs, reference implementation. From it come native/abi/ops.gen.h, the
 * printer, the verifier, fusion eligibility and the cases that tests walk.
 *
 * To add an operation: an entry in lib/ops/<family>.ts, a check in native/core/check_<family>.cc, kernels in
 * native/cpu/<family>.cc (and native/cuda/<family>.cu), cases in test/ops/<family>.test.ts, then `npm run gen`.
 */
import { type DType, standsForFloat32 } from '../dtype.js'
import { describeList, ForjaError, type ForjaErrorCode } from '../errors.js'
import { Node, type TensorType, type Value } from '../graph/graph.js'
import { dependsOnUnknown } from '../graph/unknown_size.js'
import type { RefArray } from '../reference/array.js'
import { formatShape, MAX_RANK } from '../shape.js'
import type { Tensor } from '../tensor.js'

/** Fields of an attribute struct. `i32[]` is a tail of any length and must come last. */
export type AttrField = 'i32' | 'f32' | 'i32x2' | 'i32x4' | 'i32x8' | 'i32[]'
export type AttrLayout = { readonly [name: string]: AttrField }
type AttrValue<F extends AttrField> = F extends 'i32' | 'f32' ? number : readonly number[]
export type Attrs<L extends AttrLayout> = { readonly [K in keyof L]: AttrValue<L[K]> }
export type AttrRecord = { readonly [name: string]: number | readonly number[] }

export interface Traits {
  /** Has no inputs and no kernel: input, constant, variable, hostScalar. */
  readonly leaf?: boolean
  /** Output i,j,.. depends on elements i,j,.. of the (broadcast) inputs only; one output; fuses with its like. */
  readonly elementwise?: boolean
  /** The output is the first input's memory under another shape. */
  readonly view?: boolean
  /** [output, input]: the kernel may write this output over the memory of this input, where it is given. */
  readonly inplace?: readonly (readonly [number, number])[]
  /**
   * Steps that share their first `shared` inputs, and are alike in all but their other operands, run as one: the shared
   * inputs, then the others of one step after the other; outputs likewise. `inplace` counts within a step.
   */
  readonly joins?: {
    readonly shared: number
    /** What joined steps have in common, null where a step cannot be joined. Default: the attributes. */
    readonly alike?: (inputs: readonly Value[], outputs: readonly Value[], attrs: AttrRecord) => AttrRecord | null
  }
  /** The kernel may write its one output over any input of that size: it reads each element before it writes it. */
  readonly inplaceAny?: boolean
  /** Attribute `activation` (ACTIVATIONS of lib/ops/activation.ts) can absorb an activation of its first output. */
  readonly epilogue?: boolean
  /** The last input, often left out: a value that is added to the first output, which it is like, before an activation. */
  readonly residual?: number
  /**
   * As `residual`: y of reluGrad(result, y), which the attribute `activation` then says. Such an operation takes this or
   * what else stands in that place, such as a bias.
   */
  readonly masked?: number
  /** The code in ACTIVATIONS of the activation that this operation is. */
  readonly activation?: number
  /** [input, value]: where that input is `value` everywhere, the result is the other input. */
  readonly identity?: readonly (readonly [number, number])[]
  /**
   * Inputs that may be bfloat16 together, where a device has kernels for it, as the outputs that are maps then are; it
   * computes in float32. Vectors of channels and biases stay float32, whatever the place where they stand.
   */
  readonly narrow?: readonly number[]
  /** A sum of products, of which devices may have tensor cores; half of its `flops` are multiply-accumulates. */
  readonly product?: boolean
  /** Of a convolution and its gradients: where the filter (R, S, C/groups, K) lies. */
  readonly filter?: readonly ['inputs' | 'outputs', number]
  /** Reduces the axes that attribute `mask` marks (`keepDims` as in lib/ops/reduce.ts); of one element it is that element. */
  readonly reduction?: boolean
  /** Made by passes only; not for users, so needs no gradient. */
  readonly internal?: boolean
}

/** What a shape rule may use to complain: names the operation, the layer and every operand. */
export interface Site {
  fail(code: ForjaErrorCode, message: string, hint?: string): never
}

export interface GradContext<L extends AttrLayout = AttrLayout> {
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly Tensor[]
  /** Gradients with respect to the outputs; null where an output does not reach the loss. */
  readonly gradOutputs: readonly (Tensor | null)[]
  readonly attrs: Attrs<L>
  /** Which inputs' gradients are wanted; others may be null in the answer. */
  readonly needs: readonly boolean[]
}

export interface OpSpec<L extends AttrLayout> {
  readonly name: string
  /** Append-only: programs and the generated header carry it. */
  readonly code: number
  /** Names of the inputs: `bias?` may be left out, of `x...` there may be any number, each at the end. */
  readonly inputs: readonly string[]
  readonly attrs: L
  readonly infer: (inputs: readonly Value[], attrs: Attrs<L>, site: Site) => readonly TensorType[]
  /** Gradients of the inputs, in order; null: not differentiable, said on purpose. */
  readonly grad: null | ((context: GradContext<L>) => readonly (Tensor | null)[])
  readonly traits?: Traits
  /** Kernel variants that `algorithms` can force, in the order of their codes 1, 2, ... */
  readonly variants?: readonly string[]
  /** The operation whose entry in `algorithms` counts where this one has none: a gradient follows its operation. */
  readonly variantsOf?: string
  /**
   * Where f(transpose(x, perm), ..) = transpose(f'(x, ..), perm): the attributes of f', those of f with their axes put
   * back. Default: for elementwise operations the same, for others there is no such f'.
   */
  readonly beforeTranspose?: (attrs: Attrs<L>, perm: readonly number[]) => Attrs<L>
  /** Floating-point operations of one call. Default: none counted. */
  readonly flops?: (inputs: readonly Value[], outputs: readonly Value[], attrs: Attrs<L>) => number
  /** What `explain()` shows in place of the attributes. Default: those that are not 0. */
  readonly describe?: (attrs: Attrs<L>) => readonly string[]
  /** Slow, obvious, float64. Null only for leaves and internal operations that expand themselves. */
  readonly reference:
    | null
    | ((inputs: readonly RefArray[], attrs: Attrs<L>, outputs: readonly TensorType[]) => RefArray[])
}

export interface Op<L extends AttrLayout> extends OpSpec<L> {
  readonly traits: Traits
}

// biome-ignore lint/suspicious/noExplicitAny: the registry holds operations of every attribute layout
export type AnyOp = Op<any>

const names = new Set<string>()
const byCode = new Map<number, AnyOp>()

export function defineOp<const L extends AttrLayout>(spec: OpSpec<L>): Op<L> {
  if (names.has(spec.name) || byCode.has(spec.code)) {
    throw new ForjaError('ERR_INTERNAL', `operation ${spec.name} (code ${spec.code}) is defined twice`)
  }
  const op: Op<L> = { ...spec, traits: spec.traits ?? {} }
  names.add(op.name)
  byCode.set(op.code, op)
  return op
}

export function opOfCode(code: number): AnyOp | undefined {
  return byCode.get(code)
}

/** All operations, by code. */
export function allOps(): AnyOp[] {
  return [...byCode.values()].sort((a, b) => a.code - b.code)
}

/** The layer whose forward() is running, for names and messages: `features.conv1`. */
const scopes: string[] = []

export function withScope<T>(name: string, body: () => T): T {
  scopes.push(name)
  try {
    return body()
  } finally {
    scopes.pop()
  }
}

export function currentScope(): string | undefined {
  return scopes.length > 0 ? scopes.join('.') : undefined
}

/**
 * A node of `op`, its output types inferred; throws ERR_SHAPE or ERR_DTYPE naming the operands, ERR_ARGUMENT for attributes
 * that the operation's struct cannot hold.
 */
export function makeNode<L extends AttrLayout>(op: Op<L>, inputs: readonly Value[], attrs: Attrs<L>): Node {
  const layer = currentScope()
  const site: Site = {
    fail(code, message, hint) {
      const where = layer ? `${op.name} (${layer})` : op.name
      const rows = inputs.map((value, i) => [inputName(op, i), formatShape(value.shape), value.dtype, describe(value)])
      const widths = [0, 1, 2].map((c) => Math.max(0, ...rows.map((r) => r[c]!.length)))
      const table = rows.map((r) =>
        `\n  ${[0, 1, 2].map((c) => r[c]!.padEnd(widths[c]!)).join('  ')}  ${r[3]}`.trimEnd(),
      )
      throw new ForjaError(code, `${where}: ${message}${table.join('')}`, hint === undefined ? {} : { hint })
    },
  }
  const open = inputs.some(({ shape }) => shape.some(dependsOnUnknown))
  checkAttrs(op, attrs as unknown as AttrRecord, open, site)
  const types = op.infer(inputs, attrs, site)
  for (const { shape } of types) {
    if (shape.length > MAX_RANK)
      site.fail('ERR_SHAPE', `at most ${MAX_RANK} dimensions, the result has ${shape.length}`)
  }
  return new Node(op, inputs, attrs as unknown as AttrRecord, types, layer)
}

/** Every field holds as many numbers as it says, integers those of an int32 but for sizes that are still `open`. */
function checkAttrs(op: AnyOp, attrs: AttrRecord, open: boolean, site: Site): void {
  for (const [name, field] of Object.entries(op.attrs as AttrLayout)) {
    const value: unknown = attrs[name]
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    const [kind, count] = field === 'i32[]' ? ['i32', list.length] : [field.slice(0, 3), Number(field.slice(4) || 1)]
    const holds = kind === 'f32' ? (v: unknown) => typeof v === 'number' : open ? Number.isSafeInteger : isInt32
    if (list.length === count && list.every(holds)) continue
    const wanted = `${kind === 'f32' ? 'number' : '32-bit integer'}${count === 1 ? '' : 's'}`
    site.fail('ERR_ARGUMENT', `${name} must hold ${count} ${wanted}, got ${describeList(value)}`)
  }
}

function isInt32(v: unknown): boolean {
  return Number.isInteger(v) && ((v as number) === ((v as number) | 0) || dependsOnUnknown(v as number))
}

/** ERR_DTYPE unless the kernels of an operation take the operand; float64 is what the reference has in place of float32. */
export function requireDType(value: Value, site: Site, ...known: readonly DType[]): void {
  if (known.includes(value.dtype) || (value.dtype === 'float64' && known.includes('float32'))) return
  site.fail('ERR_DTYPE', `${known.join(' or ')} expected, got ${value.dtype}`, 'use cast()')
}

/** ERR_DTYPE unless it is a map or matrix of an operation that may be narrow: float32, or what stands for it. */
export function requireMapDType({ dtype }: Value, site: Site): void {
  if (!standsForFloat32(dtype)) site.fail('ERR_DTYPE', `float32 expected, got ${dtype}`, 'use cast()')
}

/** The dtype that all of them have; ERR_DTYPE where they differ. */
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

/** What messages call an input. */
export function inputName(op: AnyOp, index: number): string {
  const last = op.inputs[op.inputs.length - 1]
  if (last?.endsWith('...') && index >= op.inputs.length - 1)
    return `${last.slice(0, -3)}[${index - op.inputs.length + 1}]`
  return op.inputs[index]?.replace('?', '') ?? `input ${index}`
}

/** Names of the inputs that the node has and others of its operation have not. */
export function optionalInputs({ op, inputs }: Node): string[] {
  return op.inputs.flatMap((name, i) => (name.endsWith('?') && i < inputs.length ? [inputName(op, i)] : []))
}

function describe(value: Value): string {
  const { node } = value
  if (node.source && 'name' in node.source && node.source.name) return `← ${node.source.kind} '${node.source.name}'`
  if (node.op.traits.leaf) return ''
  return node.name ? `← ${node.op.name} of ${node.name}` : `← ${node.op.name}`
}
