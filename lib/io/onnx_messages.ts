/**
 * The messages of ONNX models, fields and numbers as far as forja and its benches read or write them (onnx.proto).
 * A repeated field of numbers that is packed lies in the file as `bytes` do. A tensor's numbers are declared so: they
 * stay where they are until their count is known to agree with dims.
 */
import protobuf from 'protobufjs/light.js'

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

/** What a field of 64 bits is read as. */
export type Int64 = number | protobuf.Long

/** What is absent reads as 0, '' or empty; an absent graph as null. */
export interface ModelMessage {
  ir_version: Int64
  graph: { initializer: TensorMessage[] } | null
}

export interface TensorMessage {
  name: string
  dims: Int64[]
  data_type: number
  raw_data: Uint8Array | []
  float_data: Uint8Array | []
  int32_data: Uint8Array | []
  int64_data: Uint8Array | []
  double_data: Uint8Array | []
  uint64_data: Uint8Array | []
  external_data: { key: string; value: string }[]
  data_location: number
}

/** @param model fields named as above */
export function encodeOnnxModel(model: object): Uint8Array {
  return MODEL.encode(model).finish()
}

/** Arrays of bytes in it are views. @throws what protobufjs throws, with `reader` where it stopped. */
export function decodeOnnxModel(reader: protobuf.Reader): ModelMessage {
  return MODEL.decode(reader) as unknown as ModelMessage
}
