/**
 * The messages of ONNX models, fields and numbers as far as forja and its benches read or write them (onnx.proto).
 * A repeated field of numbers that is packed lies in the file as `bytes` do. A tensor's numbers are declared so: they
 * stay where they are until their count is known to agree with dims.
 *
 * Models are read one tensor after the other, and nothing else of them is: as a whole, 70 MB that hold 35 million empty
 * messages would be 4 GB of objects.
 */
import protobuf from 'protobufjs/light.js'
import { MAX_RANK } from '../shape.js'

const field = (type: string, id: number, rule?: 'repeated') => ({ type, id, ...(rule ? { rule } : {}) })

const root = protobuf.Root.fromJSON({
  nested: {
    Model: {
      fields: {
        ir_version: field('int64', 1),
        graph: field('Graph', 7),
        opset_import: field('OperatorSet', 8, 'repeated'),
      },
    },
    OperatorSet: { fields: { domain: field('string', 1), version: field('int64', 2) } },
    Graph: {
      fields: {
        node: field('Node', 1, 'repeated'),
        name: field('string', 2),
        initializer: field('Tensor', 5, 'repeated'),
        input: field('ValueInfo', 11, 'repeated'),
        output: field('ValueInfo', 12, 'repeated'),
      },
    },
    Node: {
      fields: {
        input: field('string', 1, 'repeated'),
        output: field('string', 2, 'repeated'),
        op_type: field('string', 4),
        attribute: field('Attribute', 5, 'repeated'),
      },
    },
    Attribute: {
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        ints: field('int64', 8, 'repeated'),
        type: field('int32', 20),
      },
    },
    Tensor: {
      fields: {
        dims: field('int64', 1, 'repeated'),
        data_type: field('int32', 2),
        float_data: field('bytes', 4),
        int32_data: field('bytes', 5),
        int64_data: field('bytes', 7),
        name: field('string', 8),
        raw_data: field('bytes', 9),
        double_data: field('bytes', 10),
        uint64_data: field('bytes', 11),
        external_data: field('Entry', 13, 'repeated'),
        data_location: field('int32', 14),
      },
    },
    Entry: { fields: { key: field('string', 1), value: field('string', 2) } },
    ValueInfo: { fields: { name: field('string', 1), type: field('Type', 2) } },
    Type: { fields: { tensor_type: field('TensorType', 1) } },
    TensorType: { fields: { elem_type: field('int32', 1), shape: field('Shape', 2) } },
    Shape: { fields: { dim: field('Dimension', 1, 'repeated') } },
    Dimension: { fields: { dim_value: field('int64', 1) } },
  },
})

const MODEL = root.lookupType('Model')
const ENTRY = root.lookupType('Entry')

/** What a field of 64 bits is read as. */
export type Int64 = number | protobuf.Long

/** Bytes of a file, from `at` up to `end`. */
interface Span {
  readonly at: number
  readonly end: number
}

/** What is absent reads as 0; an absent graph as null. */
export interface ModelMessage {
  ir_version: Int64
  graph: Span | null
}

/** Fields of numbers that lie in the file as bytes. */
const ELEMENTS = {
  4: 'float_data',
  5: 'int32_data',
  7: 'int64_data',
  9: 'raw_data',
  10: 'double_data',
  11: 'uint64_data',
} as const

/** What is absent reads as 0, '' or empty. */
export interface TensorMessage extends Record<(typeof ELEMENTS)[keyof typeof ELEMENTS], Uint8Array> {
  name: string
  /** The first MAX_RANK of them. */
  dims: Int64[]
  rank: number
  data_type: number
  data_location: number
  /** Where the elements are if not in this file. */
  location: string | null
}

/** @param model fields named as above */
export function encodeOnnxModel(model: object): Uint8Array {
  return MODEL.encode(model).finish()
}

/** @throws what protobufjs throws, with `reader` where it stopped; so do the functions below */
export function decodeOnnxModel(reader: protobuf.Reader): ModelMessage {
  const model: ModelMessage = { ir_version: 0, graph: null }
  readFields(reader, { at: reader.pos, end: reader.len }, (id, wire) => {
    if (id === 1 && wire === VARINT) model.ir_version = reader.int64()
    else if (id === 7 && wire === BYTES) reader.pos = (model.graph = readSpan(reader)).end
    else return false
    return true
  })
  return model
}

/** The initializers of a graph, each read when it is asked for; their arrays of bytes are views. */
export function* decodeInitializers(reader: protobuf.Reader, graph: Span): Generator<TensorMessage, undefined> {
  reader.pos = graph.at
  while (reader.pos < graph.end) {
    const tag = reader.uint32()
    if (tag === ((5 << 3) | BYTES)) yield decodeTensor(reader, readSpan(reader))
    else skip(reader, tag)
  }
  checkEnd(reader, graph)
}

const NONE = new Uint8Array(0)

function decodeTensor(reader: protobuf.Reader, span: Span): TensorMessage {
  const tensor: TensorMessage = {
    name: '',
    dims: [],
    rank: 0,
    data_type: 0,
    raw_data: NONE,
    float_data: NONE,
    int32_data: NONE,
    int64_data: NONE,
    double_data: NONE,
    uint64_data: NONE,
    data_location: 0,
    location: null,
  }
  const dim = () => {
    const size = reader.int64()
    if (tensor.rank++ < MAX_RANK) tensor.dims.push(size)
  }
  readFields(reader, span, (id, wire) => {
    if (wire === VARINT) {
      if (id === 1) dim()
      else if (id === 2) tensor.data_type = reader.int32()
      else if (id === 14) tensor.data_location = reader.int32()
      else return false
    } else if (wire === BYTES) {
      if (id === 1) for (const { end } = readSpan(reader); reader.pos < end; ) dim()
      else if (id in ELEMENTS) tensor[ELEMENTS[id as keyof typeof ELEMENTS]] = reader.bytes()
      else if (id === 8) tensor.name = reader.string()
      else if (id === 13) {
        const { key, value } = ENTRY.decode(reader, reader.uint32()) as unknown as { key: string; value: string }
        if (key === 'location') tensor.location = value
      } else return false
    } else return false
    return true
  })
  return tensor
}

const VARINT = 0
const BYTES = 2

/** Calls `take` for every field in `span`, with the reader behind its tag; where the answer is false it is skipped. */
function readFields(reader: protobuf.Reader, span: Span, take: (id: number, wire: number) => boolean): void {
  while (reader.pos < span.end) {
    const tag = reader.uint32()
    if (!take(tag >>> 3, tag & 7)) skip(reader, tag)
  }
  checkEnd(reader, span)
}

function skip(reader: protobuf.Reader, tag: number): void {
  if (tag >>> 3 === 0) throw new RangeError('a field has number 0')
  reader.skipType(tag & 7)
}

/** The bytes that a length stands before. */
function readSpan(reader: protobuf.Reader): Span {
  const length = reader.uint32()
  const at = reader.pos
  if (at + length > reader.len) throw new RangeError(`index out of range: ${at} + ${length} > ${reader.len}`)
  return { at, end: at + length }
}

function checkEnd(reader: protobuf.Reader, { end }: Span): void {
  if (reader.pos > end) throw new RangeError(`a field goes beyond byte ${end}, where its message ends`)
}
