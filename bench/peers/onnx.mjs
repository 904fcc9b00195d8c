/**
 * The few parts of an ONNX model that the cases need, encoded with protobufjs: message and field numbers are those of
 * the format's onnx.proto3.
 */
import protobuf from 'protobufjs'

const { root } = protobuf.parse(
  `
  syntax = "proto3";
  message Attribute {
    string name = 1; float f = 2; int64 i = 3; repeated int64 ints = 8; int32 type = 20;
  }
  message Node {
    repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5;
  }
  message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message Dimension { int64 dim_value = 1; }
  message Shape { repeated Dimension dim = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Type { TensorType tensor_type = 1; }
  message ValueInfo { string name = 1; Type type = 2; }
  message Graph {
    repeated Node node = 1; string name = 2; repeated Tensor initializer = 5;
    repeated ValueInfo input = 11; repeated ValueInfo output = 12;
  }
  message OperatorSet { string domain = 1; int64 version = 2; }
  message Model { int64 ir_version = 1; Graph graph = 7; repeated OperatorSet opset_import = 8; }
`,
  { keepCase: true },
)

const FLOAT = 1
const IR_VERSION = 8
const OPSET = 17
const ATTRIBUTE = { float: 1, int: 2, ints: 7 }

/** A graph that is written node by node; values are known by name. */
export class Graph {
  #nodes = []
  #inputs = []
  #initializers = []

  input(name, shape) {
    this.#inputs.push(valueInfo(name, shape))
    return name
  }

  /** A weight: part of the model, so that the runtime may pack it. */
  weight(data, shape) {
    const name = `weight${this.#initializers.length}`
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    this.#initializers.push({ name, dims: shape, data_type: FLOAT, raw_data: raw })
    return name
  }

  node(type, inputs, attributes = {}) {
    const output = `value${this.#nodes.length}`
    const attribute = Object.entries(attributes).map(([name, value]) => {
      if (Array.isArray(value)) return { name, ints: value, type: ATTRIBUTE.ints }
      return Number.isInteger(value)
        ? { name, i: value, type: ATTRIBUTE.int }
        : { name, f: value, type: ATTRIBUTE.float }
    })
    this.#nodes.push({ op_type: type, input: inputs, output: [output], attribute })
    return output
  }

  /** The model's bytes, with one output. */
  encode(output, shape) {
    const graph = {
      name: 'case',
      node: this.#nodes,
      initializer: this.#initializers,
      input: this.#inputs,
      output: [valueInfo(output, shape)],
    }
    const model = { ir_version: IR_VERSION, graph, opset_import: [{ domain: '', version: OPSET }] }
    return root.lookupType('Model').encode(model).finish()
  }
}

function valueInfo(name, shape) {
  return {
    name,
    type: { tensor_type: { elem_type: FLOAT, shape: { dim: shape.map((size) => ({ dim_value: size })) } } },
  }
}
