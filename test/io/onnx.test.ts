import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import protobuf from 'protobufjs/light.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ForjaError } from '../../lib/errors.js'
import * as fj from '../../lib/index.js'
import { decodeOnnx } from '../../lib/io/onnx.js'
import { encodeOnnxModel } from '../../lib/io/onnx_messages.js'
import { RandomStream } from '../../lib/random.js'
import { randomTensor } from '../helpers/compare.js'

type Fields = Record<string, unknown>

/** A model as torch.onnx.export writes it: nodes, weights, inputs, outputs. */
function model(initializer: Fields[], fields: Fields = {}): Uint8Array {
  const graph = {
    name: 'main_graph',
    node: [{ op_type: 'Relu', input: ['x'], output: ['y'], attribute: [{ name: 'axis', i: 1, type: 2 }] }],
    initializer,
    input: [{ name: 'x', type: { tensor_type: { elem_type: 1, shape: { dim: [{ dim_value: 2 }] } } } }],
    output: [{ name: 'y' }],
  }
  return encodeOnnxModel({ ir_version: 8, graph, opset_import: [{ domain: '', version: 17 }], ...fields })
}

const raw = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** The bytes of a packed repeated field. */
function packed(kind: 'int32' | 'int64' | 'uint64', values: (number | protobuf.Long)[]): Uint8Array {
  const writer = protobuf.Writer.create()
  for (const value of values) writer[kind](value as number)
  return writer.finish()
}

const weight = (fields: Fields) => ({ name: 'w', dims: [2], data_type: 1, ...fields })
const only = (fields: Fields) => decodeOnnx(model([weight(fields)]), 'x.onnx').tensors.get('w')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'forja-onnx-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('load', () => {
  const network = () =>
    new fj.nn.Sequential(
      new fj.nn.Conv2d(2, 4, 3),
      new fj.nn.BatchNorm2d(4),
      new fj.nn.ReLU(),
      new fj.nn.Flatten(),
      new fj.nn.Linear(16, 3),
    ).eval()

  /** What PyTorch's exporter keeps of a network: everything but the count of batches. */
  async function weights(net: fj.nn.Module): Promise<Fields[]> {
    const state = Object.entries(await net.stateDict()).filter(([name]) => !name.endsWith('num_batches_tracked'))
    return await Promise.all(
      state.map(async ([name, tensor], i) => {
        const data = raw(await tensor.data())
        // float_data packed is the same bytes.
        return { name, dims: tensor.shape, data_type: 1, [i % 2 ? 'float_data' : 'raw_data']: data }
      }),
    )
  }

  it('gives a network the weights of an ONNX model', async () => {
    const path = join(folder, 'NET.ONNX')
    const [from, to] = [network(), network()]
    for (const [, variable] of from.namedVariables()) {
      if (variable.dtype === 'float32') await variable.assign(randomTensor([...variable.shape], variable.size).abs())
    }
    const x = randomTensor([2, 2, 4, 4], 1)
    expect(await to.forward(x).data()).not.toEqual(await from.forward(x).data())
    await writeFile(path, model(await weights(from)))
    expect(await fj.load(to, path, { strict: false })).toEqual({
      missing: ['1.num_batches_tracked'],
      unexpected: [],
    })
    expect(await to.forward(x).data()).toEqual(await from.forward(x).data())
  })

  it('reports names and shapes as for safetensors, and changes nothing where something does not fit', async () => {
    const path = join(folder, 'folded.onnx')
    const to = network()
    const before = await to.stateDict()
    const kept = (await weights(network())).filter(({ name }) => name !== '4.weight' && name !== '1.weight')
    const folded = { name: 'onnx::MatMul_16', dims: [16, 3], data_type: 1, raw_data: new Uint8Array(192) }
    await writeFile(path, model([...kept, folded]))
    await expect(fj.load(to, path)).rejects.toThrow(
      /folded\.onnx: names do not agree; 3 missing: 1\.weight, 1\.num_batches_tracked, 4\.weight; 1 unexpected: onnx::MatMul_16\n {2}hint {2}pass \{ strict: false \}/,
    )
    expect(await fj.load(to, path, { strict: false })).toEqual({
      missing: ['1.weight', '1.num_batches_tracked', '4.weight'],
      unexpected: ['onnx::MatMul_16'],
    })
    const same = network()
    await same.loadStateDict(before)
    await writeFile(path, model([...kept, { ...folded, name: '4.weight' }]))
    await expect(fj.load(same, path, { strict: false })).rejects.toThrow(
      /folded\.onnx: '4\.weight' has shape \(16, 3\), the model's \(3, 16\)/,
    )
    await writeFile(path, model([{ name: '4.bias', dims: [3], data_type: 10, raw_data: new Uint8Array(6) }]))
    await expect(fj.load(same, path, { strict: false })).rejects.toThrow(
      /folded\.onnx: '4\.bias' is float16, the model's float32/,
    )
    for (const [name, value] of Object.entries(await same.stateDict())) {
      expect(await value.data()).toEqual(await before[name]!.data())
    }
  })

  it('says that the file is broken, not there, or of the other format', async () => {
    const path = join(folder, 'broken.onnx')
    await fj.save(network(), path)
    await expect(fj.load(network(), path)).rejects.toThrow(/broken\.onnx: not an ONNX model/)
    await expect(fj.load(network(), join(folder, 'none.onnx'))).rejects.toThrow(/none\.onnx cannot be read/)
  })
})

describe('decodeOnnx', () => {
  const most = 2 ** 31 - 1
  it.each<[string, number, ArrayBufferView, string, ArrayLike<number>]>([
    ['FLOAT', 1, Float32Array.of(1.5, -1e-20), 'float32', [1.5, Math.fround(-1e-20)]],
    ['FLOAT, not finite', 1, Float32Array.of(Number.NaN, -1 / 0), 'float32', [Number.NaN, -1 / 0]],
    ['UINT8', 2, Uint8Array.of(0, 255), 'uint8', [0, 255]],
    ['INT8', 3, Int8Array.of(-128, 127), 'int32', [-128, 127]],
    ['UINT16', 4, Uint16Array.of(0, 65535), 'int32', [0, 65535]],
    ['INT16', 5, Int16Array.of(-32768, 32767), 'int32', [-32768, 32767]],
    ['INT32', 6, Int32Array.of(-most - 1, most), 'int32', [-most - 1, most]],
    ['INT64', 7, BigInt64Array.of(-2147483648n, 2147483647n), 'int32', [-most - 1, most]],
    ['BOOL', 9, Uint8Array.of(0, 1), 'bool', [0, 1]],
    ['FLOAT16', 10, Uint16Array.of(0x3c00, 0xfbff), 'float16', [0x3c00, 0xfbff]],
    ['DOUBLE', 11, Float64Array.of(Math.PI, -1 / 0), 'float32', [Math.fround(Math.PI), -1 / 0]],
    ['DOUBLE, too small', 11, Float64Array.of(1e-300, Number.NaN), 'float32', [0, Number.NaN]],
    ['UINT32', 12, Uint32Array.of(0, most), 'int32', [0, most]],
    ['UINT64', 13, BigUint64Array.of(0n, 2147483647n), 'int32', [0, most]],
    ['BFLOAT16', 16, Uint16Array.of(0x3f80, 0xff7f), 'bfloat16', [0x3f80, 0xff7f]],
  ])('reads %s from raw_data', (_, data_type, data, dtype, expected) => {
    const tensor = only({ data_type, raw_data: raw(data) })!
    expect(tensor).toMatchObject({ dtype, shape: [2] })
    expect([...tensor.data]).toEqual([...(expected as number[])])
  })

  it.each<[string, number, Fields, string, number[]]>([
    ['FLOAT', 1, { float_data: raw(Float32Array.of(1.5, -2)) }, 'float32', [1.5, -2]],
    ['DOUBLE', 11, { double_data: raw(Float64Array.of(0.1, -2)) }, 'float32', [Math.fround(0.1), -2]],
    ['UINT8', 2, { int32_data: packed('int32', [0, 255]) }, 'uint8', [0, 255]],
    ['INT8', 3, { int32_data: packed('int32', [-128, 127]) }, 'int32', [-128, 127]],
    ['INT32', 6, { int32_data: packed('int32', [-most - 1, most]) }, 'int32', [-most - 1, most]],
    ['BOOL', 9, { int32_data: packed('int32', [1, 0]) }, 'bool', [1, 0]],
    ['FLOAT16', 10, { int32_data: packed('int32', [0x3c00, 0xfbff]) }, 'float16', [0x3c00, 0xfbff]],
    ['BFLOAT16', 16, { int32_data: packed('int32', [0x3f80, 0xff7f]) }, 'bfloat16', [0x3f80, 0xff7f]],
    ['INT64', 7, { int64_data: packed('int64', [-most - 1, most]) }, 'int32', [-most - 1, most]],
    ['UINT32', 12, { uint64_data: packed('uint64', [1, most]) }, 'int32', [1, most]],
    ['UINT64', 13, { uint64_data: packed('uint64', [300, most]) }, 'int32', [300, most]],
  ])('reads %s from the field of its type', (_, data_type, fields, dtype, expected) => {
    const tensor = only({ data_type, ...fields })!
    expect(tensor).toMatchObject({ dtype, shape: [2] })
    expect([...tensor.data]).toEqual(expected)
  })

  it('reads these very bytes', () => {
    // ir_version 8; a graph with a tensor: dims [1], dims again [2] unpacked, FLOAT, 'w', raw_data.
    const bytes = Buffer.from('08083a152a130801080210014201774a080000803f00000040', 'hex')
    expect(decodeOnnx(bytes, 'x.onnx').tensors).toEqual(
      new Map([['w', { dtype: 'float32', shape: [1, 2], data: Float32Array.of(1, 2) }]]),
    )
    expect(decodeOnnx(new Uint8Array(bytes), 'x.onnx')).toEqual(decodeOnnx(bytes, 'x.onnx'))
  })

  it('reads scalars and empty tensors, in the order of the file, and copies', () => {
    const bytes = Buffer.from(
      model([
        { name: 'scalar', data_type: 1, raw_data: raw(Float32Array.of(7)) },
        { name: '__proto__', dims: [0, 5], data_type: 1 },
        { name: 'none', dims: [0], data_type: 7 },
      ]),
    )
    const { tensors, metadata } = decodeOnnx(bytes, 'x.onnx')
    bytes.fill(0)
    expect(metadata).toEqual({})
    expect([...tensors]).toEqual([
      ['scalar', { dtype: 'float32', shape: [], data: Float32Array.of(7) }],
      ['__proto__', { dtype: 'float32', shape: [0, 5], data: new Float32Array(0) }],
      ['none', { dtype: 'int32', shape: [0], data: new Int32Array(0) }],
    ])
  })

  const large = (low: number, high: number, unsigned: boolean) => ({ low, high, unsigned }) as protobuf.Long
  it.each<[string, Fields, RegExp]>([
    [
      'too few bytes',
      { raw_data: new Uint8Array(7) },
      /'w': dims \[2\] of FLOAT are 8 bytes; raw_data at byte \d+ holds 7/,
    ],
    ['too many bytes', { float_data: new Uint8Array(12) }, /are 8 bytes; float_data at byte \d+ holds 12/],
    ['no elements', {}, /dims \[2\] of FLOAT are 8 bytes; float_data is empty/],
    ['the field of another type', { data_type: 7, float_data: new Uint8Array(8) }, /2 integers; int64_data is empty/],
    [
      'too few integers',
      { data_type: 7, int64_data: packed('int64', [-1]) },
      /INT64 are 2 integers; int64_data at byte \d+ holds 1$/,
    ],
    [
      'lying dims',
      { dims: [1e9, 1e9], raw_data: new Uint8Array(8) },
      /\[1000000000, 1000000000\] of FLOAT are 4000000000000000000 bytes/,
    ],
    [
      'lying dims of integers',
      { dims: [2 ** 40], data_type: 6, int32_data: packed('int32', [1]) },
      /1099511627776 integers; int32_data at byte \d+ holds 1$/,
    ],
    ['too many dims', { dims: Array(9).fill(1) }, /'w' has 9 dims; expected at most 8/],
    [
      'half an integer at the end',
      { dims: [1], data_type: 7, int64_data: Uint8Array.of(1, 0x80) },
      /'w': int64_data ends within an integer/,
    ],
    ['a negative size', { dims: [-1, 2] }, /dims \[-1, 2\]; expected integers from 0 to 2\^53 - 1/],
    [
      'a size beyond all numbers',
      { dims: [large(0, 0x7fffffff, false)] },
      /dims \[9223372032559809000\]; expected integers/,
    ],
    [
      'an integer of 64 bits',
      { data_type: 7, raw_data: raw(BigInt64Array.of(0n, 1n << 40n)) },
      /integer 1099511627776 at byte \d+ does not fit int32/,
    ],
    [
      'the same in int64_data',
      { data_type: 7, int64_data: packed('int64', [0, -(2 ** 40)]) },
      /integer -1099511627776 in int64_data\[1\] does not fit int32/,
    ],
    [
      'an unsigned one',
      { data_type: 13, uint64_data: packed('uint64', [0, large(-1, -1, true)]) },
      /integer 18446744073709552000 in uint64_data\[1\]/,
    ],
    [
      'a byte of 300',
      { data_type: 2, int32_data: packed('int32', [300, 0]) },
      /integer 300 in int32_data\[0\] does not fit uint8/,
    ],
    [
      'a half of 17 bits',
      { data_type: 10, int32_data: packed('int32', [0, 65536]) },
      /integer 65536 in int32_data\[1\] does not fit float16/,
    ],
    ['a bool of 2', { data_type: 9, raw_data: Uint8Array.of(1, 2) }, /BOOL 2 at byte \d+; expected 0 or 1/],
    [
      'the same in int32_data',
      { data_type: 9, int32_data: packed('int32', [2, 0]) },
      /integer 2 in int32_data\[0\] does not fit bool/,
    ],
    [
      'a varint of 11 bytes',
      { dims: [1], data_type: 7, int64_data: new Uint8Array(11).fill(0x80, 0, 10) },
      /int64_data\[0\] is no integer: invalid varint/,
    ],
    [
      'a double beyond float32',
      { data_type: 11, raw_data: raw(Float64Array.of(0, 1e300)) },
      /number 1e\+300 at byte \d+ does not fit float32/,
    ],
    ['elements twice', { raw_data: new Uint8Array(8), float_data: new Uint8Array(8) }, /both raw_data and float_data/],
    ['no type', { data_type: 0 }, /data_type 0; expected one of 1 \(FLOAT\), 2 \(UINT8\)/],
    ['text', { data_type: 8 }, /data_type 8; expected one of/],
    ['no name', { name: '' }, /initializer 0 has no name/],
    [
      'another file',
      { data_location: 1, external_data: [{ key: 'location', value: 'w.bin' }] },
      /'w' is kept outside, in w\.bin; expected a model with its weights inside/,
    ],
  ])('refuses %s', (_, fields, message) => {
    expect(() => only(fields)).toThrowError(expect.objectContaining({ code: 'ERR_FORMAT' }))
    expect(() => only(fields)).toThrowError(message)
    expect(() => only(fields)).toThrowError(/^x\.onnx: /)
  })

  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /not an ONNX model: ir_version 0; expected at least 1/],
    ['text', Buffer.from('Not Found'), /not an ONNX model/],
    ['a zip', Buffer.from('PK\u0003\u0004 a file of torch.save'), /not an ONNX model/],
    ['no graph', encodeOnnxModel({ ir_version: 8 }), /has no graph in its 2 bytes/],
    ['no version', model([], { ir_version: 0 }), /ir_version 0; expected at least 1/],
    ['a name twice', model([weight({ dims: [0] }), weight({ dims: [0] })]), /two initializers are called 'w'/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeOnnx(bytes, 'x.onnx')).toThrowError(expect.objectContaining({ code: 'ERR_FORMAT' }))
    expect(() => decodeOnnx(bytes, 'x.onnx')).toThrowError(message)
  })

  it('stops at the first broken tensor: what follows, however many, is not read', () => {
    // The graph: a tensor without a name, then one that claims more bytes than there are.
    const bytes = Buffer.from('08083a042a002a7f', 'hex')
    expect(() => decodeOnnx(bytes, 'x.onnx')).toThrowError('x.onnx: initializer 0 has no name')
    const many = only.bind(null, { dims: Array(1e6).fill(0) })
    expect(many).toThrowError(/'w' has 1000000 dims; expected at most 8/)
  })

  const sample = model([
    weight({ name: 'raw', raw_data: raw(Float32Array.of(1, 2)) }),
    weight({ name: 'floats', float_data: raw(Float32Array.of(3, 4)) }),
    weight({ name: 'longs', data_type: 7, int64_data: packed('int64', [5, -6]) }),
    weight({ name: 'doubles', data_type: 11, double_data: raw(Float64Array.of(7, 8)) }),
    weight({ name: 'flags', data_type: 9, int32_data: packed('int32', [0, 1]) }),
  ])

  it('finds every truncation that loses a weight', () => {
    const whole = decodeOnnx(sample, 'x.onnx')
    let complete = 0
    for (let length = 0; length < sample.length; length++) {
      try {
        expect(decodeOnnx(sample.subarray(0, length), 'x.onnx')).toEqual(whole)
        complete++
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_FORMAT' })
      }
    }
    // The one that ends with the graph, before the versions of the operations.
    expect(complete).toBe(1)
    expect(() => decodeOnnx(sample.subarray(0, 60), 'x.onnx')).toThrowError(
      /not an ONNX model, or a truncated one: .* \(byte \d+ of 60\)/,
    )
  })

  it('reads mutated bytes as tensors or refuses them, nothing else', () => {
    const random = new RandomStream(7)
    let read = 0
    for (let i = 0; i < 1000; i++) {
      const bytes = Buffer.from(sample)
      for (let changes = 1 + (random.word() % 3); changes > 0; changes--) {
        bytes[random.word() % bytes.length] = random.word() % 256
      }
      try {
        const { tensors } = decodeOnnx(bytes, 'x.onnx')
        for (const { shape, data } of tensors.values()) {
          expect(data.length).toBe(shape.reduce((product, size) => product * size, 1))
        }
        read++
      } catch (error) {
        expect(error).toBeInstanceOf(ForjaError)
        expect(error).toMatchObject({ code: 'ERR_FORMAT' })
      }
    }
    expect(read).toBeGreaterThan(100)
    expect(read).toBeLessThan(900)
  })
})
