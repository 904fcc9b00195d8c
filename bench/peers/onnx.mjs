/** ONNX models of the cases, encoded with forja's description of the format: `npm run build:js` makes it. */
import { encodeOnnxModel } from '../../dist/io/onnx_messages.js'

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
    return encodeOnnxModel(model)
  }
}

function valueInfo(name, shape) {
  return {
    name,
    type: { tensor_type: { elem_type: FLOAT, shape: { dim: shape.map((size) => ({ dim_value: size })) } } },
  }
}
