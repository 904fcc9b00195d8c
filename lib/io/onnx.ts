/**
 * Reading the weights of ONNX models: the initializers of the main graph, by name. What the graph computes is not read.
 *
 *     ModelProto { ir_version, graph: GraphProto { initializer: [TensorProto] } }
 *     TensorProto { dims, data_type, name, and the elements in raw_data (little-endian, row-major)
 *                   or in float_data, int32_data, int64_data, double_data or uint64_data }
 *
 * Sizes are compared with dims before an element is copied, so what is allocated is bounded by the file's size. double
 * becomes float32, rounded; integers as in stored.ts.
 */
import protobuf from 'protobufjs/light.js'
import { allocate, type TypedArray } from '../dtype.js'
import { MAX_RANK } from '../shape.js'
import { decodeInitializers, decodeOnnxModel, type Int64, type TensorMessage } from './onnx_messages.js'
import { formatError, isSize, readStored, STORED_TYPES, type StoredFile, type StoredType } from './stored.js'

interface OnnxType {
  name: string
  stored: StoredType
  /** Where the elements are if not in raw_data. */
  field: 'float_data' | 'int32_data' | 'int64_data' | 'double_data' | 'uint64_data'
}

const DOUBLE: StoredType = { bytes: 8, dtype: 'float32', read: (view, at) => view.getFloat64(at, true) }

/** By TensorProto.DataType. */
const TYPES = new Map<number, OnnxType>([
  [1, { name: 'FLOAT', stored: STORED_TYPES.F32, field: 'float_data' }],
  [2, { name: 'UINT8', stored: STORED_TYPES.U8, field: 'int32_data' }],
  [3, { name: 'INT8', stored: STORED_TYPES.I8, field: 'int32_data' }],
  [4, { name: 'UINT16', stored: STORED_TYPES.U16, field: 'int32_data' }],
  [5, { name: 'INT16', stored: STORED_TYPES.I16, field: 'int32_data' }],
  [6, { name: 'INT32', stored: STORED_TYPES.I32, field: 'int32_data' }],
  [7, { name: 'INT64', stored: STORED_TYPES.I64, field: 'int64_data' }],
  [9, { name: 'BOOL', stored: STORED_TYPES.BOOL, field: 'int32_data' }],
  [10, { name: 'FLOAT16', stored: STORED_TYPES.F16, field: 'int32_data' }],
  [11, { name: 'DOUBLE', stored: DOUBLE, field: 'double_data' }],
  [12, { name: 'UINT32', stored: STORED_TYPES.U32, field: 'uint64_data' }],
  [13, { name: 'UINT64', stored: STORED_TYPES.U64, field: 'uint64_data' }],
  [16, { name: 'BFLOAT16', stored: STORED_TYPES.BF16, field: 'int32_data' }],
])

/** TensorProto.DataLocation */
const EXTERNAL = 1

/**
 * @param what names the source in error texts, such as the file's path
 * @returns the initializers; metadata is empty
 * @throws ERR_FORMAT for what is not a complete ONNX model, and for an initializer that is broken, nameless, kept in
 *   another file, or of a type that is not read
 */
export function decodeOnnx(bytes: Uint8Array, what: string): StoredFile {
  const initializers = readInitializers(bytes, what)
  const tensors: StoredFile['tensors'] = new Map()
  for (const tensor of initializers) {
    const { name } = tensor
    if (name === '') throw formatError(what, `initializer ${tensors.size} has no name`)
    if (tensors.has(name)) throw formatError(what, `two initializers are called '${name}'`)
    const { type, shape, length } = readHead(tensor, what)
    tensors.set(name, { dtype: type.stored.dtype, shape, data: readElements(tensor, type, shape, length, bytes, what) })
  }
  return { tensors, metadata: {} }
}

/** One at a time. */
function* readInitializers(bytes: Uint8Array, what: string): Generator<TensorMessage> {
  const reader = protobuf.Reader.create(bytes)
  const read = <T>(decode: () => T): T => {
    try {
      return decode()
    } catch (cause) {
      const why = `${(cause as Error).message} (byte ${reader.pos} of ${bytes.length})`
      throw formatError(what, `not an ONNX model, or a truncated one: ${why}`, cause)
    }
  }
  const model = read(() => decodeOnnxModel(reader))
  const version = toNumber(model.ir_version)
  if (version < 1) throw formatError(what, `not an ONNX model: ir_version ${version}; expected at least 1`)
  if (model.graph === null) throw formatError(what, `the ONNX model has no graph in its ${bytes.length} bytes`)
  const initializers = decodeInitializers(reader, model.graph)
  for (let next = read(() => initializers.next()); !next.done; next = read(() => initializers.next())) yield next.value
}

function readHead(tensor: TensorMessage, what: string): { type: OnnxType; shape: number[]; length: number } {
  const { name, data_type: code } = tensor
  if (tensor.data_location === EXTERNAL || tensor.location !== null) {
    const location = tensor.location ?? 'another file'
    throw formatError(
      what,
      `tensor '${name}' is kept outside, in ${location}; expected a model with its weights inside`,
    )
  }
  const type = TYPES.get(code)
  if (type === undefined) {
    const known = [...TYPES].map(([number, known]) => `${number} (${known.name})`).join(', ')
    throw formatError(what, `tensor '${name}': data_type ${code}; expected one of ${known}`)
  }
  if (tensor.rank > MAX_RANK) {
    throw formatError(what, `tensor '${name}' has ${tensor.rank} dims; expected at most ${MAX_RANK}`)
  }
  const shape = tensor.dims.map(toNumber)
  if (!shape.every(isSize)) {
    throw formatError(what, `tensor '${name}': dims [${shape.join(', ')}]; expected integers from 0 to 2^53 - 1`)
  }
  return { type, shape, length: shape.reduce((product, size) => product * size, 1) }
}

function readElements(
  tensor: TensorMessage,
  { name: typeName, stored, field }: OnnxType,
  shape: readonly number[],
  length: number,
  bytes: Uint8Array,
  what: string,
): TypedArray {
  const { name } = tensor
  if (tensor.raw_data.length > 0 && tensor[field].length > 0) {
    throw formatError(what, `tensor '${name}' has both raw_data and ${field}; expected one of them`)
  }
  const from = tensor.raw_data.length > 0 ? 'raw_data' : field
  const data = tensor[from]
  // An absent field lies nowhere.
  const at = data.length > 0 ? data.byteOffset - bytes.byteOffset : 0
  const varints = from !== 'raw_data' && from !== 'float_data' && from !== 'double_data'
  const holds = varints ? countVarints(data) : data.length
  const expected = varints ? length : length * stored.bytes
  if (holds !== expected) {
    const unit = varints ? 'integers' : 'bytes'
    throw formatError(
      what,
      `tensor '${name}': dims [${shape.join(', ')}] of ${typeName} are ${expected} ${unit}; ${from} ` +
        (data.length > 0 ? `at byte ${at} holds ${holds}` : 'is empty'),
    )
  }
  return varints ? readVarints(data, stored, from, length, name, what) : readStored(data, stored, name, at, what)
}

/** Each ends in a byte below 128. */
function countVarints(packed: Uint8Array): number {
  let count = 0
  for (const byte of packed) if (byte < 128) count++
  return count
}

/** `length` integers, as many as `packed` holds. */
function readVarints(
  packed: Uint8Array,
  { dtype }: StoredType,
  field: 'int32_data' | 'int64_data' | 'uint64_data',
  length: number,
  name: string,
  what: string,
): TypedArray {
  const reader = protobuf.Reader.create(packed)
  const data = allocate(dtype, length)
  for (let i = 0; i < length; i++) {
    let value: number
    try {
      value = toNumber(
        field === 'int32_data' ? reader.int32() : field === 'int64_data' ? reader.int64() : reader.uint64(),
      )
    } catch (cause) {
      throw formatError(what, `tensor '${name}': ${field}[${i}] is no integer: ${(cause as Error).message}`, cause)
    }
    data[i] = value // of a float16 its 16 bits
    if (data[i] !== value || (dtype === 'bool' && value > 1)) {
      throw formatError(what, `tensor '${name}': integer ${value} in ${field}[${i}] does not fit ${dtype}`)
    }
  }
  if (reader.pos < packed.length) throw formatError(what, `tensor '${name}': ${field} ends within an integer`)
  return data
}

/** Exact up to 2^53, far beyond what fits. */
function toNumber(value: Int64): number {
  if (typeof value === 'number') return value
  return (value.unsigned ? value.high >>> 0 : value.high) * 2 ** 32 + (value.low >>> 0)
}
