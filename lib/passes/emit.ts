/**
 * From a lowered graph to the bytes of native/abi/program.h, with what the runtime must feed and bind.
 */
import { dtypeCode } from '../dtype.js'
import { ForjaError } from '../errors.js'
import type {
  ConstantSource,
  HostScalarSource,
  InputSource,
  Node,
  TensorType,
  Value,
  VariableSource,
} from '../graph/graph.js'
import type { AnyOp, AttrRecord } from '../ops/registry.js'
import { byteSize, MAX_RANK } from '../shape.js'
import type { LowerOptions } from './lower.js'
import type { Plan } from './plan.js'
import type { Schedule } from './schedule.js'
import { storageOf } from './storage.js'

const PROGRAM_MAGIC = 0x4a524f46
const PROGRAM_VERSION = 1
const HEADER_BYTES = 56
/** Of one instruction: fj_instr counts them in 16 bits. */
const MAX_INPUTS = 65_535
/** kMaxBytes of native/core/program.cc. */
const MAX_ARENA_BYTES = 2 ** 46
/** FJ_INSTR_TF32: products may round float32 operands to 10 bits of fraction. */
const FLAG_TF32 = 1
const STORAGE = { arena: 0, input: 1, buffer: 2 } as const

export interface Program {
  readonly bytes: Uint8Array
  /** What to pass at each run, in order. */
  readonly inputs: readonly { source: InputSource | HostScalarSource; type: TensorType }[]
  /** What to bind when the program is created, in order. */
  readonly buffers: readonly { source: VariableSource | ConstantSource; type: TensorType }[]
  readonly outputs: readonly TensorType[]
  readonly schedule: Schedule
  readonly plan: Plan
}

interface Place {
  storage: number
  index: number
  offset: number
}

/** @param memory of `order`, verified */
export function emit(order: Schedule, memory: Plan, options: LowerOptions = {}): Program {
  const inputs: { source: InputSource | HostScalarSource; type: TensorType }[] = []
  const buffers: { source: VariableSource | ConstantSource; type: TensorType }[] = []
  const leafPlaces = new Map<unknown, Place>()
  const placeLeaf = (source: NonNullable<Node['source']>, type: TensorType): Place => {
    const known = leafPlaces.get(source)
    if (known) return known
    const isInput = source.kind === 'input' || source.kind === 'hostScalar'
    const place = {
      storage: isInput ? STORAGE.input : STORAGE.buffer,
      index: isInput ? inputs.length : buffers.length,
      offset: 0,
    }
    if (source.kind === 'input' || source.kind === 'hostScalar') inputs.push({ source, type })
    else buffers.push({ source, type })
    leafPlaces.set(source, place)
    return place
  }
  const placeOf = (value: Value): Place => {
    const stored = storageOf(value)
    if (stored.node.source) return placeLeaf(stored.node.source, stored.type)
    return { storage: STORAGE.arena, index: 0, offset: memory.offsets.get(stored)! }
  }

  const values: { type: TensorType; place: Place; bytes: number }[] = []
  const ids = new Map<Value, number>()
  const idOf = (value: Value): number => {
    const known = ids.get(value)
    if (known !== undefined) return known
    ids.set(value, values.length)
    values.push({ type: value.type, place: placeOf(value), bytes: byteSize(value) })
    return values.length - 1
  }

  const operands: number[] = []
  const attrs = new AttrWriter()
  const instrs = order.steps.map(({ node, inputs: ins, outputs: outs }) => {
    if (ins.length > MAX_INPUTS) {
      const text = `${node.op.name}: at most ${MAX_INPUTS} operands, got ${ins.length}`
      throw new ForjaError('ERR_UNSUPPORTED_OP', text, { hint: 'join them in groups' })
    }
    const first = operands.length
    for (const input of ins) operands.push(idOf(input))
    outs.forEach((output, i) => {
      if ('node' in output) {
        operands.push(idOf(output))
      } else {
        const type = node.outputs[i]!.type
        values.push({ type, place: placeLeaf(output, type), bytes: byteSize(node.outputs[i]!) })
        operands.push(values.length - 1)
      }
    })
    const { offset, bytes } = attrs.write(node.op, node.attrs)
    const { op } = node
    const variant = variantCode(op, options.algorithms?.[op.name] ?? options.algorithms?.[op.variantsOf ?? op.name])
    return { opcode: node.op.code, variant, nIn: ins.length, nOut: outs.length, first, offset, bytes }
  })
  const outputs = order.outputs.map(idOf)

  if (memory.arenaBytes > MAX_ARENA_BYTES)
    throw new ForjaError('ERR_OUT_OF_MEMORY', `no memory for an arena of ${memory.arenaBytes} bytes`)
  const inputBytes = inputs.map(({ type }) => byteSize(type))
  const bufferBytes = buffers.map(({ type }) => byteSize(type))
  const writer = new ByteWriter()
  writer.reserve(HEADER_BYTES)
  for (const { type, place, bytes } of values) {
    if (type.shape.length > MAX_RANK)
      throw new ForjaError('ERR_SHAPE', `at most ${MAX_RANK} dimensions, got ${type.shape.length}`)
    if (type.shape.some((dim) => dim >= 2 ** 31))
      throw new ForjaError('ERR_SHAPE', `dimensions must be below 2147483648, got (${type.shape.join(', ')})`)
    writer.u8(dtypeCode(type.dtype), type.shape.length, place.storage, 0)
    writer.u32(place.index)
    writer.u64(place.offset, bytes)
    writer.u32(...type.shape, ...new Array<number>(MAX_RANK - type.shape.length).fill(0))
  }
  for (const i of instrs) {
    writer.u16(i.opcode, i.variant, i.nIn, i.nOut)
    writer.u32(i.first, i.offset, i.bytes, options.precision === 'tf32' ? FLAG_TF32 : 0)
  }
  writer.u32s(operands)
  writer.align(8)
  writer.u32s(outputs)
  writer.align(8)
  writer.u64s(inputBytes)
  writer.u64s(bufferBytes)
  writer.raw(attrs.bytes())
  writer.align(8)
  const total = writer.length
  writer.seek(0)
  writer.u32(PROGRAM_MAGIC, PROGRAM_VERSION, total, values.length, instrs.length, operands.length, outputs.length)
  writer.u32(inputs.length, buffers.length, attrs.length, order.commitIndex, Math.min(workOf(order), 2 ** 32 - 1))
  writer.u64(memory.arenaBytes)
  return {
    bytes: writer.bytes(total),
    inputs,
    buffers,
    outputs: order.outputs.map((o) => o.type),
    schedule: order,
    plan: memory,
  }
}

/** Floating-point operations and bytes moved: on one thread each takes about 10 ps. */
function workOf({ steps }: Schedule): number {
  let work = 0
  for (const { node } of steps) {
    for (const value of [...node.inputs, ...node.outputs]) work += byteSize(value)
    work += node.op.flops?.(node.inputs, node.outputs, node.attrs) ?? 0
  }
  return Math.round(work)
}

/** 0 lets the backend choose; ERR_ARGUMENT for a variant the operation does not have. */
function variantCode(op: AnyOp, name: string | undefined): number {
  if (name === undefined) return 0
  const index = op.variants?.indexOf(name) ?? -1
  if (index < 0) {
    const known = op.variants?.join(', ') ?? 'none'
    throw new ForjaError('ERR_ARGUMENT', `algorithms: ${op.name} has no variant '${name}'; it has ${known}`)
  }
  return index + 1
}

/** Attribute structs, each at an 8-byte boundary, fields in the order of the layout, 4 bytes each. */
class AttrWriter {
  readonly #words: number[] = []

  get length(): number {
    return this.#words.length * 4
  }

  write(op: AnyOp, attrs: AttrRecord): { offset: number; bytes: number } {
    if (this.#words.length % 2) this.#words.push(0)
    const start = this.#words.length
    for (const [name, field] of Object.entries(op.attrs as Record<string, string>)) {
      const value = attrs[name]!
      const list = typeof value === 'number' ? [value] : value
      const want = field === 'i32[]' ? list.length : Number(field.split('x')[1] ?? 1)
      if (list.length !== want) {
        throw new ForjaError('ERR_INTERNAL', `${op.name}.${name} holds ${list.length} numbers, its struct ${want}`)
      }
      for (const v of list) this.#words.push(field === 'f32' ? floatBits(v) : v | 0)
    }
    return { offset: start * 4, bytes: (this.#words.length - start) * 4 }
  }

  bytes(): Uint8Array {
    return new Uint8Array(Int32Array.from(this.#words).buffer)
  }
}

const float = new Float32Array(1)
const word = new Int32Array(float.buffer)

/** The bits of a float32, as an int32. */
export function floatBits(value: number): number {
  float[0] = value
  return word[0]!
}

/** A growing little-endian buffer. */
class ByteWriter {
  #view = new DataView(new ArrayBuffer(4096))
  #at = 0
  length = 0

  #room(bytes: number): void {
    if (this.#at + bytes > this.#view.byteLength) {
      const grown = new Uint8Array(Math.max(this.#view.byteLength * 2, this.#at + bytes))
      grown.set(new Uint8Array(this.#view.buffer))
      this.#view = new DataView(grown.buffer)
    }
    this.length = Math.max(this.length, this.#at + bytes)
  }

  #each(values: readonly number[], bytes: number, set: (at: number, value: number) => void): void {
    this.#room(values.length * bytes)
    for (const value of values) {
      set(this.#at, value)
      this.#at += bytes
    }
  }

  u8(...values: number[]): void {
    this.#each(values, 1, (at, v) => this.#view.setUint8(at, v))
  }
  u16(...values: number[]): void {
    this.#each(values, 2, (at, v) => this.#view.setUint16(at, v, true))
  }
  u32(...values: number[]): void {
    this.u32s(values)
  }
  /** For lists as long as the program: arguments are limited by the stack. */
  u32s(values: readonly number[]): void {
    this.#each(values, 4, (at, v) => this.#view.setUint32(at, v, true))
  }
  u64(...values: number[]): void {
    this.u64s(values)
  }
  u64s(values: readonly number[]): void {
    this.#each(values, 8, (at, v) => this.#view.setBigUint64(at, BigInt(v), true))
  }
  raw(bytes: Uint8Array): void {
    this.align(8)
    this.#room(bytes.length)
    new Uint8Array(this.#view.buffer).set(bytes, this.#at)
    this.#at += bytes.length
  }
  reserve(bytes: number): void {
    this.#room(bytes)
    this.#at += bytes
  }
  align(to: number): void {
    this.reserve((to - (this.#at % to)) % to)
  }
  seek(at: number): void {
    this.#at = at
  }
  bytes(length: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, 0, length)
  }
}
